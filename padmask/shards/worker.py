"""What a worker does with one shard: measure it, or pad it into the staging folder.

A task gives the same result each time, so that it can run again when its worker died.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import pyarrow as pa

from padmask._version import __version__
from padmask.core.plan import Plan
from padmask.errors import ChangedError, PadmaskError
from padmask.formats.dataset import Dataset
from padmask.shards.manifest import ShardRecord, digest
from padmask.shards.split import Shard
from padmask.shards.staging import REJECTS, Staging
from padmask.spec.files import FileOptions
from padmask.storage.folder import OutputFolder
from padmask.stream.job import Job
from padmask.stream.json_text import takes_text
from padmask.stream.pad import pad_rows_to_file
from padmask.stream.passes import PadRun, Survey, survey
from padmask.stream.run import open_pool


@dataclass(frozen=True)
class ShardWork:
    """What a worker must know besides the shard: the same for all shards of a job.

    Args:
        source_format, goal_format: of the input and the output.
        schema: the columns of the whole dataset.
        job: how rows are padded.
        files: how files are read and written.
        folder: the output folder.
        name: what names the job.
        version: of the padmask that asks.
    """

    source_format: str
    goal_format: str
    schema: pa.Schema
    job: Job
    files: FileOptions
    folder: str
    name: str
    version: str = __version__

    @property
    def staging(self) -> Staging:
        """Where shards wait."""
        return Staging(OutputFolder(self.folder), self.name)


def measure_shard(work: ShardWork, shard: Shard, typed: bool) -> Survey:
    """Return what a shard's rows tell of the length and, where they must be found, the types."""
    _refuse_other_version(work)
    with closing(_dataset(work, shard)) as dataset, open_pool(work.files) as pool:
        return survey(_run(work, shard, dataset, pool), typed)


def pad_shard(work: ShardWork, shard: Shard, plan: Plan) -> ShardRecord:
    """Pad a shard into its place in the staging folder, and return the record that is kept beside it."""
    _refuse_other_version(work)
    staging = work.staging
    record = ShardRecord(shard.index, shard.name, shard.address, version=shard.stamp)
    name, sums = staging.shard_file(record), []
    staging.folder.make_parent(name)
    with closing(_dataset(work, shard)) as dataset, open_pool(work.files) as pool:
        run = _run(work, shard, dataset, pool)
        if run.files.rejects is not None:
            rejects = staging.folder.path_of(staging.file(shard.index, REJECTS))
            run = replace(run, files=replace(run.files, rejects=rejects))
        # Errors name the file that the user asked for, not the staged one.
        staged, final_path = staging.folder.path_of(name), staging.folder.path_of(shard.name)
        ledger = pad_rows_to_file(
            run, plan, staged, work.goal_format, lambda file: sums.append(digest(file)), final_path
        )
    [(sha256, size)] = sums
    record = replace(record, ledger=ledger, size=size, sha256=sha256)
    staging.keep(record)
    return record


def _dataset(work: ShardWork, shard: Shard) -> Dataset:
    """Open a shard, if it is what it was when all was decided: later the dataset itself looks after it."""
    now, before, shared = shard.source.first_version(), shard.version, shard.source.shared_version
    if now is not None and before is not None and shared(now) != shared(before):
        raise ChangedError(
            f"{shard.source.name} was changed while it was read. Make sure that nothing else writes to it, "
            "and run this again."
        )
    return Dataset([shard.source], work.source_format, work.files.batch_rows, work.schema)


def _run(work: ShardWork, shard: Shard, dataset: Dataset, pool: ThreadPoolExecutor | None) -> PadRun:
    files = replace(work.files, limit=shard.limit)
    as_text = work.source_format == work.goal_format == "jsonl" and takes_text(work.job)
    return PadRun(dataset, files, pool, None, files.max_bytes, work.job, as_text)


def _refuse_other_version(work: ShardWork) -> None:
    if work.version != __version__:
        raise PadmaskError(
            f"A worker has padmask {__version__}, and the one that asks has {work.version}: what they write "
            "may differ. Install the same version everywhere."
        )
