"""Choose the `Layout` of the padded output: its schema, the shapes of its rows, and its row groups."""

from __future__ import annotations

from padmask.core.made_columns import made_columns
from padmask.core.metadata import METADATA_KEY
from padmask.core.packed_columns import packed_schema
from padmask.core.plan import Plan
from padmask.core.table import padded_schema
from padmask.formats.contract import Layout
from padmask.spec.batches import BATCH
from padmask.stream.job import Job
from padmask.stream.run import GROUP_POSITIONS

# Smallest row group of a bucket, in positions. One row group of each bucket is in memory at the same time.
BUCKET_POSITIONS = 1 << 18

# Maximum number of bytes that `PackedCounts` and `PaddedRun` add to the metadata.
LARGEST_COUNTS, LARGEST_RUN = 1 << 10, 1 << 9


def group_positions(plan: Plan) -> int:
    """Return the number of positions in a row group. With several buckets, row groups are smaller.

    >>> group_positions(Plan(8, "given", 8)) // group_positions(Plan(8, "given", 8, edges=(4, 8)))
    2
    """
    return max(BUCKET_POSITIONS, GROUP_POSITIONS // max(1, len(plan.edges)))


def make_layout(job: Job, plan: Plan) -> Layout:
    """Return the `Layout` of the padded output: its schema, the shapes of its rows, and its row groups.

    Args:
        job: columns and options of the run.
        plan: length of the output rows.
    """
    if job.spec.packing is not None:
        return _packed_layout(job, plan)
    groups = list(zip(job.groups, (plan, *plan.own.values()), strict=True))
    schema = padded_schema(job.wanted.schema, groups, job.fixed_size, job.dropped, job.earlier)
    shapes: dict[str, tuple[int, ...]] = {}
    for group, its in groups:
        for column in [*group.columns, *made_columns(group.columns, group.mask, its.maxlen)]:
            shapes[column.name] = (its.maxlen,) if column.inner is None else (its.maxlen, column.inner)
        if group.mask.column is not None:
            shapes[group.mask.column] = (its.maxlen,)
    if job.mask.length_column is not None:
        shapes[job.mask.length_column] = ()
    shapes |= dict.fromkeys(job.spec.added_columns, ())
    late = {} if plan.edges or job.spec.buckets is not None else {METADATA_KEY: LARGEST_RUN}
    if job.spec.batches is not None:
        ragged = [name for name, shape in shapes.items() if shape]
        shapes = {name: shape for name, shape in shapes.items() if not shape}
        groups_of = (BATCH, job.columns[0].name)
        return Layout(schema, shapes, GROUP_POSITIONS, ragged=ragged, groups=groups_of, late=late)
    widest = max(its.maxlen for _, its in groups)
    return Layout(schema, shapes, max(1, group_positions(plan) // max(1, widest)), late=late)


def _packed_layout(job: Job, plan: Plan) -> Layout:
    schema = packed_schema(job.wanted.schema, job.groups[0], plan, job.dropped, job.earlier)
    packed = [*job.written_names.values(), *job.added]
    group_rows = max(1, GROUP_POSITIONS // max(1, plan.maxlen))
    ragged = [name for name in packed if name in schema.names]
    return Layout(schema, {}, group_rows, ragged=ragged, late={METADATA_KEY: LARGEST_COUNTS})
