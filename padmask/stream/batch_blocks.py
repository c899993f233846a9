"""Divide rows into batches with a token budget, and pad each batch to its longest row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.batches import plan_batches, select_output_rows
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import make_segments
from padmask.core.table import ColumnGroup, padded_arrays, replace_columns
from padmask.stream.counts import count_padded
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger
from padmask.stream.paddable_rows import PadTarget, RejectedRow
from padmask.stream.plans import BATCH_POSITIONS
from padmask.stream.rows import Rows
from padmask.stream.sort_windows import SortWindows


@dataclass(frozen=True)
class BatchBlock:
    """Consecutive batches of a sort window (rows that are sorted together).

    Args:
        rows: all rows of the sort window.
        segments: positions of the tokens in the output rows of the sort window.
        order: index of each row of these batches among the output rows of the sort window: int64, shape
            (rows,). The rows of the first batch come first.
        sizes: number of rows of each batch: int64, shape (batches,).
        widths: padded length of the rows of each batch: int64, shape (batches,).
        first: index of the first batch of this block among all batches of the output.
        ledger: counts of rows and tokens that this block adds to the total.
        refused: rows that are not written, such as bad rows.
        late: names of columns that have no values in the first rows, but one value per token in later rows.
    """

    rows: Rows
    segments: Segments
    order: Positions
    sizes: Positions
    widths: Positions
    first: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    refused: Sequence[RejectedRow] = ()
    late: Sequence[str] = ()

    def pad(self, target: PadTarget) -> tuple[Any, BatchBlock]:
        """Pad the batches. Return the encoded rows and this block, whose ledger already counts the output."""
        job, rows = target.job, self.rows
        stops = np.cumsum(self.sizes)
        parts = []
        places = zip(stops - self.sizes, stops, self.widths.tolist(), strict=True)
        for number, (start, stop, width) in enumerate(places, self.first):
            its = select_output_rows(self.segments, self.order[start:stop], width)
            parts.append(padded_arrays(rows.ragged, [(job.groups[0], its)], False, rows.numbers, number))
        arrays = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
        sources = self.segments.row_sources[self.order]
        batch = rows.batch.repeat(sources, job.changed).without(job.dropped)
        columns = replace_columns(batch.columns, arrays, job.dropped)
        return target.writer.encode(replace(batch, columns=columns)), self


def batch_blocks(all_rows: Iterable[Any], job: Job, plan: Plan) -> Iterator[BatchBlock]:
    """Divide all rows into batches, and yield blocks of batches in order.

    For each item of `all_rows`, the first block has no batches. It has only the refused rows, and the counts
    of the rows that were read.

    Args:
        all_rows: the rows (`Rows`), in order.
        job: columns and options of the run, with batches.
        plan: maximum length of the output rows.
    """
    collected = SortWindows(job, plan)
    read = window = number = 0

    def divide(windows: Iterator[Rows]) -> Iterator[BatchBlock]:
        nonlocal window, number
        for rows in windows:
            for block in _blocks_of(rows, job, plan, window):
                yield replace(block, first=number)
                number += len(block.sizes)
            window += 1

    for rows in all_rows:
        written = rows.written(job, plan, read)
        read += rows.ledger.rows_read
        yield _without_batches(written, job, plan)
        yield from divide(collected.add(written))
    yield from divide(collected.rest())


def _blocks_of(rows: Rows, job: Job, plan: Plan, window: int) -> Iterator[BatchBlock]:
    """Divide a sort window into batches, and yield blocks of batches.

    The ledger of the first block has the counts of the whole sort window. The other ledgers are empty.
    """
    assert job.spec.batches is not None
    shape = _shape(rows, job, plan)
    segments = shape[1]
    batches = plan_batches(segments.row_lengths, job.spec.batches, job.spec.pad_to_multiple_of, window)
    counts = replace(
        count_padded(rows.ragged, [shape], job.beside.shared),
        places=batches.places,
        batches=len(batches.sizes),
        batches_short=int(batches.short),
    )
    ends = np.cumsum(batches.sizes * batches.widths)
    bounds = [0, *np.cumsum(batches.sizes).tolist()]
    first = 0
    while first < len(batches.sizes):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BATCH_POSITIONS, "right")))
        yield BatchBlock(
            rows,
            segments,
            batches.order[bounds[first] : bounds[last]],
            batches.sizes[first:last],
            batches.widths[first:last],
            ledger=Ledger() if first else counts,
        )
        first = last


def _shape(rows: Rows, job: Job, plan: Plan) -> tuple[ColumnGroup, Segments]:
    group = job.groups[0]
    return group, make_segments(rows.lengths, plan, group.spec, rows.ends)


def _without_batches(rows: Rows, job: Job, plan: Plan) -> BatchBlock:
    nothing = replace(
        rows,
        batch=rows.batch.slice(0, 0),
        ragged={name: ragged.select(slice(0)) for name, ragged in rows.ragged.items()},
        numbers=rows.numbers[:0],
        ends=rows.ends and rows.ends.select(slice(0)),
    )
    _, segments = _shape(nothing, job, plan)
    none = np.zeros(1, dtype=np.int64)
    return BatchBlock(nothing, segments, none[:0], none, none + 1, 0, rows.ledger, rows.refused, rows.late)
