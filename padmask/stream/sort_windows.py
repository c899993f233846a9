"""Collect rows to sort windows: consecutive rows that are sorted and divided into batches together.

Only the lengths of the rows determine where a sort window ends. Therefore the batches do not depend on the
threads, the format or the number of rows that are read at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.columns import PadColumn
from padmask.core.keep_ends import Ends
from padmask.core.kernel import take_runs
from padmask.core.plan import Plan, Positions
from padmask.core.planners import count_rows
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.stream.job import Job
from padmask.stream.join_batches import join_batch
from padmask.stream.ledger import Ledger
from padmask.stream.rows import Rows

# Maximum number of values in a sort window, over all padded columns. A vector counts all its numbers.
WINDOW_VALUES = 1 << 26


class SortWindows:
    """Collects rows, and returns each complete sort window. The windows have no counts and no refused rows.

    Args:
        job: columns and options of the run, with batches.
        plan: plan of the run.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        assert job.spec.batches is not None
        self._job, self._plan = job, plan
        self._limits = (job.spec.batches.sort_window, WINDOW_VALUES)
        self._held: list[Rows] = []
        self._used = np.zeros(2, dtype=np.int64)

    def add(self, part: Rows) -> Iterator[Rows]:
        """Add rows, and yield the sort windows that are complete."""
        sizes = _sizes(part, self._job, self._plan)
        start = 0
        while start < len(part.batch):
            ends = np.cumsum(sizes[:, start:], axis=1) + self._used[:, None]
            rows = min(
                int(np.searchsorted(its, limit, "right"))
                for its, limit in zip(ends, self._limits, strict=True)
            )
            # A single row that exceeds a limit is a sort window.
            rows = rows or int(not self._held)
            if rows:
                self._held.append(_compact(part, start, start + rows, self._job))
                self._used = ends[:, rows - 1]
                start += rows
            if start < len(part.batch):
                yield from self.rest()

    def rest(self) -> Iterator[Rows]:
        """Yield the rows that are not part of a complete sort window, if there are any."""
        if self._held:
            rows = _join(self._held)
            self._held, self._used = [], np.zeros(2, dtype=np.int64)
            yield rows


def _sizes(part: Rows, job: Job, plan: Plan) -> Positions:
    """Return the number of output rows and of values of each source row: int64, shape (2, rows)."""
    written = count_rows(part.lengths, plan, job.spec, part.ends)
    values = sum(max(1, column.inner or 1) for column in job.columns)
    return np.stack([np.ones_like(part.lengths) if written is None else written, part.lengths * values])


def _compact(part: Rows, start: int, stop: int, job: Job) -> Rows:
    """Return some rows without the columns that padding replaces. Integers have the dtype of the output."""
    block = slice(start, stop)
    batch = part.batch.slice(start, stop)
    columns = [
        pa.nulls(stop - start, field.type) if field.name in (*part.ragged, *job.dropped) else column
        for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True)
    ]
    return Rows(
        replace(batch, columns=pa.RecordBatch.from_arrays(columns, schema=batch.columns.schema)),
        {column.name: _copy(part.ragged[column.name].select(block), column) for column in job.columns},
        Ledger(),
        part.numbers[block],
        part.ends and part.ends.select(block),
    )


def _copy(rows: Ragged, column: PadColumn) -> Ragged:
    """Return rows whose values are contiguous and start at index 0."""
    tokens, dtype = take_runs(rows.values, rows.starts, rows.lengths), np.dtype(column.numpy_dtype)
    if dtype.itemsize < tokens.itemsize and dtype.kind in "iu":
        tokens = tokens.astype(dtype)
    return Ragged(tokens, np.cumsum(rows.lengths) - rows.lengths, rows.lengths)


def _join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of a sort window as one object.

    Raises:
        SpecError: a column has more text than an Arrow array can store.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    try:
        batch = join_batch([part.batch for part in parts])
    except (pa.ArrowInvalid, pa.ArrowCapacityError):
        raise SpecError(
            f"A column has more than 2 GiB of text in {sum(len(part.batch) for part in parts):,} rows, which "
            "are sorted together. Choose a smaller --sort-window.",
            options=["sort_window"],
        ) from None
    ends = [part.ends for part in parts if part.ends is not None]
    return Rows(
        batch,
        {name: _join_ragged([part.ragged[name] for part in parts]) for name in first.ragged},
        Ledger(),
        np.concatenate([part.numbers for part in parts]),
        Ends(*(np.concatenate(its) for its in zip(*((e.first, e.last) for e in ends), strict=True)))
        if ends
        else None,
    )


def _join_ragged(parts: Sequence[Ragged]) -> Ragged:
    """Join rows whose values are contiguous and start at index 0."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), np.cumsum(lengths) - lengths, lengths)
