"""Masks of packed rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raised import raises_error

from padmask import SpecError, block_mask

IDS = st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=3)


@given(IDS, st.booleans())
def test_block_mask_equals_the_rule(ids, causal):
    mask = block_mask(ids, causal=causal)
    for row, segments in enumerate(ids):
        for query, segment in enumerate(segments):
            for key, other in enumerate(segments):
                same = segment == other != 0 and (key <= query or not causal)
                assert mask[row, query, key] == (same or query == key)
    assert mask.any(axis=2).all()


@pytest.mark.parametrize("ids", [[1, 2], [[1.0]], [[-1]], [[[1]]], [[1], [1, 2]], "ab"], ids=str)
def test_segment_ids_are_checked(ids):
    with pytest.raises(SpecError):
        block_mask(ids)


def test_block_mask_of_no_rows():
    assert block_mask(np.zeros((0, 4), np.int32)).shape == (0, 4, 4)


@pytest.mark.parametrize("causal", ["x", None, np.nan, 1])
def test_causal_is_a_bool(causal):
    with raises_error(SpecError, "causal", option="causal"):
        block_mask([[1, 1]], causal=causal)
