"""Lengths in, one maxlen out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import nearest_rank

from padmask import PadSpec
from padmask.core.plan import LengthStats, make_plan, needs_lengths

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@given(lengths=LENGTHS, percent=st.sampled_from([1, 10, 50, 90, 95, 99, 99.9, 100]))
def test_percentiles_are_nearest_rank(lengths, percent):
    assert LengthStats.of(lengths).percentile(percent) == nearest_rank(lengths, percent)


def test_the_rank_is_exact():
    # 0.29 * 100 is 28.999... in floats, which would give the length of one row too few or too many.
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
def test_a_plan_says_how_the_length_was_found(spec, maxlen, found):
    plan = make_plan(spec, LengthStats.of([1, 2, 2, 10]))
    assert (plan.maxlen, plan.found) == (maxlen, found)
    assert plan.exact <= plan.maxlen
    assert needs_lengths(spec) == (found != "given")


def test_no_rows_need_no_places():
    assert make_plan(PadSpec(), LengthStats()).maxlen == 0
    assert make_plan(PadSpec(maxlen="p95", pad_to_multiple_of=8), LengthStats()).maxlen == 0
