"""The costs of plans, compared with brute force."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padmask import PadSpec, RowPolicy, WindowSpec, pad, pad_dataset, pad_table
from padmask.core.length_stats import LengthStats
from padmask.core.pack_planner import plan_pack
from padmask.core.plan import make_plan
from padmask.core.shared_ends import SharedEnds
from padmask.inspect.costs import CostBasis, candidate_costs, cost_of, windows_cost
from padmask.inspect.cuts import Cuts
from padmask.inspect.shared_end import SharedEnd
from padmask.spec.pack import PackSpec

LENGTHS = st.lists(st.integers(0, 20), min_size=1, max_size=40)


@given(lengths=LENGTHS, maxlen=st.integers(5, 25), overlap=st.sampled_from([None, 1]))
def test_packed_cost_equals_pack(lengths, maxlen, overlap):
    windows = None if overlap is None else WindowSpec(overlap=overlap)
    spec = PadSpec(maxlen=maxlen, windows=windows, packing=PackSpec())
    segments = plan_pack(np.array(lengths), make_plan(spec), spec, 1)
    cuts = Cuts(overlap=overlap or 0, overlong="truncate" if overlap is None else "window")
    cost = costs_of(LengthStats.of(lengths).counts, [maxlen], cuts=cuts)["packed"]
    assert (cost.rows, cost.tokens) == (max(len(segments.row_lengths), 1), segments.lengths.sum())
    assert cost.places == cost.rows * maxlen
    assert cost.rows_at_least <= cost.rows


@given(lengths=LENGTHS, maxlen=st.one_of(st.integers(0, 25), st.sampled_from(["longest", "p50", "p90"])))
def test_cost_equals_padding(lengths, maxlen):
    padded = pad([[1] * length for length in lengths], PadSpec(maxlen=maxlen))
    cost = cost_of(CostBasis(LengthStats.of(lengths)), maxlen)
    assert cost.places == padded.values.size
    assert cost.bytes == padded.values.nbytes
    assert cost.tokens == padded.mask.sum()
    assert cost.tokens_lost == sum(lengths) - padded.mask.sum()
    assert cost.rows_cut == (np.array(lengths) > padded.values.shape[1]).sum()
    if padded.mask.size:
        assert cost.padding_share == pytest.approx(1 - padded.mask.mean())


def costs_of(counts, asked=(), **given):
    return {cost.name: cost for cost in candidate_costs(CostBasis(LengthStats(counts), **given), asked)}


def test_default_plans_lose_nothing():
    costs = costs_of({1: 50, 3: 5, 100: 1})
    assert list(costs) == [
        "longest",
        "p99",
        "p95",
        "buckets-2",
        "buckets-8",
        "random-32",
        "sorted-32",
        "packed",
    ]
    for name in ("longest", "buckets-2", "buckets-8", "random-32", "sorted-32", "packed"):
        assert (costs[name].rows_cut, costs[name].tokens_lost) == (0, 0)
    assert costs["buckets-8"].edges == (1, 3, 100)
    assert costs["packed"].as_dict()["maxlen"] == 104
    # One window: the batch with the longest row has 32 rows, the other batch 24.
    assert costs["sorted-32"].places == 32 * 100 + 24 * 1


def test_cost_as_json():
    shared = SharedEnd(9, "post", LengthStats({1: 50, 3: 2, 100: 1}))
    assert costs_of({1: 50, 3: 5, 100: 1}, [2], shared=shared)["2"].as_dict() == {
        "name": "2",
        "maxlen": 2,
        "rows": 56,
        "padding_share": pytest.approx(1 - 62 / 112),
        "rows_cut": 6,
        "tokens_lost": 103,
        "tokens_lost_share": pytest.approx(103 / 165),
        "ends_lost": 3,
        "bytes": 448,
        "shapes": 1,
    }


@pytest.mark.parametrize("asked", [[60], [60, 8], ["p75", 10]], ids=str)
def test_largest_maxlen_limits_other_plans(asked):
    counts = {5: 30, 50: 20, 60: 30, 100: 20}
    costs = costs_of(counts, asked)
    for name in ("buckets-2", "buckets-8", "random-32", "sorted-32", "packed"):
        assert costs[name].maxlen == 60
        assert (costs[name].rows_cut, costs[name].tokens_lost) == (20, 20 * 40)
        assert costs[name].tokens == 30 * 5 + 20 * 50 + 50 * 60
    assert costs["longest"].rows_cut == 0


def test_packed_rows_can_be_longer_than_all():
    costs = costs_of({30: 10}, [100])
    assert (costs["packed"].maxlen, costs["packed"].places) == (100, 400)
    assert costs["buckets-8"].edges == (30,)


def test_longest_is_not_a_limit():
    costs = costs_of({10: 5, 33: 1}, ["longest", 8])
    assert costs["packed"].tokens_lost == costs["buckets-2"].tokens_lost == 0


def test_maxlen_0_limits_nothing():
    assert list(costs_of({10: 5}, [0])) == ["longest", "p99", "p95", "0"]


@given(
    counts=st.dictionaries(st.integers(0, 300), st.integers(1, 50), min_size=1, max_size=9),
    multiple=st.sampled_from([None, 1, 5]),
)
def test_proposed_lengths_are_multiples(counts, multiple):
    costs = costs_of(counts, multiple=multiple)
    assert costs["packed"].maxlen % (multiple or 8) == 0
    assert costs["packed"].maxlen >= max(counts)
    for name in ("buckets-2", "buckets-8"):
        assert all(edge % (multiple or 1) == 0 for edge in costs[name].edges)
    exact = -(-max(counts) // multiple) * multiple if multiple else max(counts)
    assert costs["longest"].edges == costs["random-32"].edges == (exact,)


def test_fewer_places_from_better_plans():
    costs = costs_of({20: 600, 60: 300, 120: 90, 140: 9, 500: 1}, multiple=1)
    order = ["longest", "random-32", "buckets-2", "buckets-8"]
    places = [costs[name].places for name in order]
    assert places == sorted(places, reverse=True)
    assert costs["sorted-32"].places < costs["random-32"].places


def test_multiple_rounds_edges_up():
    costs = costs_of({3: 4, 17: 1}, [5], multiple=8)
    assert costs["longest"].edges == (24,)
    assert costs["5"].edges == (5,)
    costs = costs_of({3: 4, 17: 1}, multiple=8)
    assert (costs["buckets-2"].edges, costs["packed"].edges) == ((8, 24), (24,))
    assert costs["sorted-32"].places == 5 * 24


def test_windows_repeat_tokens():
    # 10 tokens in windows of 4 that overlap by 2: 0-3, 2-5, 4-7, 6-9.
    cost = windows_cost(CostBasis(LengthStats({10: 1, 4: 2, 0: 1}), cuts=Cuts(overlap=2)), 4)
    assert (cost.places, cost.tokens, cost.tokens_lost) == ((4 + 2 + 1) * 4, 16 + 8, 0)


@given(
    lengths=LENGTHS,
    maxlen=st.integers(6, 25),
    overlap=st.integers(0, 2),
    first=st.integers(0, 2),
    last=st.integers(0, 1),
)
def test_windows_equal_those_of_pad(lengths, maxlen, overlap, first, last):
    rows = pa.table({"input_ids": pa.array([[1] * length for length in lengths], pa.list_(pa.int32()))})
    spec = PadSpec(maxlen=maxlen, keep_first=first, keep_last=last, windows=WindowSpec(overlap=overlap))
    padded = pad_table(rows, ["input_ids"], spec)
    cost = cost_of(CostBasis(LengthStats.of(lengths), cuts=Cuts.of(spec, "truncate", SharedEnds())), maxlen)
    tokens = sum(map(sum, padded["mask"].to_pylist()))
    assert (cost.rows, cost.tokens, cost.places) == (len(padded), tokens, len(padded) * maxlen)


@given(
    lengths=LENGTHS.filter(any),
    limit=st.none() | st.integers(4, 25),
    multiple=st.none() | st.just(2),
    overlong=st.sampled_from(["truncate", "window", "drop"]),
)
@settings(max_examples=15, deadline=None)
def test_buckets_equal_those_of_pad(tmp_path_factory, lengths, limit, multiple, overlong):
    folder, limit = tmp_path_factory.mktemp("buckets"), limit and limit * (multiple or 1)
    rows = "".join(f'{{"input_ids": {[1] * length}}}\n' for length in lengths)
    (folder / "in.jsonl").write_text(rows)
    windows = WindowSpec(overlap=1) if overlong == "window" and limit is not None else None
    spec = PadSpec(maxlen=limit or "longest", buckets=2, pad_to_multiple_of=multiple, windows=windows)
    policy = RowPolicy(overlong="truncate" if overlong == "window" else overlong)
    if overlong == "drop" and limit is not None and min(lengths) > limit:
        return
    done = pad_dataset(folder / "in.jsonl", folder / "out", spec=spec, policy=policy)
    cuts = Cuts.of(spec, policy.overlong, SharedEnds())
    costs = candidate_costs(CostBasis(LengthStats.of(lengths), multiple, cuts=cuts), [limit] if limit else [])
    [cost] = [cost for cost in costs if cost.name == "buckets-2"]
    assert cost.edges == tuple(bucket.maxlen for bucket in done.buckets)
    assert (cost.rows, cost.places) == (done.ledger.rows_written, done.ledger.places)
    assert cost.tokens == done.ledger.tokens_kept + done.ledger.tokens_repeated
    assert cost.tokens_lost == done.ledger.tokens_lost


@given(lengths=LENGTHS, maxlen=st.integers(0, 25))
def test_dropped_rows_are_lost(lengths, maxlen):
    cost = cost_of(CostBasis(LengthStats.of(lengths), cuts=Cuts(overlong="drop")), maxlen)
    kept = [length for length in lengths if length <= maxlen]
    assert (cost.rows, cost.tokens, cost.places) == (len(kept), sum(kept), len(kept) * maxlen)
    assert (cost.rows_cut, cost.tokens_lost) == (len(lengths) - len(kept), sum(lengths) - sum(kept))


def test_no_rows():
    assert candidate_costs(CostBasis(LengthStats())) == []


@pytest.mark.slow
def test_many_distinct_lengths():
    costs = costs_of(LengthStats.of(np.arange(1, 20_001)).counts, multiple=1)
    assert costs["buckets-2"].edges == (10_000, 20_000)
    assert costs["packed"].padding_share < 0.01


def test_packing_of_skewed_lengths():
    # Rounding the lengths must not hide that short rows fill the rest of each packed row.
    counts = {length: 1 + 10_000 // length for length in range(1, 700)} | {50_000: 1}
    assert costs_of(counts)["packed"].padding_share < 0.15
