"""Join windows that were read from files. The windows of a row may be in several chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from padmask.core.arrow_lists import join_batches
from padmask.core.join_windows import RowWindows, plan_join
from padmask.core.plan import Positions, Segments
from padmask.core.unpad_job import UnpadJob
from padmask.core.unpad_table import cut_and_join_columns
from padmask.errors import RowError
from padmask.formats.contract import Batch
from padmask.stream.ledger import Ledger
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.unpad_rows import OnError, UnpadRows


def group_windows(parts: Iterable[UnpadRows]) -> Iterator[UnpadRows]:
    """Regroup windows so that all windows of a row are in one part."""
    held: list[UnpadRows] = []
    for part in parts:
        if held and held[-1].batch.source != part.batch.source:
            yield _concat(held)
            held = []
        assert part.windows is not None
        firsts = np.flatnonzero(part.windows.places.numbers == 0)
        if not len(firsts):
            held.append(part)
            continue
        # The last row of this part may continue in the next part.
        last = int(firsts[-1])
        held.append(_slice(part, 0, last))
        yield _concat(held)
        held = [replace(_slice(part, last, len(part.batch)), ledger=Ledger(), refused=())]
    if held:
        yield _concat(held)


def join_windows(part: UnpadRows, job: UnpadJob, on_error: OnError) -> UnpadRows:
    """Join the windows of rows. The batch of the result has the unpadded columns.

    Raises:
        RowError: windows cannot be joined, and `on_error` is `"fail"`.
    """
    assert part.windows is not None
    plan = plan_join(part.windows, part.segments.counts)
    if plan.faults:
        if on_error == "fail":
            raise RowError(
                plan.faults[0].reason,
                place=part.batch.place(plan.faults[0].row),
                remedy="Fix the windows, skip such rows with --on-error skip, or keep the windows as rows "
                "with --no-join-windows.",
                options=["join_windows"],
            )
        part = _reject(part, {fault.row: fault.reason for fault in plan.faults})
        assert part.windows is not None
        plan = plan_join(part.windows, part.segments.counts)
    columns = cut_and_join_columns(part.batch.columns, [part.segments, *part.also], job, plan)
    batch = replace(part.batch.repeat(plan.firsts).without(job.all_dropped), columns=columns)
    kept = int(plan.counts.sum())
    joined = replace(
        part.ledger,
        rows_written=len(plan.firsts),
        tokens_kept=kept,
        tokens_repeated=part.ledger.tokens_kept - kept,
    )
    return replace(part, batch=batch, ledger=joined)


def _reject(part: UnpadRows, reasons: dict[int, str]) -> UnpadRows:
    good = np.setdiff1d(np.arange(len(part.batch)), list(reasons))
    kept = _take(part, good)
    tokens = int(part.segments.counts.sum() - kept.segments.counts.sum())
    places = int(part.segments.source_lengths.sum() - kept.segments.source_lengths.sum())
    empty = int((part.segments.counts == 0).sum() - (kept.segments.counts == 0).sum())
    change = Ledger(
        rows_used=-len(reasons),
        rows_written=-len(reasons),
        rows_rejected=len(reasons),
        rows_empty=-empty,
        tokens_read=-tokens,
        tokens_kept=-tokens,
        places=-places,
    )
    refused = [RejectedRow(part.batch, row, reason) for row, reason in sorted(reasons.items())]
    return replace(kept, ledger=part.ledger + change, refused=[*part.refused, *refused])


def _take(part: UnpadRows, rows: Positions) -> UnpadRows:
    return replace(
        part,
        rows=part.rows[rows],
        batch=part.batch.select(rows),
        segments=part.segments.select(rows),
        also=[its.select(rows) for its in part.also],
        windows=part.windows and part.windows.select(rows),
    )


def _slice(part: UnpadRows, start: int, stop: int) -> UnpadRows:
    if (start, stop) == (0, len(part.batch)):
        return part
    return replace(_take(part, np.arange(start, stop)), batch=part.batch.slice(start, stop))


def _concat(parts: Sequence[UnpadRows]) -> UnpadRows:
    first, *others = parts
    if not others:
        return first
    windows = [part.windows for part in parts if part.windows is not None]
    return replace(
        first,
        rows=np.concatenate([part.rows for part in parts]),
        batch=_concat_batches([part.batch for part in parts]),
        segments=_concat_segments([part.segments for part in parts]),
        ledger=reduce(Ledger.__add__, (part.ledger for part in parts)),
        refused=[row for part in parts for row in part.refused],
        consumed=parts[-1].consumed,
        also=[_concat_segments(its) for its in zip(*(part.also for part in parts), strict=True)],
        windows=RowWindows.concat(windows),
    )


def _concat_batches(batches: Sequence[Batch]) -> Batch:
    """Return consecutive rows of one input as one batch, without faults."""
    first = batches[0]
    objects = [row for batch in batches for row in batch.objects or ()]
    lines = [line for batch in batches for line in batch.lines or ()]
    return Batch(
        join_batches([batch.columns for batch in batches]),
        first.source,
        np.concatenate([batch.numbers for batch in batches]),
        first.unit,
        None if first.objects is None else objects,
        None if first.lines is None else lines,
    )


def _concat_segments(parts: Sequence[Segments]) -> Segments:
    return replace(
        parts[0],
        source_lengths=np.concatenate([part.source_lengths for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
    )
