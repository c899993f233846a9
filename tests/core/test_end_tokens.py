"""Rows that do not end with the end token get this token, and the other columns get a matching value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.columns import PadColumn
from padmask.core.end_tokens import add_end_tokens
from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged

NAMES = ("input_ids", "labels", "token_type_ids", "special_tokens_mask", "position_ids")


def as_lists(rows):
    return [
        rows.values[start : start + length].tolist()
        for start, length in zip(rows.starts, rows.lengths, strict=True)
    ]


def columns_of(names=NAMES):
    return [PadColumn(name, "int", "int64", -100 if name == "labels" else 0) for name in names]


@given(st.lists(st.lists(st.integers(0, 3), max_size=4)))
def test_every_row_ends_with_the_token(rows):
    extended, added = add_end_tokens({"input_ids": flatten(rows)}, columns_of(["input_ids"]), 3)
    expected = [row if not row or row[-1] == 3 else [*row, 3] for row in rows]
    assert as_lists(extended["input_ids"]) == expected
    assert added.sum() == sum(map(len, expected)) - sum(map(len, rows))


def test_other_columns_follow():
    rows = {
        "input_ids": flatten([[5, 6], [7, 2], [8]]),
        "labels": flatten([[5, 6], [7, 2], [-100]]),
        "token_type_ids": flatten([[0, 1], [0, 0], [1]]),
        "special_tokens_mask": flatten([[1, 0], [1, 1], [0]]),
        "position_ids": flatten([[0, 1], [0, 1], [0]]),
    }
    extended, added = add_end_tokens(rows, columns_of(), 2)
    assert added.tolist() == [True, False, True]
    assert {name: as_lists(its) for name, its in extended.items()} == {
        "input_ids": [[5, 6, 2], [7, 2], [8, 2]],
        "labels": [[5, 6, 2], [7, 2], [-100, -100]],
        "token_type_ids": [[0, 1, 1], [0, 0], [1, 1]],
        "special_tokens_mask": [[1, 0, 1], [1, 1], [0, 1]],
        "position_ids": [[0, 1, 2], [0, 1], [0, 1]],
    }


def test_rows_of_a_slice():
    rows = Ragged(np.array([9, 1, 2, 9, 4]), np.array([1, 4]), np.array([2, 1]))
    extended, _ = add_end_tokens({"input_ids": rows}, columns_of(["input_ids"]), 7)
    assert as_lists(extended["input_ids"]) == [[1, 2, 7], [4, 7]]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint64", "int64"])
def test_token_larger_than_the_dtype(dtype):
    rows = Ragged(np.array([5], dtype=dtype), np.array([0]), np.array([1]))
    extended, _ = add_end_tokens({"input_ids": rows}, columns_of(["input_ids"]), 50_256)
    assert extended["input_ids"].values.dtype.kind in "iu"
    assert as_lists(extended["input_ids"]) == [[5, 50_256]]
