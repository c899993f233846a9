"""Unpack packed rows: write each sequence as a row, in the order of the source rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from padmask.core.arrow_lists import is_sequence
from padmask.core.columns import name_columns
from padmask.core.missing_pieces import LATE_ROWS, NOT_JOINED, count_late_rows, missing_rows
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_layout import PackedLayout, check_kept_ends, check_marker, refuse_unpad_options
from padmask.core.padding import mask_field
from padmask.core.plan import Positions
from padmask.core.unpack_table import unpacked_schema
from padmask.core.unpad_job import UnpadJob
from padmask.errors import SpecError
from padmask.formats import describe_columns
from padmask.formats.contract import Batch, Chunk, Layout, Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.types import TypeSurvey
from padmask.spec.columns import Columns
from padmask.spec.formats import FormatTraits
from padmask.spec.pad import PadSpec
from padmask.spec.unpad import UnpadSpec
from padmask.spec.warning_names import Warned
from padmask.stream.inputs import spool_folder
from padmask.stream.json_schema import token_kinds
from padmask.stream.ledger import Ledger, UnpadResult
from padmask.stream.overlap import ordered_map
from padmask.stream.run import GROUP_POSITIONS, RowSink, Run, open_sink
from padmask.stream.sorted_rows import KeyedRows, RowSorter
from padmask.stream.unpack_order import are_whole, count_joined, join_sequences, whole_rows
from padmask.stream.unpack_rows import Unpacker
from padmask.stream.unpad_order import as_lines, collect_rows, source_ranks
from padmask.stream.unpad_rows import EncodedRows, OnError, UnpadRows


@dataclass(frozen=True)
class UnpackRun(Run):
    """A run that unpacks rows.

    Args:
        layout: the columns of packed rows.
        wanted: the columns to read.
        unpacked: the columns of the unpacked rows.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
    """

    size_options: ClassVar[str] = "--limit"

    layout: PackedLayout
    wanted: Wanted
    unpacked: Wanted
    on_error: OnError

    @property
    def job(self) -> UnpadJob:
        """The columns of the unpacked rows, in the form that `join_sequences` requires."""
        return UnpadJob(self.layout.unpacked_columns, None, None, "post", ())

    def unpack(self, chunk: Chunk) -> UnpadRows:
        """Decode a chunk, and divide its rows into sequences."""
        batch = self.dataset.decode(chunk, self.wanted)
        return Unpacker(self.layout, self.on_error).unpack(batch, chunk.consumed)


def make_unpack_run(
    run: Run, layout: PackedLayout, columns: Columns, spec: UnpadSpec, on_error: OnError
) -> UnpackRun:
    """Return a run that unpacks rows, with the columns to read.

    Args:
        run: the dataset, the options and the thread pool.
        layout: the columns of packed rows.
        columns: requested columns.
        spec: how to unpad.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.

    Raises:
        SpecError: an option is not valid for packed rows.
    """
    check_marker(run.dataset.name, layout)
    layout = layout.with_align(spec.align)
    sorts, joins = layout.sources and spec.restore_order, spec.join_windows
    if run.files.limit is not None and sorts and joins and layout.splits is not False:
        raise SpecError(
            "`limit` counts packed rows, so pieces of split rows could be missing. Keep the pieces as rows "
            "with --no-join-windows, or pipe the output to head.",
            options=["limit", "join_windows"],
        )
    if sorts and joins:
        check_kept_ends(layout, run.dataset.schema().names)
    refuse_unpad_options(spec)
    wanted, unpacked = _columns_to_read(run.dataset, layout, columns)
    return UnpackRun(
        run.dataset, run.files, run.pool, run.progress, run.max_bytes, layout, wanted, unpacked, on_error
    )


def _columns_to_read(dataset: Dataset, layout: PackedLayout, columns: Columns) -> tuple[Wanted, Wanted]:
    """Return the columns to read, and the columns of the unpacked rows.

    Fields of JSON Lines stay text until their types are known.
    """
    schema = dataset.schema()
    if not dataset.format.is_text:
        unpacked = unpacked_schema(schema, layout)
        return Wanted(schema, schema), Wanted(unpacked, unpacked)
    kinds = token_kinds(name_columns(schema, columns), PadSpec()) if columns else {}
    tokens = dataset.sequence_types(
        [name for name in layout.columns if is_sequence(schema.field(name).type)], kinds
    )
    markers = [pa.field(name, pa.list_(pa.int64())) for name in layout.markers]
    masks = [] if layout.mask is None else [mask_field(schema, layout.mask)]
    return Wanted(pa.schema([*tokens, *markers, *masks]), dtype_requested=tuple(kinds)), Wanted(tokens)


def unpack_to_file(run: UnpackRun, output_path: str, format_: FormatTraits, spec: UnpadSpec) -> UnpadResult:
    """Unpack all rows and write them. Return the counts and the warnings.

    Args:
        run: the packed rows, and the columns to read.
        output_path: path of the output.
        format_: format of the output.
        spec: whether to join the pieces of split rows, and to restore the order of the rows.
    """
    layout = run.layout
    if run.dataset.format.is_text and format_.needs_types:
        run = _survey(run)
    sorts = layout.sources and spec.restore_order
    out = run.unpacked.schema
    rows = GROUP_POSITIONS if sorts else GROUP_POSITIONS // 16
    written = Layout(out, {}, rows, ragged=layout.unpacked_columns, groups=(None, layout.unpacked_columns[0]))
    with open_sink(run, output_path, format_, written) as sink:
        if sorts:
            with RowSorter(spool_folder(output_path)) as sorter:
                ledger, late = _unpack_in_order(run, sink, sorter, format_, joins=spec.join_windows)
        else:
            ledger, late = Ledger(), 0
            with run.map_chunks("unpadding", run.wanted, _encoder(run, sink, format_)) as results:
                for result in results:
                    sink.write(result.encoded, result.cuts.refused)
                    ledger += result.ledger
                    late += int((result.cuts.order[:, 1:2] > 0).sum())
    if not ledger.balanced:
        raise AssertionError(f"Internal error: the row counts do not add up. Please report this: {ledger}")
    warnings, remarks = describe_columns(format_, sink.column_notes)
    notes = _missing_rows(run, ledger)
    if spec.restore_order and not layout.sources:
        notes.append(Warned("order-not-restored", _NO_SOURCES))
    if late and layout.splits is not False and spec.join_windows:
        name, text = ("pieces-missing", LATE_ROWS) if sorts else ("pieces-not-joined", NOT_JOINED)
        notes.append(Warned(name, text.format(count=late)))
    return UnpadResult(
        ledger,
        layout.unpacked_columns,
        layout.mask,
        None,
        {},
        (*notes, *warnings),
        (*layout.notes, *remarks),
        packed=True,
    )


_NO_SOURCES = (
    "the order of the original rows is not restored, and pieces of split rows are not joined, because the "
    "input has no columns 'source_rows' and 'source_starts'"
)


def _missing_rows(run: UnpackRun, ledger: Ledger) -> list[Warned]:
    """Return a warning if the input has fewer packed rows than the metadata says."""
    if run.dataset.format.is_text or run.files.limit is not None:
        return []
    return missing_rows(map(PackedCounts.read, run.dataset.schemas().values()), ledger.rows_read)


def _survey(run: UnpackRun) -> UnpackRun:
    """Read JSON Lines once to find the field types of the unpacked rows. Return the run with these types."""
    types, sequences = TypeSurvey(), run.unpacked.sequences
    with run.map_chunks("measuring", run.wanted, run.unpack) as parts:
        for part in parts:
            types.add_rows(part.batch, sequences.names, without=())
    return replace(run, unpacked=replace(run.unpacked, others=types.schema()))


def _encoder(run: UnpackRun, sink: RowSink, format_: FormatTraits) -> Callable[[Chunk], EncodedRows]:
    """Return a function that encodes the unpacked rows of a chunk for the writer."""
    if run.dataset.format.is_text and format_.is_text:
        return _text_encoder(run)

    def encode(chunk: Chunk) -> EncodedRows:
        rows = run.unpack(chunk)
        return EncodedRows(sink.writer.encode(run.dataset.complete(rows.batch, run.unpacked)), rows)

    return encode


def _text_encoder(run: UnpackRun) -> Callable[[Chunk], EncodedRows]:
    """Return a function that unpacks a chunk of JSON Lines and returns the rows as lines."""
    unpacker = Unpacker(run.layout, run.on_error)
    tokens = {*run.layout.columns}
    markers = pa.schema([field for field in run.wanted.sequences if field.name not in tokens])

    def encode(chunk: Chunk) -> EncodedRows:
        return unpacker.unpack_text(run.dataset.decode(chunk, Wanted(markers)), chunk.consumed)

    return encode


def _column_cutter(run: UnpackRun) -> Callable[[Chunk], EncodedRows]:
    """Return a function that unpacks a chunk into Arrow columns, which are not encoded for the writer."""

    def cut(chunk: Chunk) -> EncodedRows:
        rows = run.unpack(chunk)
        return EncodedRows(rows.batch.columns, rows)

    return cut


def _unpack_in_order(
    run: UnpackRun, sink: RowSink, sorter: RowSorter, format_: FormatTraits, *, joins: bool
) -> tuple[Ledger, int]:
    """Unpack all rows, sort the sequences by source row, join the pieces of split rows, and write them.

    Returns:
        The counts, and the number of source rows that may lack their first tokens (see `count_late_rows`).
    """
    is_text = run.dataset.format.is_text
    ranks = source_ranks(run.dataset.names)
    encode_chunk = (_text_encoder if is_text else _column_cutter)(run)
    with run.map_chunks("unpadding", run.wanted, encode_chunk) as results:
        ledger, lost = collect_rows(results, sorter, sink, ranks)
    sources = {rank: name for name, rank in reversed(ranks.items())}

    def batch_of(rows: KeyedRows) -> Batch:
        source, numbers = sources[int(rows.keys[0, 0])], rows.keys[:, -1]
        if is_text:
            chunk = Chunk(source, 1, as_lines(rows.rows), 0)
            return replace(run.dataset.decode(chunk, run.unpacked), numbers=numbers, lines=None)
        return Batch(rows.rows, source, numbers, "row")

    def encode(rows: KeyedRows) -> EncodedRows | tuple[Any, Positions]:
        whole = not joins or are_whole(rows.keys, run.layout, lost)
        if whole and is_text and format_.is_text:
            return as_lines(rows.rows), rows.keys
        batch = batch_of(rows)
        if whole:
            return sink.writer.encode(run.dataset.complete(batch, run.unpacked)), rows.keys
        joined = join_sequences(batch, rows.keys, run.layout, run.job, run.on_error, lost)
        return EncodedRows(sink.writer.encode(run.dataset.complete(joined.batch, run.unpacked)), joined)

    total, late = Ledger(), 0

    def rows_with_all_pieces() -> Iterator[KeyedRows]:
        nonlocal late
        for rows in whole_rows(sorter.sorted_rows()):
            late += count_late_rows(rows.keys[:, 1], rows.keys[:, 2])
            yield rows

    for result in ordered_map(run.pool, encode, rows_with_all_pieces(), run.ahead):
        if isinstance(result, EncodedRows):
            sink.write(result.encoded, result.cuts.refused)
            total += result.ledger
        else:
            encoded, keys = result
            sink.write(encoded, ())
            total += Ledger(rows_written=len(keys), tokens_kept=int(keys[:, 3].sum()))
    return count_joined(ledger, total), late
