"""Tensors are padded as lists of lists, and dictionaries of views are padded as their values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from raised import raises_error

from padmask import PadSpec, pad_table
from padmask.errors import DataError, SpecError


def tensors(shape: list[int], rows: int = 2, **options: object) -> pa.Array:
    """Return tensors of the numbers 0, 1, 2 and so on."""
    size = int(np.prod(shape))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(rows * size, dtype="float32")), size)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), shape, **options), flat)


def padded(column: pa.Array, maxlen: int) -> list[object]:
    rows: list[object] = pad_table(pa.table({"x": column}), ["x"], PadSpec(maxlen=maxlen))["x"].to_pylist()
    return rows


def test_matrix_is_a_row_of_vectors():
    assert padded(tensors([2, 3]), 3) == [
        [[0, 1, 2], [3, 4, 5], [0, 0, 0]],
        [[6, 7, 8], [9, 10, 11], [0, 0, 0]],
    ]


def test_slice_of_matrices():
    assert padded(tensors([2, 2], 5).slice(3, 1), 1) == [[[12, 13]]]


def test_flat_tensor_is_a_row_of_numbers():
    assert padded(tensors([2]), 3) == [[0, 1, 0], [2, 3, 0]]


def test_list_of_flat_tensors():
    lists = pa.ListArray.from_arrays([0, 2, 3], tensors([2], 3))
    assert padded(lists, 2) == [[[0, 1], [2, 3]], [[4, 5], [0, 0]]]


def test_null_tensor():
    column = pa.ExtensionArray.from_storage(
        tensors([1, 2]).type, pa.array([[1, 2], None], pa.list_(pa.float32(), 2))
    )
    with raises_error(DataError, "null", place="row 1", column="x"):
        padded(column, 1)


@pytest.mark.parametrize(
    ("column", "fact"),
    [
        (tensors([2, 2, 2]), "shape=[2,2,2]"),
        (pa.ListArray.from_arrays([0, 1], tensors([2, 2], 1)), "shape=[2,2]"),
        (tensors([2, 3], permutation=[1, 0]), "permuted axes"),
        (pa.ListArray.from_arrays([0, 1], tensors([1, 2], 1, permutation=[1, 0])), "permuted axes"),
    ],
)
def test_other_tensors_are_refused(column, fact):
    with raises_error(SpecError, "'x'", fact, option="columns"):
        padded(column, 1)


@pytest.mark.parametrize("shape", ["[2, 2]", '{"shape": [2, 2]}', '[[2, 2], "float32"]'])
def test_flat_values_of_a_shape(shape):
    said = {"ARROW:extension:name": "ray.data.arrow_tensor", "ARROW:extension:metadata": shape}
    field = pa.field("x", pa.list_(pa.float32()), metadata=said)
    for schema in (pa.schema([field]), pa.schema([pa.field("x", pa.list_(field))])):
        with raises_error(SpecError, "'ray.data.arrow_tensor'", "[2, 2]", option="columns"):
            pad_table(schema.empty_table(), ["x"])


def test_shape_with_as_many_levels():
    said = {"ARROW:extension:name": "Array2D", "ARROW:extension:metadata": '[[1, 2], "float32"]'}
    field = pa.field("x", pa.list_(pa.list_(pa.float32())), metadata=said)
    assert pad_table(pa.table([pa.array([[[1, 2]]], field.type)], schema=pa.schema([field]))).num_rows == 1


def test_tokens_in_a_dictionary_of_views():
    views = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["a", "b"], pa.string_view()))
    assert padded(pa.ListArray.from_arrays([0, 2, 3], views), 2) == [["b", "a"], ["b", ""]]
