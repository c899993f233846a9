"""Read and write Arrow IPC files and streams."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import has_text_offsets, list_lengths, take_rows, text_offsets, to_numpy
from padmask.core.metadata import METADATA_KEY, Described, read_descriptions
from padmask.errors import AccessError, DataError, OutputError, PaddedError, UnreadableError, UnsupportedError
from padmask.formats import other_formats
from padmask.formats.arrow_footer import END_MARK, FooterStream, file_bounds, with_space
from padmask.formats.contract import Batch, Chunk, Layout, Wanted, WriterOptions
from padmask.formats.other_format import other_format_error
from padmask.formats.plain_dictionaries import as_type, of_lists, plain_schema, plain_type
from padmask.formats.row_sizes import slices
from padmask.spec.formats import FORMATS, FormatTraits
from padmask.storage.source import Source

# Maximum number of values in a chunk. The reader splits larger record batches.
SLICE_VALUES = 1 << 20

# Size of a row group in bytes. A row group ends when its text and positions reach this size, even if the
# group has fewer rows than `Layout.group_rows`. Several row groups are in memory at the same time.
GROUP_BYTES = 128 << 20

# Size that counts towards `GROUP_BYTES` for each position of the column that limits row groups. Such a row
# group has about 2**22 positions.
POSITION_BYTES = 32

# Maximum length of an Arrow error message in an error of padmask, in characters.
MAX_MESSAGE = 300

_STATUS = re.compile(r"\b(Invalid|IOError|Serialization error|Not ?implemented|NotImplemented|Type error): ")


@contextmanager
def arrow_errors(source: Source, format_: FormatTraits) -> Iterator[None]:
    """Convert Arrow errors to padmask errors that name the file. `format_` is the format of the file."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        kind_of_error = _error_class(error)
        if kind_of_error is not AccessError:
            start = _first_bytes(source)
            if start == b"":
                raise UnreadableError(
                    f"{source.name}: the file is empty (0 bytes), not {format_.title}. Check that the file "
                    "is complete.",
                    options=["input_format"],
                ) from None
            other = other_format_error(source, start or b"", format_)
            if other is not None:
                raise other from None
        remedy = "Check that the file is complete"
        if kind_of_error is UnsupportedError:
            remedy = "Write the file with different column types, or with a different compression"
        raise kind_of_error(
            f"{source.name}: not a readable {format_.title} file: {short_arrow_error(error)}. {remedy}.",
            options=["input_format"],
        ) from None


def _first_bytes(source: Source) -> bytes | None:
    """Return the first bytes of a file; None if the file cannot be read."""
    try:
        return source.first_bytes()
    except AccessError:
        return None


def _error_class(error: Exception) -> type[UnreadableError]:
    """Return the error class for a read error: system error, unsupported file or corrupt file."""
    # For a corrupt file, Arrow raises an OSError without an errno, or seeks to an invalid offset.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return AccessError
    return UnsupportedError if isinstance(error, pa.ArrowNotImplementedError) else UnreadableError


def short_arrow_error(error: Exception) -> str:
    """Return the shortened message of an Arrow error, without locations in Arrow source code.

    >>> short_arrow_error(pa.ArrowInvalid("In chunk 0: Invalid: Offsets are broken.\\nlib.cc:12"))
    'In chunk 0: Offsets are broken'
    """
    first = (str(error).splitlines() or [type(error).__name__])[0]
    words = _STATUS.sub("", first).rstrip(". ")
    return words if len(words) <= MAX_MESSAGE else words[:MAX_MESSAGE] + " ..."


