"""Join the windows of each row: the inverse of `plan_windows`.

The columns in `WINDOW_COLUMNS` say which part of its source row each window covers. The first window of a
source row shows how many tokens are kept at each end of the row, so no other information is needed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import take_rows, to_arrow, to_numpy
from padmask.core.length_column import read_lengths
from padmask.core.metadata import valid_descriptions
from padmask.core.plan import Positions
from padmask.core.window_places import WindowPlaces
from padmask.errors import Fault
from padmask.spec.windows import WINDOW_COLUMNS


@dataclass(frozen=True)
class RowWindows:
    """The source row of each window, and the part of this row that the window covers.

    Args:
        rows: source row number of each window: int64, shape (windows,).
        places: the part of the source row that each window covers.
    """

    rows: Positions
    places: WindowPlaces

    @property
    def later(self) -> Positions:
        """Indices of the windows that follow a window of the same row, int64."""
        is_later = (self.places.numbers[1:] > 0) & (self.rows[1:] == self.rows[:-1])
        return np.flatnonzero(is_later) + 1

    def name(self, window: int) -> str:
        """Return the name of a window, for messages."""
        return f"window {self.places.numbers[window]} of source row {self.rows[window]}"

    def select(self, windows: Positions) -> RowWindows:
        """Return the windows at the given indices."""
        return RowWindows(self.rows[windows], self.places.select(windows))

    @classmethod
    def concat(cls, parts: Sequence[RowWindows]) -> RowWindows:
        """Concatenate the windows in `parts`."""
        arrays = [(its.rows, its.places.numbers, its.places.starts, its.places.stops) for its in parts]
        rows, *places = map(np.concatenate, zip(*arrays, strict=True))
        return cls(rows, WindowPlaces(*places))


def has_windows(schema: pa.Schema) -> bool:
    """Return whether a schema has all columns in `WINDOW_COLUMNS`, with integer types.

    If the metadata describes padding without windows, the result is False.
    """
    groups = valid_descriptions(schema)
    if groups and not any(group.windows for group in groups):
        return False
    return not any(_unusable(schema, name) for name in WINDOW_COLUMNS)


def reason_not_to_join(schema: pa.Schema, described: bool) -> str:
    """Return the reason why windows cannot be joined, as a clause for a message.

    The result is an empty string if the windows can be joined, or if there are no windows.

    >>> names = ("source_row", "window", "source_start")
    >>> reason_not_to_join(pa.schema([(name, pa.int32()) for name in names]), described=True)
    "the input has no column 'source_stop'"

    Args:
        schema: columns of the input.
        described: whether the metadata describes windows.
    """
    if not described and not {*WINDOW_COLUMNS} <= {*schema.names}:
        return ""
    return next((why for name in WINDOW_COLUMNS if (why := _unusable(schema, name))), "")


def _unusable(schema: pa.Schema, name: str) -> str:
    """Return what is wrong with a column of `WINDOW_COLUMNS`; an empty string if nothing is wrong."""
    if (times := schema.names.count(name)) != 1:
        return f"the input has {'several columns' if times else 'no column'} {name!r}"
    type_ = schema.field(name).type
    return "" if pa.types.is_integer(type_) else f"column {name!r} has the type {type_}"


def read_windows(values: Callable[[str], Sequence[Any]]) -> tuple[RowWindows, list[Fault]]:
    """Read the columns in `WINDOW_COLUMNS`.

    Args:
        values: function that returns the values of a column.

    Returns:
        The windows, and a `Fault` for each row with an invalid value.
    """
    arrays, faults = [], []
    for name in WINDOW_COLUMNS:
        numbers, found = read_lengths(
            values(name), name, "join_windows", bits=63, noun="a row, window or token number"
        )
        arrays.append(numbers)
        faults += found
    rows, *places = arrays
    return RowWindows(rows, WindowPlaces(*places)), faults


@dataclass(frozen=True)
class JoinPlan:
    """The tokens that each window adds to its joined row.

    Args:
        firsts: index of the first window of each row: int64, shape (rows,).
        starts: index of the first token that each window adds, counted from the start of the window: int64,
            shape (windows,).
        counts: number of tokens that each window adds: int64, shape (windows,).
        causes: a `Fault` for each window that has an error, in the order of the windows.
        faults: a `Fault` for each window that cannot be joined. If one window of a row has an error, none of
            the windows of the row can be joined.
    """

    firsts: Positions
    starts: Positions
    counts: Positions
    causes: Sequence[Fault]
    faults: Sequence[Fault]

    @property
    def row_lengths(self) -> Positions:
        """Return the number of tokens of each joined row: int64, shape (rows,)."""
        seen = np.append(0, np.cumsum(self.counts))
        ends = np.append(self.firsts[1:], len(self.counts)) if len(self.firsts) else self.firsts
        lengths: Positions = seen[ends] - seen[self.firsts]
        return lengths


def plan_join(windows: RowWindows, lengths: Positions, found: Iterable[Fault] = ()) -> JoinPlan:
    """Return the tokens that each window adds to its row.

    >>> places = WindowPlaces(np.array([0, 1]), np.array([0, 2]), np.array([3, 5]))
    >>> plan = plan_join(RowWindows(np.array([7, 7]), places), np.array([3, 3]))
    >>> plan.firsts.tolist(), plan.starts.tolist(), plan.counts.tolist()
    ([0], [0, 1], [3, 2])

    Args:
        windows: consecutive windows. All windows of a row are adjacent.
        lengths: number of tokens in each window: int64, shape (windows,).
        found: a `Fault` for each window in which another check found an error.
    """
    places, total = windows.places, len(lengths)
    before = np.maximum(np.arange(total) - 1, 0)
    is_first = (places.numbers == 0) | (windows.rows != windows.rows[before])
    is_first[:1] = True
    firsts = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    is_last = np.append(is_first[1:], True)[:total]
    sizes = places.stops - places.starts
    head = places.starts[firsts][group]
    tail = (lengths - places.starts - sizes)[firsts][group]
    reached = np.where(is_first, places.starts, places.stops[before])
    follows = np.where(is_first, places.numbers == 0, places.numbers == places.numbers[before] + 1)
    fits = (tail >= 0) & (lengths == head + sizes + tail)
    fits &= is_first | ((places.starts <= reached) & (places.stops > reached))
    # A row with one window is not cut, so it has no kept ends.
    alone = is_first & is_last & (lengths != sizes)
    # The window has the next number, but another source row, so one of the two row numbers is wrong.
    is_other = is_first & (places.numbers > 0) & (places.numbers == places.numbers[before] + 1)
    is_other &= (places.starts <= places.stops[before]) & (places.stops > places.stops[before])
    is_followed_by_other = np.append(is_other[1:], False)[:total]
    causes: dict[int, Fault] = {}
    for wrong, text in (
        (is_followed_by_other, _OTHER_ROW),
        (~fits, _NO_MATCH),
        (alone & fits, _LACKS_LATER),
        (~follows, _LACKS_EARLIER),
    ):
        for row in np.flatnonzero(wrong).tolist():
            causes[row] = Fault(row, text.format(window=windows.name(row)))
    causes |= {fault.row: fault for fault in reversed([*found])}
    causes = {row: causes[row] for row in sorted(causes)}
    first_causes = {int(group[row]): causes[row] for row in reversed(causes)}
    bad = np.flatnonzero(np.isin(group, list(first_causes)))
    faults = [causes.get(row) or replace(first_causes[int(group[row])], row=row) for row in bad.tolist()]
    starts = np.where(is_first, 0, head + reached - places.starts)
    stops = head + sizes + np.where(is_last, tail, 0)
    return JoinPlan(firsts, starts, np.maximum(stops - starts, 0), [*causes.values()], faults)


_NO_MATCH = "the number of tokens in {window} does not match the columns 'source_start' and 'source_stop'"
_LACKS_LATER = "the windows after {window} are missing, or the windows are not in order"
_OTHER_ROW = "the row after {window} has the next window number, but another source row"
_LACKS_EARLIER = "a window before {window} is missing, or the windows are not in order"


def find_differences(batch: pa.RecordBatch, windows: RowWindows, without: Collection[str]) -> list[Fault]:
    """Return a `Fault` for each window in which a field has another value than in the previous window.

    Only windows of the same row are compared. A joined row has only one value for each field, so a different
    value would be lost.

    Args:
        batch: windows with all fields.
        windows: the places of the windows in their source rows.
        without: names of columns that may differ.
    """
    later = windows.later
    faults = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.name in without:
            continue
        here, before = take_rows(column, later), take_rows(column, later - 1)
        if here.equals(before):
            continue
        faults += [
            other_value(windows, row, field.name)
            for i, row in enumerate(later.tolist())
            if not are_same(here.slice(i, 1), before.slice(i, 1))
        ]
    return faults


def other_value(windows: RowWindows, row: int, name: str) -> Fault:
    """Return the `Fault` for a window in which a field has another value than in the previous window."""
    return Fault(row, f"{windows.name(row)} does not have the same value as the previous window", name)


def join_remedy(fault: Fault) -> str:
    """Return the remedy for a window that cannot be joined, as sentences for an error message."""
    if fault.column is not None:
        name = shlex.quote(fault.column)
        return (
            "If this column was padded, name all padded columns with -c. If the column contains the row "
            f"lengths, use --length-column {name}. Otherwise remove the column, or keep the windows as rows "
            "with --no-join-windows."
        )
    return (
        "Sort the rows by source_row and window, fix the windows, skip such rows with --on-error skip, or "
        "keep the windows as rows with --no-join-windows."
    )


def are_same(one: pa.Array, other: pa.Array) -> bool:
    """Return whether two arrays have the same values. NaN is equal to NaN.

    >>> nan = pa.array([float("nan")])
    >>> nan.equals(nan), are_same(nan, nan)
    (False, True)
    """
    # NaN does not equal itself.
    return bool(one.equals(other)) or repr(one.to_pylist()) == repr(other.to_pylist())


def join_rows(
    batch: pa.RecordBatch, columns: Collection[str], firsts: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Join the windows of each source row to one row.

    Args:
        batch: unpadded windows, without the repeated tokens.
        columns: list columns to join. Other columns keep the value of the first window of each row.
        firsts: index of the first window of each row: int64, shape (rows,).
    """
    fields, arrays = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        joins = field.name in columns
        arrays.append(_join_lists(column, firsts) if joins else take_rows(column, firsts))
        fields.append(field)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, batch.schema.metadata))


def _join_lists(lists: pa.Array, firsts: Positions) -> pa.Array:
    if not len(lists):
        return lists
    offsets = np.append(to_numpy(lists.offsets)[firsts], len(lists.values))
    return pa.ListArray.from_arrays(to_arrow(offsets.astype(np.int32)), lists.values)
