"""The costs of plans, compared with brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import PadSpec, pad
from padmask.core.length_stats import LengthStats
from padmask.inspect.costs import best_edges, candidate_costs, cost_of, count_bins

LENGTHS = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def places(rows: dict[int, int], edges: tuple[int, ...]) -> int:
    return sum(min(edge for edge in edges if edge >= length) * count for length, count in rows.items())


@given(
    rows=st.dictionaries(st.integers(1, 40), st.integers(1, 9), min_size=1, max_size=9),
    count=st.integers(1, 5),
)
def test_best_edges_are_optimal(rows, count):
    edges = best_edges(rows, count)
    fewest = min(
        places(rows, (*chosen, max(rows)))
        for size in range(min(count, len(rows)))
        for chosen in combinations(sorted(rows)[:-1], size)
    )
    assert places(rows, edges) == fewest
    assert len(edges) <= count
    assert list(edges) == sorted(set(edges))
    assert edges[-1] == max(rows)


def first_fit_decreasing(lengths: list[int], size: int) -> int:
    bins: list[int] = []
    for length in sorted(filter(None, lengths), reverse=True):
        for i, room in enumerate(bins):
            if room >= length:
                bins[i] -= length
                break
        else:
            bins.append(size - length)
    return len(bins) or 1


@given(lengths=LENGTHS, spare=st.integers(0, 10))
def test_packing_is_first_fit(lengths, spare):
    size = max(lengths) + spare or 1
    assert count_bins(LengthStats.of(lengths), size) == first_fit_decreasing(lengths, size)


@given(lengths=LENGTHS, maxlen=st.one_of(st.integers(0, 25), st.sampled_from(["longest", "p50", "p90"])))
def test_cost_equals_padding(lengths, maxlen):
    padded = pad([[1] * length for length in lengths], PadSpec(maxlen=maxlen))
    cost = cost_of(LengthStats.of(lengths), maxlen, None, 4)
    assert cost.places == padded.values.size
    assert cost.bytes == padded.values.nbytes
    assert cost.tokens == padded.mask.sum()
    assert cost.tokens_lost == sum(lengths) - padded.mask.sum()
    assert cost.rows_cut == (np.array(lengths) > padded.values.shape[1]).sum()
    if padded.mask.size:
        assert cost.padding_share == pytest.approx(1 - padded.mask.mean())


def test_buckets_and_packing_lose_nothing():
    costs = {cost.name: cost for cost in candidate_costs(LengthStats({1: 50, 3: 5, 100: 1}), [2, "p50"])}
    assert list(costs) == [
        "longest",
        "p99",
        "p95",
        "p90",
        "8",
        "16",
        "32",
        "64",
        "128",
        "2",
        "p50",
        "buckets-2",
        "buckets-4",
        "buckets-8",
        "packed",
    ]
    for name in ("buckets-2", "buckets-4", "buckets-8", "packed", "longest", "128"):
        assert (costs[name].rows_cut, costs[name].tokens_lost) == (0, 0)
    assert costs["buckets-4"].edges == (1, 3, 100)
    assert costs["buckets-4"].padding_share == 0
    assert costs["packed"].as_dict()["maxlen"] == 100
    assert costs["2"].as_dict() == {
        "name": "2",
        "maxlen": 2,
        "padding_share": pytest.approx(1 - 62 / 112),
        "rows_cut": 6,
        "tokens_lost": 103,
        "tokens_lost_share": pytest.approx(103 / 165),
        "bytes": 448,
        "shapes": 1,
    }


def test_multiple_rounds_edges_up():
    costs = {cost.name: cost for cost in candidate_costs(LengthStats({3: 4, 17: 1}), [5], multiple=8)}
    assert (costs["longest"].edges, costs["buckets-2"].edges, costs["packed"].edges) == (
        (24,),
        (8, 24),
        (24,),
    )
    assert costs["5"].edges == (5,)


def test_no_rows():
    assert candidate_costs(LengthStats()) == []


def test_many_distinct_lengths():
    stats = LengthStats.of(np.arange(1, 20_001))
    costs = {cost.name: cost for cost in candidate_costs(stats)}
    assert costs["buckets-2"].edges == (10_000, 20_000)
    assert costs["packed"].padding_share < 0.01
