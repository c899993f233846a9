"""Choose the plan of a run (its maxlen), and check that the padded rows fit on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from padmask.core.plan import Plan
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.stream.capacity import (
    bytes_per_position,
    predict_bytes,
    refuse_large_output,
    refuse_more_than_memory,
)
from padmask.stream.job import Job
from padmask.stream.layout import group_positions
from padmask.stream.passes import PadRun, plan_job
from padmask.stream.survey import Survey

# Number of positions that are padded at a time. The ids, the mask and their text fit in the CPU cache.
BATCH_POSITIONS = 1 << 18


def choose_plan(
    job: Job, measured: Survey | None, format_: FormatTraits, limit: int | None, places: Callable[[Plan], int]
) -> Plan:
    """Return the `Plan` of a job. If the padded rows do not fit on disk or in memory, raise an error.

    Args:
        job: columns and options of the run.
        measured: lengths of all rows; None if the user specified maxlen as a number.
        format_: format of the output.
        limit: size limit of the output in bytes; None if there is no limit.
        places: function that takes a plan, and returns how many positions are in memory at the same time.

    Raises:
        SpecError: the output exceeds the limit or the free memory.
    """
    plan = plan_job(job, measured)
    widths = bytes_per_position(job.columns, job.mask, format_)
    taken = 0
    for i, (group, its) in enumerate(zip(job.own, plan.own.values(), strict=True)):
        beside = bytes_per_position(group.columns, group.mask, format_)
        refuse_more_than_memory(its, beside, places(its))
        taken += predict_bytes(measured.own[i], its, group.spec, beside) if measured is not None else 0
    if job.spec.batches is None:
        refuse_more_than_memory(plan, widths, places(plan))
    if measured is not None:
        left = None if limit is None else limit - taken
        refuse_large_output(measured.lengths, plan, job.spec, widths, left, measured.place)
    return plan


def leave_space(run: PadRun, measured: Survey | None, plan: Plan, format_: FormatTraits) -> PadRun:
    """Return the run. Remove its kept rows if the disk may be too small for these rows and the output."""
    if run.kept is None or measured is None:
        return run
    lengths, plans = (measured.lengths, *measured.own), (plan, *plan.own.values())
    needed = sum(
        predict_bytes(stats, its, group.spec, bytes_per_position(group.columns, group.mask, format_))
        for stats, its, group in zip(lengths, plans, run.job.groups, strict=True)
    )
    return run if run.kept.leaves_space_for(needed) else replace(run, kept=None)


def rows_at_a_time(plan: Plan, files: FileOptions) -> int:
    """Return the number of rows that are padded in one operation."""
    widest = max(its.maxlen for its in (plan, *plan.own.values()))
    return files.batch_rows or max(1, BATCH_POSITIONS // max(1, widest))


def positions_in_memory(files: FileOptions, ahead: int) -> Callable[[Plan], int]:
    """Return a function that takes a plan, and returns how many positions are in memory at the same time.

    The result includes all blocks of rows, and one row group of each bucket.

    Args:
        files: formats and limits.
        ahead: number of blocks of rows that may be in memory at the same time.
    """
    return lambda plan: (
        rows_at_a_time(plan, files) * plan.maxlen * ahead
        + sum(max(group_positions(plan), edge) for edge in plan.edges or (plan.maxlen,))
    )
