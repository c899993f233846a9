"""Packed rows for the checks of a model, and batches of these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import to_numpy
from padmask.core.kernel import pad_batch
from padmask.core.masks import block_mask, number_sequences
from padmask.core.packed_columns import PackedRows, derived_column
from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.spec.pack import DERIVED, SEQUENCE_LENGTHS, PackSpec
from padmask.verify.proof.tolerance import Array

# Columns with one value for each sequence. A batch with such an argument has one row.
PER_SEQUENCE = (SEQUENCE_LENGTHS, "cu_seqlens", "seq_start_id", "seq_lens")

# Length of the longest sequence of a batch, an int.
LONGEST = "max_seqlen"

# What an argument of a model may contain.
ARGUMENTS = ("tokens", "mask", "block_mask", SEQUENCE_LENGTHS, LONGEST, *DERIVED)

# Maximum number of rows to run, and maximum number of their positions, because some rows are long.
MOST_ROWS, MOST_POSITIONS = 32, 2**16


@dataclass(frozen=True, eq=False)
class PackedRow:
    """A packed row.

    >>> row = PackedRow.of(np.array([7, 8, 5]), np.array([1, 1, 2, 0]))
    >>> [tokens.tolist() for tokens in row.sequences], row.firsts, row.width
    ([[7, 8], [5]], (0, 2), 4)

    Args:
        sequences: tokens of each sequence: shape (tokens, ...).
        firsts: position of the first token of each sequence in the row.
        width: number of positions in the row.
    """

    sequences: tuple[Array, ...]
    firsts: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, tokens: Array, segments: npt.NDArray[np.integer[Any]]) -> PackedRow:
        """Divide the real tokens of a row into its sequences.

        Args:
            tokens: the real tokens: shape (tokens, ...).
            segments: segment ids: 1 at each position of the first sequence, 2 in the second sequence, and so
                on, and 0 at padding: shape (maxlen,).
        """
        places = np.flatnonzero(segments)
        begins = np.flatnonzero(np.diff(segments[places], prepend=0))
        return cls(tuple(np.split(tokens, begins[1:])), tuple(places[begins].tolist()), len(segments))

    @classmethod
    def alone(cls, sequence: Array, width: int | None = None) -> PackedRow:
        """Return a row with one sequence. If `width` is None, the row has no padding."""
        return cls((sequence,), (0,), len(sequence) if width is None else width)

    @property
    def has_padding(self) -> bool:
        """Whether any position has no token."""
        return sum(map(len, self.sequences)) < self.width


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """Packed rows of one width, as arrays for a model.

    Args:
        values: tokens and padding: shape (rows, maxlen, ...).
        mask: True at real tokens: bool, shape (rows, maxlen).
        packed: positions of the sequences.
    """

    values: Array
    mask: npt.NDArray[np.bool_]
    packed: PackedRows

    def argument(self, kind: str) -> Array | int:
        """Return an argument of the model.

        Args:
            kind: a name in `ARGUMENTS`. Arguments in `PER_SEQUENCE` have the shape (sequences,) or
                (sequences + 1,), and require a batch of one row. `block_mask` has the shape (rows, maxlen,
                maxlen), and `max_seqlen` is an int. All other arguments have the shape of the mask.
        """
        match kind:
            case "max_seqlen":
                return int(self.packed.segments.lengths.max(initial=0))
            case "tokens":
                return self.values.copy()
            case "mask":
                return self.mask.copy()
            case "block_mask":
                return block_mask(number_sequences(self.packed.segments, self.mask))
            case "seq_lengths":
                return self.packed.segments.lengths.astype(np.int32)
        column = to_numpy(derived_column(kind, self.packed, None).flatten()).copy()
        return column if kind in PER_SEQUENCE else column.reshape(self.mask.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedSample:
    """Packed rows to run, and options that determine the arguments of the model.

    >>> rows = [PackedRow.of(np.array([7, 8, 5]), np.array([1, 1, 2, 0]))]
    >>> [batch] = PackedSample(rows=rows).batches(32)
    >>> batch.argument("position_ids").tolist(), batch.argument("cu_seqlens").tolist()
    ([[0, 1, 0, 0]], [0, 2, 3])
    >>> [joined] = PackedSample(rows=rows).joined().batches(32)
    >>> joined.argument("position_ids").tolist(), joined.argument("cu_seqlens").tolist()
    ([[0, 1, 2, 3]], [0, 4])

    Args:
        rows: packed rows.
        value: pad value.
        dtype: dtype of the tokens.
        packing: options for the values of the arguments, such as the segment id of the first sequence.
        is_joined: whether the arguments describe each row as one sequence without padding.
        seed: random seed of the replacement tokens.
        pool: tokens from which replacement tokens are drawn. If None, the tokens of all rows.
    """

    rows: Sequence[PackedRow]
    value: Any = 0
    dtype: npt.DTypeLike = "int32"
    packing: PackSpec = field(default_factory=PackSpec)
    is_joined: bool = False
    seed: int = 0
    pool: Array | None = None

    @cached_property
    def tokens(self) -> Array:
        """The tokens from which replacement tokens are drawn: shape (tokens, ...)."""
        if self.pool is not None:
            return self.pool
        return np.concatenate([sequence for row in self.rows for sequence in row.sequences])

    def joined(self) -> PackedSample:
        """Return the same rows without boundaries: positions do not restart, and the mask is all True."""
        return replace(self, is_joined=True)

    def with_rows(self, rows: Sequence[PackedRow]) -> PackedSample:
        """Return a sample of other rows that draws replacement tokens from the same pool."""
        return replace(self, rows=rows, pool=self.tokens)

    def with_random_tokens(self, seed: int, changes: Callable[[PackedRow, int], bool]) -> PackedSample:
        """Return a sample in which random tokens replace the tokens of some sequences.

        Args:
            seed: random seed, added to the seed of the sample.
            changes: function that returns whether to replace the tokens of a sequence. Its arguments are the
                row and the number of the sequence in the row, from 0.
        """
        random = np.random.default_rng([self.seed, seed])

        def draw(sequence: Array) -> Array:
            drawn: Array = self.tokens[random.integers(len(self.tokens), size=len(sequence))]
            return drawn

        rows = [
            replace(
                row,
                sequences=tuple(
                    draw(sequence) if changes(row, number) else sequence
                    for number, sequence in enumerate(row.sequences)
                ),
            )
            for row in self.rows
        ]
        return self.with_rows(rows)

    def batches(self, size: int, *, random_padding: bool = False) -> Iterator[PackedBatch]:
        """Yield batches of adjacent rows of the same width, with at most `size` rows each.

        Args:
            size: maximum number of rows.
            random_padding: whether random tokens replace the pad value.
        """
        for _, same in groupby(self.rows, key=lambda row: row.width):
            rows = list(same)
            for first in range(0, len(rows), size):
                yield self._batch(rows[first : first + size], random_padding=random_padding)

    def _batch(self, rows: Sequence[PackedRow], *, random_padding: bool) -> PackedBatch:
        width = rows[0].width
        sequences = [sequence for row in rows for sequence in row.sequences]
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        ragged = Ragged(np.concatenate(sequences), np.cumsum(lengths) - lengths, lengths)
        counts = np.array([len(row.sequences) for row in rows])
        firsts = np.array([first for row in rows for first in row.firsts], dtype=np.int64)
        segments = _place(lengths, np.repeat(np.arange(len(rows)), counts), firsts, width)
        padded = pad_batch(ragged, segments, value=self.value, dtype=self.dtype)
        values, mask = padded.values, padded.mask
        if random_padding or self.is_joined:
            random = np.random.default_rng([self.seed, 5])
            values[~mask] = self.tokens[random.integers(len(self.tokens), size=int((~mask).sum()))]
        widths = np.full(len(rows), width, dtype=np.int64)
        if self.is_joined:
            segments = _place(widths, np.arange(len(rows)), np.zeros_like(widths), width)
            mask = np.ones_like(mask)
        return PackedBatch(values, mask, PackedRows(segments, self.packing, known_widths=widths))


def choose_packed_rows(rows: Sequence[PackedRow]) -> list[PackedRow]:
    """Return the rows to run: at most `MOST_ROWS`.

    Rows with several sequences are preferred. If more than two rows are chosen, they have at most
    `MOST_POSITIONS` positions in total.
    """
    chosen: list[PackedRow] = []
    positions = 0
    for row in sorted(rows, key=lambda row: len(row.sequences) < 2):
        positions += row.width
        if len(chosen) >= 2 and (positions > MOST_POSITIONS or len(chosen) == MOST_ROWS):
            break
        chosen.append(row)
    # Adjacent rows of the same width share a batch.
    return sorted(chosen, key=lambda row: row.width)


def _place(
    lengths: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], firsts: npt.NDArray[np.int64], width: int
) -> Segments:
    return Segments(
        lengths,
        np.zeros_like(lengths),
        lengths,
        width,
        sources=np.arange(len(lengths)),
        rows=rows,
        firsts=firsts,
    )
