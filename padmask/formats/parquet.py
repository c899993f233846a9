"""Read and write Parquet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from padmask.errors import OutputError, UnreadableError
from padmask.formats import other_formats
from padmask.formats.arrow import (
    RowGroups,
    arrow_errors,
    check_batch,
    checked_schema,
    cut_batch,
    select_columns,
    short_arrow_error,
)
from padmask.formats.contract import HEAD_BYTES, HEAD_ROWS, Batch, Chunk, Layout, Wanted, WriterOptions
from padmask.formats.parquet_batches import BATCH_ROWS, BATCH_VALUES, read_batches
from padmask.formats.parquet_footer import (
    MAGIC,
    Encoded,
    join_group,
    read_footer,
    read_value_counts,
    split_file,
    write_footer,
)
from padmask.formats.parquet_int96 import exact_batches, int96_columns, with_time_zone
from padmask.formats.parquet_interval import interval_batches, interval_columns, with_interval_types
from padmask.formats.parquet_lists import encode_equal_lists
from padmask.formats.plain_dictionaries import as_type, of_views, plain_schema, plain_type
from padmask.formats.row_sizes import VALUE_BYTES
from padmask.formats.thrift import Struct
from padmask.spec.formats import FORMATS
from padmask.storage.source import Source

# Buffer size in bytes. Without a buffer size, pyarrow would read a complete row group into memory.
BUFFER_BYTES = 1 << 20

# Maximum number of row groups that threads encode while more rows are padded. Each row group needs memory.
PENDING_GROUPS = 1

# Key of the file metadata that contains the Arrow schema, including its metadata.
ARROW_SCHEMA = b"ARROW:schema"

# Largest number of rows in a batch that Arrow accepts.
MOST_ROWS = (1 << 31) - 1


class ParquetReader:
    """Reader for one Parquet file."""

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source = source
        self._batch_rows = batch_rows
        self._schema: pa.Schema | None = None

    def schema(self) -> pa.Schema:
        if self._schema is None:
            with self._source.open_arrow() as raw, arrow_errors(self._source, FORMATS["parquet"]):
                file = self._open(raw)
                schema = checked_schema(file.schema_arrow)
                schema = with_time_zone(schema, int96_columns(file.schema), file.metadata.metadata)
                schema = with_interval_types(schema, interval_columns(file.schema))
                self._schema = with_file_metadata(schema, file.metadata.metadata)
        return self._schema

    def _open(self, raw: Any, int96_unit: str = "us") -> Any:
        with arrow_errors(self._source, FORMATS["parquet"]):
            # Remote storage is slow to respond, so one request fetches all columns of a row group.
            file = pq.ParquetFile(
                raw,
                buffer_size=BUFFER_BYTES,
                pre_buffer=self._source.url is not None,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit=int96_unit,
            )
        _check_groups(self._source, file.metadata)
        return file

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        chunks = self._batches(wanted, HEAD_ROWS, HEAD_BYTES // VALUE_BYTES)
        return (self.decode(chunk, wanted) for chunk in chunks)

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        return self._batches(wanted, min(self._batch_rows or BATCH_ROWS, MOST_ROWS), BATCH_VALUES)

    def _batches(self, wanted: Wanted, rows: int, values: int) -> Iterator[Chunk]:
        with self._source.open_arrow() as raw:
            file = self._open(raw)
            begin, end = self._source.groups or (0, file.metadata.num_row_groups)
            first = _rows_of(file, 0, begin)
            total, size = first + _rows_of(file, begin, end), self._source.size or 0
            names = None if wanted.others is not None else wanted.sequences.names
            batches = self._read(raw, file, range(begin, end), names, rows, values)
            while True:
                with arrow_errors(self._source, FORMATS["parquet"]):
                    data = next(batches, None)
                    if data is None:
                        break
                    check_batch(data)
                yield Chunk(self._source.name, first, data, size * (first + data.num_rows) // max(1, total))
                first += data.num_rows
            if first != total:
                raise UnreadableError(
                    f"{self._source.name}: the footer gives the number of rows as {total}, but only {first} "
                    "can be read. Check that the file is complete."
                )

    def _read(
        self, raw: Any, file: pq.ParquetFile, groups: range, names: list[str] | None, rows: int, values: int
    ) -> Iterator[pa.RecordBatch]:
        """Read row groups in batches. INT96 timestamps become microseconds."""
        counts = () if self._source.url is not None else read_value_counts(raw)
        batches = read_batches(file, groups, names, counts, rows, values)
        if intervals := interval_columns(file.schema):
            batches = interval_batches(batches, intervals)
        finer = [name for name in int96_columns(file.schema) if names is None or name in names]
        if not finer:
            return batches
        exact = read_batches(self._open(raw, "ns"), groups, finer, counts, rows, values)
        return exact_batches(batches, exact, self.schema(), self._source.name)

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        return select_columns(chunk, wanted)

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        return cut_batch(chunk, rows)

    def lacks_end(self) -> bool:
        """Return False. An incomplete Parquet file cannot be read at all."""
        return False


def with_file_metadata(schema: pa.Schema, found: Mapping[bytes, bytes] | None) -> pa.Schema:
    """Add the key-value metadata of a file to its schema. Keys that the schema already has stay unchanged.

    Args:
        schema: schema of the file.
        found: all key-value metadata of the file.
    """
    own = schema.metadata or {}
    more = {key: value for key, value in (found or {}).items() if key != ARROW_SCHEMA and key not in own}
    return schema.with_metadata({**own, **more}) if more else schema


def _rows_of(file: pq.ParquetFile, begin: int, end: int) -> int:
    """Return the number of rows in a range of row groups, according to the footer."""
    return sum(file.metadata.row_group(group).num_rows for group in range(begin, end))


def _check_groups(source: Source, metadata: pq.FileMetaData) -> None:
    """Raise an error if the row groups do not match the footer.

    Without this check, reading the row groups could abort the process.
    """
    for i in range(metadata.num_row_groups):
        columns = metadata.row_group(i).num_columns
        if columns != metadata.num_columns:
            raise UnreadableError(
                f"{source.name}: row group {i} has {columns} columns, but the schema has "
                f"{metadata.num_columns}. Check that the file is complete."
            )
    rows = sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    if rows != metadata.num_rows:
        raise UnreadableError(
            f"{source.name}: the footer gives the number of rows as {metadata.num_rows}, but the row groups "
            f"contain {rows}. Check that the file is complete."
        )


class ParquetWriter:
    """Writer for Parquet files with zstd, data pages of version 1, and a fixed number of rows per row group.

    Threads encode each column of a row group as a separate file, and the writer joins these files.
    """

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        self._stream = stream
        layout = replace(layout, schema=plain_schema(layout.schema, of_views))
        self._schema = layout.schema
        # An output without rows has no row group, because an empty row group breaks Hugging Face datasets.
        self._groups = RowGroups(layout)
        self._pool = ThreadPoolExecutor(options.threads, "padmask-parquet")
        self._pending: deque[list[Future[Encoded]]] = deque()
        self._written: list[Struct] = []
        self._place = 0
        self._name = layout.name
        self._metadata = options.metadata
        self._template, _ = read_footer(_template(self._schema, self._name))
        self._put(MAGIC)

    def encode(self, batch: Batch) -> pa.RecordBatch:
        return batch.columns

    def append(self, encoded: pa.RecordBatch) -> None:
        for table in self._groups.add(encoded):
            self._begin(table)

    def finish(self) -> None:
        for table in self._groups.rest():
            self._begin(table)
        while self._pending:
            self._write(self._pending.popleft())
        template = self._template
        if self._metadata:
            schema = self._schema.with_metadata({**(self._schema.metadata or {}), **self._metadata})
            template, _ = read_footer(_template(schema, self._name))
        self._put(write_footer(template, self._written))
        self._pool.shutdown()

    def abandon(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, table: pa.Table) -> None:
        if len(self._pending) == PENDING_GROUPS:
            self._write(self._pending.popleft())
        columns = zip(self._schema, table.columns, strict=True)
        self._pending.append([self._pool.submit(_encode, *column, self._name) for column in columns])

    def _write(self, group: list[Future[Encoded]]) -> None:
        columns = [future.result() for future in group]
        self._written.append(join_group(columns, self._place))
        for column in columns:
            self._put(column.body)

    def _put(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._place += len(data)


def _encode(field: pa.Field, column: pa.ChunkedArray, name: str) -> Encoded:
    """Encode one column of a row group."""
    # Combine the chunks, so that the pages do not depend on the read size.
    schema = pa.schema([field])
    table = pa.Table.from_arrays([column], schema=schema).combine_chunks()
    try:
        equal = (
            encode_equal_lists(field, table.column(0).chunk(0)) if table.column(0).num_chunks == 1 else None
        )
        return equal or split_file(_encoded(schema, table))
    except (pa.ArrowException, OSError) as error:
        raise _cannot_store(field, table.column(0).chunk(0), error, name) from None


def _template(schema: pa.Schema, name: str) -> memoryview:
    """Return a Parquet file without rows. Raise an error for the first column that Parquet cannot store."""
    try:
        return _encoded(schema, None)
    except (pa.ArrowException, OSError):
        for field in schema:
            values = pa.nulls(0, field.type)
            if not fits_parquet(values):
                raise _cannot_store(field, values, None, name) from None
        raise


def _encoded(schema: pa.Schema, table: pa.Table | None) -> memoryview:
    """Return a Parquet file with a table as its only row group. Without a table, the file has no row groups.

    Raises:
        ArrowException: Parquet cannot store a type or a value.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, schema, compression="zstd", data_page_version="1.0", write_page_checksum=True
    ) as writer:
        if table is not None:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    _refuse_empty_lists(schema)
    return memoryview(sink.getvalue())


