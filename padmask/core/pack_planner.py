"""Choose the planner of packed rows for the packing options."""

from __future__ import annotations

from padmask.core.keep_ends import Ends
from padmask.core.pack_windows import pack_rows
from padmask.core.packed_segments import plan_packed, plan_wrapped, round_up, without_empty
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import make_segments
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec


def make_packed_segments(
    lengths: Positions, plan: Plan, spec: PadSpec, packing: PackSpec, width: int, ends: Ends | None = None
) -> Segments:
    """Return the segments that pack all rows. Rows without tokens are left out.

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        plan: plan with the maxlen of all rows.
        spec: how to truncate or split rows longer than maxlen.
        packing: how to pack.
        width: number of values of each token over all packed columns.
        ends: numbers of tokens to keep, as in `make_segments`.
    """
    if packing.algorithm == "wrap":
        return plan_wrapped(lengths, plan.maxlen)
    segments = without_empty(make_segments(lengths, plan, spec, ends))
    rooms = round_up(segments.lengths, packing.align)
    return plan_packed(
        segments, pack_rows(rooms, rooms * width, plan.maxlen, packing), plan.maxlen, packing.align
    )
