"""The costs of candidate plans: padding, lost tokens, bytes and shapes.

A plan is a choice of output row lengths. All costs are computed from the number of rows of each length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.length_stats import LengthStats
from padmask.core.plan import make_plan
from padmask.spec.pad import PadSpec

BUCKETS = (2, 4, 8)

PERCENTILES = ("p99", "p95", "p90")

# The time of first-fit-decreasing grows with the square of the number of distinct lengths. If there are more
# lengths than this, they are rounded up, so the estimate is slightly too high.
PACKED_LENGTHS = 512


@dataclass(frozen=True)
class Cost:
    """The cost of one plan.

    Args:
        name: name of the plan, such as `"longest"`, `"p99"`, `"128"`, `"buckets-4"` or `"packed"`.
        edges: maxlen of the plan, or the maxlen of each bucket.
        places: number of positions in the output, including padding.
        tokens: number of tokens in the output.
        rows_cut: number of truncated rows.
        tokens_lost: number of tokens that truncation removes.
        bytes: size of the padded column in bytes, without the mask.
        shapes: number of distinct row lengths in the output. Compiled models are compiled once per shape.
    """

    name: str
    edges: tuple[int, ...]
    places: int
    tokens: int
    rows_cut: int
    tokens_lost: int
    bytes: int
    shapes: int

    @property
    def padding_share(self) -> float:
        """Share of the positions that are padding, from 0 to 1."""
        return 1 - self.tokens / self.places if self.places else 0.0

    @property
    def lost_share(self) -> float:
        """Share of the tokens that truncation removes, from 0 to 1."""
        total = self.tokens + self.tokens_lost
        return self.tokens_lost / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as a dict for `inspect --json`. Buckets have `edges`, other plans `maxlen`."""
        length = {"edges": list(self.edges)} if self.name.startswith("buckets") else {"maxlen": self.edges[0]}
        return (
            {"name": self.name}
            | length
            | {
                "padding_share": self.padding_share,
                "rows_cut": self.rows_cut,
                "tokens_lost": self.tokens_lost,
                "tokens_lost_share": self.lost_share,
                "bytes": self.bytes,
                "shapes": self.shapes,
            }
        )


def candidate_costs(
    stats: LengthStats, asked: Sequence[int | str] = (), multiple: int | None = None, token_bytes: int = 4
) -> list[Cost]:
    """Return the costs of all candidate plans: fixed lengths, percentiles, buckets and packing.

    >>> [(cost.name, cost.edges) for cost in candidate_costs(LengthStats({2: 9, 10: 1}), [4])][-4:]
    [('buckets-2', (2, 10)), ('buckets-4', (2, 10)), ('buckets-8', (2, 10)), ('packed', (10,))]

    Args:
        stats: number of rows of each length.
        asked: additional values of maxlen that the user requested. They do not affect buckets and packing.
        multiple: value of `pad_to_multiple_of`, for lengths that are found in the data. If None, lengths are
            not rounded.
        token_bytes: size of a token in the output, in bytes.
    """
    if not stats.rows:
        return []
    names: list[int | str] = ["longest", *PERCENTILES, *_powers(stats), *asked]
    costs = [cost_of(stats, name, multiple, token_bytes) for name in dict.fromkeys(names)]
    rounded = _rounded(stats, multiple or 1)
    costs += [_bucketed(stats, rounded, count, token_bytes) for count in BUCKETS]
    return [*costs, _packed(stats, rounded, token_bytes)]


def cost_of(stats: LengthStats, maxlen: int | str, multiple: int | None, token_bytes: int) -> Cost:
    """Return the cost of padding or truncating all rows to one maxlen.

    Args:
        stats: number of rows of each length.
        maxlen: a number, `"longest"`, or a percentile such as `"p95"`.
        multiple: value of `pad_to_multiple_of`. If None, the length is not rounded.
        token_bytes: size of a token in the output, in bytes.
    """
    found = isinstance(maxlen, str)
    plan = make_plan(PadSpec(maxlen=maxlen, pad_to_multiple_of=multiple if found else None), stats)
    cut = {length: rows for length, rows in stats.counts.items() if length > plan.maxlen}
    lost = sum((length - plan.maxlen) * rows for length, rows in cut.items())
    places = stats.rows * plan.maxlen
    return Cost(
        str(maxlen),
        (plan.maxlen,),
        places,
        stats.tokens - lost,
        sum(cut.values()),
        lost,
        places * token_bytes,
        1,
    )


