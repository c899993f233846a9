"""Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from padmask.errors import OutputError
from padmask.formats.arrow import Regrouped, arrow_errors, checked_schema, cut_batch, select_columns
from padmask.formats.batch import HEAD_ROWS, Batch, Chunk, Layout, Wanted
from padmask.formats.goal import Lent
from padmask.formats.source import Source

# Values read at a time, and the bounds of the rows that hold them.
BATCH_VALUES = 1 << 19
BATCH_ROWS = (64, 1 << 16)
# Without it a whole row group's bytes would be held at once.
BUFFER_BYTES = 1 << 20


class ParquetReader:
    """Reads one Parquet file."""

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source = source
        self._batch_rows = batch_rows

    def schema(self) -> pa.Schema:
        with self._source.open_arrow() as raw, arrow_errors(self._source, "Parquet file"):
            return checked_schema(self._open(raw).schema_arrow)

    def _open(self, raw: Any) -> Any:
        with arrow_errors(self._source, "Parquet file"):
            return pq.ParquetFile(
                raw, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self._batches(wanted, HEAD_ROWS))

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        return self._batches(wanted, self._batch_rows)

    def _batches(self, wanted: Wanted, batch_rows: int | None) -> Iterator[Chunk]:
        with self._source.open_arrow() as raw:
            file = self._open(raw)
            total, size = file.metadata.num_rows, self._source.size or 0
            with arrow_errors(self._source, "Parquet file"):
                rows = batch_rows or _rows_at_a_time(file)
            names = None if wanted.others is not None else wanted.sequences.names
            first = 0
            with arrow_errors(self._source, "Parquet file"):
                batches = file.iter_batches(batch_size=rows, columns=names)
            while True:
                with arrow_errors(self._source, "Parquet file"):
                    data = next(batches, None)
                    if data is None:
                        return
                    data.validate(full=True)
                yield Chunk(self._source.name, first, data, size * (first + data.num_rows) // max(1, total))
                first += data.num_rows

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        return select_columns(chunk, wanted)

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        return cut_batch(chunk, rows)


def _rows_at_a_time(file: pq.ParquetFile) -> int:
    """Return how many rows hold about `BATCH_VALUES` values, by what the footer counts."""
    low, high = BATCH_ROWS
    if file.metadata.num_row_groups == 0:
        return high
    # Reading tells of a broken footer with an error, where asking for a column's counts would
    # abort the process.
    next(file.iter_batches(batch_size=1, row_groups=[0]), None)
    group = file.metadata.row_group(0)
    values = max((group.column(i).num_values for i in range(group.num_columns)), default=0)
    return int(max(low, min(high, BATCH_VALUES * group.num_rows // max(1, values))))


class ParquetWriter:
    """Writes row groups of a fixed number of rows: zstd, data page v1, plain lists."""

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._lent = Lent(stream)
        try:
            self._sink = pq.ParquetWriter(
                pa.PythonFile(self._lent, mode="w"),
                layout.schema,
                compression="zstd",
                data_page_version="1.0",
            )
        except pa.ArrowException as error:
            raise _cannot_hold(error) from None
        self._groups = Regrouped(layout)

    def encode(self, batch: Batch) -> pa.RecordBatch:
        return batch.columns

    def append(self, piece: pa.RecordBatch) -> None:
        for table in self._groups.add(piece):
            self._write(table)

    def finish(self) -> None:
        # No rows make no row group: one of zero rows breaks Hugging Face datasets.
        for table in self._groups.rest():
            self._write(table)
        self._sink.close()

    def abandon(self) -> None:
        self._lent.abandon()
        self._sink.close()

    def _write(self, table: pa.Table) -> None:
        try:
            self._sink.write_table(table, row_group_size=table.num_rows)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _cannot_hold(error) from None


def _cannot_hold(error: Exception) -> OutputError:
    said = str(error).rstrip(".")
    return OutputError(f"Parquet cannot hold these columns: {said}. Write Arrow or JSON Lines.")