def _refuse_empty_lists(parts: Iterable[pa.Field]) -> None:
    """Raise an error for fixed-size lists of size 0 at any depth. Arrow cannot read such lists back."""
    for field in parts:
        if pa.types.is_fixed_size_list(field.type) and field.type.list_size == 0:
            raise pa.ArrowNotImplementedError("fixed-size lists of size 0 cannot be read back")
        _refuse_empty_lists(map(field.type.field, range(field.type.num_fields)))


def _cannot_store(field: pa.Field, values: pa.Array, error: Exception | None, name: str) -> OutputError:
    reason = "" if error is None else f": {short_arrow_error(error)}"
    return OutputError(
        f"{name}: Parquet cannot store column {field.name!r} of type {field.type}{reason}. "
        f"{other_formats(values)}"
    )


def fits_parquet(values: pa.Array) -> bool:
    """Return whether Parquet can store the values of an array."""
    plain = as_type(values, plain_type(values.type, of_views))
    try:
        _encoded(pa.schema([("x", plain.type)]), pa.table({"x": plain}))
    except (pa.ArrowException, OSError):
        return False
    return True


def group_sizes(source: Source) -> list[int]:
    """Return the compressed size of each row group of a Parquet file, in bytes.

    Raises:
        UnreadableError: the footer cannot be read.
    """
    with source.open_arrow() as raw, arrow_errors(source, FORMATS["parquet"]):
        metadata = pq.read_metadata(raw)
        return [
            sum(group.column(i).total_compressed_size for i in range(group.num_columns))
            for group in map(metadata.row_group, range(metadata.num_row_groups))
        ]
