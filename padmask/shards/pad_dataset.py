"""`pad_dataset`, which pads the files of a dataset into a folder with any `concurrent.futures` executor."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from padmask.errors import join_few
from padmask.shards.dataset_job import make_dataset_job
from padmask.shards.driver import Driver, FinishedDataset
from padmask.shards.manifest import sum_buckets, total
from padmask.shards.pool import WorkerPool
from padmask.shards.split import SHARD_BYTES
from padmask.spec.checks import at_least, flag, optional, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import FileOptions
from padmask.spec.keywords import FILE_ARGUMENTS, spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.spec.warning_names import Warned
from padmask.storage.conflicts import refuse_among_data, refuse_inside, refuse_missing_folder
from padmask.storage.folder import OutputFolder
from padmask.storage.urls import checked_path, checked_paths, refuse_mistyped
from padmask.stream.inputs import Paths
from padmask.stream.job import PadRequest
from padmask.stream.ledger import PadResult
from padmask.stream.progress import ProgressCallback
from padmask.stream.result import make_result

DELETED = "files of an earlier run were deleted, because no new file has the same name: {:,}"

REPLACED = (
    "output files of an earlier run were overwritten by files with the same names from other inputs. The "
    "inputs of the earlier files: {}"
)


def pad_dataset(  # noqa: PLR0913 - one keyword for each group of options
    inputs: Paths,
    folder: str | os.PathLike[str],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    resume: bool = False,
    delete: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: ProgressCallback | None = None,
    warn: Callable[[Warned], None] | None = None,
    **options: Any,
) -> PadResult:
    """Pad the files of a dataset into a folder. `padmask pad data/ -o padded/` calls this function.

    >>> import tempfile, pathlib
    >>> data = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (data / "a.jsonl").write_text('{"input_ids": [7, 8]}\\n')
    >>> _ = (data / "b.jsonl").write_text('{"input_ids": [9]}\\n')
    >>> padded = pathlib.Path(tempfile.mkdtemp())
    >>> result = pad_dataset(data, padded)
    >>> result.maxlen, result.shards, sorted(path.name for path in padded.iterdir())
    (2, 2, ['_padmask.json', 'a.jsonl', 'b.jsonl'])
    >>> print((padded / "b.jsonl").read_text(), end="")
    {"input_ids":[9,0],"mask":[true,false]}

    Args:
        inputs: paths, URLs or patterns. A folder means all data files in the folder.
        folder: path or URL of the output folder. padmask writes one file (shard) for each input file, and
            finally the manifest `_padmask.json`, which lists these files. With `spec.buckets`, each shard has
            one file in each of the folders `bucket=00064/`, `bucket=00128/`, and so on.
        columns, spec, mask, policy, options: as in `pad_file`. All rows of all shards have the same length.
            With `spec.buckets`, all rows of a bucket have the same length.
        files: formats and limits. The default output format is that of the input. If `policy.on_error` is
            `"skip"`, shards that cannot be read are skipped and reported.
        executor: executor that pads the shards: threads, processes or a cluster. If None, this process pads
            the shards one after another. A single shard is always padded in this process.
        workers: number of shards that the executor pads at the same time. If None, `executor.workers` is
            used, or the number of cores.
        resume: whether to continue an interrupted run that had the same inputs and options.
        delete: whether to delete the files of an earlier dataset that no new file replaces.
        shard_bytes: a Parquet file that is larger than this size in bytes is split at row-group boundaries
            into several shards.
        progress: function that is called with a `Progress` after each shard.
        warn: function that is called with a warning before the run deletes finished shards of an interrupted
            run. The result has the same warning.

    Returns:
        The result as in `pad_file`, summed over all shards.

    Raises:
        SpecError: an option is not valid for the data.
        DataError: a shard cannot be read or padded. `resume` can use the finished shards.
        OutputError: the folder is not writable, contains other data, or contains files that the run would
            delete.
    """
    asked = PadRequest(
        as_list(columns),
        spec_with(spec, options, FILE_ARGUMENTS),
        or_default("mask", mask, MaskSpec),
        or_default("policy", policy, RowPolicy),
    )
    files = or_default("files", files, FileOptions)
    workers = optional(at_least(1))("workers", workers)
    resume, delete = flag("resume", resume), flag("delete", delete)
    shard_bytes = at_least(1)("shard_bytes", shard_bytes)
    paths = checked_paths(inputs)
    output = OutputFolder(checked_path(folder))
    if files.rejects is not None:
        refuse_mistyped(files.rejects)
    refuse_inside({"the output": output.path, "the rejects": files.rejects}, paths)
    refuse_among_data(output.path, {"the rejects": files.rejects})
    refuse_missing_folder(files.rejects)
    with ExitStack() as stack:
        job = make_dataset_job(paths, output, asked, files, shard_bytes)
        pool = WorkerPool.of(executor, workers, len(job.shards), progress)
        if pool.executor is not None:
            # Other workers use the other cores.
            job = replace(job, work=replace(job.work, files=replace(job.work.files, threads=1)))
        new = output.url is None and not os.path.isdir(output.path)
        output.make()
        stack.enter_context(output.locked())
        if new:
            # Remove a new folder if the run fails before it writes a file.
            stack.callback(output.remove_if_empty)
        finished = Driver(job, pool).run(resume=resume, delete=delete, warn=warn)
    notes = (*job.notes, *_notes_on(finished))
    work, padded = job.work, total(finished.records)
    result = make_result(padded, finished.plan, work.job, work.output_format, notes)
    faults = tuple(sorted(record.fault for record in finished.records if record.fault))
    shards, resumed = len(finished.records) - len(faults), len(finished.decision.kept)
    buckets = sum_buckets(finished.records, finished.plan.edges)
    return replace(result, shards=shards, resumed=resumed, faults=faults, buckets=buckets)


def _notes_on(finished: FinishedDataset) -> list[Warned]:
    """Return warnings about files that were in the output folder before the run."""
    decision = finished.decision
    notes = [Warned("files-deleted", DELETED.format(finished.deleted))] if finished.deleted else []
    notes += decision.warnings
    if decision.replaced:
        notes.append(Warned("files-replaced", REPLACED.format(join_few(decision.replaced))))
    return notes
