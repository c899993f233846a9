"""Divide packed rows into their sequences, with one row for each sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import (
    Flags,
    as_lists,
    cut_lists,
    list_lengths,
    list_values,
    list_windows,
    take_rows,
    to_arrow,
    to_numpy,
    without_wrappers,
)
from padmask.core.columns import IGNORED_LABEL
from padmask.core.foreign_metadata import field_metadata
from padmask.core.kernel import take_runs
from padmask.core.packed_head import ABSENT, NO_LIST, sums_by_row, value_lengths
from padmask.core.packed_layout import PackedLayout
from padmask.core.packed_segments import round_up
from padmask.core.packed_spans import NumberLists, find_spans
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import Fault, count
from padmask.spec.mask import Dialect
from padmask.spec.pack import SOURCE_COLUMNS


@dataclass(frozen=True)
class Sequences:
    """The sequences of packed rows, in order, without the sequences of bad rows.

    Args:
        rows: packed row of each sequence: int64, shape (sequences,).
        starts: position of the first token in the packed row: int64, shape (sequences,).
        counts: number of tokens: int64, shape (sequences,).
        numbers: number of the sequence in its packed row, from 0: int64, shape (sequences,).
        sources: source row and first token in the source row of each sequence: int64, shape (sequences, 2).
            Without sources, the shape is (sequences, 0).
    """

    rows: Positions
    starts: Positions
    counts: Positions
    numbers: Positions
    sources: Positions

    def select(self, order: Positions) -> Sequences:
        """Return the sequences at the given indices."""
        return Sequences(
            self.rows[order],
            self.starts[order],
            self.counts[order],
            self.numbers[order],
            self.sources[order],
        )


def read_packed(  # noqa: C901 - one check after another
    batch: pa.RecordBatch,
    layout: PackedLayout,
    places: Mapping[str, Positions],
    sizes: Mapping[str, Positions],
    found: Iterable[Fault] = (),
) -> tuple[Sequences, list[Fault], Positions]:
    """Find the sequences in packed rows, and return a `Fault` for each row whose columns disagree.

    >>> batch = pa.record_batch({"seq_lengths": [[2, 1]]})
    >>> layout = PackedLayout(("ids",), None, False)
    >>> sequences, faults, _ = read_packed(batch, layout, {"ids": np.array([4])}, {})
    >>> sequences.starts.tolist(), sequences.counts.tolist(), faults
    ([0, 2], [2, 1], [])

    Args:
        batch: the mask and the columns in `layout.markers`.
        layout: the columns of packed rows.
        places: for each packed column, the number of positions in each row, keyed by column name: int64,
            shape (rows,).
        sizes: for each column with one value for each sequence, the number of values in each row, keyed by
            column name: int64, shape (rows,). The number is `ABSENT` for a row without the column, and
            `NO_LIST` for a value that is not a list.
        found: faults found earlier. Only the first `Fault` of each row is returned.

    Returns:
        The sequences, the faults, and the source rows of bad rows, as far as they are known: int64.
    """
    rows = batch.num_rows
    faults = {fault.row: fault for fault in reversed([*found])}

    def blame(
        flags: Flags, reason: str | Callable[[int], str], name: str, option: str = "columns", remedy: str = ""
    ) -> None:
        for row in np.flatnonzero(flags).tolist():
            text = reason if isinstance(reason, str) else reason(row)
            in_memory = f"{text}; set {remedy}" if remedy else ""
            faults.setdefault(row, Fault(row, text, name, (option,), in_memory=in_memory))

    marker = layout.marker
    assert marker is not None
    lists = {name: NumberLists.of(batch.column(name)) for name in layout.markers[1:]}
    lists[marker.column] = its = NumberLists.of(batch.column(marker.column), signed=marker.is_signed)
    first, widths = next(iter(places.items()))
    mask = None if layout.mask is None else _MaskPlaces.of(batch.column(layout.mask), layout.dialect)
    spans = None
    number, owners, counts = its.sizes, np.repeat(np.arange(rows), its.sizes), its.flat()
    if marker.kind != "lengths":
        spans = find_spans(marker, its, widths, None if mask is None else mask.rows)
        known = lists[SOURCE_COLUMNS[0]].sizes if layout.sources else next(iter(sizes.values()), None)
        if layout.ends_in_padding and known is not None:
            spans = spans.first_ones(np.where(known < 0, spans.sizes, known))
        number, owners, counts = spans.sizes, spans.rows, spans.lengths
    for name in layout.markers:
        blame(lists[name].nulls, "the row is null", name)
        blame(lists[name].invalid, "the list contains a value that is null or negative", name)
    if spans is not None:
        blame(spans.wrong, "the column does not divide the row into sequences", marker.column)
    other_size = f"the row does not have as many values as {marker.column!r}"
    if spans is not None:
        other_size = f"the row does not have one value for each sequence in {marker.column!r}"
    for name in layout.markers[1:]:
        blame(lists[name].sizes != number, other_size, name)
    for name, numbers in sizes.items():
        blame((numbers != number) & (numbers != ABSENT), other_size, name)
    if mask is not None:
        for fault in mask.faults:
            faults.setdefault(fault.row, replace(fault, column=layout.mask, options=("mask_column",)))
        places = {**places, str(layout.mask): mask.widths}
    if marker.is_wide:
        places = {**places, marker.column: its.sizes}
    for name, its_places in places.items():
        blame(its_places != widths, f"the row does not have as many values as {first!r}", name)
    totals = sums_by_row(counts, number)
    blame(
        totals > widths,
        lambda row: (
            f"the sequences have {count(int(totals[row]), 'token')}, but {first!r} has only "
            f"{count(int(widths[row]), 'position')}"
        ),
        marker.column,
    )
    if mask is not None:
        real = mask.counts
        blame(
            totals != real,
            lambda row: (
                f"the mask marks {count(int(real[row]), 'real token')}, but the sequences have {totals[row]}"
            ),
            str(layout.mask),
            "mask_column",
        )
    if spans is not None:
        starts, gaps = spans.starts, spans.gaps
    elif mask is not None:
        starts, split = mask.locate(owners, counts, ~_flags(rows, faults))
        gaps = _flags(rows, owners[split])
    else:
        starts, gaps = _before_in_row(round_up(counts, layout.align), owners, rows), np.zeros(rows, bool)
        over = _flags(rows, owners[starts + counts > widths[owners]])
        blame(over, "the row is too short for its sequences", first)
        unsure = _other_starts(layout.aligns, starts, counts, owners, widths)
        blame(
            unsure, f"{marker.column!r} does not say where the padding is", marker.column, "align", "`align`"
        )
    if layout.mask is not None:
        blame(gaps, "the mask marks padding within a sequence", layout.mask, "mask_column")
    good = ~_flags(rows, faults)
    kept = good[owners]
    numbers = np.arange(len(owners)) - np.repeat(np.cumsum(number) - number, number)
    sources, lost = np.zeros((int(kept.sum()), 0), dtype=np.int64), np.zeros(0, dtype=np.int64)
    if layout.sources:
        taken, numbers_of = np.where(good, number, 0), lists[SOURCE_COLUMNS[0]]
        columns = [lists[name] for name in SOURCE_COLUMNS]
        sources = np.stack([take_runs(one.values, one.starts, taken) for one in columns], axis=1)
        lost = take_runs(numbers_of.values, numbers_of.starts, np.where(good, 0, numbers_of.sizes))
    sequences = Sequences(owners[kept], starts[kept], counts[kept], numbers[kept], sources)
    return sequences, [faults[row] for row in sorted(faults)], lost


def _other_starts(
    aligns: Sequence[int], starts: Positions, counts: Positions, owners: Positions, widths: Positions
) -> Flags:
    """Return whether the sequences of each row may start at positions other than `starts`.

    The result is bool, shape (rows,).

    Args:
        aligns: as in `PackedLayout`.
        starts: position of each sequence if the smallest value of `aligns` was used: int64, shape
            (sequences,).
        counts: number of tokens of each sequence: int64, shape (sequences,).
        owners: row of each sequence: int64, shape (sequences,).
        widths: number of positions in each row: int64, shape (rows,).
    """
    rows = len(widths)
    if not aligns:
        return (np.bincount(owners, minlength=rows) > 1) & (_sum_rows(counts, owners, rows) < widths)
    unsure = np.zeros(rows, dtype=bool)
    for align in sorted(aligns)[1:]:
        others = _before_in_row(round_up(counts, align), owners, rows)
        fits = ~_flags(rows, owners[others + counts > widths[owners]])
        unsure |= fits & _flags(rows, owners[others != starts])
    return unsure


def _flags(rows: int, chosen: Iterable[int]) -> Flags:
    """Return flags that are True at the chosen rows: bool, shape (rows,)."""
    flags = np.zeros(rows, dtype=bool)
    flags[list(chosen)] = True
    return flags


def _sum_rows(numbers: Positions, owners: Positions, rows: int) -> Positions:
    sums: Positions = np.bincount(owners, weights=numbers, minlength=rows).astype(np.int64)
    return sums


def _before_in_row(spaces: Positions, owners: Positions, rows: int) -> Positions:
    """Return, for each sequence, the number of positions that earlier sequences of the same row need."""
    befores = np.cumsum(spaces) - spaces
    row_spaces = _sum_rows(spaces, owners, rows)
    firsts = np.cumsum(row_spaces) - row_spaces
    first: Positions = befores - firsts[owners]
    return first


@dataclass(frozen=True)
class _MaskPlaces:
    """The positions of the real tokens in the rows of a mask, one row after another.

    Args:
        rows: the mask, 1 at real tokens.
        places: index of each real token among the positions of all rows, int64.
        widths: number of positions in each row: int64, shape (rows,).
        counts: number of real tokens in each row: int64, shape (rows,).
        faults: a `Fault` for each row with a bad mask.
    """

    rows: Ragged
    places: Positions
    widths: Positions
    counts: Positions
    faults: list[Fault]

    @classmethod
    def of(cls, column: pa.Array, dialect: Dialect) -> _MaskPlaces:
        rows, odd = Ragged.from_mask(column, dialect)
        places = np.flatnonzero(take_runs(rows.values, rows.starts, rows.lengths) == 1)
        owners = np.searchsorted(np.cumsum(rows.lengths), places, side="right")
        counts = np.bincount(owners, minlength=len(rows.lengths))
        return cls(rows, places, rows.lengths, counts, odd)

    def locate(self, owners: Positions, counts: Positions, good: Flags) -> tuple[Positions, Flags]:
        """Return the position of each sequence in its row, and whether the sequence has a gap.

        Args:
            owners: row of each sequence: int64, shape (sequences,).
            counts: number of tokens of each sequence: int64, shape (sequences,).
            good: whether the lengths of the sequences of each row are correct: bool, shape (rows,).
        """
        before = np.cumsum(self.counts) - self.counts
        tokens = before[owners] + _before_in_row(counts, owners, len(self.counts))
        usable = good[owners] & (counts > 0)
        starts = np.zeros_like(counts)
        first = self.places[tokens[usable]]
        last = self.places[(tokens + counts - 1)[usable]]
        starts[usable] = first - (np.cumsum(self.widths) - self.widths)[owners[usable]]
        gaps = np.zeros(len(counts), dtype=bool)
        gaps[usable] = last - first != counts[usable] - 1
        return starts, gaps


def explode(batch: pa.RecordBatch, sequences: Sequences, layout: PackedLayout) -> pa.RecordBatch:
    """Return a batch with one row for each sequence.

    >>> batch = pa.record_batch({"id": [["a", "b"]], "ids": [[7, 8, 9, 0]], "seq_lengths": [[2, 1]]})
    >>> layout = PackedLayout(("ids",), None, False)
    >>> sequences, _, _ = read_packed(batch, layout, {"ids": np.array([4])}, {})
    >>> explode(batch, sequences, layout).to_pydict()
    {'id': ['a', 'b'], 'ids': [[7, 8], [9]]}

    Args:
        batch: packed rows. A list with one value for each sequence becomes one value in each row.
        sequences: the sequences of these rows, without those of bad rows.
        layout: the columns of packed rows.
    """
    rows, arrays = sequences.rows, {}
    for name in layout.columns:
        if name in batch.schema.names:
            column = batch.column(name)
            arrays[name] = cut_lists(column, sequences.starts, sequences.counts, rows)
        if name in layout.shifted and name in arrays:
            arrays[name] = _shift_back(arrays[name])
    for name in layout.repeated:
        if name in batch.schema.names:
            arrays[name] = take_rows(batch.column(name), rows)
    for name in layout.fields(batch.schema.names):
        starts, _, values = list_values(as_lists(without_wrappers(batch.column(name))))
        arrays[name] = take_rows(values, starts[rows] + sequences.numbers)
    kept = [field for field in batch.schema if field.name in arrays]
    fields = [
        pa.field(
            layout.renamed.get(its.name, its.name),
            arrays[its.name].type,
            metadata=field_metadata(its, arrays[its.name].type, changed=True),
        )
        for its in kept
    ]
    return pa.RecordBatch.from_arrays([arrays[its.name] for its in kept], schema=pa.schema(fields))


def _shift_back(labels: pa.Array) -> pa.Array:
    """Undo the shift of labels: move each label back to its own token.

    The first label is unknown and becomes -100.

    >>> _shift_back(pa.array([[8, 9, -100], [-100]])).to_pylist()
    [[-100, 8, 9], [-100]]
    """
    starts, lengths, values = list_windows(labels)
    moved = np.roll(to_numpy(values), 1)
    moved[starts[lengths > 0]] = IGNORED_LABEL
    return pa.ListArray.from_arrays(labels.offsets, to_arrow(moved))


def packed_places(
    batch: pa.RecordBatch, layout: PackedLayout
) -> tuple[dict[str, Positions], dict[str, Positions], list[Fault]]:
    """Return the arguments `places`, `sizes` and `found` of `read_packed`.

    The faults in `found` are for null rows in packed columns.
    """
    places, sizes, faults = {}, {}, []
    for name in layout.columns:
        places[name], nulls = list_lengths(batch.column(name))
        faults += [replace(fault, column=name, options=("columns",)) for fault in nulls]
    for name in layout.fields(batch.schema.names):
        # A null cannot be divided into one value for each sequence, so it counts as `NO_LIST`, not `ABSENT`.
        sizes[name] = np.maximum(value_lengths(batch.column(name)), NO_LIST)
    return places, sizes, faults