def check_batch(batch: pa.RecordBatch) -> None:
    """Raise an Arrow error if a batch is corrupt. A corrupt batch could crash the process."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowException as error:
            raise pa.ArrowInvalid(f"column {field.name!r}: {error}") from None


def checked_schema(schema: pa.Schema) -> pa.Schema:
    """Check that the names of a schema can be decoded and its types are supported, and return the schema."""
    _ = schema.names
    for field in schema:
        try:
            pa.nulls(0, field.type).validate(full=True)
        except KeyError:
            raise pa.ArrowNotImplementedError(
                f"column {field.name!r} has type {field.type}, which pyarrow cannot read"
            ) from None
    return schema


class ArrowReader:
    """Reader for an IPC file or for concatenated IPC streams."""

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source = source
        # The reader reads the input twice: first the schema, and then all data from the start. A pipe must be
        # copied to a file for this.
        source.spool()
        self._is_file = source.first_bytes().startswith(b"ARROW1")
        self._schema: pa.Schema | None = None

    def schema(self) -> pa.Schema:
        if self._schema is None:
            with arrow_errors(self._source, FORMATS["arrow"]), self._source.open_arrow() as raw:
                self._schema = checked_schema(self._open(raw).schema)
        return self._schema

    def _open(self, raw: Any) -> Any:
        if self._is_file:
            return pa.ipc.open_file(raw)
        return pa.ipc.open_stream(raw)

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self.chunks(wanted))

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        first = 0
        with arrow_errors(self._source, FORMATS["arrow"]):
            raw = self._source.open_arrow()
        with raw:
            for batch in self._batches(raw):
                for data, _ in slices(batch, batch.num_rows, SLICE_VALUES):
                    yield Chunk(self._source.name, first, data, raw.tell())
                    first += data.num_rows

    def _batches(self, raw: Any) -> Iterator[pa.RecordBatch]:
        first = self.schema()
        with arrow_errors(self._source, FORMATS["arrow"]):
            reader = self._open(raw)
            if self._is_file:
                self._refuse_unlisted_bytes(raw)
        if self._is_file:
            yield from self._checked(map(reader.get_batch, range(reader.num_record_batches)))
            return
        while True:
            yield from self._checked(iter(reader))
            begin = raw.tell()
            if begin >= raw.size():
                return
            reader = self._next_stream(raw, begin, first)

    def _checked(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        while True:
            with arrow_errors(self._source, FORMATS["arrow"]):
                batch = next(batches, None)
                if batch is None:
                    return
                check_batch(batch)
            yield batch

    def _next_stream(self, raw: Any, begin: int, first: pa.Schema) -> Any:
        """Open the stream that follows another stream in the same file.

        Raises:
            UnreadableError: the bytes are not a stream, or the columns differ from those of the first stream.
            PaddedError: the padding metadata differs from that of the first stream.
        """
        try:
            reader = pa.ipc.open_stream(raw)
        except (pa.ArrowException, OSError):
            raise UnreadableError(
                f"{self._source.name}: the data from byte {begin} onward is not an Arrow stream. "
                "Check that the file is complete."
            ) from None
        if not reader.schema.equals(first):
            raise UnreadableError(
                f"{self._source.name}: the columns of the Arrow stream at byte {begin} differ from those of "
                "the first stream. Write each stream to a separate file."
            )
        if _padding_of(reader.schema) != _padding_of(first):
            raise PaddedError(
                f"{self._source.name}: the Arrow stream at byte {begin} has different padding metadata from "
                "the first stream. Write each stream to a separate file."
            )
        return reader

    def _refuse_unlisted_bytes(self, raw: Any) -> None:
        """Raise an error if the file contains data that the footer does not list, such as an appended file.

        Raises:
            UnreadableError: the footer does not list all data of the file, so rows would be missing.
        """
        end, footer = file_bounds(raw)
        raw.seek(0)
        # Between the last message and the footer, a valid file has only an end-of-stream marker, and zeros up
        # to a multiple of 64 bytes.
        if not 0 <= footer - end <= len(END_MARK) + 64:
            raise UnreadableError(
                f"{self._source.name}: the footer lists data up to byte {end:,}, but the footer starts at "
                f"byte {footer:,}. If several Arrow files were concatenated, write each to a separate file."
            )

    def lacks_end(self) -> bool:
        """Return whether a stream has no end-of-stream marker. Return False for a file with a footer."""
        if self._is_file:
            return False
        with self._source.open_arrow() as raw, arrow_errors(self._source, FORMATS["arrow"]):
            new = bytes(raw.read(4)) == END_MARK[:4]
            raw.seek(max(0, raw.size() - len(END_MARK)))
            return not bytes(raw.read(len(END_MARK))).endswith(END_MARK if new else END_MARK[4:])

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        return select_columns(chunk, wanted)

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        return cut_batch(chunk, rows)


def _padding_of(schema: pa.Schema) -> list[Described] | bytes | None:
    """Return the padding metadata in a schema. Metadata that cannot be parsed stays bytes."""
    try:
        return read_descriptions(schema.metadata)
    except DataError:
        return (schema.metadata or {}).get(METADATA_KEY)


def cut_batch(chunk: Chunk, rows: int) -> tuple[Chunk, int]:
    """Keep at most the first `rows` rows of a chunk. Return the new chunk and its number of rows."""
    # `rows` may be larger than the largest 64-bit integer, so limit it first.
    data = chunk.data.slice(0, min(rows, chunk.data.num_rows))
    return replace(chunk, data=data), data.num_rows


def select_columns(chunk: Chunk, wanted: Wanted) -> Batch:
    """Return the rows of a chunk with the requested columns. Omit columns that the input does not have."""
    data: pa.RecordBatch = chunk.data
    numbers = np.arange(chunk.first, chunk.first + data.num_rows)
    if wanted.others is None:
        names = data.schema.names
        indices = [names.index(name) for name in wanted.sequences.names if name in names]
        data = pa.RecordBatch.from_arrays(
            [data.column(index) for index in indices],
            schema=pa.schema([data.schema.field(index) for index in indices]),
        )
    return Batch(data, chunk.source, numbers, "row")


class ArrowWriter:
    """Writer for an IPC file, or for an IPC stream if the output does not support seeking."""

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        new = pa.ipc.new_stream if options.as_stream else pa.ipc.new_file
        schema, self._late = plain_schema(layout.schema, of_lists), options.metadata
        if layout.late and not options.as_stream:
            schema = schema.with_metadata(with_space(schema.metadata, layout.late))
        layout = replace(layout, schema=schema)
        self._stream = FooterStream(stream)
        deltas = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._sink = new(pa.PythonFile(self._stream, mode="w"), layout.schema, options=deltas)
        self._dictionaries, self._name, self._schema = _Dictionaries(), layout.name, schema
        self._groups = RowGroups(layout)

    def encode(self, batch: Batch) -> pa.RecordBatch:
        return batch.columns

    def append(self, encoded: pa.RecordBatch) -> None:
        for table in self._groups.add(encoded):
            self._write(table)

    def finish(self) -> None:
        for table in self._groups.rest():
            self._write(table)
        self._stream.replace_later(self._schema.metadata or {}, self._late)
        self._sink.close()

    def abandon(self) -> None:
        self._stream.abandon()
        self._sink.close()

    def _write(self, table: pa.Table) -> None:
        try:
            for batch in _compact(table).to_batches():
                self._sink.write_batch(self._dictionaries.unify(batch))
        except pa.ArrowException as error:
            columns = zip(table.schema, table.columns, strict=True)
            bad = next(((f, c) for f, c in columns if not all(map(fits_arrow, c.chunks))), None)
            which = "these columns" if bad is None else f"column {bad[0].name!r} of type {bad[0].type}"
            remedy = "" if bad is None else f" {other_formats(pa.concat_arrays(bad[1].chunks))}"
            raise OutputError(
                f"{self._name}: Arrow cannot store {which}: {short_arrow_error(error)}.{remedy}"
            ) from None


def fits_arrow(values: pa.Array) -> bool:
    """Return whether an Arrow file can store the values of an array."""
    plain = as_type(values, plain_type(values.type, of_lists))
    table = pa.table({"x": plain})
    try:
        with pa.ipc.new_file(pa.BufferOutputStream(), table.schema) as writer:
            writer.write_table(table)
    except pa.ArrowException:
        return False
    return True


def _compact(table: pa.Table) -> pa.Table:
    """Copy a table to one chunk per column, so that the output bytes depend only on the rows.

    The copy removes three differences: chunks that depend on the read size, bits of the next rows in the last
    byte of a sliced bitmap, and arbitrary values in null slots.
    """
    columns = [pa.concat_arrays([*column.chunks, pa.nulls(0, column.type)]) for column in table.columns]
    rows = np.arange(table.num_rows)
    clean = [take_rows(column, rows) if column.null_count else column for column in columns]
    return pa.Table.from_arrays(clean, schema=table.schema)


class _Dictionaries:
    """The dictionary of each column. Later batches only extend it, because IPC files cannot replace it."""

    def __init__(self) -> None:
        self._known: dict[str, pa.Array] = {}

    def unify(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            self._unified(field.name, column) if pat.is_dictionary(field.type) else column
            for field, column in zip(batch.schema, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _unified(self, name: str, column: pa.DictionaryArray) -> pa.DictionaryArray:
        from pyarrow.compute import index_in  # the import takes 30 ms, and most files have no dictionaries

        known, new = self._known.setdefault(name, column.dictionary), column.dictionary
        if new.equals(known):
            return column
        missing = new.filter(index_in(new, value_set=known).is_null())
        self._known[name] = known = pa.concat_arrays([known, missing])
        indices = index_in(new, value_set=known).take(column.indices).cast(column.type.index_type)
        return pa.DictionaryArray.from_arrays(indices, known)


class RowGroups:
    """Converts batches of any size to row groups with a maximum number of rows.

    If rows have long text, a row group has fewer rows. The row groups do not depend on the batch size.
    """

    def __init__(self, layout: Layout) -> None:
        self._schema, self._rows = layout.schema, layout.group_rows
        self._texts = [i for i, field in enumerate(self._schema) if has_text_offsets(field.type)]
        self._views = [i for i, field in enumerate(self._schema) if _is_view(field.type)]
        self._groups = layout.groups
        self._pending: list[pa.RecordBatch] = []
        self._count = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        columns = [
            as_type(column, field.type) for column, field in zip(batch.columns, self._schema, strict=True)
        ]
        rest = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        sizes = self._sizes(rest)
        while rows := self._missing_rows(sizes):
            yield self._join([*self._pending, rest.slice(0, rows)])
            rest, sizes = rest.slice(rows), sizes[rows:]
            self._pending, self._count, self._bytes = [], 0, 0
        self._pending.append(rest)
        self._count += rest.num_rows
        self._bytes += int(sizes.sum())

    def rest(self) -> Iterator[pa.Table]:
        if self._count:
            yield self._join(self._pending)
            self._pending, self._count, self._bytes = [], 0, 0

    def _join(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        """Join batches to one row group. String views are copied, to leave out the text of other rows."""
        table = pa.Table.from_batches(batches, schema=self._schema)
        for i in self._views:
            field = self._schema.field(i)
            plain = table.column(i).cast(_plain(field.type)).combine_chunks()
            table = table.set_column(i, field, plain.cast(field.type))
        return table

    def _missing_rows(self, sizes: npt.NDArray[np.int64]) -> int:
        """Return how many of the next rows complete the row group; 0 if there are too few rows."""
        full = np.flatnonzero(self._bytes + np.cumsum(sizes) >= GROUP_BYTES)
        rows = min(self._rows - self._count, int(full[0]) + 1 if len(full) else len(sizes) + 1)
        return rows if rows <= len(sizes) else 0

    def _sizes(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Return the size of each row in bytes: its text, and `POSITION_BYTES` for each position.

        Only positions of the sequence column in `Layout.groups` count. If there is a column of batch numbers,
        the last row of each batch gets the size of the batch, and all other rows get 0.
        """
        sizes = np.zeros(batch.num_rows, dtype=np.int64)
        for i in (*self._texts, *self._views):
            column = batch.column(i)
            sizes += np.diff(text_offsets(column.cast(_plain(column.type)) if i in self._views else column))
        if self._groups is not None and len(sizes):
            numbers, padded = self._groups
            sizes += POSITION_BYTES * list_lengths(batch.column(padded))[0]
            if numbers is None:
                return sizes
            # The last row of a batch has the size of the batch, so a row group ends after this row.
            lasts = np.append(np.flatnonzero(np.diff(to_numpy(batch.column(numbers)))), len(sizes) - 1)
            totals = np.diff(np.cumsum(sizes)[lasts], prepend=0)
            sizes = np.zeros_like(sizes)
            sizes[lasts] = totals
        return sizes


def _is_view(type_: pa.DataType) -> bool:
    return bool(pat.is_string_view(type_) or pat.is_binary_view(type_))


def _plain(view: pa.DataType) -> pa.DataType:
    return pa.large_string() if pat.is_string_view(view) else pa.large_binary()
