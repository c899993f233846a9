"""Read the rows to inspect in one pass: all files in this process, or each file on a worker."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial, reduce

import pyarrow as pa

from padmask.core.plan import LengthStats
from padmask.errors import WorkerDiedError
from padmask.formats.dataset import Dataset
from padmask.shards.pool import WorkerPool
from padmask.spec.files import ReadOptions
from padmask.spec.formats import FormatTraits
from padmask.spec.show import ShowSpec
from padmask.storage.source import Source
from padmask.stream.progress import ProgressCallback
from padmask.stream.row_sample import KeptRow, Row, RowSampler, choose_rows, pick_random, pick_range
from padmask.stream.run import open_reading
from padmask.verify.data.reading import AuditJob, audited_rows, open_audit
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class InspectRequest:
    """How rows are read, audited and shown.

    Args:
        format: format of the input.
        schema: columns of the whole dataset.
        job: how the rows are audited.
        files: options for reading files.
        show: the rows to show.
    """

    format: FormatTraits
    schema: pa.Schema
    job: AuditJob
    files: ReadOptions
    show: ShowSpec


@dataclass(frozen=True)
class InspectedRows:
    """Results of some rows. The results of parts of a dataset can be added, in the order of the rows.

    Args:
        stats: number of rows by length.
        audit: findings of the rules.
        kept: candidates for the rows to show. Of several parts, the ones with the smallest keys are shown.
    """

    stats: LengthStats
    audit: Audit
    kept: Sequence[KeptRow]

    def __add__(self, later: InspectedRows) -> InspectedRows:
        before = self.stats.rows
        moved = [replace(one, row=replace(one.row, number=one.row.number + before)) for one in later.kept]
        audit = self.audit.copy()
        audit.join(later.audit)
        return InspectedRows(self.stats + later.stats, audit, [*self.kept, *moved])

    def shown(self, show: ShowSpec) -> list[Row]:
        """Return the rows to show, in order."""
        return choose_rows([self.kept], show.sample)


def inspect_rows(
    request: InspectRequest, dataset: Dataset, progress: ProgressCallback | None = None
) -> InspectedRows:
    """Read and audit the rows of a dataset, and keep the rows to show."""
    show, stats, audit = request.show, LengthStats(), open_audit(request.job)
    pick = pick_range(show.first, show.last) if show.sample is None else pick_random(show.sample, show.seeds)
    sampler = RowSampler([pick])
    with (
        open_reading(dataset, request.files, progress) as reading,
        closing(audited_rows(reading, "measuring", request.job, audit)) as batches,
    ):
        for lengths, row_at in batches:
            sampler.take(lengths, row_at, stats.rows)
            stats += LengthStats.of(lengths)
    return InspectedRows(stats, audit, sampler.kept[0])


def inspect_files_apart(
    request: InspectRequest,
    sources: Sequence[Source],
    executor: Executor | None,
    workers: int | None,
    progress: ProgressCallback | None,
) -> InspectedRows:
    """Inspect each file of a raw dataset in a task of its own, and add the results.

    Of the rows to show, only random ones are kept. A task does not know the numbers of the rows.

    Args:
        request: how the rows are inspected.
        sources: the files.
        executor: where the tasks run; None runs them in this process.
        workers: number of tasks that the executor runs at the same time.
        progress: progress callback.
    """
    team = WorkerPool.of(executor, workers, len(sources), progress)
    whole, rows, read = sum(source.size or 0 for source in sources), 0, 0
    found: dict[int, InspectedRows] = {}
    # Workers share the cores, so each uses one thread.
    threads = 1 if team.executor is not None else request.files.threads or 1
    request = replace(request, files=replace(request.files, threads=threads))
    if request.show.sample is None:
        request = replace(request, show=replace(request.show, last=0))
    with closing(team.each(partial(_inspect_one_file, request), list(enumerate(sources)))) as outcomes:
        for (number, source), seen in outcomes:
            if isinstance(seen, WorkerDiedError):
                raise WorkerDiedError(f"{source.name}: {seen}")
            if isinstance(seen, Exception):
                raise seen
            found[number] = seen
            rows, read = rows + seen.stats.rows, read + (source.size or 0)
            team.report("measuring", rows, read, whole)
    return reduce(InspectedRows.__add__, (found[number] for number in sorted(found)))


def _inspect_one_file(request: InspectRequest, numbered: tuple[int, Source]) -> InspectedRows:
    """Inspect one file of several."""
    number, source = numbered
    # The seed depends on the file, so the draw does not depend on the workers.
    show = replace(request.show, seed=(*request.show.seeds, number))
    reader = Dataset([source], request.format.name, request.files.batch_rows, schema=request.schema)
    with closing(reader) as dataset:
        return inspect_rows(replace(request, show=show), dataset)
