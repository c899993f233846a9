"""`unpad_file`: remove the padding from files.

Unpadding reads the input once. If the output format needs types, JSON Lines input is read twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from padmask.core.arrow_lists import is_sequence, list_lengths
from padmask.core.columns import asked_names, judged_columns, name_columns
from padmask.core.companions import list_names
from padmask.core.inverted_mask import check_polarity
from padmask.core.padding import mask_field
from padmask.core.still_padded import find_still_padded
from padmask.core.unpad_job import UnpadJob, choose_unpad_jobs, dialects_of, find_padded_groups
from padmask.core.unpad_table import cut_columns, unpadded_schema
from padmask.errors import Place, SpecError, join_or
from padmask.formats import describe_columns, output_format
from padmask.formats.contract import Batch, Chunk, Layout, Wanted, Writer
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.types import TypeSurvey
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.checks import one_of, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits, ragged_formats
from padmask.spec.pad import PadSpec
from padmask.spec.unpad import UnpadSpec
from padmask.stream.capacity import available_bytes
from padmask.stream.first_rows import first_batches, first_rows_of, read_first_rows
from padmask.stream.inputs import (
    Paths,
    check_paths,
    class_name_notes,
    end_notes,
    open_dataset,
    spool_folder,
    unlisted_notes,
)
from padmask.stream.json_masks import MaskTexts
from padmask.stream.json_schema import empty_schema, token_kinds
from padmask.stream.json_text_unpad import TextUnpadder
from padmask.stream.ledger import Ledger, UnpadResult
from padmask.stream.overlap import choose_threads, open_pool, ordered_map
from padmask.stream.packing import find_dataset_packing
from padmask.stream.padding import known_schemas
from padmask.stream.progress import ProgressCallback
from padmask.stream.run import GROUP_POSITIONS, RowSink, Run, open_sink
from padmask.stream.sorted_rows import KeyedRows, RowSorter
from padmask.stream.unpack import make_unpack_run, unpack_to_file
from padmask.stream.unpad_order import (
    add_joined,
    as_lines,
    collect_rows,
    column_remarks,
    sorted_windows,
    source_ranks,
    split_sources,
)
from padmask.stream.unpad_rows import EncodedRows, OnError, UnpadRows, find_tokens
from padmask.stream.unpad_windows import group_windows, join_windows


def unpad_file(
    inputs: Paths,
    output: str | os.PathLike[str] = "-",
    *,
    columns: Columns = None,
    spec: UnpadSpec | None = None,
    on_error: OnError = "fail",
    files: FileOptions | None = None,
    progress: ProgressCallback | None = None,
) -> UnpadResult:
    """Remove the padding from padded files. `padmask unpad` calls this function.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "in.jsonl").write_text('{"input_ids": [7, 0], "mask": [true, false]}\\n')
    >>> result = unpad_file(folder / "in.jsonl", folder / "out.jsonl")
    >>> print((folder / "out.jsonl").read_text(), end="")
    {"input_ids":[7]}

    Args:
        inputs: one or more paths of one dataset. A folder means all data files in the folder.
            `-` is standard input.
        output: path of the output file, or `-` for standard output. If the run fails, no file is written.
        columns: as in `unpad_table`.
        spec: how to find the padding; default `UnpadSpec()`.
        on_error: `"fail"` raises an error for a row with a mask or length that does not match its tokens,
            `"skip"` skips the row.
        files: formats, limits and tuning; default `FileOptions()`.
        progress: function that is called regularly with a `Progress`.

    Returns:
        The counts of rows, tokens and positions, and the names of the unpadded columns.

    Raises:
        SpecError: an option is not valid for the data.
        RowError: the mask or length of a row does not match its tokens.
        DataError: the input cannot be read.
        OutputError: the output cannot be written.
    """
    spec, files = or_default("spec", spec, UnpadSpec), or_default("files", files, FileOptions)
    one_of("on_error", on_error, ("fail", "skip"))
    columns = as_list(columns)
    paths, output_path = check_paths(inputs, output, files.rejects)
    format_ = output_format(output_path, files.output_format)
    if not format_.is_ragged or files.fixed_size_list:
        writable = join_or([traits.title for traits in ragged_formats()])
        raise SpecError(
            f"{'Fixed-size lists' if format_.is_ragged else f'{format_.title} files'} cannot store unpadded "
            f"rows, which have different lengths. Write {writable} with variable-size lists.",
            options=["output_format"],
        )
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(paths, output_path, files))
        typed = dataset.format.is_text and format_.needs_types
        if typed:
            dataset.spool(files.limit)
        packing = None
        if spec.length_column is None:
            packing = find_dataset_packing(dataset, columns, spec.mask_column, spec.dialect)
        if packing is not None:
            files = choose_threads(files, dataset.format, format_)
            pool, limit = stack.enter_context(open_pool(files)), available_bytes(output_path, files.max_bytes)
            reading = Run(dataset, files, pool, progress, limit)
            result = unpack_to_file(
                make_unpack_run(reading, packing, columns, spec, on_error), output_path, format_, spec
            )
            before = (*dataset.notes, *end_notes(dataset, files.limit), *unlisted_notes(dataset))
            return replace(result, notes=(*before, *result.notes))
        job = _choose_job(dataset, columns, spec)
        if job.windows and files.limit is not None:
            raise SpecError(
                "`limit` counts windows, so the last row could lose some of its windows. Keep the windows as "
                "rows with --no-join-windows, or pipe the output to head.",
                options=["limit", "join_windows"],
            )
        if job.order and files.limit is not None:
            raise SpecError(
                "`limit` counts rows in the order of the input, which is not the order of the original rows. "
                "Keep the order of the input with --no-restore-order, or pipe the output to head.",
                options=["limit", "restore_order"],
            )
        rows = first_batches(dataset, job.names)
        check_polarity(dataset.schema(), job, spec, rows, Place(dataset.name))
        wanted = _columns_to_read(dataset, job, columns)
        files = choose_threads(files, dataset.format, format_)
        pool, limit = stack.enter_context(open_pool(files)), available_bytes(output_path, files.max_bytes)
        masks = _mask_texts(dataset, job)
        run = _Run(dataset, files, pool, progress, limit, job, wanted, masks, on_error)
        schema, dialects = dataset.schema(), {} if job.mask is None else {job.mask: job.dialect}
        first_rows = partial(read_first_rows, dataset, list_names(schema), dialects)
        still_padded = find_still_padded(schema, known_schemas(dataset), job, bool(columns), first_rows)
        written = unpadded_schema(wanted.schema, job) if format_.has_metadata else None
        notes = (
            *dataset.notes,
            *end_notes(dataset, files.limit),
            *unlisted_notes(dataset),
            *class_name_notes(dataset, written, format_),
            *still_padded.notes,
        )
        ledger, column_notes = _unpad_all(_survey(run) if typed else run, output_path, format_)
    warnings, remarks = describe_columns(format_, column_notes)
    remarks = [*remarks, *column_remarks(schema, job)]
    names, alike = job.all_columns, dict(still_padded.alike)
    return UnpadResult(ledger, names, job.mask, job.length, alike, (*notes, *warnings), tuple(remarks))


def _choose_job(dataset: Dataset, columns: Columns, spec: UnpadSpec) -> UnpadJob:
    """Choose the columns to unpad, from the requested columns, the schema and its metadata."""
    schema = dataset.schema()
    if dataset.format.is_text and not schema.names:
        return UnpadJob(tuple(empty_schema(columns, PadSpec()).names), None, None, "post", ())
    with dataset.named_in_errors():
        names = asked_names(schema, columns)
        judged = judged_columns(schema, columns)
    first_rows = first_rows_of(dataset, judged, dialect=spec.dialect)
    groups = find_padded_groups(known_schemas(dataset), names, spec, first_rows, judged)
    with dataset.named_in_errors():
        read_first = partial(read_first_rows, dataset, list_names(schema), dialects_of(groups))
        in_buckets = any(map(bucket_folder_of, dataset.names))
        return choose_unpad_jobs(schema, groups, spec, read_first, in_buckets=in_buckets)


def _columns_to_read(dataset: Dataset, job: UnpadJob, columns: Columns) -> Wanted:
    """Return the columns to read. Other fields of JSON Lines stay text until their types are known."""
    schema = dataset.schema()
    if not dataset.format.is_text:
        return Wanted(pa.schema([schema.field(name) for name in job.names]), schema)
    if not schema.names:
        return Wanted(empty_schema(columns, PadSpec()))
    masks = {name for name in job.columns if name == job.mask or not is_sequence(schema.field(name).type)}
    kinds = token_kinds(name_columns(schema, columns), PadSpec()) if columns else {}
    tokens = dataset.sequence_types([name for name in job.columns if name not in masks], kinds)
    fields = {field.name: field for field in tokens}
    fields |= {name: mask_field(schema, name) for name in masks}
    return Wanted(pa.schema([fields[name] for name in job.columns]), dtype_requested=tuple(kinds))


def _mask_texts(dataset: Dataset, job: UnpadJob) -> MaskTexts | None:
    if not dataset.format.is_text or job.mask is None:
        return None
    return MaskTexts(job.mask, mask_field(dataset.schema(), job.mask).type, job.dialect)


@dataclass(frozen=True)
class _Run(Run):
    """A run that unpads rows.

    Args:
        job: the padded columns, and the columns that mark the padding.
        wanted: the columns to read.
        masks: reader of the mask column of JSON Lines; None if there is no such column.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
    """

    size_options: ClassVar[str] = "--limit"

    job: UnpadJob
    wanted: Wanted
    masks: MaskTexts | None
    on_error: OnError

    def find(self, chunk: Chunk) -> UnpadRows:
        """Decode a chunk, and find the positions of the real tokens."""
        batch = self.dataset.decode(chunk, self.wanted)
        return find_tokens(batch, self.job, self.masks, self.on_error, chunk.consumed)


def _survey(run: _Run) -> _Run:
    """Read JSON Lines once to find the types of the fields. Return the run with these types."""
    types, sequences = TypeSurvey(), run.wanted.sequences
    with run.map_chunks("measuring", run.wanted, run.find) as all_cuts:
        for cuts in all_cuts:
            types.add_rows(cuts.batch, sequences.names, without=run.job.all_dropped)
    return replace(run, wanted=replace(run.wanted, others=types.schema()))


def _unpad_all(run: _Run, output_path: str, format_: FormatTraits) -> tuple[Ledger, Mapping[str, str]]:
    """Remove the padding from all rows and write them. Return the counts, and notes on columns."""
    job, wanted = run.job, run.wanted
    schema = unpadded_schema(wanted.schema, job)
    with run.dataset.unchanged():
        width = _width(run)
    rows = GROUP_POSITIONS // (1 if job.order else width)
    groups = None, job.columns[0]
    layout = Layout(schema, {}, max(1, rows), ragged=job.all_columns, groups=groups)
    ledger = Ledger()
    with open_sink(run, output_path, format_, layout) as sink:
        as_text = run.dataset.format.is_text and format_.is_text
        if job.order:
            with RowSorter(spool_folder(output_path)) as sorter:
                ledger = _unpad_in_order(run, sink, sorter, format_)
        else:
            if job.windows:
                results = _join_all(run, sink.writer)
            else:
                encode = _text_encoder(run) if as_text else _encoder(run, sink.writer)
                results = run.map_chunks("unpadding", wanted, encode)
            with results as all_results:
                for result in all_results:
                    sink.write(result.encoded, result.cuts.refused)
                    ledger += result.ledger
    if not ledger.balanced:
        raise AssertionError(f"Internal error: the row counts do not add up. Please report this: {ledger}")
    return ledger, sink.column_notes


def _encoder(run: _Run, writer: Writer) -> Callable[[Chunk], EncodedRows]:
    def encode(chunk: Chunk) -> EncodedRows:
        batch, cuts = _cut(run, chunk)
        return EncodedRows(writer.encode(batch), cuts)

    return encode


def _cut(run: _Run, chunk: Chunk) -> tuple[Batch, UnpadRows]:
    """Return the unpadded rows of a chunk, and the rows before unpadding."""
    cuts = run.find(chunk)
    columns = cut_columns(cuts.batch.columns, [cuts.segments, *cuts.also], run.job)
    return run.dataset.complete(replace(cuts.batch, columns=columns), run.wanted), cuts


@contextmanager
def _join_all(run: _Run, writer: Writer) -> Iterator[Iterator[EncodedRows]]:
    """Join the windows of each source row, and iterate over the joined rows."""

    def encode(part: UnpadRows) -> EncodedRows:
        joined = join_windows(part, run.job, run.on_error)
        return EncodedRows(writer.encode(run.dataset.complete(joined.batch, run.wanted)), joined)

    with run.map_chunks("unpadding", run.wanted, run.find) as parts:
        yield ordered_map(run.pool, encode, group_windows(parts), run.ahead)


def _unpad_in_order(run: _Run, sink: RowSink, sorter: RowSorter, format_: FormatTraits) -> Ledger:
    """Remove the padding from all rows, sort them by their source rows, and write them."""
    windows = run.job.windows
    # JSON rows are sorted as text, unless the output needs types and no windows are joined after sorting.
    as_text = run.dataset.format.is_text and (windows or format_.is_text)
    # Windows are joined after they are sorted, so the columns that locate windows stay until then.
    first = replace(run, job=replace(run.job, windows=False))
    ranks = source_ranks(run.dataset.names)
    with run.map_chunks("unpadding", run.wanted, (_text_encoder if as_text else _cutter)(first)) as results:
        ledger, lost = collect_rows(results, sorter, sink, ranks)
    sources = {rank: name for name, rank in reversed(ranks.items())}
    marks = {name for part in (run.job, *run.job.also) for name in part.dropped}
    wanted = replace(run.wanted, sequences=_without(run.wanted.sequences, marks))

    def batch_of(rows: KeyedRows) -> Batch:
        source, numbers = sources[int(rows.keys[0, 0])], rows.keys[:, -1]
        if as_text:
            lines = as_lines(rows.rows)
            return replace(run.dataset.decode(Chunk(source, 1, lines, 0), wanted), numbers=numbers)
        return Batch(rows.rows, source, numbers, "row")

    def encode(rows: KeyedRows) -> Any:
        return as_lines(rows.rows) if as_text else sink.writer.encode(batch_of(rows))

    def join(part: UnpadRows) -> EncodedRows:
        joined = join_windows(part, run.job, run.on_error)
        return EncodedRows(sink.writer.encode(run.dataset.complete(joined.batch, wanted)), joined)

    ordered = split_sources(sorter.sorted_rows())
    if not windows:
        for encoded in ordered_map(run.pool, encode, ordered, run.ahead):
            sink.write(encoded, ())
        return ledger
    parts = group_windows(sorted_windows(batch_of(rows), rows.keys, run.job, lost) for rows in ordered)
    total = Ledger()
    for result in ordered_map(run.pool, join, parts, run.ahead):
        sink.write(result.encoded, result.cuts.refused)
        total += result.ledger
    return add_joined(ledger, total)


def _without(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in names])


def _cutter(run: _Run) -> Callable[[Chunk], EncodedRows]:
    """Return a function that unpads a chunk into Arrow columns, which are not encoded for the writer."""

    def cut(chunk: Chunk) -> EncodedRows:
        batch, cuts = _cut(run, chunk)
        return EncodedRows(batch.columns, cuts)

    return cut


def _text_encoder(run: _Run) -> Callable[[Chunk], EncodedRows]:
    job, nothing = run.job, Wanted(pa.schema([]))
    cutter = TextUnpadder(job, run.masks, run.on_error)

    def encode(chunk: Chunk) -> EncodedRows:
        return EncodedRows(*cutter.cut(run.dataset.decode(chunk, nothing), chunk.consumed))

    return encode


def _width(run: _Run) -> int:
    """Return the maximum length of the first rows, including padding; at least 1."""
    first = run.wanted.sequences.field(run.job.columns[0])
    head = run.dataset.head(Wanted(pa.schema([first])))
    places = [1] if head is None else list_lengths(head.columns.column(first.name))[0].tolist()
    return max(1, *places)
