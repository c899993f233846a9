"""Find the sequences of packed rows from the column that separates them: `Marker` and `find_spans`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags, as_lists, list_windows, null_flags, to_numpy, without_wrappers
from padmask.core.kernel import take_runs
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.spec.pack import COLUMN, SEQUENCE_LENGTHS

MarkerKind = Literal["lengths", "numbers", "starts", "ends", "spaces", "positions"]

# How each column separates sequences: `SEQUENCE_LENGTHS`, and the columns in `DERIVED`. Columns that also
# show the padding come first.
KINDS: dict[str, MarkerKind] = {
    SEQUENCE_LENGTHS: "lengths",
    "segment_ids": "numbers",
    "attention_mask": "numbers",
    "cu_seqlens": "ends",
    "seq_start_id": "starts",
    "seq_lens": "spaces",
    "position_ids": "positions",
}

# Names that trainers use for these columns.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "segment_ids": (
        f"{COLUMN}_segment_ids",
        f"{COLUMN}_segmentation",
        "sequence_id",
        "segment_ids",
    ),
    "position_ids": (f"{COLUMN}_positions", f"{COLUMN}_position", "input_pos", "position_ids"),
}

# Without metadata, these names say that rows are packed. Columns with the other names may have another
# meaning, such as token types, so their values decide.
CERTAIN_NAMES = (SEQUENCE_LENGTHS, "seq_start_id", *USUAL_NAMES["segment_ids"][:-1])


@dataclass(frozen=True)
class Marker:
    """The column that separates the sequences of packed rows.

    >>> Marker.of("cu_seqlens").kind
    'ends'

    Args:
        column: name of the column.
        kind: what the column contains. `"lengths"`: the number of tokens of each sequence. `"numbers"`: the
            number of the sequence at each position; padding has a negative number, or 0 if the numbers of
            the row do not start at 0. `"starts"`: the first position of each sequence. `"ends"`: 0 and the
            end of each sequence. `"spaces"`: the number of positions of each sequence, including the padding
            after the sequence. `"positions"`: the position of each token, restarting at 0 in each sequence.
    """

    column: str
    kind: MarkerKind = "lengths"

    @classmethod
    def of(cls, name: str, column: str | None = None) -> Marker:
        """Return the `Marker` of a column.

        Args:
            name: key in `KINDS` that says what the column contains.
            column: name of the column. If None, the name is `name`.
        """
        return cls(name if column is None else column, KINDS[name])

    @property
    def is_wide(self) -> bool:
        """Whether the column has a value at each position."""
        return self.kind in ("numbers", "positions")

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers are valid."""
        return self.kind == "numbers"

    @property
    def unsure(self) -> bool:
        """Whether the column does not show which positions after a sequence are padding."""
        return self.kind not in ("lengths", "numbers")


@dataclass(frozen=True)
class NumberLists:
    """A column of lists of numbers.

    Args:
        values: all numbers, int64.
        starts: index of the first number of each row in `values`: int64, shape (rows,).
        sizes: how many numbers each row has, 0 for null and invalid rows: int64, shape (rows,).
        nulls: whether each row is null: bool, shape (rows,).
        invalid: whether each row contains a null, or a negative number that is not valid: bool, shape
            (rows,).
    """

    values: Positions
    starts: Positions
    sizes: Positions
    nulls: Flags
    invalid: Flags

    @classmethod
    def of(cls, column: pa.Array, *, signed: bool = False) -> NumberLists:
        """Return the lists of a column. If `signed` is True, negative numbers are valid."""
        rows = as_lists(without_wrappers(column))
        starts, sizes, tokens = list_windows(rows)
        nulls = null_flags(rows)
        sizes = np.where(nulls, 0, sizes)
        holes = null_flags(tokens)
        values = to_numpy(tokens.fill_null(-1) if tokens.null_count else tokens).astype(np.int64)
        bad = holes if signed else holes | (values < 0)
        wrong = np.concatenate([[0], np.cumsum(bad)])
        invalid = wrong[starts + sizes] > wrong[starts]
        # The numbers of invalid rows must not make the sums of other rows wrong.
        return cls(values, starts, np.where(invalid, 0, sizes), nulls, invalid)

    def flat(self) -> Positions:
        """Return the numbers of all rows, one row after another."""
        return np.asarray(take_runs(self.values, self.starts, self.sizes))


