"""Padded rows and rows of their input are matched in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.verify.data import row_order
from padmask.verify.data.row_order import match_in_order, match_rows

KEYS = st.lists(st.integers(0, 4), max_size=8)


def as_keys(values):
    return np.array(values, dtype=np.uint64)


def longest(keys, others):
    """Return the length of the longest common subsequence."""
    if not keys or not others:
        return 0
    if keys[0] == others[0]:
        return 1 + longest(keys[1:], others[1:])
    return max(longest(keys[1:], others), longest(keys, others[1:]))


@given(KEYS, KEYS)
def test_longest_match(keys, others):
    partners = match_in_order(as_keys(keys), as_keys(others))
    found = partners[partners >= 0]
    assert len(found) == longest(keys, others)
    assert (np.diff(found) > 0).all()
    assert all(keys[at] == others[place] for at, place in enumerate(partners.tolist()) if place >= 0)


def test_many_equal_keys(monkeypatch):
    monkeypatch.setattr(row_order, "_PAIRS", 10)
    rows = np.random.default_rng(1).integers(0, 5, 100)
    keys, others = np.delete(rows, [3, 90]), np.delete(rows, 50)
    partners = match_in_order(as_keys(keys), as_keys(others))
    assert (partners >= 0).sum() == 97


@pytest.mark.parametrize(
    ("keys", "expected"), [([1, 1], [1, 3]), ([1, 1, 2], [0, 1, 3]), ([1, 1, 0, 2], [0, 1, 2, 3])]
)
def test_dropped_rows(keys, expected):
    """Rows that lose tokens, and rows without tokens, may be missing."""
    others, last = as_keys([1, 1, 0, keys[-1]]), np.array([2, 2, 0, 2])
    loses, files = np.array([True, False, False, False]), np.zeros(4, dtype=np.int64)
    assert match_rows([as_keys(keys)], [others], files, last, loses).tolist() == expected
