"""Keep prepared rows in a temporary file, so that the next pass does not parse the input again."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import empty_batch
from padmask.core.columns import PadColumn
from padmask.core.ragged import Ragged
from padmask.formats.contract import Batch
from padmask.storage.source import open_temporary
from padmask.storage.system import free_space
from padmask.stream.job import Job
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.rows import Rows

# Share of the free disk space that kept rows may use. The output needs space too.
KEPT_SHARE = 0.25

# Arrow buffers start at multiples of this number of bytes.
ALIGNMENT = 64


@dataclass(frozen=True)
class Kept:
    """The place of rows in the file.

    Args:
        start: offset of the first byte.
        sizes: size of the pickled rows and of each of their buffers, in bytes.
    """

    start: int
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Number of bytes in the file, including the space between the buffers."""
        return sum(map(_aligned, self.sizes))


class KeptRows:
    """Prepared rows in a private temporary file, in order.

    If the disk does not have enough space, the object removes all rows, and `complete` becomes False.

    Args:
        folder: folder of the file. If None, the system's folder for temporary files is used.
        job: columns and options of the run.
        lines: whether to keep the text of each row. Only the `--rejects` file needs the text.
    """

    def __init__(self, folder: str | None, job: Job, *, lines: bool) -> None:
        self._job, self._lines = job, lines
        self._kept: list[Kept] = []
        self._end = self._limit = 0
        self._file: BinaryIO | None = None
        with suppress(OSError):
            self._file = open_temporary(folder)
            self._limit = int(KEPT_SHARE * free_space(self._file.fileno()))

    @property
    def complete(self) -> bool:
        """Whether the file has all rows that were added."""
        return self._file is not None

    def leaves_space_for(self, needed: int) -> bool:
        """Return whether the disk certainly has space for `needed` more bytes of output."""
        return self._file is not None and needed <= KEPT_SHARE * free_space(self._file.fileno())

    def add(self, rows: Rows) -> None:
        """Append rows to the file, without the columns that padding replaces."""
        if self._file is None:
            return
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(self._compact(rows), protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(data), *(buffer.raw() for buffer in buffers)]
        kept = Kept(self._end, tuple(part.nbytes for part in parts))
        self._end += kept.bytes
        if self._end > self._limit:
            self.close()
            return
        try:
            for part in parts:
                self._file.write(part)
                self._file.write(bytes(_aligned(part.nbytes) - part.nbytes))
            self._file.flush()
        except OSError:
            self.close()
        self._kept.append(kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    def load(self, kept: Kept) -> Rows:
        """Read rows from the file. Any thread may call this function.

        Raises:
            OSError: the file cannot be read.
        """
        assert self._file is not None
        data = memoryview(pa.allocate_buffer(kept.bytes))
        done = 0
        while done < len(data):
            done += _read_some(self._file.fileno(), data[done:], kept.start + done)
        parts, start = [], 0
        for size in kept.sizes:
            parts.append(data[start : start + size])
            start += _aligned(size)
        rows: Rows = pickle.loads(parts[0], buffers=parts[1:])
        return rows

    def close(self) -> None:
        """Remove all rows."""
        self._kept.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _compact(self, rows: Rows) -> Rows:
        batch, job = rows.batch, self._job
        columns = [column for group in job.groups for column in group.columns]
        ragged = {column.name: _narrow(rows.ragged[column.name], column) for column in columns}
        kept = Batch(
            _without(batch.columns, job.changed),
            batch.source,
            batch.numbers,
            batch.unit,
            lines=batch.lines if self._lines else None,
        )
        refused = tuple(map(_only_line, rows.refused)) if self._lines else ()
        return replace(rows, batch=kept, ragged=ragged, refused=refused)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _read_some(descriptor: int, data: memoryview, offset: int) -> int:
    read = os.preadv(descriptor, [data], offset)
    if not read:
        raise OSError("the temporary file is shorter than expected")
    return read


def _narrow(tokens: Ragged, column: PadColumn) -> Ragged:
    """Return integer tokens in the dtype of the output, which all tokens fit. Other tokens stay unchanged."""
    dtype = np.dtype(column.numpy_dtype)
    if dtype.kind not in "iu" or tokens.values.dtype.kind not in "iu":
        return tokens
    return replace(tokens, values=tokens.values.astype(dtype, copy=False))


def _without(batch: pa.RecordBatch, names: Any) -> pa.RecordBatch:
    """Return a batch in which the named columns are null."""
    columns = [
        pa.nulls(len(column), field.type) if field.name in names else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _only_line(rejected: RejectedRow) -> RejectedRow:
    """Return the same rejected row, without the other rows of its batch."""
    batch, row = rejected.batch, rejected.row
    assert batch.lines is not None
    line = Batch(
        empty_batch(pa.schema([])),
        batch.source,
        batch.numbers[row : row + 1],
        batch.unit,
        lines=[batch.lines[row]],
    )
    return RejectedRow(line, 0, rejected.reason)
