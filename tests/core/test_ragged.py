"""Lists, arrays and Arrow columns with the same sequences become the same flat rows."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raised import has_facts, raises_error

from padmask.core.arrow_lists import kind_of
from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import DataError, SpecError

ROWS = [[1, 2, 3], [], [4], [5, 6]]
LIST = pa.list_(pa.int64())


def rows_of(ragged: Ragged) -> list:
    pairs = zip(ragged.starts.tolist(), ragged.lengths.tolist(), strict=True)
    return [ragged.values[start : start + length].tolist() for start, length in pairs]


LAYOUTS = {
    "list": pa.array(ROWS, LIST),
    "large_list": pa.array(ROWS, pa.large_list(pa.int64())),
    "list_view": pa.array(ROWS, pa.list_view(pa.int64())),
    "large_list_view": pa.array(ROWS, pa.large_list_view(pa.int64())),
    "sliced": pa.array([[9, 9], *ROWS, [9]], LIST).slice(1, 4),
    "sliced list_view": pa.array([[9, 9], *ROWS, [9]], pa.list_view(pa.int64())).slice(1, 4),
    "chunked": pa.chunked_array([pa.array(ROWS[:1], LIST), pa.array(ROWS[1:], LIST)]),
    "no chunks before": pa.chunked_array([pa.array([], LIST), pa.array(ROWS, LIST)]),
    "dictionary of tokens": pa.array(ROWS, pa.list_(pa.dictionary(pa.int8(), pa.int64()))),
    "dictionary of rows": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3]), pa.array(ROWS, LIST)),
    "int16": pa.array(ROWS, pa.list_(pa.int16())),
    "uint64": pa.array(ROWS, pa.list_(pa.uint64())),
}


@pytest.mark.parametrize("array", LAYOUTS.values(), ids=LAYOUTS)
def test_arrow_layouts(array):
    ragged, faults = Ragged.from_arrow(array)
    assert rows_of(ragged) == ROWS
    assert faults == []


FIXED = {
    "fixed_size_list": pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
    "sliced fixed_size_list": pa.array([[9, 9], [1, 2], [3, 4], [9, 9]], pa.list_(pa.int32(), 2)).slice(1, 2),
}


@pytest.mark.parametrize("array", FIXED.values(), ids=FIXED)
def test_fixed_size_lists(array):
    assert rows_of(Ragged.from_arrow(array)[0]) == [[1, 2], [3, 4]]


def test_null_row_is_a_fault():
    ragged, faults = Ragged.from_arrow(pa.array([[1], None, []], LIST))
    assert ragged.lengths.tolist() == [1, 0, 0]
    assert [(fault.row, fault.reason) for fault in faults] == [(1, "the row is null")]


def test_null_fixed_size_row():
    ragged, faults = Ragged.from_arrow(pa.array([[1, 2], None], pa.list_(pa.int32(), 2)))
    assert (ragged.lengths.tolist(), [fault.row for fault in faults]) == ([2, 0], [1])


def test_null_token_is_a_fault():
    ragged, faults = Ragged.from_arrow(pa.array([[1], [2, None, None]], LIST))
    assert [(fault.row, fault.reason) for fault in faults] == [(1, "position 1: the token is null")]
    assert ragged.lengths.tolist() == [1, 0]


def test_nulls_outside_a_slice():
    array = pa.array([[None], [1, 2], [None]], LIST).slice(1, 1)
    assert Ragged.from_arrow(array)[1] == []


def test_large_ids_with_nulls():
    ragged, _ = Ragged.from_arrow(pa.array([[2**53 + 1], [None]], LIST))
    assert ragged.values[0] == 2**53 + 1


def test_null_lists():
    ragged, faults = Ragged.from_arrow(pa.array([[], []], pa.list_(pa.null())))
    assert (ragged.lengths.tolist(), faults) == ([0, 0], [])
    assert [fault.row for fault in Ragged.from_arrow(pa.array([[None]], pa.list_(pa.null())))[1]] == [0]
    assert [fault.row for fault in Ragged.from_arrow(pa.nulls(2))[1]] == [0, 1]


VECTORS = [[[1.0, 2.0], [3.0, 4.0]], [], [[5.0, 6.0]]]


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(pa.list_(pa.float32(), 2)),
        pa.list_(pa.list_(pa.float64())),
        pa.large_list(pa.large_list(pa.float32())),
        pa.list_(pa.list_view(pa.float32())),
    ],
    ids=str,
)
def test_sliced_vectors_are_read(type_):
    array = pa.array([[[9.0, 9.0]], *VECTORS], type_).slice(1)
    ragged, faults = Ragged.from_arrow(array)
    assert (rows_of(ragged), faults) == (VECTORS, [])


def test_unequal_vectors_are_faults():
    array = pa.array([[[1, 2]], [[3, 4], [5]], [[6, None]], [None], [[7, 8]]], pa.list_(LIST))
    ragged, faults = Ragged.from_arrow(array)
    assert [(fault.row, fault.reason.split(":")[0]) for fault in faults] == [
        (1, "position 1"),
        (2, "position 0"),
        (3, "position 0"),
    ]
    assert rows_of(ragged) == [[[1, 2]], [], [], [], [[7, 8]]]


@pytest.mark.parametrize(
    "type_", [pa.int64(), pa.list_(pa.date32()), pa.list_(pa.list_(pa.list_(pa.int8())))], ids=str
)
def test_other_types_are_refused(type_):
    with raises_error(SpecError, type_):
        kind_of(type_)


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), max_size=8))
def test_python_and_numpy_rows_agree(rows):
    arrays = [np.array(row, dtype=np.int64) for row in rows]
    assert rows_of(flatten(rows)) == rows == rows_of(flatten(arrays))


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        ([[1], None], [None]),
        ([[1], "ab"], ["'ab'"]),
        ([[1, 2], [3, None]], ["position 1", "numbers", "NoneType"]),
        ([[1], ["a"]], ["position 0", "numbers", "str"]),
        ([["a"], ["b", 1]], ["position 1", "strings", "int"]),
        ([[1], [[2]]], ["position 0", "numbers", "list"]),
        ([[[1, 2]], [[3, 4], [5]]], ["position 1", "1 values", 2]),
        ([[[1, 2]], [[3, 4], 5]], ["position 1", "vector", 5]),
        ([[1], [2**64]], ["position 0", 2**64, "int64"]),
        ([np.ones((1, 2)), np.ones((1, 3))], ["(2,)", "(3,)"]),
    ],
    ids=str,
)
def test_bad_python_rows(rows, facts):
    with raises_error(DataError, *facts, place="row 1"):
        flatten(rows)


def test_numpy_scalars_do_not_overflow():
    assert flatten([[np.int8(100), np.int8(100)]]).values.tolist() == [100, 100]


@pytest.mark.parametrize(
    ("values", "dtype", "facts"),
    [
        ([2**31], "int32", [2147483648, "int32", "int64"]),
        ([-(2**31) - 1], "int32", [-2147483649, "int32", "int64"]),
        ([-1], "uint16", [-1, "uint16"]),
        ([40_000], "int16", [40000, "int16"]),
        ([1.5], "int32", [1.5, "int32", "float32"]),
        ([float("nan")], "int64", ["nan", "int64"]),
        ([float("inf")], "int64", ["inf", "int64"]),
        ([2.0**60], "int64", ["int64"]),
        ([1e300], "float32", ["float32", "float64"]),
        ([2**24 + 1], "float32", [16777217, "float32"]),
        ([2**53 + 1], "float64", [2**53 + 1, "float64"]),
        (["a"], "int32", ["string", "int32"]),
        ([1], "string", ["string"]),
        ([True], "int32", ["bool"]),
    ],
)
def test_misfits_are_found(values, dtype, facts):
    ragged = flatten([[], values]) if not isinstance(values[0], bool) else _bools()
    faults = find_misfits(ragged, dtype)
    assert [fault.row for fault in faults] == [1]
    assert has_facts(faults[0].reason, "position 0", *facts)


def _bools() -> Ragged:
    return Ragged(np.array([True]), starts=np.array([0, 0]), lengths=np.array([0, 1]))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**31 - 1, -(2**31)], "int32"),
        ([65_535, 0], "uint16"),
        ([2.0, -3.0], "int32"),
        ([0.1, float("nan")], "float32"),
        ([2**24], "float32"),
        (["a", ""], "string"),
    ],
)
def test_extreme_values_fit(values, dtype):
    assert find_misfits(flatten([values]), dtype) == []


def test_values_outside_rows_are_ignored():
    ragged = Ragged(np.array([2**40, 5]), starts=np.array([1]), lengths=np.array([1]))
    assert find_misfits(ragged, "int32") == []


LIST_OF_VECTORS = pa.list_(pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        (
            [[[]], [[1, 2]]],
            {0: "position 0: the vector has 0 numbers, but the first"},
        ),
        ([[None, [1, 2]], [[3, 4]]], {0: "position 0: the vector is null; fill missing"}),
        ([[[1, 2], [3, None]]], {0: "position 1: the vector contains a null at position 1; fill missing"}),
        ([[[1, 2]], [[1, 2], [1, 2, 3]]], {1: "position 1: the vector has 3 numbers"}),
        ([[[]], []], {}),
    ],
)
def test_bad_vectors(rows, bad):
    _, faults = Ragged.from_arrow(pa.array(rows, LIST_OF_VECTORS))
    assert {fault.row: fault.reason[: len(bad.get(fault.row, ""))] for fault in faults} == bad


def test_first_vector_of_views():
    numbers = pa.array([[1.0], [2.0, 3.0]])
    views = pa.ListViewArray.from_arrays(pa.array([1, 0], pa.int32()), pa.array([1, 1], pa.int32()), numbers)
    ragged, faults = Ragged.from_arrow(views)
    assert ragged.values.shape == (2, 2)
    assert [fault.row for fault in faults] == [1]


def test_rounding_of_large_floats():
    large = Ragged.from_arrow(pa.array([[0.1, 2.0**24, 2.0**24 + 1], [0.1, 1e30], [-16777217.5]]))[0]
    assert find_misfits(large, "float32") == []
    assert find_misfits(large, "float64", rounds=False) == []
    found = find_misfits(large, "float32", rounds=False)
    assert [(fault.row, fault.reason[:10]) for fault in found] == [
        (0, "position 2"),
        (1, "position 1"),
        (2, "position 0"),
    ]
    assert "float64" in found[0].reason


def test_masks_of_floats():
    nan = np.array([0x7FF0000000000001]).view(np.float64)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask, faults = Ragged.from_mask(pa.array([[1.0, 0.0], [0.5], [nan], [1.0]]))
    assert mask.values.tolist() == [1, 0, 2, 2, 1]
    assert [(fault.row, str(fault).split()[2]) for fault in faults] == [(1, "0.5"), (2, "nan")]
