"""`pad_file`: read, plan, pad, write, with reading, padding and writing overlapped.

The input is read at most twice: once for lengths and JSON types where they must be found, and once to pad.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pyarrow as pa

from padmask.core.padding import check_names
from padmask.core.plan import Plan, make_plan, needs_lengths
from padmask.core.table import padded_schema
from padmask.formats import output_format
from padmask.formats.contract import Layout
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy
from padmask.stream.capacity import available_bytes, bytes_per_place, refuse_large_output, refuse_large_pieces
from padmask.stream.inputs import Paths, check_paths, data_notes, open_dataset
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.json_text import takes_text
from padmask.stream.ledger import Ledger, PadResult
from padmask.stream.overlap import ordered_map
from padmask.stream.passes import PadRun, Survey, survey, typed_job
from padmask.stream.progress import ProgressCallback
from padmask.stream.rows import PaddableRows, PadTarget
from padmask.stream.run import GROUP_PLACES, choose_threads, open_pool, open_sink
from padmask.stream.similar_columns import find_unpadded

# Places padded at a time: a batch's ids, mask and their text stay near the processor.
BATCH_PLACES = 1 << 18


def pad_file(
    inputs: Paths,
    output: str | os.PathLike[str] = "-",
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    progress: ProgressCallback | None = None,
) -> PadResult:
    """Pad files of sequences into one file: what `padmask pad` calls.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "in.jsonl").write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> result = pad_file(folder / "in.jsonl", folder / "out.jsonl", spec=PadSpec(maxlen=2))
    >>> print((folder / "out.jsonl").read_text(), end="")
    {"input_ids":[7,8],"mask":[true,true]}
    {"input_ids":[9,0],"mask":[true,false]}

    Args:
        inputs: one path or several, read as one dataset; a folder means the data files in it, `-` is
            standard input.
        output: a path, or `-` for standard output. It is complete or absent.
        columns: as in `pad_table`.
        spec: how to pad; default `PadSpec()`.
        mask: which mask to add; default `MaskSpec()`.
        policy: which rows are written; default `RowPolicy()`.
        files: formats, limits and tuning; default `FileOptions()`.
        progress: called now and then with how far the run is.

    Returns:
        The counts of rows and tokens read, written and lost, and how the length was found.

    Raises:
        SpecError: what was asked for cannot be.
        DataError: the input cannot be read or padded.
        OutputError: the output cannot be written.
    """
    spec, files = or_default("spec", spec, PadSpec), or_default("files", files, FileOptions)
    mask, policy = or_default("mask", mask, MaskSpec), or_default("policy", policy, RowPolicy)
    columns = as_list(columns)
    paths, goal = check_paths(inputs, output, files.rejects)
    format_ = output_format(goal, files.output_format)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(paths, goal, files))
        typed = dataset.format.is_text and format_.needs_types
        if needs_lengths(spec) or typed:
            dataset.spool(files.limit)
        asked = PadRequest(columns, spec, mask, policy)
        job = make_job(dataset, asked, keep_others=format_.keeps_others)
        job = replace(job, fixed_size=files.fixed_size_list)
        files = choose_threads(files, dataset.format, format_)
        as_text = dataset.format.is_text and format_.is_text and takes_text(job)
        pool, room = stack.enter_context(open_pool(files)), available_bytes(goal, files.max_bytes)
        run = PadRun(dataset, files, pool, progress, room, job, as_text)
        unpadded = find_unpadded(dataset, job, columns)
        notes = data_notes(dataset, job, format_, files.limit)
        seen = survey(run, typed) if needs_lengths(spec) or typed else None
        plan = choose_plan(job, seen, format_, room, places_in_memory(files, run.ahead))
        ledger = pad_rows_to_file(replace(run, job=typed_job(job, seen)), plan, goal, format_)
    return make_result(ledger, plan, job, unpadded, notes)


def choose_plan(
    job: Job, seen: Survey | None, format_: FormatTraits, room: int | None, places: Callable[[Plan], int]
) -> Plan:
    """Decide the length, and refuse one whose rows find no room on disk or in memory.

    Args:
        job: what is padded.
        seen: of all rows; None where the length is given.
        format_: of the output.
        room: bytes that the output may take; None for any number.
        places: how many places are held at once.

    Raises:
        SpecError: there is no room.
    """
    plan = make_plan(job.spec, None if seen is None else seen.lengths)
    widths = bytes_per_place(job.columns, job.mask, format_)
    refuse_large_pieces(plan, widths, places(plan))
    if seen is not None:
        refuse_large_output(seen.lengths, plan, job.spec, widths, room, seen.place)
    return plan


def _rows_at_a_time(plan: Plan, files: FileOptions) -> int:
    """Return how many rows are padded as one piece."""
    return files.batch_rows or max(1, BATCH_PLACES // max(1, plan.maxlen))


def places_in_memory(files: FileOptions, ahead: int) -> Callable[[Plan], int]:
    """Return what tells how many places are held at once, at the least: in pieces, and in a group.

    Args:
        files: how files are read and written.
        ahead: how many pieces may be under way at once.
    """
    return lambda plan: _rows_at_a_time(plan, files) * plan.maxlen * ahead + max(GROUP_PLACES, plan.maxlen)


def pad_rows_to_file(
    run: PadRun,
    plan: Plan,
    goal: str,
    format_: FormatTraits,
    sealed: Callable[[int], None] | None = None,
    final_path: str | None = None,
) -> Ledger:
    """Pad every row and write it.

    Args:
        run: over the rows.
        plan: the length.
        goal: path or address of the output.
        format_: of the output.
        sealed: called with the descriptor of the finished file, before it is at its goal.
        final_path: where the output is moved later: errors name this path or address.
    """
    job = run.job
    copies = {}
    if (always := format_.length_column) is not None:
        # Such a file always holds the lengths under this name, and under another if asked.
        copies = {name: always for name in [job.mask.length_column] if name not in (None, always)}
        job = replace(job, mask=replace(job.mask, length_column=always))
        check_names(pa.schema([]), job.columns, job.mask)
    layout = replace(_layout(job, plan), copies=copies)
    step = _rows_at_a_time(plan, run.files)
    ledger = Ledger()
    with open_sink(run, goal, format_, layout, sealed, final_path) as outlet:
        target = PadTarget(job, plan, outlet.writer)

        def pad(piece: PaddableRows) -> tuple[Any, PaddableRows]:
            return piece.pad(target)

        longest = None if job.policy.overlong == "truncate" else plan.maxlen
        with run.rows("padding", longest) as all_rows:
            pieces = (piece for rows in all_rows for piece in rows.pieces(plan, job.policy, step))
            for encoded, done in ordered_map(run.pool, pad, pieces, run.ahead):
                outlet.write(encoded, done.refused)
                ledger += done.ledger
    if not ledger.balanced:
        raise AssertionError(f"padmask lost count of rows, please report it: {ledger}")
    return ledger


def make_result(
    ledger: Ledger, plan: Plan, job: Job, unpadded: dict[str, str], notes: tuple[str, ...]
) -> PadResult:
    """Return what was done, for reports and summaries."""
    return PadResult(
        ledger,
        plan.maxlen,
        plan.found,
        plan.exact,
        job.spec.padding,
        tuple(column.name for column in job.columns),
        unpadded,
        notes,
    )


def _layout(job: Job, plan: Plan) -> Layout:
    schema = padded_schema(job.wanted.schema, job.columns, plan, job.spec, job.mask, job.fixed_size)
    shapes: dict[str, tuple[int, ...]] = {
        column.name: (plan.maxlen,) if column.inner is None else (plan.maxlen, column.inner)
        for column in job.columns
    }
    if job.mask.column is not None:
        shapes[job.mask.column] = (plan.maxlen,)
    if job.mask.length_column is not None:
        shapes[job.mask.length_column] = ()
    return Layout(schema, shapes, max(1, GROUP_PLACES // max(1, plan.maxlen)))
