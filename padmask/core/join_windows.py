"""Join the windows of each row: the inverse of `plan_windows`.

The columns in `WINDOW_COLUMNS` locate each window in its source row. The first window of a row shows how
many tokens are kept at its ends, so no other information is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import take_rows, to_arrow, to_numpy
from padmask.core.length_column import read_lengths
from padmask.core.plan import Positions, WindowPlaces
from padmask.errors import Fault
from padmask.spec.windows import WINDOW_COLUMNS


@dataclass(frozen=True)
class RowWindows:
    """The windows of rows, in order.

    Args:
        rows: for each window, the number of its source row, int64, shape (windows,).
        places: the part of the source row that each window covers.
    """

    rows: Positions
    places: WindowPlaces

    def select(self, windows: Positions) -> RowWindows:
        """Return the windows at the given indices."""
        its = self.places
        places = WindowPlaces(its.numbers[windows], its.starts[windows], its.stops[windows])
        return RowWindows(self.rows[windows], places)

    @classmethod
    def concat(cls, parts: Sequence[RowWindows]) -> RowWindows:
        """Return the windows of consecutive parts as one object."""
        arrays = [(its.rows, its.places.numbers, its.places.starts, its.places.stops) for its in parts]
        rows, *places = map(np.concatenate, zip(*arrays, strict=True))
        return cls(rows, WindowPlaces(*places))


def has_windows(schema: pa.Schema) -> bool:
    """Return whether a schema has all columns that locate windows, as integers."""
    return all(
        schema.names.count(name) == 1 and pa.types.is_integer(schema.field(name).type)
        for name in WINDOW_COLUMNS
    )


def read_windows(values: Callable[[str], Sequence[Any]]) -> tuple[RowWindows, list[Fault]]:
    """Read the columns that locate windows.

    Args:
        values: function that returns the values of a column.

    Returns:
        The windows, and a `Fault` for each row with an invalid value.
    """
    arrays, faults = [], []
    for name in WINDOW_COLUMNS:
        numbers, found = read_lengths(values(name), name, "join_windows", bits=63)
        arrays.append(numbers)
        faults += found
    rows, *places = arrays
    return RowWindows(rows, WindowPlaces(*places)), faults


@dataclass(frozen=True)
class JoinPlan:
    """The tokens that each window adds to its joined row.

    Args:
        firsts: index of the first window of each row, int64, shape (rows,).
        starts: index of the first token that a window adds, int64, shape (windows,).
        counts: number of tokens that a window adds, int64, shape (windows,).
        faults: windows that cannot be joined. If a window of a row is bad, all windows of the row are bad.
    """

    firsts: Positions
    starts: Positions
    counts: Positions
    faults: Sequence[Fault]


def plan_join(windows: RowWindows, lengths: Positions) -> JoinPlan:
    """Return the tokens that each window adds to its row.

    >>> places = WindowPlaces(np.array([0, 1]), np.array([0, 2]), np.array([3, 5]))
    >>> plan = plan_join(RowWindows(np.array([7, 7]), places), np.array([3, 3]))
    >>> plan.firsts.tolist(), plan.starts.tolist(), plan.counts.tolist()
    ([0], [0, 1], [3, 2])

    Args:
        windows: consecutive windows. All windows of a row are adjacent.
        lengths: number of tokens in each window, int64, shape (windows,).
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
    wrong = ~follows | ~fits | alone
    bad = np.bincount(group, weights=wrong, minlength=len(firsts)).astype(bool)[group]
    reasons = [
        Fault(row, _describe(windows, row, missing=bool(~follows[row] | alone[row] | fits[row])))
        for row in np.flatnonzero(bad).tolist()
    ]
    starts = np.where(is_first, 0, head + reached - places.starts)
    stops = head + sizes + np.where(is_last, tail, 0)
    return JoinPlan(firsts, starts, np.maximum(stops - starts, 0), reasons)


def _describe(windows: RowWindows, row: int, *, missing: bool) -> str:
    source, number = windows.rows[row], windows.places.numbers[row]
    if missing:
        return f"a window of source row {source} is missing, so window {number} cannot be joined"
    return f"window {number} of source row {source} does not have the tokens that its columns describe"


def join_rows(
    batch: pa.RecordBatch, columns: Collection[str], firsts: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Join adjacent rows.

    Args:
        batch: unpadded windows, without the repeated tokens.
        columns: list columns to join. Other columns keep the value of the first window of each row.
        firsts: index of the first window of each row, int64, shape (rows,).
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
