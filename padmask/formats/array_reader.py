"""Read a set of NumPy arrays with the same number of rows, such as the arrays of an npz archive."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from padmask.core.metadata import METADATA_KEY
from padmask.errors import AccessError, PadmaskError, UnreadableError, UnsupportedError, os_error_remedy
from padmask.formats.contract import HEAD_ROWS, Batch, Chunk, Wanted
from padmask.formats.npy_array import ArrayHeader, read_header
from padmask.storage.source import Source

# Maximum number of rows, values and bytes in a chunk. A single row may be larger.
CHUNK_ROWS, CHUNK_VALUES, CHUNK_BYTES = 1 << 16, 1 << 20, 16 << 20


class ArrayFiles(Protocol):
    """The npy streams of an open input, keyed by the name of the array."""

    def sizes(self) -> Mapping[str, int]:
        """Return the size of each stream in bytes, in the order of the columns."""

    def open(self, name: str) -> BinaryIO:
        """Open a stream at its start. Several streams may be open at the same time."""

    def description(self) -> bytes:
        """Return the description of the padding, as JSON; empty if there is no description."""


@dataclass(frozen=True)
class _Rows:
    """Rows that are not decoded yet: for each array that is read, the header and the bytes of the rows."""

    count: int
    headers: Sequence[ArrayHeader]
    data: Sequence[bytes]

    def cut(self, count: int) -> _Rows:
        ends = [count * header.row_bytes for header in self.headers]
        return _Rows(count, self.headers, [data[:end] for data, end in zip(self.data, ends, strict=True)])


class ArrayReader:
    """Base class of readers for sets of arrays. Each array is a column."""

    # Name of the format, for messages.
    title: ClassVar[str]

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source = source
        self._batch_rows = batch_rows
        self._schema: pa.Schema | None = None

    def files(self, stack: ExitStack) -> ArrayFiles:
        """Open the input, and let `stack` close the input."""
        raise NotImplementedError

    def schema(self) -> pa.Schema:
        if self._schema is None:
            with ExitStack() as stack, self._errors():
                files = self.files(stack)
                headers = [header for header, _ in self._open(files, stack)]
                described = files.description()
                self._schema = pa.schema(
                    [(header.name, header.type) for header in headers],
                    metadata={METADATA_KEY: described} if described else None,
                )
        return self._schema

    def _open(self, files: ArrayFiles, stack: ExitStack) -> list[tuple[ArrayHeader, BinaryIO]]:
        """Open all streams, and read their headers.

        Raises:
            UnreadableError: two arrays have different numbers of rows.
        """
        found = []
        for name, size in files.sizes().items():
            stream = stack.enter_context(files.open(name))
            found.append((read_header(stream, self._source.name, name, size), stream))
        for header, _ in found:
            first = found[0][0]
            if header.rows != first.rows:
                raise UnreadableError(
                    f"{self._source.name}: array {header.name!r} has {header.rows} rows, but {first.name!r} "
                    f"has {first.rows}. Save only arrays with the same number of rows.",
                    options=["input_format"],
                )
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert read errors to padmask errors with the file name."""
        try:
            yield
        except (PadmaskError, BrokenPipeError):
            raise
        except (NotImplementedError, RuntimeError) as error:
            # An encrypted archive, or an unknown compression.
            raise UnsupportedError(
                f"{self._source.name}: padmask cannot read this archive: {error}. Save the file again with "
                "numpy.savez.",
                options=["input_format"],
            ) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError) as error:
            # A damaged archive can cause a seek to an invalid offset, which raises an OSError too.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise AccessError(
                    f"{self._source.name} cannot be read: {error.strerror}. {os_error_remedy(error)}"
                ) from None
            raise UnreadableError(
                f"{self._source.name}: not a readable {self.title} file: {error}. Check that the file is "
                "complete.",
                options=["input_format"],
            ) from None

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self._chunks(wanted, HEAD_ROWS))

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        return self._chunks(wanted, self._batch_rows or CHUNK_ROWS)

    def _chunks(self, wanted: Wanted, most: int) -> Iterator[Chunk]:
        with ExitStack() as stack:
            with self._errors():
                opened = self._open(self.files(stack), stack)
            total = opened[0][0].rows
            if wanted.others is None:
                opened = [
                    (header, stream) for header, stream in opened if header.name in wanted.sequences.names
                ]
            headers, streams = [header for header, _ in opened], [stream for _, stream in opened]
            values, size = (sum(getattr(h, of) for h in headers) for of in ("row_values", "row_bytes"))
            step = max(1, min(most, CHUNK_VALUES // max(1, values), CHUNK_BYTES // max(1, size)))
            for first in range(0, total, step):
                count = min(step, total - first)
                with self._errors():
                    data = [self._read(stream, header, count) for header, stream in opened]
                    if first + count == total:
                        self._check_ends(headers, streams)
                consumed = (self._source.size or 0) * (first + count) // total
                yield Chunk(self._source.name, first, _Rows(count, headers, data), consumed)

    @staticmethod
    def _read(stream: BinaryIO, header: ArrayHeader, rows: int) -> bytes:
        size = rows * header.row_bytes
        data = stream.read(size) if size else b""
        if len(data) != size:
            raise header.damaged("the data ends too early")
        return data

    @staticmethod
    def _check_ends(headers: Sequence[ArrayHeader], streams: Sequence[BinaryIO]) -> None:
        # The zip module verifies the checksum of an array only when the array is read to its end.
        for header, stream in zip(headers, streams, strict=True):
            if stream.read(1):
                raise header.damaged("there are bytes after the last row")

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        rows: _Rows = chunk.data
        columns = [
            header.column(data, rows.count) for header, data in zip(rows.headers, rows.data, strict=True)
        ]
        numbers = np.arange(chunk.first, chunk.first + rows.count)
        schema = pa.schema([(header.name, header.type) for header in rows.headers])
        return Batch(pa.RecordBatch.from_arrays(columns, schema=schema), chunk.source, numbers, "row")

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        cut = chunk.data.cut(min(rows, chunk.data.count))
        return replace(chunk, data=cut), cut.count

    def lacks_end(self) -> bool:
        """Return False. An incomplete file cannot be read at all."""
        return False