def _powers(stats: LengthStats) -> list[int]:
    """Return the powers of two from about the median row length to the maximum row length."""
    low, high = max(8, stats.percentile(50)), stats.longest
    return [1 << bit for bit in range(3, 31) if low <= 1 << bit < 2 * high]


def _rounded(stats: LengthStats, multiple: int) -> dict[int, int]:
    """Round lengths up to a multiple and return the number of rows of each length. Empty rows count as 1."""
    rounded: dict[int, int] = {}
    for length in sorted(stats.counts):
        up = -(-max(length, 1) // multiple) * multiple
        rounded[up] = rounded.get(up, 0) + stats.counts[length]
    return rounded


def _bucketed(stats: LengthStats, rounded: dict[int, int], count: int, token_bytes: int) -> Cost:
    edges = best_edges(rounded, count)
    lengths, rows = np.array(list(rounded)), np.array(list(rounded.values()))
    places = int((np.array(edges)[np.searchsorted(edges, lengths)] * rows).sum())
    return Cost(f"buckets-{count}", edges, places, stats.tokens, 0, 0, places * token_bytes, len(edges))


def best_edges(rows: dict[int, int], count: int) -> tuple[int, ...]:
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
    """Return the best split of the first n lengths into buckets, with one more bucket, for each n.

    Returns:
        For each n: the smallest number of output positions for the first n lengths, and the index of the
            first length in the last bucket.
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


def _packed(stats: LengthStats, rounded: dict[int, int], token_bytes: int) -> Cost:
    """Return the cost of packing several rows into each output row, which is as long as the longest row."""
    size = max(rounded)
    places = count_bins(stats, size) * size
    return Cost("packed", (size,), places, stats.tokens, 0, 0, places * token_bytes, 1)


def count_bins(stats: LengthStats, size: int) -> int:
    """Return the number of bins of `size` tokens that first-fit-decreasing packing needs for the rows.

    >>> count_bins(LengthStats({6: 2, 4: 3, 2: 1}), 10)
    3

    Args:
        stats: number of rows of each length.
        size: maximum number of tokens in a bin. It must be at least the length of the longest row.

    The function processes bins with the same free space together, so the time depends on the number of
    distinct lengths and not on the number of rows. If there are many distinct lengths, the function rounds
    them up, and the result is an estimate.
    """
    grid = max(1, -(-stats.longest // PACKED_LENGTHS)) if len(stats.counts) > PACKED_LENGTHS else 1
    needs: dict[int, int] = {}
    for length in sorted(filter(None, stats.counts), reverse=True):
        need = min(size, -(-length // grid) * grid)
        needs[need] = needs.get(need, 0) + stats.counts[length]
    # Groups of equally full bins in the order in which they were opened: [free tokens, number of bins].
    groups: list[list[int]] = []
    for need, rows in needs.items():
        groups = _place(groups, need, rows, size)
    return sum(bins for _, bins in groups) or 1


def _place(groups: list[list[int]], need: int, rows: int, size: int) -> list[list[int]]:
    """Put rows of one length into the first bins with enough free space, and open new bins for the rest."""
    after: list[list[int]] = []
    for free, bins in groups:
        each = free // need
        if not rows or not each:
            after.append([free, bins])
            continue
        full = min(bins, rows // each)
        rest = min(rows - full * each, each - 1) if full < bins else 0
        rows -= full * each + rest
        touched = full + (rest > 0)
        after += [[free - each * need, full]] * (full > 0)
        after += [[free - rest * need, 1]] * (rest > 0)
        after += [[free, bins - touched]] * (bins > touched)
    if rows:
        after += [[size, -(-rows // (size // need))]]
        # The last of the new bins may be partly empty.
        tail = after.pop()
        each, last = size // need, rows % (size // need)
        after += [[size - each * need, tail[1] - (last > 0)]] * (tail[1] - (last > 0) > 0)
        after += [[size - last * need, 1]] * (last > 0)
    return after
