"""The result of padding, for reports and summaries."""

from __future__ import annotations

import re
from collections.abc import Sequence

from padmask.core.plan import Plan
from padmask.errors import quoted
from padmask.formats import describe_columns
from padmask.spec.formats import FormatTraits
from padmask.spec.warning_names import Warned
from padmask.stream.job import Job
from padmask.stream.late_fields import late_notes
from padmask.stream.ledger import PaddedRows, PadResult


def make_result(
    padded: PaddedRows, plan: Plan, job: Job, format_: FormatTraits, notes: tuple[Warned, ...]
) -> PadResult:
    """Return the result of a run, for reports and summaries."""
    end_token = None if job.spec.packing is None else job.spec.packing.eos
    warnings, remarks = describe_columns(format_, {**job.left_out, **padded.column_notes})
    remarks = _of_all_buckets(remarks, plan.edges)
    own_remarks = (*_mask_remarks(job), *_renames(job))
    return PadResult(
        padded.ledger,
        plan.maxlen,
        plan.found,
        plan.exact,
        job.spec.padding,
        tuple(column.name for column in job.columns),
        dict(job.beside.unpadded),
        (
            *notes,
            *warnings,
            *(late_notes(padded.late) if job.late is not None and job.late.reported else ()),
        ),
        own={name: its.maxlen for name, its in plan.own.items()},
        remarks=(*own_remarks, *job.beside.remarks, *_kept_by_unpad(job, format_), *remarks),
        shared_end=job.beside.shared.cut_at(job.spec.truncating) if end_token is None else end_token,
        truncating=job.spec.truncating,
        packed=job.spec.packing is not None,
        batch_tokens=None if job.spec.batches is None else job.spec.batches.tokens,
    )


def _kept_by_unpad(job: Job, format_: FormatTraits) -> tuple[str, ...]:
    """Return a remark about added columns that `unpad` keeps, because the output has no metadata."""
    if not (format_.is_text and job.mask.made) or job.spec.packing is not None:
        return ()
    return (
        f"{format_.title} does not store which columns were added, so unpad keeps {quoted(job.mask.made)}",
    )


def _mask_remarks(job: Job) -> tuple[str, ...]:
    """Return a line with the name and dtype of a mask whose name is not `mask`; empty for other outputs."""
    name = job.mask.column
    return () if name in (None, "mask") else (f"mask: {name!r} ({job.mask.written_dtype})",)


def _renames(job: Job) -> tuple[str, ...]:
    """Return a line for each packed column that has another name in the output."""
    pairs = job.written_names.items()
    return tuple(f"column {name!r} is written as {new!r}" for name, new in pairs if name != new)


def _of_all_buckets(remarks: Sequence[str], edges: Sequence[int]) -> Sequence[str]:
    """Replace the row length of a bucket with MAXLEN in remarks, so that the remarks apply to all buckets.

    >>> _of_all_buckets(["'ids': FixedLenFeature([64], int64)"], (64, 128))
    ["'ids': FixedLenFeature([MAXLEN], int64)", 'MAXLEN is the edge of the bucket, such as 64']
    """
    shapes = "|".join(map(str, edges))
    general = [re.sub(rf"\[(?:{shapes})(?=[],])", "[MAXLEN", remark) for remark in remarks if edges]
    if not edges or general == [*remarks]:
        return remarks
    return [*general, f"MAXLEN is the edge of the bucket, such as {edges[0]}"]
