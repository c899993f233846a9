"""Batches with a token budget: the rows of each batch, compared with a naive planner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import batch_lists

from padmask import BatchSpec, PadSpec, SpecError, WindowSpec
from padmask.core.batches import BatchPlan, find_wide_rows, plan_batches, select_output_rows
from padmask.core.plan import Plan, make_plan
from padmask.core.planners import make_segments
from padmask.core.windows import repeated_mask

Batches = list[tuple[int, list[int]]]


def plan(lengths: list[int], spec: BatchSpec, multiple: int = 1, window: int = 0) -> Batches:
    """Plan batches. Return the width and the rows of each batch."""
    return unpacked(plan_batches(np.array(lengths, dtype=np.int64), spec, multiple, window))


def unpacked(batches: BatchPlan) -> Batches:
    parts = np.split(batches.order, np.cumsum(batches.sizes)[:-1]) if len(batches.sizes) else []
    return [(int(width), part.tolist()) for width, part in zip(batches.widths, parts, strict=True)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], BatchSpec, int]:
    """Generate lengths that all fit in the budget."""
    multiple, rows = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    spec = BatchSpec(tokens=draw(st.integers(multiple * rows, 80)), multiple=rows)
    return draw(st.lists(st.integers(0, spec.widest(multiple)), max_size=40)), spec, multiple


@given(cases())
def test_equals_naive_planner(case):
    lengths, spec, multiple = case
    assert plan(*case) == batch_lists(lengths, spec.tokens, spec.multiple, multiple)


@given(cases(), st.integers(0, 99), st.integers(0, 3))
def test_shuffling_keeps_the_batches(case, seed, window):
    lengths, spec, multiple = case
    shuffled = BatchSpec(tokens=spec.tokens, multiple=spec.multiple, shuffle=seed)
    found = plan(lengths, shuffled, multiple, window)
    assert sorted(found, key=str) == sorted(plan(*case), key=str)
    assert found == plan(lengths, shuffled, multiple, window)


def test_shuffled_order_is_fixed():
    """The order is the same in all NumPy versions."""
    lengths, spec = list(range(1, 9)), BatchSpec(tokens=8, shuffle=7)
    assert [width for width, _ in plan(lengths, spec)] == [6, 7, 2, 5, 8, 4]
    assert [width for width, _ in plan(lengths, spec, window=1)] == [4, 6, 5, 7, 8, 2]


def test_empty_rows_share_a_batch():
    assert plan([3, 0, 0], BatchSpec(tokens=9)) == [(3, [1, 2, 0])]
    assert plan([0, 0, 0], BatchSpec(tokens=2)) == [(1, [0, 1]), (1, [2])]


@pytest.mark.parametrize(
    ("lengths", "short"), [([4, 4], False), ([4, 4, 4], True), ([4], True), ([], False), ([3, 5, 5], True)]
)
def test_short_batches(lengths, short):
    spec = BatchSpec(tokens=10, multiple=2)
    assert plan_batches(np.array(lengths, dtype=np.int64), spec).short == short


def test_padding_of_log_normal_lengths():
    rng = np.random.default_rng(0)
    lengths = np.clip(np.round(rng.lognormal(np.log(70) - 0.5, 1, 100_000)), 1, 1024).astype(np.int64)
    parts = [plan_batches(part, BatchSpec(tokens=8192)) for part in np.split(lengths, 10)]
    places = sum(part.places for part in parts)
    assert 1 - lengths.sum() / places <= 0.027


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        (PadSpec(batches=BatchSpec(tokens=10)), [2]),
        (PadSpec(batches=BatchSpec(tokens=10, multiple=2)), [1, 2]),
        (PadSpec(batches=BatchSpec(tokens=10), pad_to_multiple_of=4), [1, 2]),
        (PadSpec(batches=BatchSpec(tokens=10), maxlen=9), []),
        (PadSpec(batches=BatchSpec(tokens=10, multiple=2), maxlen=5), []),
    ],
)
def test_wide_rows(spec, rows):
    faults = find_wide_rows(np.array([5, 9, 11]), make_plan(spec), spec)
    assert [fault.row for fault in faults] == rows


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.data())
def test_select_output_rows(lengths, data):
    spec = data.draw(
        st.sampled_from(
            [
                PadSpec(maxlen=5),
                PadSpec(maxlen=5, keep_first=1, keep_last=2, padding="pre"),
                PadSpec(maxlen=5, keep_last=1, windows=WindowSpec(overlap=2)),
            ]
        )
    )
    segments = make_segments(np.array(lengths), Plan(5, "given", 5), spec)
    count = len(segments.row_lengths)
    rows = np.array(data.draw(st.lists(st.integers(0, count - 1), unique=True)), dtype=np.int64)
    found = select_output_rows(segments, rows, 5)
    assert found.row_lengths.tolist() == segments.row_lengths[rows].tolist()
    assert found.row_sources.tolist() == segments.row_sources[rows].tolist()
    assert tokens(found) == [tokens(segments)[row] for row in rows]
    if spec.windows is not None:
        assert repeated_mask(found).tolist() == repeated_mask(segments)[rows].tolist()


def tokens(segments) -> list[list[tuple[int, int]]]:
    """Return the source row and the place of each token, for each output row."""
    found = [[] for _ in segments.row_lengths]
    slices = range(len(segments.counts))
    sources = slices if segments.sources is None else segments.sources
    rows = slices if segments.sequences is None else segments.sequences
    for source, row, start, count in zip(sources, rows, segments.starts, segments.counts, strict=True):
        found[row] += [(source, place) for place in range(start, start + count)]
    return found


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"batches": BatchSpec(tokens=3, multiple=4)}, ("batch_tokens", "batch_multiple")),
        ({"batches": BatchSpec(tokens=7), "pad_to_multiple_of": 8}, ("batch_tokens", "pad_to_multiple_of")),
        ({"batches": BatchSpec(tokens=7), "own_lengths": {"labels": 2}}, ("batch_tokens", "own_lengths")),
        ({"batches": BatchSpec(tokens=7), "buckets": 2}, ("batch_tokens", "buckets")),
        ({"batches": BatchSpec(tokens=7), "maxlen": 0}, ("maxlen", "batch_tokens")),
    ],
)
def test_conflicts_name_the_options(options, names):
    with pytest.raises(SpecError) as error:
        PadSpec(**options)
    assert error.value.options == names


@pytest.mark.parametrize("field", ["tokens", "multiple", "sort_window"])
def test_numbers_of_at_least_one(field):
    with pytest.raises(SpecError) as error:
        BatchSpec(**{"tokens": 8, field: 0})
    assert error.value.options == (field,)
