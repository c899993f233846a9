"""Prepare a dataset job: list the shards, choose the columns, and compute the fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from padmask.core.plan import make_plan, needs_lengths, needs_survey
from padmask.errors import SpecError, UnreadableError
from padmask.formats import refuse_missing_package
from padmask.formats.dataset import Dataset
from padmask.shards.fingerprint import LEFT_OUT, Fingerprint, fingerprint_job
from padmask.shards.manifest import ShardRecord
from padmask.shards.split import (
    Shard,
    absolute,
    find_shards,
    refuse_bucket_names,
    refuse_no_shards,
    refuse_own_files,
    refuse_too_many,
)
from padmask.shards.worker import ShardWork, measure_shard
from padmask.spec.cuts import refuse_fixed_shapes
from padmask.spec.files import FileOptions
from padmask.spec.formats import FORMATS
from padmask.spec.warning_names import Warned
from padmask.storage.conflicts import refuse_replaced
from padmask.storage.folder import OutputFolder
from padmask.storage.inputs import InputFiles, find_inputs
from padmask.storage.source import sources_of
from padmask.storage.urls import display_path
from padmask.stream.inputs import data_notes
from padmask.stream.job import PadRequest
from padmask.stream.other_columns import make_output_job
from padmask.stream.overlap import choose_threads


@dataclass(frozen=True)
class DatasetJob:
    """The shards of a dataset, and the options to pad them.

    Args:
        identity: fingerprint of the job, for `--resume`.
        work: settings of the job for the workers.
        shards: shards to pad. A shard is an input file, or some row groups of a large Parquet file.
        unreadable: records of skipped files that cannot be opened.
        typed: whether the output needs column types that must be found in the rows of all inputs.
        source: name of the inputs, for messages.
        notes: value for `PadResult.notes`.
    """

    identity: Fingerprint
    work: ShardWork
    shards: Sequence[Shard]
    unreadable: Sequence[ShardRecord]
    typed: bool
    source: str
    notes: tuple[Warned, ...]

    @property
    def skips(self) -> bool:
        """Whether rows and files that cannot be read are skipped."""
        return self.work.job.policy.on_error == "skip"


def make_dataset_job(
    paths: Sequence[str], output: OutputFolder, asked: PadRequest, files: FileOptions, shard_bytes: int
) -> DatasetJob:
    """List the inputs, split them into shards, and choose the columns to pad.

    Args:
        paths: paths, URLs or patterns of the inputs.
        output: the output folder.
        asked: columns and options that the user requested.
        files: formats and limits.
        shard_bytes: a Parquet file that is larger than this size in bytes is split at row-group boundaries.

    Raises:
        SpecError: an option is not valid for the data.
        DataError: an input cannot be read.
        OutputError: an output would replace an input.
    """
    if not paths:
        raise SpecError("No input. Specify a file or a folder.")
    found = find_inputs(paths)
    refuse_no_shards(found.files, needs_folder=asked.spec.buckets is not None)
    refuse_replaced({"the rejects": files.rejects}, [file.path for file in found.files])
    with suggesting_skip(len(found.files) > 1 and asked.policy.on_error == "fail"):
        return _make_job(found, output, asked, files, shard_bytes)


def _make_job(
    found: InputFiles, output: OutputFolder, asked: PadRequest, files: FileOptions, shard_bytes: int
) -> DatasetJob:
    """Split the listed files into shards, and choose the columns to pad."""
    sources = sources_of(found.files)
    dataset = Dataset(sources, files.input_format, files.batch_rows, notes=found.notes)
    faults = dataset.leave_unreadable() if asked.policy.on_error == "skip" else {}
    format_ = FORMATS[files.output_format] if files.output_format else dataset.format
    refuse_missing_package(format_)
    if format_.is_folder:
        raise SpecError(
            f"{format_.title} output combines all inputs, so it cannot have a shard for each input. Choose "
            f"one output, such as -o padded{format_.shown_suffix}, or another --output-format.",
            options=["output_format"],
        )
    refuse_fixed_shapes(asked.spec, format_, files.fixed_size_list)
    readable = [file for file in found.files if file.path not in faults]
    shards = find_shards(readable, dataset.format, format_, shard_bytes)
    refuse_own_files(output, shards)
    buckets = asked.spec.buckets
    refuse_too_many(shards, buckets if isinstance(buckets, int) else len(buckets or ()))
    job = make_output_job(dataset, asked, format_)
    job = replace(job, fixed_size=files.fixed_size_list)
    typed = dataset.format.is_text and format_.needs_types
    measured = needs_survey(asked.spec) or typed
    schema = dataset.schema()
    if buckets is not None:
        refuse_bucket_names([*schema.names, *job.added], shards)
    # All fields of a row of JSON Lines are written, so the schema of the dataset does not affect the output.
    decides = pa.schema([]) if dataset.format.is_text else schema
    identity = fingerprint_job(
        shards, faults, (decides, job), asked, files, format_.name, shard_bytes, measured=measured
    )
    files, folder = choose_threads(files, dataset.format, format_), absolute(output.path)
    work = ShardWork(dataset.format, format_, schema, job, files, folder, identity.name)
    unreadable = [
        ShardRecord(len(shards) + i, "", display_path(absolute(path)), version=LEFT_OUT, fault=fault)
        for i, (path, fault) in enumerate(faults.items())
    ]
    return DatasetJob(
        identity,
        work,
        _limit_shards(work, shards, files.limit),
        unreadable,
        typed=typed,
        source=dataset.name,
        notes=data_notes(dataset, job, format_, files.limit),
    )


@contextmanager
def suggesting_skip(helps: bool) -> Iterator[None]:
    """Add the remedy `--on-error skip` to errors about unreadable files in the `with` block.

    Args:
        helps: whether `--on-error skip` would help. If False, errors stay unchanged.
    """
    try:
        yield
    except UnreadableError as error:
        if not helps:
            raise
        raise error.reworded(f"{error} To skip unreadable files, use --on-error skip.") from None


def _limit_shards(work: ShardWork, shards: Sequence[Shard], limit: int | None) -> list[Shard]:
    """Return the shards that contain the first `limit` rows.

    The row limit of each shard is `limit` minus the rows of the previous shards.
    """
    if limit is None:
        return list(shards)
    kept: list[Shard] = []
    spec, policy = work.job.spec, work.job.policy
    refused = None if needs_lengths(spec) or policy.overlong != "error" else make_plan(spec).maxlen
    for shard in shards:
        if limit <= 0 and kept:
            break
        kept.append(replace(shard, limit=limit))
        try:
            survey = measure_shard(work, kept[-1], typed=False)
            if refused is not None and survey.longest > refused:
                # The run ends with an error in this shard, so later shards must not be read.
                break
            limit -= survey.rows
        except UnreadableError:
            # This shard is skipped later, so its rows are not part of the limit.
            if policy.on_error != "skip":
                raise
    return kept
