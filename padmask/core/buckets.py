"""Choose the edges of buckets (the maxlen of each bucket), and the bucket of each row.

`best_edges` finds the edges for which the output has the fewest positions. This function needs only the
number of rows of each length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Plan, Positions
from padmask.core.planners import count_rows, make_segments
from padmask.spec.pad import PadSpec


def with_edges(plan: Plan, spec: PadSpec, lengths: LengthStats | None, *, drops: bool = False) -> Plan:
    """Return a plan with the edges of its buckets. Without buckets, return the plan unchanged.

    >>> from padmask.core.plan import make_plan
    >>> spec, lengths = PadSpec(buckets=2), LengthStats.of([1, 1, 9, 10])
    >>> with_edges(make_plan(spec, lengths), spec, lengths).edges
    (1, 10)

    Args:
        plan: plan without edges. No edge is larger than `plan.maxlen`.
        spec: how to pad.
        lengths: lengths of all rows. Required if `spec.buckets` is a number.
        drops: whether rows longer than `plan.maxlen` are dropped. Dropped rows have no effect on the edges.
    """
    if spec.buckets is None or not plan.maxlen:
        return plan
    if not isinstance(spec.buckets, int):
        return replace(plan, edges=spec.buckets)
    rows = rows_of_buckets(plan, spec, lengths or LengthStats(), drops=drops)
    # If no rows were measured, there is one bucket, with the maxlen of the plan.
    edges = best_edges(rows, spec.buckets) if rows else (plan.maxlen,)
    return replace(plan, maxlen=edges[-1], exact=min(plan.exact, edges[-1]), edges=edges)


def rows_of_buckets(plan: Plan, spec: PadSpec, lengths: LengthStats, *, drops: bool) -> dict[int, int]:
    """Return, for each possible edge, the number of output rows whose length is rounded up to this edge.

    The possible edges are the row lengths, rounded up to `spec.pad_to_multiple_of`. They are at least 1 and
    at most `plan.maxlen`. If a row is split into windows, each window counts as a row of length
    `plan.maxlen`, because all windows are in the last bucket. The arguments are those of `with_edges`.
    """
    multiple, found = spec.pad_to_multiple_of or 1, dict[int, int]()
    known = np.array(list(lengths.counts), dtype=np.int64)
    windows = count_rows(known, plan, spec)
    times = [1] * len(known) if windows is None else windows.tolist()
    for (length, rows), more in zip(lengths.counts.items(), times, strict=True):
        if drops and length > plan.maxlen:
            continue
        up = min(-(-max(length, 1) // multiple) * multiple, plan.maxlen)
        found[up] = found.get(up, 0) + rows * more
    return found


def plan_of_bucket(plan: Plan, edge: int) -> Plan:
    """Return the `Plan` of one bucket.

    Args:
        plan: plan with all edges.
        edge: maxlen of the bucket.
    """
    return replace(plan, maxlen=edge, found="bucket", exact=edge)


def buckets_of(lengths: Positions, edges: tuple[int, ...]) -> Positions:
    """Return the bucket of each row: the bucket with the smallest edge that fits, else the last bucket.

    >>> buckets_of(np.array([0, 2, 3, 9]), (2, 4)).tolist()
    [0, 0, 1, 1]

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        edges: maxlen of each bucket, ascending.

    Returns:
        Indices of edges: int64, shape (rows,).
    """
    return np.minimum(np.searchsorted(edges, lengths), len(edges) - 1).astype(np.int64)


@dataclass(frozen=True)
class OutputSize:
    """The numbers of rows, tokens and positions (tokens and padding) in an output."""

    rows: int
    tokens: int
    places: int


def output_size(lengths: LengthStats, plan: Plan, spec: PadSpec) -> OutputSize:
    """Return the size of the output for rows of the given lengths.

    >>> output_size(LengthStats.of([2, 1]), Plan(3, "given", 3), PadSpec())
    OutputSize(rows=2, tokens=3, places=6)

    Args:
        lengths: lengths of all rows that are written.
        plan: length of the output rows, with the edges of buckets.
        spec: how to pad.
    """
    known, counts = (
        np.array(list(part), dtype=np.int64) for part in (lengths.counts.keys(), lengths.counts.values())
    )
    # One row of each length shows how many output rows and tokens all rows of this length have.
    segments = make_segments(known, plan, spec)
    rows = counts[segments.row_sources]
    widths: Positions = np.full(len(rows), plan.maxlen, dtype=np.int64)
    if plan.edges:
        widths = np.array(plan.edges)[buckets_of(known[segments.row_sources], plan.edges)]
    return OutputSize(int(rows.sum()), int((segments.row_lengths * rows).sum()), int((widths * rows).sum()))


def best_edges(rows: Mapping[int, int], count: int) -> tuple[int, ...]:
    """Choose the maxlen of each bucket so that the output has the fewest positions.

    >>> best_edges({1: 10, 2: 1, 9: 5, 10: 5}, 2)
    (1, 10)

    Args:
        rows: number of rows of each length. The result contains only these lengths.
        count: maximum number of buckets.

    Returns:
        The maxlen of each bucket, in ascending order.

    The function uses dynamic programming over the distinct lengths. The cost satisfies the quadrangle
    inequality, so the best start of the last bucket never decreases when more lengths are added. Therefore,
    divide and conquer needs n log n steps per bucket instead of n squared.
    """
    lengths = np.array(sorted(rows), dtype=np.int64)
    if count >= len(lengths):
        return tuple(lengths.tolist())
    before = np.concatenate([[0], np.cumsum([rows[int(length)] for length in lengths])])
    size = len(lengths)
    # best[j] is the number of positions for the first j lengths. Start with the result for one bucket.
    best = np.concatenate([[0], lengths * before[1:]])
    splits: list[npt.NDArray[np.int64]] = []
    for _ in range(min(count, size) - 1):
        best, split = _add_bucket(best, lengths, before)
        splits.append(split)
    edges, end = [int(lengths[-1])], size
    for split in reversed(splits):
        end = int(split[end])
        if end == 0:
            break
        edges.append(int(lengths[end - 1]))
    return tuple(reversed(edges))


def _add_bucket(
    best: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Add one bucket to the best division of row lengths into buckets.

    The best division has the fewest output positions. For each n, the function finds the best division of
    the first n lengths.

    Args:
        best: for each n, the number of output positions of the best division with one bucket less.
        lengths: row lengths in ascending order.
        before: for each n, the number of rows with one of the first n lengths.

    Returns:
        Two arrays. For each n, the first array has the number of output positions of the best division, and
        the second array has the index of the first length in the last bucket.
    """
    size = len(lengths)
    result, split = np.zeros_like(best), np.zeros(size + 1, dtype=np.int64)
    # Each task is a range of bucket ends, and the range of bucket starts that contains the best ones.
    tasks = [(1, size, 0, size - 1)]
    while tasks:
        first, last, low, high = tasks.pop()
        if first > last:
            continue
        end = (first + last) // 2
        starts = np.arange(low, min(end - 1, high) + 1)
        places = best[starts] + lengths[end - 1] * (before[end] - before[starts])
        found = int(places.argmin())
        result[end], split[end] = places[found], starts[found]
        tasks += [(first, end - 1, low, int(starts[found])), (end + 1, last, int(starts[found]), high)]
    return result, split
