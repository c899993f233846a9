"""The tasks of a worker: measure a shard (find row lengths and types), or pad a shard.

A task has the same result each time, so the task can run again after a worker has died.
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
from padmask.spec.formats import FormatTraits
from padmask.storage.folder import OutputFolder
from padmask.stream.job import Job
from padmask.stream.json_text import can_pad_as_text
from padmask.stream.pad import pad_rows_to_file
from padmask.stream.passes import PadRun, Survey, survey
from padmask.stream.run import open_pool


@dataclass(frozen=True)
class ShardWork:
    """The settings of a job, which are the same for all shards.

    Args:
        source_format, output_format: formats of the input and the output.
        schema: columns of the dataset.
        job: columns and options of the run.
        files: formats and limits.
        folder: path or URL of the output folder.
        name: hash of the options and inputs of the job. It is part of the name of the staging folder.
        version: padmask version of the driver.
    """

    source_format: FormatTraits
    output_format: FormatTraits
    schema: pa.Schema
    job: Job
    files: FileOptions
    folder: str
    name: str
    version: str = __version__

    @property
    def staging(self) -> Staging:
        """The staging folder of the job."""
        return Staging(OutputFolder(self.folder), self.name)


def measure_shard(work: ShardWork, shard: Shard, typed: bool) -> Survey:
    """Find the row lengths of a shard. If `typed` is True, also find the types of its fields."""
    _refuse_other_version(work)
    with closing(_dataset(work, shard)) as dataset, open_pool(work.files) as pool:
        return survey(_run(work, shard, dataset, pool), typed)


def pad_shard(work: ShardWork, shard: Shard, plan: Plan) -> ShardRecord:
    """Pad a shard into the staging folder, write its record there, and return the record."""
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
        # Errors show the final path, not the path in the staging folder.
        staged, final_path = staging.folder.path_of(name), staging.folder.path_of(shard.name)
        padded = pad_rows_to_file(
            run, plan, staged, work.output_format, lambda file: sums.append(digest(file)), final_path
        )
    [(sha256, size)] = sums
    record = replace(record, ledger=padded.ledger, late=padded.late, size=size, sha256=sha256)
    record = replace(record, column_notes=dict(padded.column_notes))
    staging.write_record(record)
    return record


def _dataset(work: ShardWork, shard: Shard) -> Dataset:
    """Open a shard. Raise an error if its file has changed since the listing."""
    now, before, shared = shard.source.first_version(), shard.version, shard.source.shared_version
    if now is not None and before is not None and shared(now) != shared(before):
        raise ChangedError(
            f"{shard.source.name} was changed while it was read. Make sure that no other program writes to "
            "it, and run padmask again."
        )
    return Dataset([shard.source], work.source_format.name, work.files.batch_rows, work.schema)


def _run(work: ShardWork, shard: Shard, dataset: Dataset, pool: ThreadPoolExecutor | None) -> PadRun:
    files = replace(work.files, limit=shard.limit)
    as_text = work.source_format.is_text and work.output_format.is_text and can_pad_as_text(work.job)
    return PadRun(dataset, files, pool, None, files.max_bytes, work.job, as_text)


def _refuse_other_version(work: ShardWork) -> None:
    if work.version != __version__:
        raise PadmaskError(
            f"A worker has padmask {__version__}, but the driver has {work.version}, so the output may "
            "differ. Install the same version on all machines."
        )
