"""Keep prepared rows in a temporary file, so that the next pass does not parse the input again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
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
from padmask.stream.records import Pickled, Record, read_record
from padmask.stream.rows import Rows

# Share of the free disk space that kept rows may use. The output needs space too.
KEPT_SHARE = 0.25


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
        self._kept: list[Record] = []
        self._end = self._limit = 0
        self._file: BinaryIO | None = None
        with suppress(OSError):
            self._file = open_temporary(folder)
            self._limit = int(KEPT_SHARE * free_space(self._file.fileno()))

    @property
    def complete(self) -> bool:
        """Whether the file contains all rows that were added."""
        return self._file is not None

    def leaves_space_for(self, needed: int) -> bool:
        """Return whether the disk certainly has space for `needed` more bytes of output."""
        return self._file is not None and needed <= KEPT_SHARE * free_space(self._file.fileno())

    def add(self, rows: Rows) -> None:
        """Append rows to the file, after `compact_rows` has made them smaller."""
        if self._file is None:
            return
        pickled = Pickled(compact_rows(rows, self._job, lines=self._lines))
        record = pickled.at(self._end)
        self._end += record.bytes
        if self._end > self._limit:
            self.close()
            return
        try:
            pickled.write(self._file)
        except OSError:
            self.close()
            return
        self._kept.append(record)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept)

    def load(self, record: Record) -> Rows:
        """Read rows from the file. Any thread may call this function.

        Raises:
            OSError: the file cannot be read.
        """
        assert self._file is not None
        rows: Rows = read_record(self._file, record)
        return rows

    def close(self) -> None:
        """Remove all rows."""
        self._kept.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def compact_rows(rows: Rows, job: Job, *, lines: bool) -> Rows:
    """Return rows without the data of columns that padding replaces. Integers get the dtype of the output.

    Args:
        rows: rows of JSON Lines, with all columns.
        job: columns and options of the run.
        lines: whether to keep the refused rows and the text of all rows, for the `--rejects` file.
    """
    batch = rows.batch
    columns = [column for group in job.groups for column in group.columns]
    ragged = {column.name: _narrow(rows.ragged[column.name], column) for column in columns}
    kept = Batch(
        _without(batch.columns, job.changed),
        batch.source,
        batch.numbers,
        batch.unit,
        lines=batch.lines if lines else None,
    )
    return replace(rows, batch=kept, ragged=ragged, refused=only_lines(rows.refused) if lines else ())


def only_lines(refused: Sequence[RejectedRow]) -> tuple[RejectedRow, ...]:
    """Copy only the text of rejected rows, so that the batches of these rows can be freed."""
    return tuple(map(_only_line, refused))


def _narrow(tokens: Ragged, column: PadColumn) -> Ragged:
    """Convert integer tokens to the dtype of the output. All tokens were checked to fit in this dtype."""
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
