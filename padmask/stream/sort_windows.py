"""Divide the input rows into sort windows: consecutive rows that are sorted, or packed, together.

Only the lengths of the rows determine where a sort window ends. Therefore the batches do not depend on the
threads, the format or the number of rows that are read at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import PadColumn
from padmask.core.keep_ends import Ends
from padmask.core.kernel import take_runs
from padmask.core.pack_windows import WINDOW_SEQUENCES, WINDOW_VALUES, window_stop
from padmask.core.plan import Plan, Positions
from padmask.core.planners import count_rows
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.stream.job import Job
from padmask.stream.join_batches import join_batch
from padmask.stream.ledger import Ledger
from padmask.stream.rows import Rows

# Arrays of at least this number of bytes get their own memory pages. The system limits the number of such
# arrays in a process, but a sort window has fewer.
OWN_PAGES = 1 << 16


class SortWindows:
    """Collects rows, and returns complete sort windows, with empty ledgers and without refused rows.

    Args:
        job: columns and options of the run, with batches or packing.
        plan: length of the output rows.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        batches = job.spec.batches
        self._job, self._plan = job, plan
        self._limits = (WINDOW_SEQUENCES if batches is None else batches.sort_window, WINDOW_VALUES)
        self._held: list[Rows] = []
        self._carried: list[Rows] = []
        self._used = np.zeros(2, dtype=np.int64)

    def add(self, part: Rows) -> Iterator[Rows]:
        """Add rows, and yield the sort windows that are complete."""
        sizes = _sizes(part, self._job, self._plan)
        ends, start = np.cumsum(sizes, axis=1), 0
        while start < len(part.batch):
            stop = window_stop(ends, start, self._used, self._limits)
            if not self._held:
                # A row that exceeds a limit is a sort window of its own.
                stop = max(stop, start + 1)
            if stop > start:
                self._held.append(copy_rows(part, np.arange(start, stop), self._job))
                self._used = self._used + sizes[:, start:stop].sum(axis=1)
                start = stop
            if start < len(part.batch):
                yield from self.rest()

    def carry(self, rows: Rows) -> None:
        """Put rows at the start of the next window. They do not count towards the size of the window."""
        self._carried = [rows]

    def rest(self) -> Iterator[Rows]:
        """Yield all collected rows as one sort window, if there are any."""
        parts = [*self._carried, *self._held]
        if parts:
            self._carried, self._held, self._used = [], [], np.zeros(2, dtype=np.int64)
            yield concat_rows(parts)


def _sizes(part: Rows, job: Job, plan: Plan) -> Positions:
    """For each source row, return how many output rows and values it has: int64, shape (2, rows)."""
    written = count_rows(part.lengths, plan, job.spec, part.ends)
    values = sum(max(1, column.inner or 1) for column in job.columns)
    return np.stack([np.ones_like(part.lengths) if written is None else written, part.lengths * values])


def copy_rows(part: Rows, rows: Positions, job: Job) -> Rows:
    """Copy some rows without the columns that padding replaces. The ledger of the copy is empty.

    Integers get the dtype of the output if this dtype is smaller. The copy does not keep the values of other
    rows in memory.

    Args:
        part: rows to copy from.
        rows: indices of the rows to copy, ascending: int64, shape (rows,).
        job: columns and options of the run.
    """
    ragged = {column.name: _copy(part.ragged[column.name], rows, column) for column in job.columns}
    return Rows(
        part.batch.select(rows, (*part.ragged, *job.dropped)),
        ragged,
        Ledger(),
        part.numbers[rows],
        part.ends and part.ends.select(rows),
    )


def _copy(source: Ragged, rows: Positions, column: PadColumn) -> Ragged:
    """Copy some rows. The values of the copy are contiguous and start at index 0."""
    lengths = source.lengths[rows]
    tokens, dtype = take_runs(source.values, source.starts[rows], lengths), np.dtype(column.numpy_dtype)
    if dtype.itemsize < tokens.itemsize and dtype.kind in "iu":
        tokens = tokens.astype(dtype)
    return Ragged(_in_own_pages(tokens), np.cumsum(lengths) - lengths, lengths)


def _in_own_pages(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copy a large array of numbers to its own memory pages. Return other arrays unchanged.

    The system gets these pages back when the copy is freed. With malloc, the process may keep the memory.
    """
    if values.nbytes < OWN_PAGES or values.dtype.kind not in "biuf":
        return values
    copy = np.frombuffer(mmap(-1, values.nbytes), dtype=values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def concat_rows(parts: list[Rows]) -> Rows:
    """Return the rows of a window as one object. Remove all items from `parts`, to free memory.

    Raises:
        SpecError: a column has more text than an Arrow array can store.
    """
    if len(parts) == 1:
        return parts.pop()
    try:
        batch = join_batch([part.batch for part in parts])
    except (pa.ArrowInvalid, pa.ArrowCapacityError):
        raise SpecError(
            f"A column has more than 2 GiB of text in {sum(len(part.batch) for part in parts):,} rows, which "
            "are sorted or packed together. Choose a smaller --sort-window, or leave out the column.",
            options=["sort_window"],
        ) from None
    numbers = np.concatenate([part.numbers for part in parts])
    its = [part.ends for part in parts if part.ends is not None]
    ends = (
        Ends(np.concatenate([e.first for e in its]), np.concatenate([e.last for e in its])) if its else None
    )
    columns = {name: [part.ragged[name] for part in parts] for name in parts[0].ragged}
    # Without references to the parts, the memory of each part is free after its values are copied.
    parts.clear()
    return Rows(
        batch, {name: _join_ragged(column) for name, column in columns.items()}, Ledger(), numbers, ends
    )


def _join_ragged(parts: list[Ragged]) -> Ragged:
    """Join rows whose values are contiguous and start at index 0. Remove all items from `parts`."""
    lengths = np.concatenate([part.lengths for part in parts])
    inner, dtype = parts[0].values.shape[1:], np.result_type(*(part.values for part in parts))
    values = np.empty((int(lengths.sum()), *inner), dtype=dtype)
    end = 0
    for _ in range(len(parts)):
        part = parts.pop(0).values
        values[end : end + len(part)] = part
        end += len(part)
    return Ragged(values, np.cumsum(lengths) - lengths, lengths)
