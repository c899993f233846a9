"""Check padded rows and their masks against the rules.

The mask comes from a mask column, or from a length column and the side of the padding. The mask is never
derived from the pad value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import to_numpy
from padmask.core.length_column import read_lengths
from padmask.core.padding import Padding
from padmask.core.ragged import Ragged
from padmask.errors import Fault
from padmask.formats.contract import Batch
from padmask.spec.batches import BATCH
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.pad import Side
from padmask.stream.column_values import column_values
from padmask.stream.job import Job
from padmask.stream.row_sample import BatchRows, copy_row
from padmask.verify.data.collect_padded import PaddedRowCollector
from padmask.verify.data.packed_rows import PackedRowAudit, with_segments
from padmask.verify.data.rows_to_check import AuditRows, CheckedRows
from padmask.verify.data.rules import Audit


class PaddedRowAudit:
    """Checks the padded rows of one group of columns, and their masks, batch by batch.

    All rows should have as many positions as the first row, or as the first row of their batch or bucket. If
    neither the metadata nor the user specifies the side of the padding, the first rows determine the side.

    Args:
        job: columns to check.
        audit: object that collects the findings.
        padding: columns that mark the padding.
        masks: names of other mask columns. Only their lengths are checked.
        side_from: source of the expected side of the padding, as in `AuditJob`.
        batched: whether the padded length may differ between batches, as in `AuditJob`.
        packed: object that checks the sequences of packed rows; None if the rows are not packed.
        collector: object that collects the rows, to compare them with the input; None if there is none.
    """

    def __init__(
        self,
        job: Job,
        audit: Audit,
        padding: Padding,
        masks: Sequence[str] = (),
        side_from: str = "",
        *,
        batched: bool = False,
        packed: PackedRowAudit | None = None,
        collector: PaddedRowCollector | None = None,
    ) -> None:
        self._first, self._audit, self._padding = job.columns[0].name, audit, padding
        self._masks, self._side_from = masks, side_from
        self._side = padding.padding
        # Number of positions in a row, keyed by bucket folder. The key of files outside such folders is None.
        self._widths: dict[str | None, int] = {}
        self._batch_widths = BatchWidths() if batched else None
        self._packed = packed
        self._collector = collector

    def check(self, rows: AuditRows) -> CheckedRows:
        """Check the next batch, and return its rows. A row with an invalid mask has length 0."""
        audit, batch, values, bad = self._audit, rows.batch, rows.ragged, rows.bad
        audit.add_bad_rows(rows.faults, batch.place)
        audit.add_late(rows.late)
        places = values[self._first].lengths
        length = self._padding.length
        stated = None if length is None else _read_lengths(batch, length)
        reasons: Mapping[int, str] = {}
        if self._packed is not None and not self._padding.names:
            mask, fits = self._packed.read_mask(batch, places)
        else:
            mask, fits, reasons = _read_mask(batch, self._padding, places, stated)
        known = fits & ~rows.bad_tokens
        if self._padding.names:
            audit.add_invalid_masks(~fits & ~bad, batch.place, self._padding.mask, reasons)
        equal = self._find_equal(rows, places)
        if self._packed is not None and not self._padding.names:
            equal &= ~self._packed.find_gaps(batch, mask, values[self._first])
        fits = fits & ~bad & equal
        for name in self._masks:
            audit.add_invalid_masks(rows.wrong_masks(name), batch.place, name)
        if self._padding.mask is None and stated is not None:
            possible = _are_valid_lengths(stated, places) | bad
            audit.add_invalid_lengths(~possible, batch.place)
            fits &= possible
        sequences = None
        if self._collector is not None:
            self._collector.add(rows, mask, np.flatnonzero(fits))
        if self._packed is not None:
            self._packed.check(rows, places, mask, fits, equal)
            sequences = self._packed.sequences_of(batch, bad, places, mask)
        width = self._width_of(batch.source, places, bad)
        widths = np.full(len(places), width or 0)
        if self._batch_widths is not None:
            numbers, _ = read_lengths(column_values(batch, BATCH), BATCH)
            widths = self._batch_widths.of(batch.source, numbers, places, bad)
        if self._packed is not None and not self._packed.is_padded:
            width, widths = int(places.max(initial=0)), places
        self._check_positions(batch, values, mask, fits, stated, widths)
        # Use one int32 array, because allocating large arrays takes more time than computing their values.
        seen = np.zeros(len(mask.values) + 1, dtype=np.int32)
        np.cumsum(mask.values != 0, out=seen[1:], dtype=np.int32)
        lengths = np.where(known, seen[mask.starts + mask.lengths] - seen[mask.starts], 0)
        found = BatchRows(
            lengths,
            lambda place, number: with_segments(copy_row(number, values, place, mask), sequences, place),
            {self._first: _real_tokens(values[self._first], mask, lengths, seen)},
            width,
            self._side,
            sequences,
            places,
        )
        return CheckedRows(found, fits, rows)

    def _width_of(self, source: str, places: npt.NDArray[np.int64], bad: npt.NDArray[np.bool_]) -> int | None:
        """Return the length of the first good row in the file's bucket; None if all rows so far are bad."""
        bucket = bucket_folder_of(source)
        if bucket not in self._widths and not bad.all():
            self._widths[bucket] = int(places[int(np.argmin(bad))])
        return self._widths.get(bucket)

    def _find_equal(self, rows: AuditRows, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return, for each row, whether its columns have equal numbers of values. Report the other rows."""
        equal = np.ones(len(places), dtype=bool)
        for name, ragged in rows.ragged.items():
            unequal = (ragged.lengths != places) & ~rows.bad
            faults = _length_faults(name, self._first, ragged.lengths, places, unequal)
            self._audit.add_bad_rows(faults, rows.batch.place)
            equal &= ~unequal
        return equal

    def _check_positions(
        self,
        batch: Batch,
        values: Mapping[str, Ragged],
        mask: Ragged,
        fits: npt.NDArray[np.bool_],
        stated: npt.NDArray[np.int64] | None,
        widths: npt.NDArray[np.int64],
    ) -> None:
        """Report the rows that do not have the expected length. Check the values and masks of all others."""
        good = fits & (values[self._first].lengths == widths)
        group = "" if bucket_folder_of(batch.source) is None else " of the bucket"
        if self._batch_widths is not None:
            group = " of the batch"
        self._audit.add_unequal(fits & ~good, widths, batch.place, group)
        rows = np.flatnonzero(good)
        if self._packed is not None:
            # Packed rows without padding often have different lengths, so arrange them by length.
            rows = rows[np.argsort(widths[rows], kind="stable")]
        # Consecutive rows of the same length form an array.
        for picked in np.split(rows, np.flatnonzero(np.diff(widths[rows])) + 1):
            if len(picked):
                self._check_array(batch, values, mask, picked, None if stated is None else stated[picked])

    def _check_array(
        self,
        batch: Batch,
        values: Mapping[str, Ragged],
        mask: Ragged,
        picked: npt.NDArray[np.int64],
        stated: npt.NDArray[np.int64] | None,
    ) -> None:
        """Check the values and masks of some rows that have the same length."""
        width = int(values[self._first].lengths[picked[0]])
        marked = _rectangle(mask, picked, width).astype(bool)
        self._side = self._side or side_of(marked)
        if width:
            self._audit.add_padded(
                {name: _rectangle(ragged, picked, width) for name, ragged in values.items()},
                marked,
                self._side or "post",
                lambda row: batch.place(int(picked[row])),
                stated,
                self._side_from,
                packed=self._packed is not None,
            )

    def finish(self) -> None:
        """Run the checks that need all rows."""
        if self._packed is not None:
            self._packed.finish()


class BatchWidths:
    """The number of positions of the first row of each batch."""

    def __init__(self) -> None:
        self._source = ""
        self._known: dict[int, int] = {}

    def of(
        self,
        source: str,
        numbers: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
        bad: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """Return the number of positions that each row should have: int64, shape (rows,).

        Args:
            source: name of the file. Batches have numbers from 0 in each file.
            numbers: number of the batch of each row, shape (rows,).
            places: number of positions in each row, shape (rows,).
            bad: for each row, whether it is bad. Bad rows do not determine a length.
        """
        if source != self._source:
            self._source, self._known = source, {}
        found, firsts = np.unique(numbers[~bad], return_index=True)
        for number, width in zip(found.tolist(), places[~bad][firsts].tolist(), strict=True):
            self._known.setdefault(number, width)
        kinds, which = np.unique(numbers, return_inverse=True)
        return np.array([self._known.get(number, 0) for number in kinds.tolist()], dtype=np.int64)[which]


def _length_faults(
    name: str,
    first: str,
    lengths: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    unequal: npt.NDArray[np.bool_],
) -> list[Fault]:
    """Return a fault for each row in which a column does not have the length of the first column."""
    return [
        Fault(row, f"the row has {lengths[row]} values, but {first!r} has {places[row]}", name)
        for row in np.flatnonzero(unequal).tolist()
    ]


def _read_mask(
    batch: Batch, padding: Padding, places: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64] | None
) -> tuple[Ragged, npt.NDArray[np.bool_], Mapping[int, str]]:
    """Return, for each row, its mask and whether the mask is valid; and the reasons for invalid masks.

    Args:
        batch: the rows.
        padding: names of the mask and length columns, and the side of the padding.
        places: number of positions in each row, shape (rows,).
        lengths: values of the length column, shape (rows,); None if there is no such column.
    """
    if padding.mask is not None:
        mask, faults = Ragged.from_mask(batch.columns.column(padding.mask), padding.dialect)
        fits = mask.lengths == places
        fits[[fault.row for fault in faults]] = False
        return mask, fits, {fault.row: fault.reason for fault in faults}
    assert lengths is not None
    # The side in the metadata of a file takes precedence over the side of the dataset.
    side = padding.sides.get(batch.source, padding.padding or "post")
    kept = np.where(_are_valid_lengths(lengths, places), lengths, 0)
    starts = np.cumsum(places) - places
    at = np.arange(int(places.sum())) - np.repeat(starts, places)
    first = np.repeat(places - kept if side == "pre" else np.zeros_like(kept), places)
    end = np.repeat(places if side == "pre" else kept, places)
    return Ragged((at >= first) & (at < end), starts, places), np.ones(len(places), dtype=bool), {}


def _are_valid_lengths(
    lengths: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return, for each row, whether its length is between 0 and the number of positions.

    Null lengths were read as -1, so they are invalid.
    """
    possible: npt.NDArray[np.bool_] = (lengths >= 0) & (lengths <= places)
    return possible


def _rectangle(ragged: Ragged, picked: npt.NDArray[np.int64], width: int) -> npt.NDArray[Any]:
    """Return rows of the same length as an array of shape (rows, width, ...), without a copy if possible."""
    starts = ragged.starts[picked]
    if len(starts) and (np.diff(starts) == width).all():
        values = ragged.values[starts[0] : starts[0] + len(starts) * width]
        return values.reshape(len(starts), width, *values.shape[1:])
    rectangle: npt.NDArray[Any] = ragged.values[starts[:, None] + np.arange(width)]
    return rectangle


def _real_tokens(values: Ragged, mask: Ragged, lengths: npt.NDArray[np.int64], seen: Any) -> Ragged:
    """Return the real tokens of padded rows. A row has no tokens if its padding is not at one end.

    >>> values = Ragged(np.array([0, 7, 8, 9, 0, 6]), np.array([0, 3]), np.array([3, 3]))
    >>> mask = Ragged(np.array([0, 1, 1, 1, 0, 1]), values.starts, values.lengths)
    >>> rows = _real_tokens(values, mask, np.array([2, 2]), np.array([0, 0, 1, 2, 3, 3, 4]))
    >>> rows.starts.tolist(), rows.lengths.tolist()
    ([1, 3], [2, 0])

    Args:
        values: padded rows.
        mask: mask of each row.
        lengths: number of real tokens in each row. Rows of length 0 are ignored.
        seen: cumulative number of real tokens, one entry longer than `mask.values`. Entry i is the number of
            real tokens before position i.
    """
    is_first = seen[np.minimum(mask.starts + 1, len(seen) - 1)] > seen[mask.starts]
    begins = np.where(is_first, 0, np.maximum(mask.lengths - lengths, 0))
    places = mask.starts + begins
    # In ignored rows, the mask may be longer or shorter than the row.
    ends = np.minimum(places + lengths, len(seen) - 1)
    starts = values.starts + begins
    return Ragged(values.values, starts, np.where(seen[ends] - seen[places] == lengths, lengths, 0))


def _read_lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    # The unsafe cast turns lengths of 2**63 and more into negative numbers, which are also invalid.
    return np.asarray(to_numpy(batch.columns.column(name).cast(pa.int64(), safe=False).fill_null(-1)))


def side_of(masks: npt.NDArray[np.bool_]) -> Side | None:
    """Return the most common side of the padding; None if no row is padded at exactly one end."""
    if masks.size == 0:
        return None
    pre, post = int((~masks[:, 0] & masks[:, -1]).sum()), int((masks[:, 0] & ~masks[:, -1]).sum())
    return None if pre == post == 0 else "pre" if pre > post else "post"
