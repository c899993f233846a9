"""Read the rows to inspect in one pass: all files here, or each file by itself on whatever executor."""

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
    """How rows are inspected.

    Args:
        format: of the input.
        schema: the columns of the whole dataset.
        job: what is audited.
        files: how files are read.
        show: which rows to keep.
    """

    format: FormatTraits
    schema: pa.Schema
    job: AuditJob
    files: ReadOptions
    show: ShowSpec


@dataclass(frozen=True)
class InspectedRows:
    """What was found in some rows; such findings add up, in the order of the rows.

    Args:
        stats: rows by length.
        audit: what the rules found.
        kept: the rows to show; where rows are drawn, those of all parts with the smallest keys.
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
        """Return the rows to show, in their order."""
        return choose_rows([self.kept], show.sample)


def inspect_rows(
    looking: InspectRequest, dataset: Dataset, progress: ProgressCallback | None = None
) -> InspectedRows:
    """Read and audit the rows of a dataset, and keep those to show."""
    show, stats, audit = looking.show, LengthStats(), open_audit(looking.job)
    pick = pick_range(show.first, show.last) if show.sample is None else pick_random(show.sample, show.seeds)
    sampler = RowSampler([pick])
    with (
        open_reading(dataset, looking.files, progress) as reading,
        closing(audited_rows(reading, "measuring", looking.job, audit)) as batches,
    ):
        for lengths, row_at in batches:
            sampler.take(lengths, row_at, stats.rows)
            stats += LengthStats.of(lengths)
    return InspectedRows(stats, audit, sampler.kept[0])


def inspect_files_apart(
    looking: InspectRequest,
    sources: Sequence[Source],
    executor: Executor | None,
    workers: int | None,
    progress: ProgressCallback | None,
) -> InspectedRows:
    """Read each file of a raw dataset by itself, and add up what was found.

    Only rows that are drawn are kept: which rows are the first ones, no file knows.
    """
    team = WorkerPool.of(executor, workers, len(sources), progress)
    whole, rows, read = sum(source.size or 0 for source in sources), 0, 0
    found: dict[int, InspectedRows] = {}
    # The other workers have the other cores.
    threads = 1 if team.executor is not None else looking.files.threads or 1
    looking = replace(looking, files=replace(looking.files, threads=threads))
    if looking.show.sample is None:
        looking = replace(looking, show=replace(looking.show, last=0))
    with closing(team.each(partial(_inspect_one_file, looking), list(enumerate(sources)))) as outcomes:
        for (number, source), seen in outcomes:
            if isinstance(seen, WorkerDiedError):
                raise WorkerDiedError(f"{source.name}: {seen}")
            if isinstance(seen, Exception):
                raise seen
            found[number] = seen
            rows, read = rows + seen.stats.rows, read + (source.size or 0)
            team.report("measuring", rows, read, whole)
    return reduce(InspectedRows.__add__, (found[number] for number in sorted(found)))


def _inspect_one_file(looking: InspectRequest, numbered: tuple[int, Source]) -> InspectedRows:
    """Read one file of several."""
    number, source = numbered
    # Each file draws for itself, so that the worker that reads it makes no difference.
    show = replace(looking.show, seed=(*looking.show.seeds, number))
    reader = Dataset([source], looking.format.name, looking.files.batch_rows, schema=looking.schema)
    with closing(reader) as dataset:
        return inspect_rows(replace(looking, show=show), dataset)
