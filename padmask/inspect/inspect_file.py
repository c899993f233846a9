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

import numpy as np

from padmask.core.columns import PadColumn
from padmask.core.join_windows import has_windows
from padmask.core.keep_ends import check_end_columns
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.padding import read_groups
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.ragged import Ragged
from padmask.errors import SpecError, count
from padmask.formats.dataset import Dataset
from padmask.inspect.advice import (
    Advice,
    Adviser,
    advise_on_packed_rows,
    advise_to_join,
    advise_to_restore,
)
from padmask.inspect.commands import STDIN, PadCommand, has_many_files, new_name
from padmask.inspect.costs import CostBasis, candidate_costs
from padmask.inspect.cuts import Cuts
from padmask.inspect.inspection import Inspection, ShownRow
from padmask.inspect.padded_options import find_padded_options
from padmask.inspect.read_files import InspectedRows, InspectRequest, inspect_files_separately, inspect_rows
from padmask.inspect.shared_end import SharedEnd
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.checks import as_int, at_least, instance, optional
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import ReadOptions, read_options
from padmask.spec.formats import RECOMMENDED_FORMAT
from padmask.spec.mask import MaskKind, MaskSpec, Polarity, asked_dialect
from padmask.spec.pad import PadSpec, RowPolicy, Side
from padmask.spec.show import ShowSpec
from padmask.spec.sides import checked_side
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.storage.inputs import find_inputs
from padmask.storage.source import sources_of
from padmask.storage.urls import checked_paths
from padmask.stream.job import Job, PadRequest
from padmask.stream.late_fields import late_notes
from padmask.stream.padding import known_schemas
from padmask.stream.progress import ProgressCallback
from padmask.stream.row_sample import Row
from padmask.verify.data.audit_job import add_file_findings, findings_of, make_audit_job
from padmask.verify.data.rules import Audit, Finding


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
        specs: padding options. The first spec sets all options except maxlen. The maxlen of each spec is a
            plan. The largest maxlen also limits buckets, batches and packed rows. The masks are those of the
            recommended plan. If the specs keep ends or have windows, so do the plans with one length.
        overlong: what plans with one length do with longer rows, if the specs have no windows: `"truncate"`,
            `"drop"` or `"error"`.
        show: rows to show. If None, no rows are shown.
        mask_column: mask column of padded input. If None, the column is found from the metadata, else by its
            name.
        mask_polarity: which positions of a binary mask are True or 1: `"real"` tokens or `"padding"`. If
            None, the metadata decide, else the name of the mask: a `key_padding_mask` is True at padding.
        mask_kind: `"binary"` or `"additive"`. If None, the metadata decide, else `"binary"`.
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
        DataError: the input is invalid.
    """
    inputs = checked_paths(inputs)
    columns, files = as_list(columns), read_options(files)
    workers = optional(at_least(1))("workers", workers)
    show = optional(instance(ShowSpec))("show", show) or ShowSpec(last=0)
    declared = optional(checked_side)("declared", declared)
    dialect = asked_dialect(mask_polarity, mask_kind)
    specs = [instance(PadSpec)("specs", spec) for spec in ([specs] if isinstance(specs, PadSpec) else specs)]
    if not inputs or not specs:
        raise SpecError("`inspect_file` requires at least one input and one PadSpec.")
    maxlens = [one.maxlen for one in specs]
    maxlens = [] if maxlens == ["longest"] else maxlens
    policy, spec = RowPolicy(overlong=overlong), replace(specs[0], own_lengths=())
    found = find_inputs(inputs)
    sources = sources_of(found.files)
    with closing(Dataset(sources, files.input_format, files.batch_rows, notes=found.notes)) as dataset:
        asked = PadRequest(columns, _spec_to_read(specs), MaskSpec(column=None), policy)
        job = make_audit_job(dataset, asked, mask_column, declared, dialect)
        if dataset.schema().names:
            with dataset.named_in_errors():
                check_end_columns(dataset.schema(), spec)
        request = InspectRequest(
            dataset.format, dataset.schema(), job, files, show, _length_to_check(maxlens)
        )
        # Padded files are read in sequence, because the first rows can determine the side and the pad value.
        # If an input is a pipe, this process reads all files, because a pipe can be read only once.
        has_pipe = any(source.is_pipe for source in sources)
        is_raw = job.padding is None and not job.also
        if len(sources) > 1 and is_raw and files.limit is None and not has_pipe:
            inspected = inspect_files_separately(request, sources, executor, workers, progress)
            if show.random_rows is None and show.stop:
                first = replace(request, files=replace(files, limit=show.stop))
                inspected = replace(inspected, kept=inspect_rows(first, dataset).kept)
        else:
            inspected = inspect_rows(request, dataset, progress)
        add_file_findings(inspected.audits, dataset, job, files.limit)
        has_parts = job.padding is not None and has_windows(dataset.schema())
        in_buckets = job.padding is not None and _has_buckets(dataset)
        again = None
        if job.padding is not None and not job.packed:
            tokens = job.pad.columns[0].name
            again = find_padded_options(dataset.schema(), job.padding, columns, spec, tokens)
        has_window_columns = not {*WINDOW_COLUMNS}.isdisjoint(dataset.schema().names)
    stats, shown_column, shared = inspected.stats, job.pad.columns[0], None
    token = inspected.shared.cut_at(spec.truncating)
    if token is not None:
        shared = SharedEnd(token, spec.truncating, inspected.ends)
    is_kept = bool(spec.keep_last if spec.truncating == "post" else spec.keep_first)
    cuts = replace(Cuts.of(spec, overlong, inspected.shared), has_window_columns=has_window_columns)
    unkept = None if is_kept else shared
    basis = CostBasis(stats, spec.pad_to_multiple_of, _token_bytes(shown_column), unkept, cuts)
    plans = candidate_costs(basis, maxlens)
    # The new rows have their padding on the same side, unless the user chooses a side.
    spec = replace(spec, padding=declared or _side(spec, inspected))
    is_padded, suffix = job.padding is not None, RECOMMENDED_FORMAT.suffixes[0]
    command = PadCommand(
        inputs,
        new_name("padded", "/" if has_many_files(inputs) and not is_padded else suffix),
        columns,
        files.input_format,
        new_name("rows", suffix) if is_padded else None,
        mask_column,
        dialect,
        [column.name for column in job.pad.columns] if columns else [],
        again,
    )
    adviser = Adviser(basis, {cost.name: cost for cost in plans}, command, spec, inspected.width)
    packed = None
    if inspected.packed is not None:
        spec_of_rows = None if job.packed is None else job.packed.spec
        known = None if spec_of_rows is None else as_int(spec_of_rows.maxlen)
        packed = inspected.packed.found(known or inspected.width or stats.longest)
        # The costs of plans for packed rows have no meaning.
        plans = []
    if packed is not None:
        advice = advise_on_packed_rows(command)
    elif job.batched or in_buckets:
        padding_share = 1 - stats.tokens / inspected.places if inspected.places else 0.0
        advice = advise_to_restore(command, "batches" if job.batched else "buckets", padding_share)
    else:
        advice = advise_to_join(command, maxlens, spec) if has_parts else adviser.recommend(maxlens)
    advice = _name_stdin(advice, inputs)
    # The rows are shown as the recommended plan cuts them, or as one of their windows.
    spec = replace(advice.spec or replace(spec, maxlen="longest"), windows=None)
    chosen = inspected.shown(show)
    is_new = advice.plan is not None and advice.plan not in plans
    return Inspection(
        dataset.name,
        shown_column.name,
        is_padded,
        stats,
        [_show(row, job.pad, spec, stats) for row in chosen],
        [*plans, advice.plan] if is_new and advice.plan else plans,
        _health(inspected.audits),
        advice,
        shared,
        show.random_rows is not None,
        (
            *dataset.notes,
            *job.notes,
            *late_notes(inspected.audits[0].late, "check"),
            *_notes(spec, show, files, stats, chosen),
        ),
        packed,
    )


def _has_buckets(dataset: Dataset) -> bool:
    """Return whether padded rows come from buckets, according to the folders or the metadata."""
    groups = [group for groups in read_groups(known_schemas(dataset)).values() for group in groups]
    return any(map(bucket_folder_of, dataset.names)) or any(group.buckets for group in groups)


def _spec_to_read(specs: Sequence[PadSpec]) -> PadSpec:
    """Return the padding options that are checked against the input.

    Ends are kept only in rows longer than some maxlen. Without a maxlen, percentiles are proposed, so a
    request to keep ends is no mistake.
    """
    spec = next((one for one in specs if one.maxlen != "longest"), specs[0])
    if spec.maxlen == "longest" and spec.windows is None:
        return replace(spec, keep_first=0, keep_last=0)
    return spec


def _length_to_check(maxlens: Sequence[int | str]) -> int | None:
    """Return the expected length of padded rows; None if rows are padded to the longest row."""
    numbers = [maxlen for maxlen in maxlens if isinstance(maxlen, int)]
    return max(numbers) if numbers and len(numbers) == len(maxlens) else None


def _side(spec: PadSpec, inspected: InspectedRows) -> Side:
    return (inspected.padding or "post") if spec.padding == "post" else spec.padding


def _name_stdin(advice: Advice, inputs: Sequence[str]) -> Advice:
    """Add a line about the placeholder for standard input."""
    if "-" not in inputs or not advice.command:
        return advice
    line = f"In the command, replace {STDIN} with a file, or with - to pipe the data again."
    return replace(advice, details=(*advice.details, line))


def _notes(
    spec: PadSpec, show: ShowSpec, files: ReadOptions, stats: LengthStats, chosen: Sequence[Row]
) -> list[str]:
    """Return facts about the numbers and the shown rows."""
    notes = []
    if files.limit is not None and stats.rows == files.limit:
        first = f"only the first {count(stats.rows, 'row')} were read (--limit)"
        notes.append(f"{first}. The recommended command reads all rows, so its numbers differ")
    if show.random_rows is None and show.first < show.stop and not chosen:
        rows = count(stats.rows, "row")
        notes.append(f"rows {show.first}:{show.stop} do not exist, because the input has {rows}")
    if spec.end_columns:
        notes.append(
            f"the plans ignore column {spec.end_columns[0]!r}, which has the number of tokens to keep in "
            "each row. With windows, the output has more rows than the plans show"
        )
    return notes


def _health(audits: Sequence[Audit]) -> list[Finding]:
    """Return the findings, with `stranger-file` as a warning. In `verify`, this rule is an error."""
    return [
        replace(finding, rule=replace(finding.rule, severity="warning"))
        if finding.rule.name == "stranger-file"
        else finding
        for finding in findings_of(audits)
    ]


def _token_bytes(column: PadColumn) -> int:
    size = 1 if column.dtype == "string" else np.dtype(column.dtype).itemsize
    return size * (column.inner or 1)


def _show(row: Row, job: Job, spec: PadSpec, stats: LengthStats) -> ShownRow:
    """Convert a sampled row to a `ShownRow`. Raw rows are padded first."""
    column = job.columns[0]
    values = row.values[column.name]
    if row.mask is not None:
        return ShownRow(row.number, int(row.mask.sum()), values, row.mask, segments=row.segments)
    ragged = Ragged(values, np.array([0]), np.array([len(values)]))
    segments = make_segments(ragged.lengths, make_plan(spec, stats), spec)
    padded = pad_batch(ragged, segments, value=column.value, dtype=column.numpy_dtype)
    kept, cut_first = int(padded.lengths[0]), spec.truncating == "pre"
    first, last = (end if isinstance(end, int) else 0 for end in (spec.keep_first, spec.keep_last))
    return ShownRow(
        row.number,
        kept,
        padded.values[0],
        padded.mask[0],
        len(values) - kept,
        cut_first,
        first if cut_first else kept - last,
    )
