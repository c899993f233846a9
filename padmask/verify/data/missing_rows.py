"""Find the rows of the input that are missing or incomplete in packed or padded rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.packed_counts import PackedCounts
from padmask.verify.data.comparison import Comparison
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.sequence_table import LocatedSequences


@dataclass(frozen=True)
class MissingRows:
    """The sequences of the input that are missing or incomplete in packed or padded rows.

    Args:
        missing: whether each sequence must be in the rows, but is missing or incomplete: bool, shape
            (sequences of the input,).
        lost: whether each sequence lost tokens because its row was truncated or dropped: bool, of the same
            shape.
        dropped: number of sequences in `lost` that are missing completely.
        empty: number of input rows without tokens that were dropped.
    """

    missing: Flags
    lost: Flags
    dropped: int
    empty: int


def find_rows_to_have(compared: Comparison, rows: int, limit: int | None) -> Flags:
    """Return, for each sequence of the input, whether it must be in the rows that were read.

    Without a limit, the result is True for all sequences. With a limit, the result is False for all sequences
    if the rows are packed or the input has several files. Otherwise, the result is True only for these rows
    of the input:

    - the first `limit` rows, if fewer than `limit` padded rows were read
    - the rows up to the last row with a match, if the padded rows are in the order of the input

    Args:
        compared: the rows, compared with their input.
        rows: number of packed or padded rows that were read.
        limit: maximum number of packed or padded rows to read; None if all rows were read.
    """
    expected, found = compared.expected, compared.matches
    if limit is None:
        return np.ones(len(expected.lengths), dtype=bool)
    stop = 0
    if compared.padded and len(expected.names) <= 1:
        stop = limit if rows < limit else 0
        partners = found.partners[(found.partners >= 0) & ~found.moved]
        if compared.in_order and len(partners):
            stop = max(stop, int(expected.sources[partners.max()]) + 1)
    return np.asarray(expected.sources < stop)


def find_missing_rows(compared: Comparison, here: Flags, counts: Collection[PackedCounts]) -> MissingRows:
    """Return the sequences of the input that are missing or incomplete.

    If the metadata does not say whether overlong rows and rows without tokens were dropped, this is inferred
    from the packed or padded rows.

    Args:
        compared: the rows, compared with their input.
        here: whether each sequence of the input must be in the rows that were read.
        counts: row counts from the metadata of each packed file.
    """
    packed, expected, loses = compared.packed, compared.expected, compared.loses
    found = compared.matches.found
    run = compared.run
    empty = (expected.lengths == 0) & ~loses & here
    # Rows without tokens may have been dropped. Either all of them were dropped, or none.
    keeps_empty = bool((empty & found).any()) if run is None else not run.drops_empty
    keeps_empty &= compared.padded
    absent = ~found & ((expected.lengths > 0) | (empty & keeps_empty)) & here
    damaged, splits = np.zeros(len(absent), dtype=bool), False
    if compared.layout.spec is None and compared.located:
        splits = len(np.unique(packed.sources)) < len(packed.sources)
        damaged = loses & ~absent & (splits | ~_are_truncated(expected, packed))
    truncates = bool((loses & ~absent & ~damaged).any())
    drops = not counts or any(its.rows_dropped for its in counts)
    may_drop = drops and not splits and not truncates if run is None else run.drops_overlong
    missing = damaged | (absent & ~(loses & may_drop))
    if _are_left_out(compared, ~found & here):
        missing, loses = np.zeros_like(missing), loses | absent
    lost = loses & ~missing & here
    left_out = 0 if keeps_empty or not compared.padded else int((empty & ~found).sum())
    return MissingRows(missing, lost, int((lost & absent).sum()), left_out)


def _are_left_out(compared: Comparison, absent: Flags) -> bool:
    """Return whether the run left out enough rows to explain all absent rows.

    The run may leave out rows because of columns that are not compared. It drops a row if a column with its
    own maxlen is longer than this maxlen, and skips a row if any column is bad. If no row can be left out for
    these reasons, the result is False.

    Args:
        compared: the rows, compared with their input.
        absent: whether each sequence of the input is absent from the padded rows.
    """
    layout = compared.layout
    if not isinstance(layout, PaddedLayout) or layout.run is None:
        return False
    skipped = max(0, layout.run.rows_rejected - compared.planner.bad)
    if not skipped and not (layout.has_own_lengths and layout.run.drops_overlong):
        return False
    return len(np.unique(compared.expected.sources[absent])) <= layout.run.rows_dropped + skipped


def _are_truncated(expected: LocatedSequences, packed: LocatedSequences) -> Flags:
    """Return, for each sequence of the input, whether it may come from a truncated row.

    The length of a truncated row is maxlen, which is the length of the longest packed sequence.
    """
    return np.asarray(expected.lengths == packed.lengths.max(initial=0))
