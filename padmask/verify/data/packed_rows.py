"""Check the columns that describe the sequences of packed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.kernel import take_runs
from padmask.core.loss_tokens import LOSS_MASKS, find_loss_tokens
from padmask.core.masks import make_row_mask
from padmask.core.packed_columns import PackedRows
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_head import sums_by_row
from padmask.core.packed_layout import PackedLayout
from padmask.core.packed_segments import round_up
from padmask.core.packed_spans import NumberLists, find_spans
from padmask.core.plan import Positions, Segments
from padmask.core.ragged import Ragged
from padmask.formats.contract import Batch
from padmask.spec.pack import SOURCE_COLUMNS, PackSpec
from padmask.stream.row_sample import Row
from padmask.verify.data.compare import InputComparison
from padmask.verify.data.derived_columns import (
    DerivedColumns,
    ValidRows,
    all_row_values,
    any_by_row,
    read_integers,
    row_values,
)
from padmask.verify.data.packed_totals import CountAudit
from padmask.verify.data.rows_to_check import AuditRows
from padmask.verify.data.rules import Audit
from padmask.verify.data.sequence_values import SequenceValues
from padmask.verify.data.source_rows import SourceRows


class PackedRowAudit:
    """Checks the sequences of packed rows against the mask, the other columns and the metadata.

    Args:
        layout: how the rows are packed.
        audit: object that collects the findings.
        columns: packed columns that are checked.
        mask: name of the mask column; None if the lengths of the sequences mark the tokens.
        whole: whether all rows are read. If False, sequences of a source row may be missing.
        collected: object that collects the sequences, to compare them with the input; None if there is none.
        counts: counts of rows and tokens from the metadata of each file, keyed by file name.
    """

    def __init__(
        self,
        layout: PackedLayout,
        audit: Audit,
        columns: Sequence[PadColumn],
        mask: str | None,
        *,
        whole: bool,
        collected: InputComparison | SequenceValues | None = None,
        counts: Mapping[str, PackedCounts] | None = None,
    ) -> None:
        self._counts = CountAudit(counts or {}, audit) if whole and layout.marker is not None else None
        self._layout, self._audit, self._mask = layout, audit, mask
        self._labels = [column.name for column in columns if is_label(column)]
        self._loss_columns = [column for column in columns if is_label(column) or column.name in LOSS_MASKS]
        self._derived = DerivedColumns(layout, audit, columns, mask)
        self._collected = collected
        self._sources = SourceRows(layout.spec, audit, whole=whole)

    @property
    def is_padded(self) -> bool:
        """Whether all rows should have the same length, according to the metadata."""
        packing = self._layout.packing
        return packing is not None and packing.pad

    def read_mask(self, batch: Batch, places: Positions) -> tuple[Ragged, Flags]:
        """Return the mask of each row, computed from its sequence lengths, and whether the mask is valid.

        Args:
            batch: the rows.
            places: number of positions in each row: int64, shape (rows,).
        """
        found = self._read_sequences(batch, places, None)
        bad = found.bad | (sums_by_row(self._spaces(found.lengths), found.lengths.lengths) > places)
        segments = self._place(found.without(bad))
        starts = np.cumsum(places) - places
        return Ragged(make_row_mask(segments, places), starts, places), ~bad

    def find_gaps(self, batch: Batch, mask: Ragged, ids: Ragged) -> Flags:
        """Report the rows with tokens after the last sequence. Return, for each row, whether it is reported.

        Only rows without metadata are checked, and only if a column contains the lengths of their sequences.
        The most common value after the last sequences of a batch counts as the pad value, and any other value
        counts as a token. The lengths do not show the padding that `pack --align` adds between sequences, so
        such rows may be reported although they are correct.

        Args:
            batch: the rows.
            mask: mask of each row, from the lengths of the sequences.
            ids: tokens of each row, with as many positions as the mask.
        """
        gaps = np.zeros(len(batch), dtype=bool)
        marker = self._layout.marker
        if self._layout.spec is not None or marker is None or marker.kind != "lengths":
            return gaps
        fits = np.flatnonzero(ids.lengths == mask.lengths)
        padding = row_values(mask, fits) == 0
        values = row_values(ids, fits)[padding]
        if not len(values):
            return gaps
        found, which = np.unique(values.reshape(len(values), -1)[:, 0], return_inverse=True)
        rows = np.repeat(fits, ids.lengths[fits])[padding]
        gaps[rows[which.reshape(-1) != np.bincount(which.reshape(-1), minlength=len(found)).argmax()]] = True
        detail = (
            "the row has values other than padding after its last sequence. If pack --align made the row, "
            "the row may be correct: without a mask or file metadata, verify does not find the padding "
            "between sequences"
        )
        self._audit.add_rows("seq-lengths-sum", gaps, batch.place, marker.column, detail)
        return gaps

    def sequences_of(self, batch: Batch, bad: Flags, places: Positions, mask: Ragged) -> Ragged | None:
        """Return the lengths of the sequences of each row; None if no column separates the sequences.

        A row in `bad`, or with an invalid length, has no sequences.
        """
        if self._layout.marker is None:
            return None
        found = self._read_sequences(batch, places, mask)
        return found.without(found.bad | bad).lengths

    def _read_sequences(self, batch: Batch, places: Positions, mask: Ragged | None) -> _Sequences:
        """Return the sequences of each row.

        Args:
            batch: the rows.
            places: number of positions in each row: int64, shape (rows,).
            mask: mask of each row; None if the column that separates the sequences also marks the padding.
        """
        marker = self._layout.marker
        assert marker is not None
        column = batch.columns.column(marker.column)
        if marker.kind == "lengths":
            return _Sequences(*_read_lengths(column), None)
        lists = NumberLists.of(column, signed=marker.is_signed)
        spans = find_spans(marker, lists, places, mask)
        if self._layout.ends_in_padding and self._layout.sources:
            spans = spans.first_ones(read_integers(batch, SOURCE_COLUMNS[0]).lengths)
        starts = np.cumsum(spans.sizes) - spans.sizes
        bad = spans.wrong | spans.gaps
        if marker.is_wide:
            bad |= lists.sizes != places
        return _Sequences(
            Ragged(spans.lengths, starts, spans.sizes), bad, Ragged(spans.starts, starts, spans.sizes)
        )

    def _place(self, found: _Sequences) -> Segments:
        """Return the positions of sequences in their rows."""
        segments = _place_sequences(found.lengths, self._layout.align)
        if found.firsts is None:
            return segments
        return replace(segments, firsts=all_row_values(found.firsts).astype(np.int64))

    def _spaces(self, lengths: Ragged) -> Positions:
        """Return the length of each sequence, rounded up to a multiple of `align`."""
        return round_up(all_row_values(lengths).astype(np.int64), self._layout.align)

    def check(self, rows: AuditRows, places: Positions, mask: Ragged, fits: Flags, equal: Flags) -> None:
        """Check the next batch.

        Args:
            rows: rows of the batch.
            places: number of positions in each row: int64, shape (rows,).
            mask: mask of each row.
            fits: for each row, whether it has no fault and a valid mask. Other rows are not checked.
            equal: for each row, whether all its columns have the same number of values, and no tokens follow
                the last sequence.
        """
        batch, spec = rows.batch, self._layout.spec
        if spec is not None and isinstance(spec.maxlen, int):
            self._audit.add_rows("row-too-long", fits & (places > spec.maxlen), batch.place)
        marker = self._layout.marker
        if marker is None:
            return
        its = self._read_sequences(batch, places, mask)
        known = equal & ~rows.bad
        no_sequences = "" if marker.kind == "lengths" else "the column does not divide the row into sequences"
        self._audit.add_rows("seq-length-range", its.bad & known, batch.place, marker.column, no_sequences)
        segments, wrong = self._compare_with_rows(its.without(its.bad), places, mask, fits & ~its.bad)
        fits = fits if self._mask is not None else known
        self._audit.add_rows("seq-lengths-sum", wrong & fits & ~its.bad, batch.place, marker.column)
        good = fits & ~its.bad & ~wrong & (its.lengths.lengths > 0)
        if self._counts is not None:
            self._counts.add(batch.source, len(batch), its.lengths.select(good))
        if good.any():
            self._check_good(rows, good, segments, places)

    def finish(self) -> None:
        """Run the checks that need all rows."""
        self._sources.finish()
        if self._counts is not None:
            self._counts.finish(self._sources.used)

    def _compare_with_rows(
        self, its: _Sequences, places: Positions, mask: Ragged, fits: Flags
    ) -> tuple[Segments, Flags]:
        """Compare the lengths of the sequences with the rows and masks.

        Returns:
            The positions of the sequences, and for each row, whether its length or mask does not match them.
        """
        segments, lengths = self._place(its), its.lengths
        ends = sums_by_row(self._spaces(lengths), lengths.lengths)
        if its.firsts is not None:
            rows = np.repeat(np.arange(len(places)), lengths.lengths)
            ends = np.zeros_like(places)
            np.maximum.at(ends, rows, segments.first_places + self._spaces(lengths))
        packing = self._layout.packing
        is_full = packing is not None and not packing.pad
        wrong = ends != places if is_full else ends > places
        if self._mask is None:
            return segments, wrong
        if self._layout.spec is None and its.firsts is None:
            # It is unknown whether there is padding between sequences, so the mask determines the positions.
            firsts, wrong = _find_in_mask(lengths, mask, fits)
            return segments if firsts is None else replace(segments, firsts=firsts), wrong
        chosen = np.flatnonzero(fits & ~wrong)
        expected = make_row_mask(self._place(its.select(chosen)), places[chosen])
        actual = take_runs(mask.values, mask.starts[chosen], places[chosen]) != 0
        wrong[chosen] |= any_by_row(expected != actual, places[chosen])
        return segments, wrong

    def _check_good(self, rows: AuditRows, good: Flags, segments: Segments, places: Positions) -> None:
        batch, packing, audit = rows.batch, self._layout.packing, self._audit
        chosen, at = np.flatnonzero(good), segments.rows
        assert at is not None and segments.firsts is not None
        kept = good[at]
        number = np.cumsum(good) - 1
        its = _segments(segments.lengths[kept], number[at[kept]], segments.firsts[kept])
        packed = PackedRows(its, packing or PackSpec(), places[chosen])
        values = {column.name: row_values(rows.ragged[column.name], chosen) for column in self._loss_columns}
        shifts = packing is not None and packing.boundary_labels == "shift"
        tokens = find_loss_tokens(self._loss_columns, values, shifted=shifts)
        for name in self._labels:
            labels = values[name].reshape(int(places[chosen].sum()), -1)[:, 0]
            if packing is not None and packing.boundary_labels != "keep":
                # The last of the shifted labels belongs to the token after the sequence, so it must be -100.
                places_of = packed.firsts if packing.boundary_labels == "mask" else packed.lasts
                wrong = np.zeros(len(chosen), dtype=bool)
                wrong[packed.sequence_rows[labels[places_of] != IGNORED_LABEL]] = True
                audit.add_rows("boundary-labels", _spread(wrong, chosen, len(batch)), batch.place, name)
        found = ValidRows(batch, chosen, packed, tokens)
        if packing is not None and packing.max_segments is not None:
            audit.add_rows("max-segments", found.flags(packed.sizes > packing.max_segments), batch.place)
        self._derived.check(rows, found)
        if self._collected is not None:
            self._collect(rows, found)
        if self._layout.sources:
            sources, starts = (read_integers(batch, name).select(chosen) for name in SOURCE_COLUMNS)
            self._sources.add(batch, chosen, packed, sources, starts)

    def _collect(self, rows: AuditRows, found: ValidRows) -> None:
        """Collect the sequences of the rows. If the source of any sequence is missing, collect nothing."""
        assert self._collected is not None
        located = None
        if self._layout.sources:
            sources, starts = (read_integers(found.batch, name).select(found.rows) for name in SOURCE_COLUMNS)
            sizes = found.packed.sizes
            if not (np.array_equal(sources.lengths, sizes) and np.array_equal(starts.lengths, sizes)):
                return
            located = all_row_values(sources).astype(np.int64), all_row_values(starts).astype(np.int64)
        self._collected.add(found.batch, found.rows, found.packed, rows.ragged, located)


def with_segments(row: Row, sequences: Ragged | None, place: int) -> Row:
    """Return a packed row with the number of the sequence at each position.

    If the lengths disagree with the mask, the row gets no sequence numbers.

    Args:
        row: the row.
        sequences: lengths of the sequences of each row; None if the rows are not packed.
        place: index of the row in `sequences`.
    """
    if sequences is None or row.mask is None:
        return row
    first = sequences.starts[place]
    lengths = sequences.values[first : first + sequences.lengths[place]]
    if lengths.sum() != row.mask.sum():
        return row
    segments = np.zeros(len(row.mask), dtype=np.int64)
    segments[row.mask] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return replace(row, segments=segments)


def _read_lengths(column: pa.Array) -> tuple[Ragged, Flags]:
    """Return the lengths of the sequences, and for each row, whether any of its lengths is invalid."""
    lengths, faults = Ragged.from_arrow(column)
    bad = np.zeros(len(column), dtype=bool)
    bad[[fault.row for fault in faults]] = True
    flat = all_row_values(lengths)
    return lengths, bad | any_by_row((flat < 1) | (flat >= 1 << 31), lengths.lengths)


@dataclass(frozen=True)
class _Sequences:
    """The sequences of each row.

    Args:
        lengths: lengths of the sequences of each row.
        bad: for each row, whether it cannot be divided into sequences.
        firsts: first position of each sequence; None if the sequences follow each other.
    """

    lengths: Ragged
    bad: Flags
    firsts: Ragged | None

    def without(self, bad: Flags) -> _Sequences:
        """Return the sequences, without the sequences of bad rows."""
        return replace(
            self,
            lengths=_without(self.lengths, bad),
            firsts=None if self.firsts is None else _without(self.firsts, bad),
        )

    def select(self, rows: Positions) -> _Sequences:
        """Return the sequences of some rows."""
        firsts = None if self.firsts is None else self.firsts.select(rows)
        return _Sequences(self.lengths.select(rows), self.bad[rows], firsts)


def _without(lengths: Ragged, bad: Flags) -> Ragged:
    return Ragged(lengths.values, lengths.starts, np.where(bad, 0, lengths.lengths))


def _spread(bad: Flags, chosen: Positions, count: int) -> Flags:
    flags = np.zeros(count, dtype=bool)
    flags[chosen[bad]] = True
    return flags


def _place_sequences(lengths: Ragged, align: int) -> Segments:
    """Return the positions of sequences that follow each other in their rows.

    >>> lengths = Ragged(np.array([3, 2, 4]), np.array([0, 2]), np.array([2, 1]))
    >>> _place_sequences(lengths, 4).firsts.tolist()
    [0, 4, 0]

    Args:
        lengths: lengths of the sequences of each row.
        align: each sequence starts at a position that is a multiple of this number.
    """
    counts = lengths.lengths
    rows = np.repeat(np.arange(len(counts)), counts)
    flat = all_row_values(lengths).astype(np.int64)
    ends = np.cumsum(round_up(flat, align))
    before = np.concatenate([[0], ends])
    firsts = before[:-1] - before[(np.cumsum(counts) - counts)[rows]]
    return _segments(flat, rows, firsts)


def _segments(lengths: Positions, rows: Positions, firsts: Positions) -> Segments:
    sources = np.arange(len(lengths))
    return Segments(lengths, np.zeros_like(lengths), lengths, None, sources=sources, rows=rows, firsts=firsts)


def _find_in_mask(lengths: Ragged, mask: Ragged, fits: Flags) -> tuple[Positions | None, Flags]:
    """Divide the real tokens of each row into its sequences.

    Returns:
        The position of the first token of each sequence (None if no row can be divided), and for each row,
        whether it cannot be divided. In such a row, the lengths of the sequences do not add up to the number
        of real tokens, or a sequence contains padding.
    """
    rows = np.repeat(np.arange(len(fits)), lengths.lengths)
    flat = all_row_values(lengths).astype(np.int64)
    places = np.where(fits, mask.lengths, 0)
    real = take_runs(mask.values, mask.starts, places) != 0
    differs = sums_by_row(real.astype(np.int64), places) != sums_by_row(flat, lengths.lengths)
    fine = fits & ~differs
    if not fine.any():
        return None, differs
    within = np.repeat(np.arange(len(fits)), places)
    tokens = np.flatnonzero(real & fine[within])
    kept = fine[rows]
    ends = np.cumsum(flat[kept])
    firsts, lasts = tokens[ends - flat[kept]], tokens[ends - 1]
    differs[rows[kept][lasts - firsts + 1 != flat[kept]]] = True
    found = np.zeros(len(flat), dtype=np.int64)
    found[kept] = firsts - (np.cumsum(places) - places)[rows[kept]]
    return found, differs
