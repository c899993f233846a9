"""Packing has as few rows as best-fit-decreasing, and no row overflows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.length_stats import LengthStats
from padmask.core.packing import count_at_least, count_best_fit, number_by_first, pack_best_fit, pack_in_order

PACKERS = pytest.mark.parametrize("pack", [pack_best_fit, pack_in_order])


@st.composite
def sequences_to_pack(draw):
    """Generate lengths, a maxlen and a maximum number of sequences in a row."""
    maxlen = draw(st.integers(1, 33))
    lengths = draw(st.lists(st.integers(1, maxlen), max_size=60))
    return np.array(lengths, dtype=np.int64), maxlen, draw(st.none() | st.integers(1, 5))


def pack_one_by_one(lengths, maxlen, most):
    """Put each sequence into the fullest row that has space. Return the number of rows."""
    free, sizes = [], []
    for length in lengths:
        fits = [i for i, its in enumerate(free) if its >= length and sizes[i] < most]
        if fits:
            row = min(fits, key=free.__getitem__)
            free[row] -= length
            sizes[row] += 1
        else:
            free.append(maxlen - length)
            sizes.append(1)
    return len(free)


def fewest_rows(lengths, maxlen):
    """Return the number of rows of the best packing, found by trying all packings."""
    best = len(lengths)

    def search(rest, free):
        nonlocal best
        if len(free) >= best:
            return
        if not rest:
            best = len(free)
            return
        for row in range(len(free) + 1):
            space = [*free, maxlen][row]
            if space >= rest[0]:
                search(rest[1:], [*free[:row], space - rest[0], *free[row + 1 :]])

    search(sorted(lengths, reverse=True), [])
    return best


@given(case=sequences_to_pack())
def test_rows_are_counted_from_stats(case):
    lengths, maxlen, _ = case
    rows = pack_best_fit(lengths, maxlen).max(initial=-1) + 1
    assert count_best_fit(LengthStats.of(lengths), maxlen) == rows


@PACKERS
@given(case=sequences_to_pack())
def test_no_row_overflows(pack, case):
    lengths, maxlen, most = case
    rows = pack(lengths, maxlen, most)
    assert len(rows) == len(lengths)
    assert (np.bincount(rows, weights=lengths) <= maxlen).all()
    assert (np.bincount(rows) <= (most or maxlen)).all()
    assert (np.bincount(rows) >= 1).all()


@PACKERS
@given(case=sequences_to_pack())
def test_rows_follow_their_first_input(pack, case):
    rows = pack(*case).tolist()
    assert list(dict.fromkeys(rows)) == list(range(len(set(rows))))


@given(sequences_to_pack())
def test_as_few_rows_as_one_by_one(case):
    lengths, maxlen, _ = case
    rows = pack_best_fit(lengths, maxlen)
    assert len(set(rows.tolist())) == pack_one_by_one(sorted(lengths, reverse=True), maxlen, maxlen)


@given(sequences_to_pack())
def test_in_order_equals_one_by_one(case):
    lengths, maxlen, most = case
    rows = pack_in_order(lengths, maxlen, most)
    assert len(set(rows.tolist())) == pack_one_by_one(lengths, maxlen, most or maxlen)


def test_in_order_closes_the_fullest_row():
    # 64 rows are open, and the row with 9 of 10 positions is closed. Therefore, the last 1 opens a new row.
    lengths = np.array([9] + [6] * 64 + [5] * 1 + [1], dtype=np.int64)
    assert pack_in_order(lengths, 10)[-1] != 0


NEAR_POWERS = [power + by for power in (2, 4, 16, 64, 256, 2048) for by in (-1, 0, 1)]


@pytest.mark.parametrize("maxlen", NEAR_POWERS)
def test_near_powers_equal_one_by_one(maxlen):
    draw = np.random.default_rng(maxlen)
    ends = [1, maxlen, max(1, maxlen - 1), -(-maxlen // 2), max(1, maxlen // 2)]
    lengths = np.concatenate([ends, draw.integers(1, maxlen + 1, 50)]).astype(np.int64)
    best, in_order = pack_best_fit(lengths, maxlen), pack_in_order(lengths, maxlen)
    for rows in (best, in_order):
        assert (np.bincount(rows, weights=lengths) <= maxlen).all()
    assert best.max() + 1 == pack_one_by_one(sorted(lengths, reverse=True), maxlen, maxlen)
    assert in_order.max() + 1 == pack_one_by_one(lengths, maxlen, maxlen)


@pytest.mark.parametrize("maxlen", [63, 64, 65, 1023, 1024, 1025])
@PACKERS
def test_maxlen_near_a_power_of_two(pack, maxlen):
    lengths = np.array([maxlen // 2, maxlen - maxlen // 2, maxlen, 1] * 50, dtype=np.int64)
    rows = pack(lengths, maxlen)
    assert len(set(rows.tolist())) == 100 + -(-50 // maxlen)


@given(st.lists(st.integers(1, 12), max_size=7))
def test_bound_is_not_above_the_best(lengths):
    bound = count_at_least(LengthStats.of(lengths), 12)
    assert -(-sum(lengths) // 12) <= bound <= fewest_rows(lengths, 12)


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [([513] * 9, 9), ([400] * 8, 4), ([512] * 8, 4), ([1024], 1), ([700, 300, 300], 2), ([], 0)],
)
def test_bound_of_hard_cases(lengths, rows):
    assert count_at_least(LengthStats.of(lengths), 1024) == rows


@given(st.lists(st.integers(0, 12), max_size=9), st.integers(1, 9))
def test_bound_with_a_maximum(lengths, most):
    filled = np.array([length for length in lengths if length], dtype=np.int64)
    rows = int(pack_best_fit(filled, 12, most).max(initial=-1)) + 1
    bound = count_at_least(LengthStats.of(lengths), 12, most)
    assert -(-len(filled) // most) <= bound <= rows
    if most == 1:
        assert bound == rows == len(filled)


@pytest.mark.parametrize(("mean", "maxlen", "share"), [(70, 1024, 0.9999), (700, 2048, 0.9997)])
def test_rows_are_almost_full(mean, maxlen, share):
    random = np.random.default_rng(1)
    lengths = np.clip(np.rint(random.lognormal(np.log(mean) - 0.5, 1, 100_000)), 1, maxlen).astype(np.int64)
    rows = int(pack_best_fit(lengths, maxlen).max()) + 1
    assert lengths.sum() / (rows * maxlen) >= share
    assert rows <= 1.0002 * count_at_least(LengthStats.of(lengths), maxlen) + 1


def test_rows_are_numbered_by_first():
    assert number_by_first(np.array([], dtype=np.int64)).tolist() == []
    assert number_by_first(np.array([5, 5, 2, 9, 2])).tolist() == [0, 0, 1, 2, 1]
