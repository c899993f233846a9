"""The edges of buckets, compared with brute force, and the bucket of each row."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import PadSpec, WindowSpec
from padmask.core.buckets import best_edges, buckets_of, output_size, plan_of_bucket, with_edges
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Plan, make_plan

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30)


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


@pytest.mark.parametrize(("mean", "longest", "share"), [(70, 1024, 0.242), (700, 2048, 0.138)])
def test_eight_buckets_reach_the_target(mean, longest, share):
    draw = np.random.default_rng(0)
    lengths = np.round(draw.lognormal(np.log(mean) - 0.5, 1, 100_000)).clip(1, longest)
    stats, spec = LengthStats.of(lengths), PadSpec(buckets=8)
    size = output_size(stats, with_edges(make_plan(spec, stats), spec, stats), spec)
    assert 1 - size.tokens / size.places == pytest.approx(share, abs=0.003)


@given(
    lengths=LENGTHS,
    buckets=st.integers(1, 5),
    multiple=st.integers(1, 5),
    limit=st.none() | st.integers(1, 9),
)
def test_edges_follow_the_options(lengths, buckets, multiple, limit):
    maxlen = "longest" if limit is None else limit * multiple
    spec = PadSpec(maxlen=maxlen, buckets=buckets, pad_to_multiple_of=multiple)
    stats = LengthStats.of(lengths)
    plan = with_edges(make_plan(spec, stats), spec, stats)
    if limit is None and not max(lengths):
        assert (plan.maxlen, plan.edges) == (0, ())
        return
    top = max(lengths) if limit is None else min(max(lengths), limit * multiple)
    assert plan.maxlen == plan.edges[-1] == -(-max(top, 1) // multiple) * multiple
    assert len(plan.edges) <= buckets
    assert all(edge % multiple == 0 and edge > 0 for edge in plan.edges)
    cut = Counter(min(-(-max(n, 1) // multiple) * multiple, plan.maxlen) for n in lengths)
    assert plan.edges == best_edges(cut, buckets)


def test_dropped_rows_do_not_count():
    spec, stats = PadSpec(maxlen=10, buckets=2), LengthStats.of([1, 2, 6, 50])
    plan = make_plan(spec, stats)
    assert with_edges(plan, spec, stats).edges == (2, 10)
    assert with_edges(plan, spec, stats, drops=True).edges == (2, 6)


def test_each_window_counts():
    stats = LengthStats({6: 3, 10: 2, 40: 1})
    spec = PadSpec(maxlen=10, buckets=2)
    windows = PadSpec(maxlen=10, buckets=2, windows=WindowSpec(overlap=9))
    assert output_size(stats, Plan(10, "given", 10, edges=(6, 10)), windows).rows == 3 + 2 + 31
    assert with_edges(make_plan(spec), spec, stats).edges == (6, 10)
    assert with_edges(make_plan(windows), windows, stats).edges == (6, 10)


@given(
    lengths=LENGTHS,
    edges=st.sets(st.integers(1, 50), min_size=1, max_size=6).map(lambda found: tuple(sorted(found))),
)
def test_rows_go_to_the_smallest_edge(lengths, edges):
    found = [edges[i] for i in buckets_of(np.array(lengths), edges).tolist()]
    naive = [next((edge for edge in edges if length <= edge), edges[-1]) for length in lengths]
    assert found == naive
    size = output_size(LengthStats.of(lengths), Plan(edges[-1], "given", edges[-1], edges=edges), PadSpec())
    assert size.rows == len(lengths)
    assert size.places == sum(naive)
    assert size.tokens == sum(min(length, edges[-1]) for length in lengths)


def test_bucket_has_its_own_plan():
    plan = plan_of_bucket(Plan(8, "longest", 7, edges=(4, 8)), 4)
    assert (plan.maxlen, plan.found, plan.exact) == (4, "bucket", 4)
