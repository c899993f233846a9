"""Choose the planner that arranges packed rows, from the packing options."""

from __future__ import annotations

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.batches import select_output_rows
from padmask.core.keep_ends import Ends
from padmask.core.pack_windows import cut_windows, pack_window
from padmask.core.packed_segments import (
    join_segments,
    plan_packed,
    plan_wrapped,
    round_up,
    with_sources,
    without_empty,
)
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import count_rows, make_segments
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec


def make_sequences(
    lengths: Positions, plan: Plan, spec: PadSpec, ends: Ends | None = None, used: int = 0
) -> Segments:
    """Return `Segments` with one output row for each sequence to pack. Rows without tokens are left out.

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        plan: plan with the maxlen of all rows.
        spec: how to truncate or split rows longer than maxlen, and how to pack.
        ends: numbers of tokens to keep, as in `make_segments`.
        used: number of tokens that are already in the first packed row. It is less than maxlen, and only the
            algorithm `"wrap"` uses it.
    """
    assert spec.packing is not None
    if spec.packing.algorithm == "wrap":
        return plan_wrapped(lengths, plan.maxlen, used)
    return without_empty(make_segments(lengths, plan, spec, ends))


def pack_next(
    held: Segments, new: Segments, plan: Plan, spec: PadSpec, *, last: bool
) -> tuple[Segments, Segments]:
    """Pack the sequences of a window, and the sequences left over from the previous window.

    Args:
        held: sequences left over from the previous window.
        new: sequences of the window, from `make_sequences`. Their source rows are numbered as in `held`.
        plan: plan with the maxlen of all rows.
        spec: how to pack.
        last: whether there are no more sequences after this window.

    Returns:
        The segments of the packed rows, and the sequences left over for the next window.
    """
    assert spec.packing is not None
    sequences = join_segments([held, new])
    rows, done = _choose_packed_rows(sequences, plan, spec.packing, last=last)
    left = select_output_rows(sequences, np.flatnonzero(~done), plan.maxlen)
    packed = sequences if done.all() else select_output_rows(sequences, np.flatnonzero(done), plan.maxlen)
    return plan_packed(packed, rows[done], plan.maxlen, spec.packing.align), left


def _choose_packed_rows(
    sequences: Segments, plan: Plan, packing: PackSpec, *, last: bool
) -> tuple[Positions, Flags]:
    """Return the packed row of each sequence, and whether the sequence is packed, as in `pack_window`."""
    if packing.algorithm == "wrap":
        ends = np.cumsum(sequences.lengths)
        rows = (ends - 1) // plan.maxlen
        done = np.full(len(rows), last) | (rows < (ends[-1] // plan.maxlen if len(ends) else 0))
        return np.where(done, rows, -1), done
    return pack_window(round_up(sequences.lengths, packing.align), plan.maxlen, packing, last=last)


def plan_pack(
    lengths: Positions, plan: Plan, spec: PadSpec, width: int, ends: Ends | None = None
) -> Segments:
    """Return the `Segments` that pack all rows. Rows without tokens are left out.

    `pack_file` packs the same rows in the same way.

    >>> from padmask.core.plan import make_plan
    >>> spec = PadSpec(maxlen=8, packing=PackSpec())
    >>> plan_pack(np.array([5, 6, 3, 2]), make_plan(spec), spec, 1).row_lengths.tolist()
    [8, 8]

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        plan: plan with the maxlen of all rows.
        spec: how to truncate or split rows longer than maxlen, and how to pack.
        width: number of values per token, summed over all packed columns.
        ends: numbers of tokens to keep, as in `make_segments`.
    """
    counts = count_rows(lengths, plan, spec, ends)
    windows = list(cut_windows(np.ones_like(lengths) if counts is None else counts, lengths * width))
    packed: list[Segments] = []
    held = with_sources(make_sequences(lengths[:0], plan, spec), lengths, 0)
    for start, stop in windows or [(0, 0)]:
        its = ends and ends.select(slice(start, stop))
        new = make_sequences(lengths[start:stop], plan, spec, its, used=int(held.lengths.sum()))
        new = with_sources(new, lengths, start)
        rows, held = pack_next(held, new, plan, spec, last=stop == len(lengths))
        packed.append(rows)
    return join_segments(packed)
