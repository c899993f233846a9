"""A small format for tests: a line of column names, then a line per row, with numbers separated by spaces.

Columns are separated by tabs. padmask needs only this module and the entry at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from padmask.formats.contract import Batch, Chunk, Layout, Wanted, WriterOptions
from padmask.spec.formats import FORMATS, FormatTraits
from padmask.storage.source import Source

LISTS = pa.list_(pa.int64())

ROWS = 100


class WordsReader:
    """A reader that reads its whole file at once, because files are small in tests."""

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source, self._rows = source, batch_rows or ROWS

    def _lines(self) -> list[str]:
        self._source.spool()
        with self._source.open() as stream:
            return stream.read().decode().removeprefix("#words\t").splitlines()

    def schema(self) -> pa.Schema:
        return pa.schema([(name, LISTS) for name in self._lines()[0].split("\t")])

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self.chunks(wanted))

    def lacks_end(self) -> bool:
        return False

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        rows = self._lines()[1:]
        for first in range(0, len(rows), self._rows):
            yield Chunk(self._source.name, first, rows[first : first + self._rows], first)

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        cells = [[list(map(int, cell.split())) for cell in row.split("\t")] for row in chunk.data]
        schema = self.schema()
        columns = [pa.array(column, type=LISTS) for column in zip(*cells, strict=True)]
        data = pa.RecordBatch.from_arrays(columns, schema=schema)
        if wanted.others is None:
            data = data.select(wanted.sequences.names)
        return Batch(data, chunk.source, np.arange(chunk.first, chunk.first + len(cells)), "row")

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        return replace(chunk, data=chunk.data[:rows]), min(rows, len(chunk.data))


class WordsWriter:
    """A writer of tables whose columns are lists of numbers."""

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        self._stream = stream
        self._stream.write(("#words\t" + "\t".join(layout.schema.names) + "\n").encode())

    def encode(self, batch: Batch) -> bytes:
        columns = [column.to_pylist() for column in batch.columns.columns]
        rows = zip(*columns, strict=True)
        return "".join(
            "\t".join(" ".join(str(int(n)) for n in cell) for cell in row) + "\n" for row in rows
        ).encode()

    def append(self, piece: bytes) -> None:
        self._stream.write(piece)

    def finish(self) -> None:
        """Do nothing, because the format has no footer."""

    def abandon(self) -> None:
        """Do nothing, because the writer has no buffer."""


WORDS = FormatTraits(
    name="words",
    title="Words",
    suffixes=(".words", ".wrd"),
    magic=(b"#words\t",),
    reader=f"{__name__}:WordsReader",
    writer=f"{__name__}:WordsWriter",
)


def register() -> None:
    """Add the format to the table of formats."""
    FORMATS[WORDS.name] = WORDS
