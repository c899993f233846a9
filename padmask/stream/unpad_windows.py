"""Join windows that were read from files. The windows of a row may be in several chunks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

import msgspec
import numpy as np

from padmask.core.join_windows import (
    RowWindows,
    find_differences,
    join_remedy,
    other_value,
    plan_join,
)
from padmask.core.plan import Positions, Segments
from padmask.core.unpad_job import UnpadJob
from padmask.core.unpad_table import cut_and_join_columns
from padmask.errors import Fault, RowError
from padmask.formats.contract import Batch
from padmask.stream.join_batches import join_batch
from padmask.stream.ledger import Ledger, count_rejected
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.unpad_rows import OnError, UnpadRows


def group_windows(parts: Iterable[UnpadRows]) -> Iterator[UnpadRows]:
    """Regroup the windows, so that all windows of a source row are in one `UnpadRows`."""
    held: list[UnpadRows] = []
    for part in parts:
        assert part.windows is not None
        if held and held[-1].batch.source != part.batch.source:
            rows = _concat(held)
            if part.windows.places.numbers[:1].any():
                # The last row of the previous file may continue in this file.
                rows = replace(rows, gaps=np.append(rows.gaps, len(rows.batch)))
            yield rows
            held = []
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
    """Join the windows of each source row. The batch of the result has the unpadded columns.

    Raises:
        RowError: windows cannot be joined, and `on_error` is `"fail"`.
    """
    assert part.windows is not None
    found = find_field_differences(part.batch, part.windows, job.may_differ)
    # Gaps before the first window belong to another file.
    for row in part.gaps[part.gaps > 0] - 1:
        reason = f"the row after {part.windows.name(row)} was rejected, so a window may be missing"
        found.append(Fault(int(row), reason))
    return join_planned(part, job, on_error, found, join_remedy)


def join_planned(
    part: UnpadRows, job: UnpadJob, on_error: OnError, found: Iterable[Fault], remedy: Callable[[Fault], str]
) -> UnpadRows:
    """Join the windows of each source row, except the source rows that have errors.

    Args:
        part, job, on_error: as in `join_windows`.
        found: a `Fault` for each window in which an earlier check found an error.
        remedy: function that returns the remedy for an error.

    Raises:
        RowError: windows cannot be joined, and `on_error` is `"fail"`.
    """
    assert part.windows is not None
    plan = plan_join(part.windows, part.segments.counts, found)
    if plan.faults:
        if on_error == "fail":
            cause = plan.causes[0]
            raise RowError(
                cause.reason,
                place=part.batch.place(cause.row),
                column=cause.column,
                remedy=remedy(cause),
                options=["join_windows"],
            )
        part = _reject(part, {fault.row: str(fault) for fault in plan.faults})
        assert part.windows is not None
        plan = plan_join(part.windows, part.segments.counts)
    columns = cut_and_join_columns(part.batch.columns, [part.segments, *part.also], job, plan)
    batch = replace(part.batch.repeat(plan.firsts).without(job.all_dropped), columns=columns)
    for fields, length in zip(batch.objects or (), plan.row_lengths.tolist(), strict=False):
        if job.kept_length is not None:
            fields[job.kept_length] = msgspec.Raw(b"%d" % length)
    kept = int(plan.counts.sum())
    joined = replace(
        part.ledger,
        rows_written=len(plan.firsts),
        tokens_kept=kept,
        tokens_repeated=part.ledger.tokens_kept - kept,
    )
    return replace(part, batch=batch, ledger=joined)


def find_field_differences(batch: Batch, windows: RowWindows, without: Collection[str]) -> list[Fault]:
    """Return a `Fault` for each field of a window that differs from the previous window of the same row."""
    if batch.objects is None:
        return find_differences(batch.columns, windows, without)
    found = []
    for row in windows.later.tolist():
        fields, before = batch.objects[row], batch.objects[row - 1]
        if fields != before:
            names = [name for name in {**before, **fields} if fields.get(name) != before.get(name)]
            found += [other_value(windows, row, name) for name in names if name not in without]
    return found


def _reject(part: UnpadRows, reasons: dict[int, str]) -> UnpadRows:
    good = np.setdiff1d(np.arange(len(part.batch)), list(reasons))
    kept = replace(_take(part, good), gaps=part.gaps[:0])
    tokens = int(part.segments.counts.sum() - kept.segments.counts.sum())
    places = int(part.segments.source_lengths.sum() - kept.segments.source_lengths.sum())
    empty = int((part.segments.counts == 0).sum() - (kept.segments.counts == 0).sum())
    change = Ledger(
        rows_used=-len(reasons),
        rows_written=-len(reasons),
        rows_empty=-empty,
        tokens_read=-tokens,
        tokens_kept=-tokens,
        places=-places,
    ) + count_rejected(reasons.values())
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
    # A gap belongs to the row before it.
    gaps = part.gaps[((part.gaps > start) | (start == 0)) & (part.gaps <= stop)] - start
    return replace(_take(part, np.arange(start, stop)), batch=part.batch.slice(start, stop), gaps=gaps)


def _concat(parts: Sequence[UnpadRows]) -> UnpadRows:
    first, *others = parts
    if not others:
        return first
    windows = [part.windows for part in parts if part.windows is not None]
    befores = np.cumsum([0, *(len(part.batch) for part in parts)])
    return replace(
        first,
        rows=np.concatenate([part.rows for part in parts]),
        batch=join_batch([part.batch for part in parts]),
        segments=_concat_segments([part.segments for part in parts]),
        ledger=reduce(Ledger.__add__, (part.ledger for part in parts)),
        refused=[row for part in parts for row in part.refused],
        consumed=parts[-1].consumed,
        also=[_concat_segments(its) for its in zip(*(part.also for part in parts), strict=True)],
        windows=RowWindows.concat(windows),
        gaps=np.concatenate([part.gaps + before for part, before in zip(parts, befores, strict=False)]),
    )


def _concat_segments(parts: Sequence[Segments]) -> Segments:
    return replace(
        parts[0],
        source_lengths=np.concatenate([part.source_lengths for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
    )
