"""`pad_file`: pad files of sequences into one file. Reading, padding and writing overlap.

Padding reads the input once, unless maxlen or types of JSON fields must be found (see `make_attempts`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

from padmask.core.plan import Plan, needs_survey
from padmask.formats import output_format
from padmask.formats.contract import Writer
from padmask.formats.jsonl.types import OtherTypesError
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.cuts import refuse_fixed_shapes
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.spec.keywords import FILE_ARGUMENTS, spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.storage.output_places import buckets_need_folder
from padmask.stream.batch_blocks import batch_blocks
from padmask.stream.capacity import available_bytes, refuse_zero_maxlen
from padmask.stream.chunk_tasks import TextWork, refuse_workers
from padmask.stream.inputs import Paths, check_paths, data_notes, open_dataset
from padmask.stream.job import Job, PadRequest
from padmask.stream.json_text import can_pad_as_text
from padmask.stream.late_metadata import late_metadata
from padmask.stream.layout import make_layout
from padmask.stream.ledger import PaddedRows, PadResult
from padmask.stream.other_columns import make_output_job
from padmask.stream.overlap import choose_threads, open_pool, ordered_map
from padmask.stream.pack_blocks import pack_blocks
from padmask.stream.paddable_rows import PaddableBlock, PaddableRows, PadTarget
from padmask.stream.passes import PadRun, make_attempts
from padmask.stream.plans import choose_plan, leave_space, positions_in_memory, rows_at_a_time
from padmask.stream.progress import ProgressCallback
from padmask.stream.result import make_result
from padmask.stream.run import open_sink


def pad_file(  # noqa: PLR0913 - one keyword for each group of options
    inputs: Paths,
    output: str | os.PathLike[str] = "-",
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> PadResult:
    """Pad files of sequences into one file. `padmask pad` calls this function.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "in.jsonl").write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> result = pad_file(folder / "in.jsonl", folder / "out.jsonl", maxlen=2)
    >>> print((folder / "out.jsonl").read_text(), end="")
    {"input_ids":[7,8],"mask":[true,true]}
    {"input_ids":[9,0],"mask":[true,false]}

    Args:
        inputs: one or more paths of one dataset. A folder means all data files in the folder.
            `-` is standard input.
        output: path of the output file, or `-` for standard output. If the run fails, no file is written.
        columns: as in `pad_table`.
        spec: how to pad; default `PadSpec()`.
        mask: mask to add; default `MaskSpec()`.
        policy: what to do with overlong, empty and bad rows; default `RowPolicy()`.
        files: formats, limits and tuning; default `FileOptions()`.
        executor: processes that parse JSON Lines, such as `Processes(8)`. If None, this process parses them.
        progress: function that is called regularly with a `Progress`.
        options: fields of `PadSpec`, such as `maxlen`, which replace the fields of `spec`.

    Returns:
        The counts of rows and tokens that were read, written and lost, and the length of the padded rows.

    Raises:
        SpecError: an option is not valid for the data.
        DataError: the input cannot be read or padded.
        OutputError: the output cannot be written.
    """
    spec, files = spec_with(spec, options, FILE_ARGUMENTS), or_default("files", files, FileOptions)
    mask, policy = or_default("mask", mask, MaskSpec), or_default("policy", policy, RowPolicy)
    paths, output = check_paths(inputs, output, files.rejects)
    if spec.buckets is not None:
        raise buckets_need_folder(output)
    format_ = output_format(output, files.output_format)
    refuse_fixed_shapes(spec, format_, files.fixed_size_list)
    with ExitStack() as stack:
        # unpad cannot always restore all columns of packed rows, so they do not replace their input.
        dataset = stack.enter_context(open_dataset(paths, output, files, replaceable=spec.packing is None))
        typed = dataset.format.is_text and format_.needs_types
        if needs_survey(spec) or typed:
            dataset.spool(files.limit)
        job = make_output_job(dataset, PadRequest(as_list(columns), spec, mask, policy), format_)
        job = replace(job, fixed_size=files.fixed_size_list)
        files = choose_threads(files, dataset.format, format_)
        as_text = dataset.format.is_text and format_.is_text and can_pad_as_text(job)
        pool, limit = stack.enter_context(open_pool(files)), available_bytes(output, files.max_bytes)
        refuse_workers(executor, dataset.format, format_, job)
        run = PadRun(dataset, files, pool, progress, limit, job, as_text, executor=executor)
        notes = data_notes(dataset, job, format_, files.limit)
        attempts = stack.enter_context(closing(make_attempts(run, typed, restarts=output != "-")))
        for attempt, measured in attempts:
            plan = choose_plan(attempt.job, measured, format_, limit, positions_in_memory(files, run.ahead))
            refuse_zero_maxlen(plan, measured, dataset.name)
            attempt = leave_space(attempt, measured, plan, format_)
            with suppress(OtherTypesError):
                padded = pad_rows_to_file(attempt, plan, output, format_)
                break
    return make_result(padded, plan, job, format_, notes)


def pad_rows_to_file(
    run: PadRun,
    plan: Plan,
    output: str,
    format_: FormatTraits,
    sealed: Callable[[int], None] | None = None,
    final_path: str | None = None,
) -> PaddedRows:
    """Pad all rows, and write them to one output.

    Args:
        run: the run that reads the rows.
        plan: length of the output rows.
        output: path or URL of the output.
        format_: format of the output.
        sealed: function that is called with the descriptor of the complete file before the file is renamed.
        final_path: path or URL to which the caller moves the complete file. Errors show this path.
    """
    job = run.job
    layout = make_layout(job, plan)
    step = rows_at_a_time(plan, run.files)
    written = PaddedRows()
    with open_sink(run, output, format_, layout, sealed, final_path) as sink:
        longest = None if job.policy.overlong == "truncate" else plan.maxlen
        lines = run.files.rejects is not None
        work = TextWork(job, plan, format_, layout, run.as_text, step, longest, lines)
        padded = run.pad_in_workers(work) if run.pads_in_workers else _pad_here(run, work, sink.writer)
        with padded as blocks:
            for encoded, done in blocks:
                sink.write(encoded, done.refused)
                written += PaddedRows(done.ledger, tuple(done.late))
        sink.metadata.update(late_metadata(run, layout.schema, written.ledger))
    written += PaddedRows(column_notes=sink.column_notes)
    if not written.ledger.balanced:
        raise AssertionError(f"Internal error: the row counts do not add up. Please report this: {written}")
    return written


@contextmanager
def _pad_here(run: PadRun, work: TextWork, writer: Writer) -> Iterator[Iterator[tuple[Any, PaddableBlock]]]:
    job, plan, target = work.job, work.plan, PadTarget(work.job, work.plan, writer)
    with run.rows("padding", work.longest) as all_rows:
        blocks: Iterator[PaddableBlock] = _split(all_rows, job, plan, work.step)
        if job.spec.batches is not None:
            blocks = batch_blocks(all_rows, job, plan)
        elif job.spec.packing is not None:
            blocks = pack_blocks(all_rows, job, plan)
        yield ordered_map(run.pool, lambda block: block.pad(target), blocks, run.ahead)


def _split(all_rows: Iterator[PaddableRows], job: Job, plan: Plan, size: int) -> Iterator[PaddableRows]:
    """Split all rows into blocks of at most `size` output rows."""
    read = 0
    for rows in all_rows:
        # Rejecting rows later does not change the number of rows that were read.
        yield from rows.split(job, plan, size, read)
        read += rows.ledger.rows_read
