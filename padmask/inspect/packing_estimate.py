"""Estimate how many rows `pack` writes, from the lengths of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.core.packing import count_at_least, count_best_fit
from padmask.core.plan import Plan
from padmask.core.planners import make_segments
from padmask.spec.pad import PadSpec

# Maximum number of distinct lengths, summed over the files, for which the packing of every file is planned.
# Planning that many lengths takes about half a second.
PLANNED_LENGTHS = 1 << 16


@dataclass(frozen=True)
class PackedEstimate:
    """The expected result of `pack --algorithm best-fit`.

    Args:
        rows: number of packed rows.
        rows_at_least: lower bound of the number of packed rows, however the rows are packed.
        tokens: number of tokens in the packed rows.
    """

    rows: int
    rows_at_least: int
    tokens: int


def estimate_packing(
    files: Sequence[LengthStats], maxlen: int, spec: PadSpec, *, drops: bool = False
) -> PackedEstimate:
    """Estimate the number of packed rows if each file is packed separately.

    All rows of a file are assumed to be packed together. If the files have too many distinct lengths, the
    packing of only some files is planned. The number of packed rows is then extrapolated to all tokens.

    >>> files = [LengthStats({6: 1, 2: 1}), LengthStats({6: 1, 2: 1})]
    >>> estimate_packing(files, 8, PadSpec()).rows
    2
    >>> estimate_packing([sum(files, LengthStats())], 12, PadSpec()).rows
    2

    Args:
        files: number of rows of each length, for each file.
        maxlen: number of positions in a packed row.
        spec: how to truncate or split rows longer than `maxlen`.
        drops: whether rows longer than `maxlen` are dropped.
    """
    total = _sequences(sum(files, LengthStats()), maxlen, spec, drops=drops)
    bound = count_at_least(total, maxlen)
    if len(files) == 1:
        return PackedEstimate(count_best_fit(total, maxlen), bound, total.tokens)
    every = -(-sum(len(file.counts) for file in files) // PLANNED_LENGTHS)
    planned = [_sequences(file, maxlen, spec, drops=drops) for file in files[:: max(1, every)]]
    rows = sum(count_best_fit(sequences, maxlen) for sequences in planned)
    if len(planned) == len(files):
        bound = sum(count_at_least(sequences, maxlen) for sequences in planned)
    else:
        rows = max(bound, round(rows * total.tokens / max(1, sum(its.tokens for its in planned))))
    return PackedEstimate(rows, bound, total.tokens)


def _sequences(stats: LengthStats, maxlen: int, spec: PadSpec, *, drops: bool) -> LengthStats:
    """Return the number of sequences of each length, after long rows are truncated, split or dropped."""
    kept = {length: rows for length, rows in stats.counts.items() if not drops or length <= maxlen}
    pieces = make_segments(np.array(list(kept), dtype=np.int64), Plan(maxlen, "given", maxlen), spec)
    counts = np.array(list(kept.values()), dtype=np.int64)[pieces.row_sources]
    found: dict[int, int] = {}
    for length, rows in zip(pieces.lengths.tolist(), counts.tolist(), strict=True):
        found[length] = found.get(length, 0) + rows
    return LengthStats(found)
