"""Create the columns of packed rows from `Segments`, the output positions of tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import empty_batch, list_rows, select_rows, to_arrow, to_lists
from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.foreign_metadata import carry_metadata
from padmask.core.kernel import pad_batch
from padmask.core.loss_tokens import LossTokens, copied_labels, find_loss_tokens
from padmask.core.made_columns import made_columns
from padmask.core.masks import Mask, as_dialect, make_row_mask, number_sequences, restarting_positions
from padmask.core.metadata import describe, describe_groups
from padmask.core.pack_planner import plan_pack
from padmask.core.packed_segments import round_up
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.ragged import Ragged
from padmask.core.table import ColumnGroup, no_tokens, replace_columns
from padmask.core.windows import flag_repeated
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import (
    SEQUENCE_LENGTHS,
    SOURCE_COLUMNS,
    BoundaryLabels,
    PackSpec,
    is_recomputed,
    written_names,
)
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class PackedRows:
    """The position of each sequence in packed rows, and the length of each packed row.

    Args:
        segments: positions of the sequences in the packed rows.
        packing: how to pack.
        known_widths: number of positions in each row of existing packed rows: int64, shape (rows,). None for
            new rows.
        new_labels: whether a token that occurs in several windows keeps its label in only one window.
    """

    segments: Segments
    packing: PackSpec
    known_widths: Positions | None = None
    new_labels: bool = False

    @classmethod
    def of(cls, segments: Segments, spec: PadSpec) -> PackedRows:
        """Return the `PackedRows` for new packed rows.

        Args:
            segments: positions of the sequences in the packed rows.
            spec: options with packing.
        """
        new = spec.windows is not None and spec.windows.labels == "new"
        return cls(segments, spec.packing or PackSpec(), new_labels=new)

    @cached_property
    def sequence_rows(self) -> Positions:
        """Packed row of each sequence: int64, shape (sequences,)."""
        rows = self.segments.rows
        return np.arange(len(self.segments.lengths)) if rows is None else rows

    @cached_property
    def sizes(self) -> Positions:
        """Number of sequences in each row: int64, shape (rows,)."""
        return np.bincount(self.sequence_rows)

    @cached_property
    def widths(self) -> Positions:
        """Number of positions in each row: int64, shape (rows,)."""
        if self.known_widths is not None:
            return self.known_widths
        if self.packing.pad:
            return np.full(len(self.sizes), self.segments.maxlen or 0)
        spaces = round_up(self.segments.lengths, self.packing.align)
        return np.bincount(self.sequence_rows, weights=spaces, minlength=len(self.sizes)).astype(np.int64)

    @cached_property
    def mask(self) -> Mask:
        """Masks of all rows, one after another: bool, shape (positions,)."""
        return make_row_mask(self.segments, self.widths)

    @cached_property
    def firsts(self) -> Positions:
        """For each sequence, the index in `mask` of its first token: int64, shape (sequences,)."""
        return (np.cumsum(self.widths) - self.widths)[self.sequence_rows] + self.segments.first_places

    @cached_property
    def repeated(self) -> Mask | None:
        """For each position, whether the label of its token is in another window: bool, shape (positions,).

        None if all windows keep their labels.
        """
        if not self.new_labels:
            return None
        mask = np.zeros(len(self.mask), dtype=bool)
        flag_repeated(mask, self.segments, self.firsts)
        return mask

    @property
    def lasts(self) -> Positions:
        """For each sequence, the index in `mask` of its last token: int64, shape (sequences,)."""
        return self.firsts + self.segments.lengths - 1

    @property
    def first_tokens(self) -> Positions:
        """Index of the first token of each sequence in its source row, even if this token is a kept end.

        int64, shape (sequences,).
        """
        sequences, starts = self.segments.sequences, self.segments.starts
        return starts if sequences is None else starts[np.unique(sequences, return_index=True)[1]]

    @property
    def source_starts(self) -> Positions:
        """Index of the first token of each sequence in its source row: int64, shape (sequences,).

        For a window, this is the index of the first token after the kept first tokens.
        """
        if self.segments.windows is not None:
            return self.segments.windows.starts
        return self.first_tokens

    @property
    def sources(self) -> Positions:
        """Source row of each sequence: int64, shape (sequences,)."""
        sources = self.segments.sources
        assert sources is not None
        sequences = self.segments.sequences
        return sources if sequences is None else sources[np.unique(sequences, return_index=True)[1]]

    @property
    def boundaries(self) -> Positions:
        """For each row, the first position of each sequence and the end of the last sequence.

        The end includes the padding that `align` adds after the sequence. int64, shape (sequences + rows,).
        """
        segments, rows = self.segments, self.sequence_rows
        ends = segments.first_places + round_up(segments.lengths, self.packing.align)
        boundaries = np.empty(len(rows) + len(self.sizes), dtype=np.int64)
        boundaries[np.arange(len(rows)) + rows + 1] = ends
        boundaries[np.arange(len(rows)) + rows] = segments.first_places
        return boundaries

    def loss_mask(self, tokens: LossTokens | None) -> Mask:
        """Return, for each position, whether the next token counts in the loss: bool, shape (positions,).

        The value at the last token of a sequence is False, because no token of the sequence follows.

        Args:
            tokens: positions that count in the loss; None if all tokens count.
        """
        counts = self.mask.copy() if tokens is None else self.mask & tokens.counts
        if tokens is not None and tokens.shifted:
            return counts
        # The first token of a sequence is predicted by no token.
        counts[self.firsts] = False
        return np.append(counts[1:], False) if len(counts) else counts


def pack_columns(
    batch: pa.RecordBatch,
    rows: Mapping[str, Ragged],
    packed: PackedRows,
    columns: Sequence[PadColumn],
    mask: MaskSpec,
    numbers: Positions,
    without: Sequence[str] = (),
) -> pa.RecordBatch:
    """Return the packed rows: the packed columns, the mask, the derived columns and the other fields.

    Args:
        batch: all columns of the source rows.
        rows: source rows of each column to pack.
        packed: positions of the sequences in the packed rows.
        columns: columns to pack.
        mask: mask and labels to add.
        numbers: number of each source row in the input: int64, shape (source rows,).
        without: names of columns to leave out.
    """
    packing, widths = packed.packing, packed.widths
    outputs = written_names(packing, [column.name for column in columns])
    packed_names = [new for name, new in outputs.items() if not is_recomputed(name, packing)]
    columns, rows = _with_labels(columns, rows, mask, packed.segments.maxlen or 0)
    values = {column.name: _values(rows[column.name], column, packed) for column in columns}
    arrays = {
        outputs.get(column.name, column.name): list_rows(to_lists(values[column.name], column.dtype), widths)
        for column in columns
        if not is_recomputed(column.name, packing)
    }
    if mask.column is not None:
        arrays[mask.column] = list_rows(to_lists(as_dialect(packed.mask, mask), mask.written_dtype), widths)
    shifted = packing.boundary_labels == "shift"
    tokens = find_loss_tokens(columns, values, shifted=shifted, repeated=packed.repeated)
    arrays |= _derived_columns(packed, numbers, tokens, packed_names)
    batch = _rename_packed(batch, outputs, {*without} if packing.fields == "list" else batch.schema.names)
    names, packed_inputs = batch.schema.names, {outputs.get(name, name) for name in rows}
    if packing.fields == "list":
        others = batch.select([name for name in names if name not in {*packed_inputs, *arrays, *without}])
        fields = select_rows(others, packed.sources)
        arrays |= {name: list_rows(fields.column(name), packed.sizes) for name in fields.schema.names}
    return replace_columns(batch, arrays, [name for name in names if name not in arrays])


def _rename_packed(
    batch: pa.RecordBatch, outputs: Mapping[str, str], dropped: Collection[str]
) -> pa.RecordBatch:
    """Return a batch in which the packed columns have their new names.

    Args:
        batch: all columns of the source rows.
        outputs: name of each packed column in the output, keyed by its name in the input.
        dropped: names of columns to leave out. Packed columns are not left out, and their new names may be
            among these names.
    """
    if all(name == new for name, new in outputs.items()):
        return batch
    kept = [name for name in batch.schema.names if name in outputs or name not in dropped]
    return batch.select(kept).rename_columns([outputs.get(name, name) for name in kept])


def count_boundary_labels(
    packed: PackedRows, columns: Sequence[PadColumn], rows: Mapping[str, Ragged]
) -> int:
    """Count the labels that packing replaces with -100 because they are at the start of a sequence.

    Labels that are already -100 in the source rows are not counted.

    Args:
        packed: positions of the sequences in the packed rows.
        columns: packed columns.
        rows: source rows of each column.
    """
    if packed.packing.boundary_labels == "keep":
        return 0
    counts = np.ones(len(packed.firsts), bool) if packed.repeated is None else ~packed.repeated[packed.firsts]
    total = 0
    for column in columns:
        if is_label(column) and column.inner is None:
            its = rows[column.name]
            labels = its.values[its.starts[packed.sources] + packed.first_tokens]
            total += int((counts & (labels != IGNORED_LABEL)).sum())
    return total


def _with_labels(
    columns: Sequence[PadColumn], rows: Mapping[str, Ragged], mask: MaskSpec, maxlen: int
) -> tuple[list[PadColumn], dict[str, Ragged]]:
    """Return the columns to pack and their rows, including labels that are copied from a column."""
    labels = [column for column in made_columns(columns, mask, maxlen) if column.name == mask.labels_column]
    copied = {column.name: copied_labels(str(mask.labels_from), columns, rows) for column in labels}
    return [*columns, *labels], {**rows, **copied}


def packed_schema(
    schema: pa.Schema,
    group: ColumnGroup,
    plan: Plan,
    without: Sequence[str] = (),
    earlier: Sequence[Mapping[str, Any]] = (),
) -> pa.Schema:
    """Return the schema of packed rows, with a description of the packing in its metadata.

    Args:
        schema: schema of the input.
        group: columns to pack.
        plan: plan with the maxlen of the packed rows.
        without: names of columns to leave out.
        earlier: descriptions of columns that earlier runs padded.
    """
    assert group.spec.packing is not None
    none = np.zeros(0, dtype=np.int64)
    packed = PackedRows.of(plan_pack(none, plan, group.spec, 1), group.spec)
    rows = no_tokens(group.columns)
    types = pack_columns(empty_batch(schema), rows, packed, group.columns, group.mask, none, without).schema
    found = describe(group.columns, plan, group.spec, group.mask)
    return carry_metadata(schema, types, types.names, describe_groups([found, *earlier]))


def _values(rows: Ragged, column: PadColumn, packed: PackedRows) -> npt.NDArray[Any]:
    """Return the packed values of a column, one row after another, of shape (positions, ...)."""
    padded = pad_batch(
        rows, packed.segments, value=column.value, dtype=column.numpy_dtype, mask=packed.mask
    ).values
    if is_label(column):
        if packed.repeated is not None:
            padded[packed.repeated] = IGNORED_LABEL
        set_boundary_labels(padded, packed.firsts, packed.lasts, packed.packing.boundary_labels)
        if packed.packing.boundary_labels == "shift":
            padded[~packed.mask] = column.value
    return padded


def set_boundary_labels(
    labels: npt.NDArray[Any], firsts: Positions, lasts: Positions, boundary: BoundaryLabels
) -> None:
    """Change the labels of sequences in place, so that no token predicts the first token of another sequence.

    >>> labels = np.array([5, 6, 7, 8, 9])
    >>> set_boundary_labels(labels, np.array([0, 3]), np.array([2, 4]), "shift")
    >>> labels.tolist()
    [6, 7, -100, 9, -100]

    Args:
        labels: labels at all positions, of shape (positions, ...).
        firsts: index of the first token of each sequence: int64, shape (sequences,).
        lasts: index of the last token of each sequence: int64, shape (sequences,).
        boundary: as in `PackSpec.boundary_labels`.
    """
    if boundary == "keep":
        return
    labels[firsts] = IGNORED_LABEL
    if boundary == "shift":
        # Each label moves one position to the left. The first label of a sequence leaves the sequence.
        labels[:-1] = labels[1:].copy()
        labels[lasts] = IGNORED_LABEL


def _derived_columns(
    packed: PackedRows, numbers: Positions, tokens: LossTokens | None, columns: Sequence[str]
) -> dict[str, pa.Array]:
    """Return the columns that describe the sequences of the packed columns, keyed by column name."""
    sizes = packed.sizes
    arrays = {SEQUENCE_LENGTHS: list_rows(to_arrow(packed.segments.lengths.astype(np.int32)), sizes)}
    if packed.packing.source:
        rows, starts = SOURCE_COLUMNS
        arrays[rows] = list_rows(to_arrow(numbers[packed.sources]), sizes)
        arrays[starts] = list_rows(to_arrow(packed.source_starts.astype(np.int32)), sizes)
    for derived, names in packed.packing.derived_for(columns).items():
        arrays |= dict.fromkeys(names, derived_column(derived, packed, tokens))
    return arrays


def derived_column(name: str, packed: PackedRows, tokens: LossTokens | None) -> pa.Array:
    """Return a derived column, which describes the sequences of packed rows.

    Args:
        name: name of the column in `DERIVED`.
        packed: positions of the sequences in the packed rows.
        tokens: positions that count in the loss; None if all tokens count.
    """
    segments, sizes, widths = packed.segments, packed.sizes, packed.widths
    index = packed.packing.index_dtype
    match name:
        case "position_ids":
            return list_rows(to_arrow(_position_ids(packed).astype(index)), widths)
        case "cu_seqlens":
            return list_rows(to_arrow(packed.boundaries.astype(np.int32)), sizes + 1)
        case "seq_start_id":
            return list_rows(to_arrow(segments.first_places.astype(np.int32)), sizes)
        case "seq_lens":
            lengths, counts = _spaces_and_rest(packed)
            return list_rows(to_arrow(lengths.astype(index)), counts)
        case "loss_mask":
            return list_rows(to_arrow(packed.loss_mask(tokens).astype(packed.packing.loss_dtype)), widths)
        case _:
            # `segment_ids`, or an `attention_mask` with the number of the sequence from 1.
            first = packed.packing.first_segment if name == "segment_ids" else 1
            numbers = number_sequences(segments, packed.mask) + np.int32(first - 1)
            return list_rows(to_arrow(numbers.astype(index)), widths)


def _position_ids(packed: PackedRows) -> npt.NDArray[np.int32]:
    """Return the position ids of all tokens and of the padding: shape (positions,)."""
    positions = restarting_positions(packed.segments, packed.mask)
    padding = ~packed.mask
    if packed.packing.position_padding == "zero":
        positions[padding] = 0
    elif packed.packing.position_padding == "continue":
        places = np.arange(len(positions))
        before = np.maximum.accumulate(np.where(padding, 0, places))[padding]
        positions[padding] = positions[before] + (places[padding] - before)
    return positions


def _spaces_and_rest(packed: PackedRows) -> tuple[Positions, Positions]:
    """Divide each row into parts: its sequences, and the padding at the end of the row, if there is any.

    The part of a sequence includes the padding that `align` adds after the sequence.

    Returns:
        The number of positions of each part, in order: int64, shape (parts,); and the number of parts of
        each row: int64, shape (rows,).
    """
    spaces = round_up(packed.segments.lengths, packed.packing.align)
    used = np.bincount(packed.sequence_rows, weights=spaces, minlength=len(packed.sizes)).astype(np.int64)
    rest = packed.widths - used
    counts = packed.sizes + (rest > 0)
    ends = (np.cumsum(counts) - 1)[rest > 0]
    is_sequence = np.ones(int(counts.sum()), dtype=bool)
    is_sequence[ends] = False
    numbers = np.empty(len(is_sequence), dtype=np.int64)
    numbers[is_sequence], numbers[ends] = spaces, rest[rest > 0]
    return numbers, counts
