"""Pad rows into buckets: each row goes to the file of the smallest bucket that fits the row.

The rows of a chunk are divided by their lengths, and each part is padded to the maxlen of its bucket. The
rows of a file are in the order of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padmask.core.buckets import buckets_of, plan_of_bucket
from padmask.core.plan import Plan
from padmask.core.planners import count_rows
from padmask.spec.formats import FormatTraits
from padmask.storage.output import SideFile
from padmask.stream.layout import make_layout
from padmask.stream.ledger import Ledger, PaddedRows
from padmask.stream.overlap import ordered_map
from padmask.stream.paddable_rows import PadTarget
from padmask.stream.passes import PadRun
from padmask.stream.plans import rows_at_a_time
from padmask.stream.rows import Rows, split_rows
from padmask.stream.run import RowSink, open_sink, write_refused

# Block size that no chunk exceeds. The rows of a chunk are divided into buckets before they are split.
_ALL_ROWS = 1 << 62


@dataclass(frozen=True)
class BucketPlace:
    """Where to write the file of a bucket.

    Args:
        path: path or URL of the file.
        final_path: path or URL to which the caller moves the complete file. Errors show this path.
        sealed: function that is called with the file descriptor when the file is complete.
    """

    path: str
    final_path: str
    sealed: Callable[[int], None]


@dataclass(frozen=True)
class _OpenBucket:
    """A bucket whose file is open."""

    target: PadTarget
    sink: RowSink


@dataclass
class _Buckets:
    """The open buckets of a run, keyed by edge. The first row of a bucket opens its file."""

    run: PadRun
    plan: Plan
    format_: FormatTraits
    place_of: Callable[[int], BucketPlace]
    stack: ExitStack
    open: dict[int, _OpenBucket] = field(default_factory=dict)

    def at(self, edge: int) -> _OpenBucket:
        """Return the bucket with this edge. Open its file if necessary."""
        if edge not in self.open:
            job, its = self.run.job, plan_of_bucket(self.plan, edge)
            layout = make_layout(job, its)
            place = self.place_of(edge)
            sink = self.stack.enter_context(
                open_sink(self.run, place.path, self.format_, layout, place.sealed, place.final_path)
            )
            self.open[edge] = _OpenBucket(PadTarget(job, its, sink.writer), sink)
        return self.open[edge]


def pad_rows_to_buckets(
    run: PadRun, plan: Plan, format_: FormatTraits, place_of: Callable[[int], BucketPlace]
) -> tuple[PaddedRows, Mapping[int, Ledger]]:
    """Pad all rows, and write each row to the file of its bucket.

    A bucket without rows has no file. Exception: if no row is written at all, the last bucket has a file
    without rows.

    Args:
        run: the run that reads the rows.
        plan: length of the output rows, with the edges of the buckets.
        format_: format of the output.
        place_of: function that takes the edge of a bucket, and returns where to write its file.

    Returns:
        The counts of all rows, and the counts of the written rows of each bucket, keyed by edge.
    """
    rejects_path, read = run.files.rejects, PaddedRows()
    run = replace(run, files=replace(run.files, rejects=None))
    with ExitStack() as stack:
        rejects = None if rejects_path is None else stack.enter_context(SideFile(rejects_path))
        buckets = _Buckets(run, plan, format_, place_of, stack)
        found: dict[int, Ledger] = {}

        def blocks(all_rows: Iterator[Rows]) -> Iterator[tuple[int, Rows]]:
            nonlocal read
            for rows in all_rows:
                for whole in rows.split(run.job, plan, _ALL_ROWS, read.ledger.rows_read):
                    read += PaddedRows(whole.ledger, tuple(whole.late))
                    write_refused(rejects, whole.refused)
                    for edge, block in split_by_bucket(whole, run, plan):
                        # Only this thread opens files.
                        buckets.at(edge)
                        yield edge, block

        def pad(block: tuple[int, Rows]) -> tuple[int, Any, Rows]:
            edge, rows = block
            return edge, *rows.pad(buckets.at(edge).target)

        with run.column_rows("padding") as all_rows:
            for edge, encoded, done in ordered_map(run.pool, pad, blocks(all_rows), run.ahead):
                buckets.at(edge).sink.write(encoded, ())
                found[edge] = found.get(edge, Ledger()) + done.ledger
        if not found:
            buckets.at(plan.maxlen)
            found[plan.maxlen] = Ledger()
    written = read + PaddedRows(sum(found.values(), Ledger()))
    for bucket in buckets.open.values():
        written += PaddedRows(column_notes=bucket.sink.column_notes)
    if not written.ledger.balanced:
        raise AssertionError(f"Internal error: the row counts do not add up. Please report this: {written}")
    return written, {edge: found[edge] for edge in sorted(found)}


def split_by_bucket(rows: Rows, run: PadRun, plan: Plan) -> Iterator[tuple[int, Rows]]:
    """Divide rows into blocks that each belong to one bucket. Yield each block with the edge of its bucket.

    The blocks have empty ledgers and no refused rows.

    Args:
        rows: the rows to write, without dropped and rejected rows.
        run: the run that reads the rows.
        plan: length of the output rows, with the edges of the buckets.
    """
    job, rows = run.job, replace(rows, ledger=Ledger(), refused=(), late=())
    places = buckets_of(rows.lengths, plan.edges)
    for bucket in np.unique(places).tolist():
        its = plan_of_bucket(plan, plan.edges[bucket])
        part = rows.select(np.flatnonzero(places == bucket), job.changed)
        weights = count_rows(part.lengths, its, job.spec, part.ends)
        for block in split_rows(part, rows_at_a_time(its, run.files), weights):
            yield its.maxlen, block
