"""Choose the plan of a run, and check that its rows fit on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable

from padmask.core.plan import Plan
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.stream.capacity import bytes_per_place, predict_bytes, refuse_large_output, refuse_large_pieces
from padmask.stream.job import Job
from padmask.stream.passes import Survey, plan_job
from padmask.stream.run import GROUP_PLACES

# Number of positions that are padded at a time. The ids, the mask and their text fit the CPU cache.
BATCH_PLACES = 1 << 18


def choose_plan(
    job: Job, measured: Survey | None, format_: FormatTraits, limit: int | None, places: Callable[[Plan], int]
) -> Plan:
    """Decide the length, and refuse a length whose rows do not fit on disk or in memory.

    Args:
        job: decisions about the padding of rows.
        measured: survey of all rows; None if the length is given.
        format_: format of the output.
        limit: size limit of the output in bytes; None without a limit.
        places: function that returns how many positions are in memory at the same time.

    Raises:
        SpecError: the output exceeds the limit or the free memory.
    """
    plan = plan_job(job, measured)
    widths = bytes_per_place(job.columns, job.mask, format_)
    taken = 0
    for i, (group, its) in enumerate(zip(job.own, plan.own.values(), strict=True)):
        beside = bytes_per_place(group.columns, group.mask, format_)
        refuse_large_pieces(its, beside, places(its))
        taken += predict_bytes(measured.own[i], its, group.spec, beside) if measured is not None else 0
    refuse_large_pieces(plan, widths, places(plan))
    if measured is not None:
        left = None if limit is None else limit - taken
        refuse_large_output(measured.lengths, plan, job.spec, widths, left, measured.place)
    return plan


def rows_at_a_time(plan: Plan, files: FileOptions) -> int:
    """Return the number of rows that are padded in one operation."""
    widest = max(its.maxlen for its in (plan, *plan.own.values()))
    return files.batch_rows or max(1, BATCH_PLACES // max(1, widest))


def places_in_memory(files: FileOptions, ahead: int) -> Callable[[Plan], int]:
    """Return a function for the smallest number of positions in memory: all pieces and one row group.

    Args:
        files: formats and limits.
        ahead: number of pieces that may be in memory at the same time.
    """
    return lambda plan: rows_at_a_time(plan, files) * plan.maxlen * ahead + max(GROUP_PLACES, plan.maxlen)
