"""Read the rows to inspect: all files in this process, or each file separately on an executor."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.length_counter import LengthCounter
from padmask.core.length_stats import LengthStats
from padmask.core.shared_ends import SharedEnds
from padmask.errors import DataError, WorkerDiedError
from padmask.formats.dataset import Dataset
from padmask.inspect.packed import PackedCounter
from padmask.inspect.shared_end import EndCounter
from padmask.shards.pool import WorkerPool
from padmask.spec.files import ReadOptions
from padmask.spec.formats import FormatTraits
from padmask.spec.pad import Side
from padmask.spec.show import ShowSpec
from padmask.storage.source import Source
from padmask.stream.ledger import BucketRows
from padmask.stream.progress import ProgressCallback
from padmask.stream.row_sample import (
    KeptRow,
    Pick,
    Row,
    RowSampler,
    choose_rows,
    pick_random,
    pick_range,
    without_bad_rows,
)
from padmask.stream.run import open_reading
from padmask.verify.data.audit_job import AuditJob
from padmask.verify.data.audit_rows import audit_rows, open_audits
from padmask.verify.data.rows_to_check import first_error
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class InspectRequest:
    """The options for inspecting rows.

    Args:
        format: format of the input.
        schema: schema of the dataset.
        job: columns to check, and how their padding is marked.
        files: options for reading files.
        show: rows to show.
        maxlen: length to which raw rows are padded for the checks. If None, the longest row determines
            the length.
    """

    format: FormatTraits
    schema: pa.Schema
    job: AuditJob
    files: ReadOptions
    show: ShowSpec
    maxlen: int | None = None


@dataclass(frozen=True)
class InspectedRows:
    """The results for a range of consecutive rows. `+` combines the results of adjacent ranges.

    Args:
        stats: number of rows of each length.
        audits: violations of the data rules, for each group of columns.
        kept: rows that may be shown, each with a random key. `shown` uses the keys to choose a random sample.
        shared: tokens with which most rows start and end.
        ends: lengths of the rows that have the shared token at the truncated end.
        width: number of positions in a row of padded input; 0 if the rows of several buckets have different
            numbers of positions; None for raw input.
        padding: side of the padding of padded input; None if it is unknown.
        buckets: rows and tokens of each length of padded rows, in ascending order; empty for raw input.
        packed: counts of the sequences of packed rows; None for other rows.
        files: number of rows of each length in each file, if the files are read separately.
        bad: number of bad rows, whose tokens cannot be read or padded. The other numbers leave them out.
        error: an error for the first bad row; None if there is none.
    """

    stats: LengthStats
    audits: Sequence[Audit]
    kept: Sequence[KeptRow]
    shared: SharedEnds = field(default_factory=SharedEnds)
    ends: LengthStats = field(default_factory=LengthStats)
    width: int | None = None
    padding: Side | None = None
    buckets: Sequence[BucketRows] = ()
    packed: PackedCounter | None = None
    files: Sequence[LengthStats] = ()
    bad: int = 0
    error: DataError | None = None

    @property
    def rows_read(self) -> int:
        """Number of rows, including bad rows."""
        return self.stats.rows + self.bad

    def __add__(self, later: InspectedRows) -> InspectedRows:
        before = self.rows_read
        moved = [replace(kept, row=replace(kept.row, number=kept.row.number + before)) for kept in later.kept]
        audits = [audit.copy() for audit in self.audits]
        for audit, others in zip(audits, later.audits, strict=True):
            audit.join(others)
        stats, ends, bad = self.stats + later.stats, self.ends + later.ends, self.bad + later.bad
        error = self.error or later.error
        kept_rows = [*self.kept, *moved]
        return replace(self, stats=stats, audits=audits, kept=kept_rows, ends=ends, bad=bad, error=error)

    @property
    def padding_share(self) -> float:
        """Share of the positions of padded rows that are padding, from 0 to 1."""
        places = sum(bucket.rows * bucket.maxlen for bucket in self.buckets)
        return 1 - self.stats.tokens / places if places else 0.0

    def shown(self, show: ShowSpec) -> list[Row]:
        """Return the rows to show, in the order of the input."""
        return choose_rows([self.kept], show.random_rows)


def inspect_rows(
    request: InspectRequest, dataset: Dataset, progress: ProgressCallback | None = None
) -> InspectedRows:
    """Read a dataset, check its rows against the rules, and sample the rows to show."""
    job, lengths, audits = request.job, LengthCounter(), open_audits(request.job)
    column, width, padding = job.pad.columns[0].name, None, None
    widths: dict[int, BucketRows] = {}
    # In the first rows of padded input, pad values may be at the ends, so the shared tokens must be found
    # after the padding is removed.
    shared = job.pad.beside.shared if job.padding is None else None
    counter = EndCounter(job.pad.spec.truncating, shared)
    packed = None if job.packed is None or job.packed.marker is None else PackedCounter(job.packed.align)
    sampler = RowSampler([without_bad_rows(_pick_shown(request.show))])
    bad, error = 0, None
    with (
        open_reading(dataset, request.files, progress) as reading,
        closing(audit_rows(reading, "measuring", job, audits, request.maxlen, is_cut=False)) as batches,
    ):
        for checked in batches:
            batch, good = checked.rows, ~checked.source.bad_tokens
            error = error or first_error(checked.source, job.pad)
            counter.add(batch.tokens[column])
            # The width of rows from several buckets is 0.
            width, padding = batch.width if width in (None, batch.width) else 0, batch.padding
            sampler.take(np.where(good, batch.lengths, -1), batch.row_at, lengths.rows + bad)
            bad += len(good) - int(good.sum())
            lengths.add(batch.lengths[good])
            if batch.places is not None:
                _add_widths(widths, batch.places[good], batch.lengths[good])
            if packed is not None and batch.sequences is not None and batch.places is not None:
                packed.add(batch.sequences.select(good), batch.places[good])
    found, buckets = counter.found(), [widths[width] for width in sorted(widths)]
    return InspectedRows(
        lengths.stats(),
        audits,
        sampler.kept[0],
        *found,
        width,
        padding,
        buckets,
        packed,
        bad=bad,
        error=error,
    )


def _add_widths(
    widths: dict[int, BucketRows], places: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> None:
    """Count padded rows by their number of positions.

    Args:
        widths: counts, to which the rows are added.
        places: number of positions in each row.
        lengths: number of tokens in each row.
    """
    found, which = np.unique(places, return_inverse=True)
    rows = np.bincount(which, minlength=len(found))
    tokens = np.bincount(which, lengths, len(found)).astype(np.int64)
    for width, more_rows, more_tokens in zip(found.tolist(), rows.tolist(), tokens.tolist(), strict=True):
        before = widths.get(width, BucketRows(width, 0, 0))
        widths[width] = BucketRows(width, before.rows + more_rows, before.tokens + more_tokens)


def _pick_shown(show: ShowSpec) -> Pick:
    if show.random_rows is not None:
        return pick_random(show.random_rows, show.seeds)
    return pick_range(show.first, show.stop)


def inspect_files_separately(
    request: InspectRequest,
    sources: Sequence[Source],
    executor: Executor | None,
    workers: int | None,
    progress: ProgressCallback | None,
) -> InspectedRows:
    """Read each file of a raw dataset separately, and combine the results.

    If the report shows random rows, the results contain them. If it shows a range of rows, the caller reads
    this range separately.
    """
    pool = WorkerPool.of(executor, workers, len(sources), progress)
    size, rows, read = sum(source.size or 0 for source in sources), 0, 0
    found: dict[int, InspectedRows] = {}
    # Each worker uses one thread, because the workers already use all cores.
    threads = 1 if pool.executor is not None else request.files.threads or 1
    request = replace(request, files=replace(request.files, threads=threads))
    if request.show.random_rows is None:
        request = replace(request, show=replace(request.show, last=0))
    with closing(pool.each(partial(_inspect_one_file, request), list(enumerate(sources)))) as outcomes:
        for (number, source), inspected in outcomes:
            if isinstance(inspected, WorkerDiedError):
                raise WorkerDiedError(f"{source.name}: {inspected}")
            if isinstance(inspected, Exception):
                raise inspected
            found[number] = inspected
            rows, read = rows + inspected.rows_read, read + (source.size or 0)
            pool.report("measuring", rows, read, size)
    parts = [found[number] for number in sorted(found)]
    return replace(reduce(InspectedRows.__add__, parts), files=[part.stats for part in parts])


def _inspect_one_file(request: InspectRequest, numbered: tuple[int, Source]) -> InspectedRows:
    """Read and check the rows of one file. `numbered` is the index of the file and the file itself."""
    number, source = numbered
    # Each file has a different seed, so the sample does not depend on the worker that reads the file.
    show = replace(request.show, seed=(*request.show.seeds, number))
    reader = Dataset([source], request.format.name, request.files.batch_rows, schema=request.schema)
    with closing(reader) as dataset:
        return inspect_rows(replace(request, show=show), dataset)
