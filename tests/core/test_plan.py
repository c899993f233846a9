"""Plans: the maxlen computed from all row lengths, and the position of each token."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import nearest_rank

from padmask import PadSpec, SpecError
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Segments, make_plan, needs_lengths, plan_pad, plan_unpad
from padmask.core.planners import make_segments

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@given(lengths=LENGTHS, percent=st.sampled_from([1, 10, 50, 90, 95, 99, 99.9, 100]))
def test_percentiles_are_nearest_rank(lengths, percent):
    assert LengthStats.of(lengths).percentile(percent) == nearest_rank(lengths, percent)


def test_percentile_rank_is_exact():
    # 0.29 * 100 is 28.999... in floats, so the index of the row would be off by one.
    assert LengthStats.of(range(1, 101)).percentile("29") == 29
    assert LengthStats.of(range(1, 1001)).percentile("99.9") == 999


@given(first=LENGTHS, second=LENGTHS)
def test_statistics_add_up(first, second):
    assert LengthStats.of(first) + LengthStats.of(second) == LengthStats.of(first + second)
    total = LengthStats.of(first + second)
    assert (total.rows, total.tokens) == (len(first + second), sum(first + second))
    assert total.longest == max(first + second)


@pytest.mark.parametrize(
    ("spec", "maxlen", "found"),
    [
        (PadSpec(maxlen=12), 12, "given"),
        (PadSpec(maxlen="longest"), 10, "longest"),
        (PadSpec(maxlen="p50"), 2, "p50"),
        (PadSpec(maxlen="p50", pad_to_multiple_of=8), 8, "p50"),
        (PadSpec(maxlen="longest", pad_to_multiple_of=5), 10, "longest"),
    ],
)
def test_plan_says_how_maxlen_was_found(spec, maxlen, found):
    plan = make_plan(spec, LengthStats.of([1, 2, 2, 10]))
    assert (plan.maxlen, plan.found) == (maxlen, found)
    assert plan.exact <= plan.maxlen
    assert needs_lengths(spec) == (found != "given")


def test_plan_of_no_rows():
    assert make_plan(PadSpec(), LengthStats()).maxlen == 0
    assert make_plan(PadSpec(maxlen="p95", pad_to_multiple_of=8), LengthStats()).maxlen == 0


def test_found_lengths_need_rows():
    with pytest.raises(SpecError) as refused:
        make_plan(PadSpec(maxlen="p95"))
    assert refused.value.options == ("maxlen",)


@pytest.mark.parametrize(
    ("padding", "truncating", "starts", "first_places"),
    [
        ("post", "post", [0, 0, 0], [0, 0, 0]),
        ("post", "pre", [0, 0, 2], [0, 0, 0]),
        ("pre", "post", [0, 0, 0], [3, 1, 0]),
        ("pre", "pre", [0, 0, 2], [3, 1, 0]),
    ],
)
def test_pad_cuts_and_places_rows(padding, truncating, starts, first_places):
    spec = PadSpec(maxlen=3, padding=padding, truncating=truncating)
    segments = make_segments(np.array([0, 2, 5]), make_plan(spec), spec)
    assert segments.starts.tolist() == starts
    assert segments.counts.tolist() == [0, 2, 3]
    assert segments.first_places.tolist() == first_places
    assert segments.kept_tokens().tolist() == [0, 2, 3]
    assert segments.row_sources.tolist() == [0, 1, 2]
    assert segments.is_plain


@pytest.mark.parametrize(("padding", "starts"), [("post", [0, 0, 0]), ("pre", [4, 2, 0])])
def test_unpad_keeps_real_tokens(padding, starts):
    segments = plan_unpad(np.array([0, 1, 3]), np.array([4, 3, 3]), padding)
    assert segments.starts.tolist() == starts
    assert segments.counts.tolist() == segments.row_lengths.tolist() == [0, 1, 3]
    assert segments.first_places.tolist() == [0, 0, 0]
    assert segments.maxlen is None


def test_plain_rows_can_be_selected():
    whole = plan_pad(np.array([1, 4, 2, 9]), 3, padding="pre", truncating="pre")
    rows = whole.select(np.array([3, 1]))
    assert rows.source_lengths.tolist() == [9, 4]
    assert rows.starts.tolist() == [6, 1]
    assert rows.counts.tolist() == [3, 3]
    assert (rows.maxlen, rows.padding) == (3, "pre")


def test_overlapping_pieces_count_once():
    # Row 0 is split into windows of three that overlap by one. Row 1 occurs twice.
    segments = Segments(
        np.array([5, 2]),
        starts=np.array([0, 2, 0, 0]),
        counts=np.array([3, 3, 2, 2]),
        maxlen=3,
        sources=np.array([0, 0, 1, 1]),
    )
    assert segments.kept_tokens().tolist() == [5, 2]
    sources, firsts, counts = segments.kept_runs()
    runs = [(s, f, c) for s, f, c in zip(sources, firsts, counts, strict=True) if c]
    assert runs == [(0, 0, 3), (0, 3, 2), (1, 0, 2)]


def test_rows_may_hold_several_sequences():
    # Output row 0: a sequence of two pieces, then one of one piece; output row 1: one sequence.
    segments = Segments(
        np.array([4, 3, 2]),
        starts=np.array([1, 0, 0, 0]),
        counts=np.array([2, 1, 3, 2]),
        maxlen=8,
        sources=np.array([0, 0, 1, 2]),
        sequences=np.array([0, 0, 1, 2]),
        rows=np.array([0, 0, 1]),
        firsts=np.array([0, 4, 2]),
    )
    assert segments.lengths.tolist() == [3, 3, 2]
    assert segments.row_lengths.tolist() == [6, 2]
    assert segments.row_sources.tolist() == [0, 2]
    assert segments.first_places.tolist() == [0, 4, 2]
    assert not segments.is_plain
