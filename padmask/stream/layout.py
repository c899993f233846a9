"""The schema and the row sizes of the padded output."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from padmask.core.padding import check_names
from padmask.core.plan import Plan
from padmask.core.table import padded_schema
from padmask.formats.contract import Layout
from padmask.spec.formats import FormatTraits
from padmask.stream.job import Job
from padmask.stream.run import GROUP_POSITIONS

# Smallest row group of a bucket, in positions. The rows of all buckets wait in memory at the same time.
BUCKET_POSITIONS = 1 << 18


def group_positions(plan: Plan) -> int:
    """Return the number of positions in a row group of one output file.

    >>> group_positions(Plan(8, "given", 8)) // group_positions(Plan(8, "given", 8, edges=(4, 8)))
    2
    """
    return max(BUCKET_POSITIONS, GROUP_POSITIONS // max(1, len(plan.edges)))


def fit_to_format(job: Job, plan: Plan, format_: FormatTraits) -> tuple[Job, Layout]:
    """Return the job with the columns that the output format requires, and the layout of the output.

    Args:
        job: columns and options of the run.
        plan: length of the output rows.
        format_: format of the output.
    """
    copies = {}
    if (always := format_.length_column) is not None:
        # This format always contains the lengths under this name, and also under a requested name.
        copies = {name: always for name in [job.mask.length_column] if name not in (None, always)}
        job = replace(job, mask=replace(job.mask, length_column=always))
        check_names(pa.schema([]), [column for group in job.groups for column in group.columns], job.mask)
    return job, replace(make_layout(job, plan), copies=copies)


def make_layout(job: Job, plan: Plan) -> Layout:
    """Return the schema and the row sizes of the padded output.

    Args:
        job: columns and options of the run.
        plan: length of the output rows.
    """
    groups = list(zip(job.groups, (plan, *plan.own.values()), strict=True))
    schema = padded_schema(job.wanted.schema, groups, job.fixed_size, job.dropped, job.earlier)
    shapes: dict[str, tuple[int, ...]] = {}
    for group, its in groups:
        for column in group.columns:
            shapes[column.name] = (its.maxlen,) if column.inner is None else (its.maxlen, column.inner)
        if group.mask.column is not None:
            shapes[group.mask.column] = (its.maxlen,)
    if job.mask.length_column is not None:
        shapes[job.mask.length_column] = ()
    shapes |= dict.fromkeys(job.spec.added_columns, ())
    widest = max(its.maxlen for _, its in groups)
    return Layout(schema, shapes, max(1, group_positions(plan) // max(1, widest)))