@dataclass(frozen=True)
class Spans:
    """The positions of the sequences of packed rows, in order.

    Args:
        starts: position of the first token of each sequence in its row: int64, shape (sequences,).
        lengths: number of tokens of each sequence: int64, shape (sequences,).
        sizes: number of sequences in each row: int64, shape (rows,).
        wrong: True for rows that the marker column cannot divide into sequences: bool, shape (rows,). These
            rows have no sequences.
        gaps: True for rows in which a sequence has padding between its tokens: bool, shape (rows,).
    """

    starts: Positions
    lengths: Positions
    sizes: Positions
    wrong: Flags
    gaps: Flags

    @property
    def rows(self) -> Positions:
        """Row of each sequence: int64, shape (sequences,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def first_ones(self, sizes: Positions) -> Spans:
        """Return only the first sequences of each row: at most `sizes[i]` in row i.

        Args:
            sizes: number of sequences to keep in each row: int64, shape (rows,).
        """
        rows = self.rows
        left = np.minimum(self.sizes, sizes)
        kept = np.arange(len(rows)) - (np.cumsum(self.sizes) - self.sizes)[rows] < left[rows]
        return replace(self, starts=self.starts[kept], lengths=self.lengths[kept], sizes=left)


def find_spans(
    marker: Marker, lists: NumberLists, widths: Positions | None = None, mask: Ragged | None = None
) -> Spans:
    """Return the positions of the sequences, from any marker except `"lengths"`.

    >>> lists = NumberLists.of(pa.array([[1, 1, 2, 0], [1, 2, 2, 2]]))
    >>> spans = find_spans(Marker.of("segment_ids"), lists)
    >>> spans.starts.tolist(), spans.lengths.tolist(), spans.sizes.tolist()
    ([0, 2, 0, 1], [2, 1, 1, 3], [2, 2])
    >>> find_spans(Marker.of("cu_seqlens"), NumberLists.of(pa.array([[0, 2, 5]]))).lengths.tolist()
    [2, 3]

    Args:
        marker: how the column separates the sequences.
        lists: the column.
        widths: number of positions in each row: int64, shape (rows,). If None, and the kind of the marker is
            `"starts"`, the last sequence of a row has one position.
        mask: 1 at real tokens and 0 at padding. None if each position of a sequence is a token. Sequences
            without tokens are left out.
    """
    find = {
        "numbers": _find_numbers,
        "positions": _find_positions,
        "starts": _find_starts,
        "ends": _find_ends,
        "spaces": _find_spaces,
    }[marker.kind]
    rows, starts, stops, wrong = find(lists, widths)
    wrong |= lists.invalid | lists.nulls
    if widths is not None:
        wrong[rows[stops > widths[rows]]] = True
    if mask is not None:
        wrong |= _sums_of(stops > mask.lengths[rows], rows, len(wrong)) > 0
    kept = (stops > starts) & ~wrong[rows]
    rows, starts, lengths = rows[kept], starts[kept], (stops - starts)[kept]
    gaps = np.zeros(len(wrong), dtype=bool)
    if mask is not None:
        before = np.concatenate([[0], np.cumsum(mask.values != 0)])
        firsts = mask.starts[rows] + starts
        tokens = before[firsts + lengths] - before[firsts]
        gaps[rows[before[firsts + tokens] - before[firsts] != tokens]] = True
        kept = tokens > 0
        rows, starts, lengths = rows[kept], starts[kept], tokens[kept]
    return Spans(starts, lengths, np.bincount(rows, minlength=len(wrong)), wrong, gaps)


_Found = tuple[Positions, Positions, Positions, Flags]


def _find_numbers(lists: NumberLists, _: Positions | None) -> _Found:
    """Return the row, start and stop of each run of equal numbers, and `Spans.wrong` for each row."""
    values, sizes = lists.flat(), lists.sizes
    rows, firsts = _rows_and_firsts(sizes)
    zero_counts = np.zeros(len(sizes), dtype=bool)
    zero_counts[sizes > 0] = values[firsts[sizes > 0]] == 0
    real = (values > 0) | ((values == 0) & zero_counts[rows])
    begins = np.append(True, values[1:] != values[:-1])[: len(values)]
    begins[firsts[sizes > 0]] = True
    begun = np.flatnonzero(begins)
    ends = np.append(begun[1:], len(values))[: len(begun)]
    begun, ends = begun[real[begun]], ends[real[begun]]
    its = rows[begun]
    wrong = np.zeros(len(sizes), dtype=bool)
    # The numbers of a row must ascend. A repeated number would be a sequence in several parts.
    wrong[its[1:][(its[1:] == its[:-1]) & (values[begun][1:] <= values[begun][:-1])]] = True
    return its, begun - firsts[its], ends - firsts[its], wrong


def _find_positions(lists: NumberLists, _: Positions | None) -> _Found:
    values, sizes = lists.flat(), lists.sizes
    rows, firsts = _rows_and_firsts(sizes)
    begun = np.flatnonzero(values == 0)
    steps = np.append(0, values[:-1])[: len(values)] + 1
    steps[firsts[sizes > 0]] = 0
    wrong = np.zeros(len(sizes), dtype=bool)
    wrong[rows[(values != 0) & (values != steps)]] = True
    its = rows[begun]
    ends = np.append(begun[1:], len(values))[: len(begun)]
    return its, begun - firsts[its], np.minimum(ends - firsts[its], sizes[its]), wrong


def _find_starts(lists: NumberLists, widths: Positions | None) -> _Found:
    starts, sizes = lists.flat(), lists.sizes
    rows, firsts = _rows_and_firsts(sizes)
    stops = np.append(starts[1:], 0)[: len(starts)]
    lasts = (firsts + sizes - 1)[sizes > 0]
    stops[lasts] = starts[lasts] + 1 if widths is None else widths[sizes > 0]
    wrong = np.zeros(len(sizes), dtype=bool)
    wrong[sizes > 0] = starts[firsts[sizes > 0]] != 0
    wrong[rows[stops <= starts]] = True
    return rows, starts, stops, wrong


def _find_ends(lists: NumberLists, _: Positions | None) -> _Found:
    values, sizes = lists.flat(), lists.sizes
    rows, firsts = _rows_and_firsts(sizes)
    wrong = np.zeros(len(sizes), dtype=bool)
    wrong[sizes > 0] = values[firsts[sizes > 0]] != 0
    inner = np.ones(len(values), dtype=bool)
    inner[firsts[sizes > 0]] = False
    stops = np.flatnonzero(inner)
    wrong[rows[stops[values[stops] < values[stops - 1]]]] = True
    return rows[stops], values[stops - 1], values[stops], wrong


def _find_spaces(lists: NumberLists, _: Positions | None) -> _Found:
    spaces, sizes = lists.flat(), lists.sizes
    rows, _firsts = _rows_and_firsts(sizes)
    stops = np.cumsum(spaces)
    # For each row, the number of positions in all previous rows.
    before = np.concatenate([[0], stops])[np.cumsum(sizes) - sizes]
    stops = stops - before[rows]
    return rows, stops - spaces, stops, np.zeros(len(sizes), dtype=bool)


def _rows_and_firsts(sizes: Positions) -> tuple[Positions, Positions]:
    """Return the row of each value, and the index of the first value of each row."""
    return np.repeat(np.arange(len(sizes)), sizes), np.cumsum(sizes) - sizes


def _sums_of(flags: Flags, rows: Positions, count: int) -> Positions:
    return np.bincount(rows[flags], minlength=count)


def show_packing(marker: Marker, lists: NumberLists, mask: Ragged | None = None) -> bool:
    """Return whether the values of a column show that rows are already packed.

    In most rows, the values must divide the row into sequences. At least one row must have several sequences.

    >>> def shows(name, row):
    ...     return show_packing(Marker.of(name), NumberLists.of(pa.array([row]), signed=True))
    >>> shows("segment_ids", [1, 1, 2]), shows("segment_ids", [0, 0, 1])  # the second are token types
    (True, False)
    >>> shows("position_ids", [0, 1, 0, 1]), shows("position_ids", [0, 1, 0, 0])
    (True, False)

    Args:
        marker: how the column separates the sequences.
        lists: the values of the first rows.
        mask: 1 at real tokens; None if there is no mask.
    """
    spans = find_spans(marker, lists, mask=mask)
    if not len(spans.wrong) or 2 * int(spans.wrong.sum()) > len(spans.wrong):
        return False
    counted = np.ones(len(spans.lengths), dtype=bool)
    if marker.kind == "positions":
        # Padding often has the position 0, and each position of the padding then looks like a sequence.
        counted = spans.lengths > 1
    if (np.bincount(spans.rows[counted], minlength=1) < 2).all():
        return False
    values = lists.flat()
    # Token types are 0 and 1.
    return marker.kind != "numbers" or bool((values > 1).any() or (values < 0).any())
