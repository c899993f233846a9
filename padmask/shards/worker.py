"""The tasks of a worker: measure a shard (find row lengths and types), or pad a shard.

A task always has the same result, so a task can run again after its worker died.
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
from padmask.shards.manifest import BucketFile, OutputFile, ShardRecord, digest
from padmask.shards.split import Shard
from padmask.shards.staging import REJECTS, Staging
from padmask.spec.buckets import bucket_file
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.storage.folder import OutputFolder
from padmask.stream.buckets import BucketPlace, pad_rows_to_buckets
from padmask.stream.job import Job
from padmask.stream.json_text import can_pad_as_text
from padmask.stream.overlap import open_pool
from padmask.stream.pad import pad_rows_to_file
from padmask.stream.passes import PadRun, survey
from padmask.stream.survey import Survey


@dataclass(frozen=True)
class ShardWork:
    """The settings of a job, which are the same for all shards.

    Args:
        source_format, output_format: formats of the input and the output.
        schema: columns of the dataset.
        job: columns and options of the run.
        files: formats and limits.
        folder: path or URL of the output folder.
        name: hash of the options and inputs of the job. The name of the staging folder contains this hash.
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
    with closing(open_shard(work, shard)) as dataset, open_pool(work.files) as pool:
        return survey(_run(work, shard, dataset, pool), typed)


def pad_shard(work: ShardWork, shard: Shard, plan: Plan) -> ShardRecord:
    """Pad a shard into the staging folder, write its record there, and return the record."""
    _refuse_other_version(work)
    staging = work.staging
    record = ShardRecord(shard.index, shard.name, shard.address, version=shard.stamp)
    with closing(open_shard(work, shard)) as dataset, open_pool(work.files) as pool:
        run = _run(work, shard, dataset, pool)
        if run.files.rejects is not None:
            rejects = staging.folder.path_of(staging.file(shard.index, REJECTS))
            run = replace(run, files=replace(run.files, rejects=rejects))
        record = (_pad_to_buckets if plan.edges else _pad_to_file)(run, record, plan, work)
    staging.write_record(record)
    return record


def _pad_to_file(run: PadRun, record: ShardRecord, plan: Plan, work: ShardWork) -> ShardRecord:
    """Pad the rows of a shard to one file, and return the record of the shard."""
    sums: list[tuple[str, int]] = []
    place = _place_of(work.staging, record, record.name, None, sums)
    padded = pad_rows_to_file(
        run, plan, place.path, work.output_format, place.sealed, final_path=place.final_path
    )
    [(sha256, size)] = sums
    return replace(record.with_rows(padded), size=size, sha256=sha256)


def _pad_to_buckets(run: PadRun, record: ShardRecord, plan: Plan, work: ShardWork) -> ShardRecord:
    """Pad the rows of a shard to one file for each bucket that has rows, and return the record."""
    sums: dict[int, list[tuple[str, int]]] = {edge: [] for edge in plan.edges}

    def place_of(edge: int) -> BucketPlace:
        return _place_of(work.staging, record, bucket_file(edge, record.name), edge, sums[edge])

    padded, ledgers = pad_rows_to_buckets(run, plan, work.output_format, place_of)
    files = []
    for edge, ledger in ledgers.items():
        [(sha256, size)] = sums[edge]
        tokens = ledger.tokens_kept + ledger.tokens_repeated
        name = bucket_file(edge, record.name)
        files.append(BucketFile(edge, name, ledger.rows_written, tokens, size, sha256))
    size = sum(file.size for file in files)
    return replace(record.with_rows(padded), size=size, buckets=tuple(files))


def _place_of(
    staging: Staging, record: ShardRecord, name: str, maxlen: int | None, sums: list[tuple[str, int]]
) -> BucketPlace:
    """Return the location of a file in the staging folder.

    When the file is written, its checksum and size are added to `sums`.
    """
    staged = staging.shard_file(record, OutputFile(name, 0, "", maxlen))
    staging.folder.make_parent(staged)
    # Errors show the final path, not the path in the staging folder.
    path_of = staging.folder.path_of
    return BucketPlace(path_of(staged), path_of(name), lambda file: sums.append(digest(file)))


def open_shard(work: ShardWork, shard: Shard) -> Dataset:
    """Open a shard. Raise an error if its file has changed since the inputs were listed."""
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
            f"A worker has padmask {__version__}, but the process that started the run has "
            f"{work.version}, so the output may differ. Install the same version on all machines."
        )
