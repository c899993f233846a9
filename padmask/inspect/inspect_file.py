"""`inspect_file`, which computes length statistics, masks, plans and findings for a dataset.

Each row is read once. The files of a raw dataset are read in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from typing import Literal

from padmask.core.join_windows import has_windows
from padmask.core.keep_ends import check_end_columns
from padmask.core.padding import read_groups
from padmask.errors import LaterPaddingError, SpecError
from padmask.formats.dataset import Dataset
from padmask.inspect.inspection import Inspection
from padmask.inspect.make_inspection import InspectOptions, ReadDataset, Shape, make_inspection
from padmask.inspect.read_files import InspectedRows, InspectRequest, inspect_files_separately, inspect_rows
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.checks import at_least, instance, optional
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import ReadOptions, read_options
from padmask.spec.mask import MaskKind, MaskSpec, Polarity, asked_dialect
from padmask.spec.pad import PadSpec, RowPolicy, Side
from padmask.spec.show import ShowSpec
from padmask.spec.sides import checked_side
from padmask.storage.inputs import find_inputs
from padmask.storage.source import Source, sources_of
from padmask.storage.urls import checked_paths
from padmask.stream.job import PadRequest
from padmask.stream.padding import known_schemas
from padmask.stream.progress import ProgressCallback
from padmask.verify.data.audit_job import AuditJob, make_audit_job
from padmask.verify.data.audit_rows import add_file_findings


def inspect_file(  # noqa: PLR0913 - one keyword per option of the command
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    specs: Sequence[PadSpec] = (PadSpec(),),
    overlong: Literal["truncate", "drop", "error"] = "truncate",
    show: ShowSpec | None = None,
    mask_column: str | None = None,
    mask_polarity: Polarity | None = None,
    mask_kind: MaskKind | None = None,
    declared: Side | None = None,
    files: ReadOptions | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """Compute length statistics, masks, plans and findings for a raw or padded dataset.

    A plan is a candidate for the output row lengths, with its cost.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> inspection = inspect_file([str(file)], show=ShowSpec())
    >>> inspection.stats.rows, [row.mask.tolist() for row in inspection.shown]
    (2, [[True, True], [True, False]])

    Args:
        inputs: paths of one dataset. `-` is standard input.
        columns: columns to inspect, as in `pad_table`. The result shows tokens of the first column.
        specs: padding options. The first spec sets all options except maxlen. The maxlen of each spec is one
            plan. The largest maxlen also limits buckets, batches and packed rows. The result shows the masks
            of the recommended plan. If the specs keep tokens at the ends of truncated rows, or split rows
            into windows, the plans with one length do so too.
        overlong: how plans with one length handle rows longer than this length, if the specs have no windows:
            `"truncate"`, `"drop"` or `"error"`.
        show: rows to show. If None, no rows are shown.
        mask_column: mask column of padded input. If None, the column is found from the metadata, else by its
            name.
        mask_polarity: which positions of a binary mask are True or 1: `"real"` tokens or `"padding"`. If
            None, the metadata decides, else the name of the mask: a `key_padding_mask` is True at padding.
        mask_kind: kind of the mask, `"binary"` or `"additive"`. If None, the kind in the metadata is used,
            else `"binary"`.
        declared: padding side of padded input, `"post"` or `"pre"`. If None, the side in the metadata is
            used, else the most common side.
        files: input format and limits. If None, `ReadOptions()` is used.
        executor: executor that reads the files of a raw dataset in parallel. If None, this process reads the
            files.
        workers: number of files to read in parallel. If None, the executor's `workers` attribute is used,
            else the number of cores.
        progress: callback that receives progress updates.

    Raises:
        SpecError: an option is invalid, or a column is missing or has an unsupported type.
        DataError: the input is invalid, or all its rows are bad.
    """
    columns, files = as_list(columns), read_options(files)
    workers = optional(at_least(1))("workers", workers)
    specs = [instance(PadSpec)("specs", spec) for spec in ([specs] if isinstance(specs, PadSpec) else specs)]
    asked = InspectOptions(
        checked_paths(inputs),
        columns,
        specs,
        overlong,
        optional(instance(ShowSpec))("show", show) or ShowSpec(last=0),
        mask_column,
        asked_dialect(mask_polarity, mask_kind),
        optional(checked_side)("declared", declared),
        files,
    )
    if not asked.inputs or not specs:
        raise SpecError("`inspect_file` requires at least one input and one PadSpec.")
    found = find_inputs(asked.inputs)
    sources = sources_of(found.files)
    with closing(Dataset(sources, files.input_format, files.batch_rows, notes=found.notes)) as dataset:
        job = _make_job(dataset, asked)
        try:
            rows = _read_rows(dataset, sources, job, asked, executor, workers, progress)
        except LaterPaddingError as error:
            if dataset.once:
                # A pipe can be read only once.
                raise
            # The first rows contain no padding. Read the rows again with the mask.
            asked = replace(asked, mask_column=error.column)
            job = _make_job(dataset, asked)
            rows = _read_rows(dataset, sources, job, asked, executor, workers, progress)
        if rows.error is not None and not rows.stats.rows:
            # There is nothing to inspect. The error has the likely reason.
            if rows.bad > 1:
                rows.error.remedy = f"All {rows.bad:,} rows are bad. {rows.error.remedy}"
            raise rows.error
        return make_inspection(
            asked,
            ReadDataset(dataset.name, dataset.schema(), job, rows, _shape(dataset, job, rows), dataset.notes),
        )


def _make_job(dataset: Dataset, asked: InspectOptions) -> AuditJob:
    """Choose the columns to inspect, and check the requested columns."""
    request = PadRequest(
        asked.columns, _spec_to_read(asked.specs), MaskSpec(column=None), RowPolicy(overlong=asked.overlong)
    )
    job = make_audit_job(dataset, request, asked.mask_column, asked.declared, asked.dialect)
    if dataset.schema().names:
        with dataset.named_in_errors():
            check_end_columns(dataset.schema(), asked.spec)
    return job


def _read_rows(
    dataset: Dataset,
    sources: Sequence[Source],
    job: AuditJob,
    asked: InspectOptions,
    executor: Executor | None,
    workers: int | None,
    progress: ProgressCallback | None,
) -> InspectedRows:
    """Read all rows once, and check the rows and files against the rules."""
    files, show = asked.files, asked.show
    request = InspectRequest(
        dataset.format, dataset.schema(), job, files, show, _length_to_check(asked.maxlens)
    )
    # Padded files are read in sequence, because the first rows can determine the side and the pad value.
    # If an input is a pipe, this process reads all files, because a pipe can be read only once.
    is_raw, has_pipe = job.padding is None and not job.also, any(source.is_pipe for source in sources)
    if len(sources) > 1 and is_raw and files.limit is None and not has_pipe:
        rows = inspect_files_separately(request, sources, executor, workers, progress)
        if show.random_rows is None and show.stop:
            first = replace(request, files=replace(files, limit=show.stop))
            rows = replace(rows, kept=inspect_rows(first, dataset).kept)
    else:
        rows = inspect_rows(request, dataset, progress)
    add_file_findings(rows.audits, dataset, job, files.limit)
    return rows


def _shape(dataset: Dataset, job: AuditJob, rows: InspectedRows) -> Shape:
    """Return the kind of the rows, such as `"packed"`, from the metadata, the columns and the folders."""
    if rows.packed is not None or job.unseparated is not None:
        return "packed"
    if job.batched:
        return "batches"
    if job.padding is None:
        return "raw"
    groups = [group for groups in read_groups(known_schemas(dataset)).values() for group in groups]
    if any(map(bucket_folder_of, dataset.names)) or any(group.buckets for group in groups):
        return "buckets"
    return "windows" if has_windows(dataset.schema()) else "padded"


def _spec_to_read(specs: Sequence[PadSpec]) -> PadSpec:
    """Return the padding options to check against the input.

    If the only requested maxlen is `longest`, options that keep tokens at the ends of truncated rows are
    removed. `pad` refuses these options with `--maxlen longest`. `inspect` accepts them, because it also
    proposes other lengths.
    """
    spec = next((one for one in specs if one.maxlen != "longest"), specs[0])
    if spec.maxlen == "longest" and spec.windows is None:
        return replace(spec, keep_first=0, keep_last=0)
    return spec


def _length_to_check(maxlens: Sequence[int | str]) -> int | None:
    """Return the length to which raw rows are padded for the checks; None for the longest row.

    If all requested values of maxlen are numbers, the length is the largest of them.
    """
    numbers = [maxlen for maxlen in maxlens if isinstance(maxlen, int)]
    return max(numbers) if numbers and len(numbers) == len(maxlens) else None
