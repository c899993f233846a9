"""Choose the planner for the padding options: truncate rows, keep their ends, or split them into windows."""

from __future__ import annotations

from padmask.core.keep_ends import Ends, plan_keep_ends
from padmask.core.plan import Plan, Positions, Segments, plan_pad
from padmask.core.windows import count_windows, plan_windows
from padmask.spec.pad import PadSpec


def make_segments(lengths: Positions, plan: Plan, spec: PadSpec, ends: Ends | None = None) -> Segments:
    """Return the `Segments` that pad rows according to `spec`.

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        plan: plan with the maxlen of all rows.
        spec: how to pad.
        ends: numbers of tokens to keep, read from columns of the input. If None, the numbers in `spec` are
            used, and a column name in `spec` counts as 0.
    """
    sides = {"padding": spec.padding, "truncating": spec.truncating}
    if spec.windows is not None:
        ends = ends or _constant_ends(spec, len(lengths))
        return plan_windows(lengths, plan.maxlen, ends, spec.windows.overlap, **sides)
    # Truncation at one side keeps the other end anyway.
    if not (spec.keep_last if spec.truncating == "post" else spec.keep_first):
        return plan_pad(lengths, plan.maxlen, **sides)
    return plan_keep_ends(lengths, plan.maxlen, ends or _constant_ends(spec, len(lengths)), **sides)


def count_rows(lengths: Positions, plan: Plan, spec: PadSpec, ends: Ends | None = None) -> Positions | None:
    """Return the number of output rows of each source row: int64, shape (rows,); None if all numbers are 1.

    The arguments are as in `make_segments`.
    """
    if spec.windows is None:
        return None
    ends = ends or _constant_ends(spec, len(lengths))
    return count_windows(lengths, plan.maxlen, ends, spec.windows.overlap)


def _constant_ends(spec: PadSpec, rows: int) -> Ends:
    first, last = (end if isinstance(end, int) else 0 for end in (spec.keep_first, spec.keep_last))
    return Ends.constant(first, last, rows)
