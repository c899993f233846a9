"""Divide rows into batches with a token budget, from the lengths of the rows alone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np

from padmask.core.masks import index_runs
from padmask.core.plan import Plan, Positions, Segments
from padmask.errors import Fault
from padmask.spec.batches import BatchSpec
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class BatchPlan:
    """The rows of each batch, and the length to which a batch is padded.

    Args:
        order: indices of the rows, one batch after another: int64, shape (rows,).
        sizes: number of rows of each batch: int64, shape (batches,).
        widths: padded length of the rows of each batch: int64, shape (batches,).
        short: whether the batch with the longest rows is not full. The batch is not full if
            `BatchSpec.multiple` more rows fit in its budget, or if its number of rows is not a multiple of
            `BatchSpec.multiple`.
    """

    order: Positions
    sizes: Positions
    widths: Positions
    short: bool

    @property
    def places(self) -> int:
        """Number of positions in all batches."""
        return int((self.sizes * self.widths).sum())


def batch_widths(lengths: Positions, multiple: int | None) -> Positions:
    """Return, for each length, the padded length of a batch whose longest row has this length.

    The padded length is at least 1, even if no row has tokens.

    >>> batch_widths(np.array([0, 3, 8, 9]), 4).tolist()
    [4, 4, 8, 12]
    """
    step = multiple or 1
    widths: Positions = -(-np.maximum(lengths, 1) // step) * step
    return widths


def plan_batches(
    lengths: Positions, spec: BatchSpec, multiple: int | None = None, window: int = 0
) -> BatchPlan:
    """Divide the rows of a sort window (rows that are sorted together) into batches.

    The rows are sorted by length. Rows of the same length stay in order. Each batch has as many rows as fit
    in the budget, rounded down to a multiple of `spec.multiple`. The batch with the longest rows
    contains the rows that remain, so its number of rows need not be a multiple of `spec.multiple`.

    >>> plan = plan_batches(np.array([5, 1, 2, 1]), BatchSpec(tokens=6))
    >>> plan.order.tolist(), plan.sizes.tolist(), plan.widths.tolist()
    ([1, 3, 2, 0], [3, 1], [2, 5])

    Args:
        lengths: number of tokens in each output row: int64, shape (rows,). For each length, the budget must
            have space for `spec.multiple` rows of this length (see `find_wide_rows`).
        spec: budget, multiple and seed.
        multiple: the padded length of each batch is rounded up to a multiple of this number.
        window: index of the sort window. The order of the batches depends on the seed and on this index.
    """
    order = np.argsort(lengths, kind="stable")
    widths = batch_widths(lengths[order], multiple)
    bounds = np.array(_cut(widths.tolist(), spec))
    sizes, widths = np.diff(bounds), widths[bounds[1:] - 1]
    short = bool(len(sizes)) and _is_short(int(sizes[-1]), int(widths[-1]), spec)
    if spec.shuffle is not None:
        batches = _shuffled(len(sizes), spec.shuffle, window)
        order = order[index_runs(bounds[batches], sizes[batches])]
        sizes, widths = sizes[batches], widths[batches]
    return BatchPlan(order, sizes, widths, short)


def _cut(widths: list[int], spec: BatchSpec) -> list[int]:
    """Divide rows into batches. `widths` are the padded lengths of the rows, in ascending order.

    Returns:
        The index of the first row of each batch, followed by the total number of rows.
    """
    bounds, start, total = [0], 0, len(widths)
    while start < total:
        # The number of positions of a batch grows with each row.
        most = min(total - start, spec.tokens // widths[start])
        rows = bisect_right(range(1, most + 1), spec.tokens, key=lambda n: n * widths[start + n - 1])
        if rows < total - start:
            rows -= rows % spec.multiple
        start += max(rows, 1)
        bounds.append(start)
    return bounds


def _is_short(rows: int, width: int, spec: BatchSpec) -> bool:
    return rows % spec.multiple > 0 or (rows + spec.multiple) * width <= spec.tokens


def _shuffled(batches: int, seed: int, window: int) -> Positions:
    """Return a random order of batches that is the same in all NumPy versions."""
    # NumPy guarantees the raw bits of a bit generator, but not the order of `Generator.permutation`.
    bits = np.random.PCG64([seed, window]).random_raw(batches)
    return np.argsort(bits, kind="stable")


def find_wide_rows(lengths: Positions, plan: Plan, spec: PadSpec) -> list[Fault]:
    """Return a `Fault` for each row that is too long for a batch.

    A row is too long if `spec.batches.multiple` rows of its padded length exceed the token budget.

    Args:
        lengths: number of tokens in each source row: int64, shape (rows,).
        plan: maximum length of the output rows.
        spec: how to pad, with batches.
    """
    assert spec.batches is not None
    budget, rows = spec.batches.tokens, spec.batches.multiple
    kept = lengths if spec.has_no_maxlen else np.minimum(lengths, plan.maxlen)
    widths = batch_widths(kept, spec.pad_to_multiple_of)
    subject = "the row needs" if rows == 1 else f"{rows} rows of this length need"
    return [
        Fault(
            row,
            f"{subject} {widths[row] * rows:,} positions, but a batch has at most {budget:,}",
            options=("batch_tokens", "batch_multiple", "maxlen"),
        )
        for row in np.flatnonzero(widths > budget // rows).tolist()
    ]


def select_output_rows(segments: Segments, rows: Positions, maxlen: int) -> Segments:
    """Return `Segments` of only the given output rows, in the given order, padded to the length `maxlen`.

    Args:
        segments: segments with one sequence in each output row.
        rows: indices of output rows: int64, shape (rows,).
        maxlen: new length of the rows, at least the length of the longest row.
    """
    slices, sequences = rows, None
    if segments.sequences is not None:
        firsts = np.searchsorted(segments.sequences, rows)
        counts = np.searchsorted(segments.sequences, rows, side="right") - firsts
        slices, sequences = index_runs(firsts, counts), np.repeat(np.arange(len(rows)), counts)
    return replace(
        segments,
        starts=segments.starts[slices],
        counts=segments.counts[slices],
        maxlen=maxlen,
        sources=slices if segments.sources is None else segments.sources[slices],
        sequences=sequences,
        windows=segments.windows and segments.windows.select(rows),
    )
