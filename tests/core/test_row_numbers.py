"""Columns with one number per row become arrays, and no value changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raised import raises_error

from padmask import DataError, pad
from padmask.core.row_numbers import row_numbers

ROWS = [[2], [2]]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([3, 4], "int64"),
        ([2**53 + 1, 2], "int64"),
        ([2**63, 1], "uint64"),
        ([np.uint64(2**63), 1], "uint64"),
        ([0.5, 1], "float32"),
        ([16777217, 1.5], "float64"),
        ([1700000000.5, 1.0], "float64"),
        ([1e300, 1.0], "float64"),
        ([1e-300, 1.0], "float64"),
        ([float("inf"), 1.0], "float32"),
        ([np.bool_(True), False], "bool"),
        (np.array([3, 4], "int8"), "int8"),
        (np.array([0.1, 0.2]), "float64"),
    ],
    ids=str,
)
def test_values_stay(values, dtype):
    array = pad({"input_ids": ROWS, "h": values})["h"]
    assert (array.dtype, array.tolist()) == (dtype, list(values))


@pytest.mark.parametrize(
    ("values", "row"),
    [([1.5, 2**53 + 1], 1), ([-1, 2**63], 1), ([2**64, 1], 0), ([-(2**63) - 1, 1], 0)],
    ids=str,
)
def test_no_dtype_fits(values, row):
    with raises_error(DataError, values[row], place=f"row {row}", column="h"):
        pad({"input_ids": ROWS, "h": values})


@pytest.mark.parametrize(
    "values",
    [
        [True, 1],
        [None, 1],
        ["a", "b"],
        [np.str_("a"), 1],
        [np.datetime64("2020-01-01", "ns"), 1],
        [np.ma.masked, 1.0],
    ],
    ids=["bools", "null", "text", "NumPy text", "time", "masked"],
)
def test_other_values_stay_a_list(values):
    found = row_numbers("h", values)
    assert type(found) is list
    assert all(one is other for one, other in zip(found, values, strict=True))


def test_masked_arrays():
    assert row_numbers("h", np.ma.array([1, 2], mask=[False, True])) == [1, None]


NUMBERS = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_large_numbers_are_exact(values):
    try:
        array = row_numbers("h", values)
    except DataError:
        assert any(type(value) is int and abs(value) > 2**53 for value in values)
        return
    for value, found in zip(values, array.tolist(), strict=True):
        assert found == (value if abs(value) >= 2**24 else array.dtype.type(value))
