"""`inspect_file`: masks, lengths, plans and health of a dataset.

One pass over raw or padded input. The files of a raw dataset are read in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace

import numpy as np

from padmask.core.columns import PadColumn
from padmask.core.kernel import pad_batch
from padmask.core.plan import LengthStats, make_plan, make_segments
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.formats.dataset import Dataset
from padmask.inspect.advice import plan_advice
from padmask.inspect.costs import candidate_costs
from padmask.inspect.inspection import Inspection, ShownRow
from padmask.inspect.read_files import InspectRequest, inspect_files_apart, inspect_rows
from padmask.spec.checks import at_least, choice, instance, optional
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import ReadOptions, read_options
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy, Side
from padmask.spec.show import ShowSpec
from padmask.storage.source import find_sources
from padmask.storage.urls import checked_paths
from padmask.stream.job import Job, PadRequest
from padmask.stream.progress import ProgressCallback
from padmask.stream.row_sample import Row
from padmask.verify.data.reading import add_file_findings, make_audit_job
from padmask.verify.data.rules import Audit, Finding


def inspect_file(  # noqa: PLR0913 - a keyword each for what the command takes
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    specs: Sequence[PadSpec] = (PadSpec(),),
    show: ShowSpec | None = None,
    mask_column: str | None = None,
    declared: Side | None = None,
    files: ReadOptions | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """Inspect a dataset of sequences, raw or padded, as `padmask inspect` does.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> seen = inspect_file([str(file)], show=ShowSpec())
    >>> seen.stats.rows, [row.mask.tolist() for row in seen.shown]
    (2, [[True, True], [True, False]])

    Args:
        inputs: paths of one dataset; `-` is standard input.
        columns: as in `pad_table`. Tokens of the first column are shown.
        specs: how to pad. Masks are shown for the first entry, plans for all.
        show: the rows to show; None shows no rows.
        mask_column: mask column of padded input; default the column that the metadata name, else `mask` or
            `attention_mask` if it contains padding or its rows have equal lengths.
        declared: side of the padding of padded input; default the side in the metadata, else the side of
            most rows.
        files: options for reading files; default `ReadOptions()`.
        executor: where the files of a raw dataset are read; None reads them in this process.
        workers: number of files that the executor reads at the same time; None uses `executor.workers`, else
            the number of cores.
        progress: progress callback.

    Raises:
        SpecError, DataError: as `pad_file`.
    """
    inputs = checked_paths(inputs)
    columns, files = as_list(columns), read_options(files)
    workers = optional(at_least(1))("workers", workers)
    show = optional(instance(ShowSpec))("show", show) or ShowSpec(last=0)
    declared = optional(choice(("post", "pre")))("declared", declared)
    specs = [instance(PadSpec)("specs", spec) for spec in ([specs] if isinstance(specs, PadSpec) else specs)]
    if not inputs or not specs:
        raise SpecError("There is nothing to inspect: give at least one input and one PadSpec.")
    spec = specs[0]
    sources = find_sources(inputs)
    with closing(Dataset(sources, files.input_format, files.batch_rows)) as dataset:
        asked = PadRequest(columns, spec, MaskSpec(column=None), RowPolicy())
        job = make_audit_job(dataset, asked, mask_column, declared)
        request = InspectRequest(dataset.format, dataset.schema(), job, files, show)
        # Padded files are read together, because the first rows may decide the side and the pad value.
        # Pipes can be read only in this process.
        once = any(source.is_pipe for source in sources)
        if len(sources) > 1 and job.padding is None and files.limit is None and not once:
            seen = inspect_files_apart(request, sources, executor, workers, progress)
            if show.sample is None and show.last:
                first = replace(request, files=replace(files, limit=show.last))
                seen = replace(seen, kept=inspect_rows(first, dataset).kept)
        else:
            seen = inspect_rows(request, dataset, progress)
        add_file_findings(seen.audit, dataset, job, files.limit)
    stats, shown_column = seen.stats, job.pad.columns[0]
    plans = candidate_costs(
        stats,
        [s.maxlen for s in specs if s.maxlen != "longest"],
        spec.pad_to_multiple_of,
        _token_bytes(shown_column),
    )
    return Inspection(
        dataset.name,
        shown_column.name,
        job.padding is not None,
        stats,
        [_show(row, job.pad, spec, stats) for row in seen.shown(show)],
        plans,
        _health(seen.audit),
        plan_advice(plans),
        job.notes,
    )


def _health(audit: Audit) -> list[Finding]:
    """Return the findings. A file that the manifest does not list is an error only in `verify`."""
    return [
        replace(one, rule=replace(one.rule, severity="warning")) if one.rule.name == "stranger-file" else one
        for one in audit.findings()
    ]


def _token_bytes(column: PadColumn) -> int:
    size = 1 if column.dtype == "string" else np.dtype(column.dtype).itemsize
    return size * (column.inner or 1)


def _show(row: Row, job: Job, spec: PadSpec, stats: LengthStats) -> ShownRow:
    """Return a padded row unchanged, or a raw row as `padmask pad` would pad it."""
    column = job.columns[0]
    values = row.values[column.name]
    if row.mask is not None:
        return ShownRow(row.number, int(row.mask.sum()), values, row.mask)
    one = Ragged(values, np.array([0]), np.array([len(values)]))
    segments = make_segments(one.lengths, make_plan(spec, stats), spec)
    padded = pad_batch(one, segments, value=column.value, dtype=column.numpy_dtype)
    return ShownRow(row.number, int(padded.lengths[0]), padded.values[0], padded.mask[0])
