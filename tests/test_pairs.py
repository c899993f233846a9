"""The combinations of `pairs.py` are few, deterministic, and contain every pair."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import all_pairs, combine, each_value


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_every_pair_is_covered(counts: list[int]) -> None:
    rows = combine(counts)
    for i, j in combinations(range(len(counts)), 2):
        assert {(row[i], row[j]) for row in rows} == set(product(range(counts[i]), range(counts[j])))
    assert len(set(rows)) == len(rows)
    assert rows == combine(counts)


def test_rows_are_few() -> None:
    assert len(combine([2, 2, 2, 2, 2])) <= 8
    assert len(combine([6, 2, 2, 2])) <= 14
    assert len(combine([4, 3, 3, 3])) <= 16


def test_every_row_has_an_id() -> None:
    mark = all_pairs(verb=["pad", "unpad"], size={"small": 1, "large": 10**6}, limit=(None, 3)).mark
    names, params = mark.args
    assert names == "verb,size,limit"
    assert {param.values for param in params} >= {("pad", 1, None), ("unpad", 1, 3)}
    assert params[0].id == "pad-small-None"


def test_other_combinations_follow() -> None:
    params = all_pairs(others=True, a=[0, 1], b=[0, 1], c=[0, 1]).mark.args[1]
    assert [param.values for param in params if not param.marks] == combine([2, 2, 2])
    assert {param.values for param in params} == set(product([0, 1], repeat=3))


def test_each_value_is_covered() -> None:
    params = each_value(a=[0, 1], b=[0, 1, 2]).mark.args[1]
    assert [param.values for param in params if not param.marks] == [(0, 0), (1, 1), (0, 2)]
    assert {param.values for param in params} == set(product([0, 1], [0, 1, 2]))


@pytest.fixture
def doubled(request: pytest.FixtureRequest) -> int:
    return 2 * request.param


@all_pairs(indirect=["doubled"], doubled=[1, 2], plain=[1, 2])
def test_fixtures_receive_parameters(doubled: int, plain: int) -> None:
    assert doubled in (2, 4)
    assert plain in (1, 2)
