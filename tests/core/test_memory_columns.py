"""`pad` reads dicts of columns and Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from raised import raises_error

from padmask import DataError, MaskSpec, SpecError, pad, pad_table

COLUMNS = {
    "id": [3, 4],
    "input_ids": [[7, 8], [9]],
    "labels": [[1, 0], [1]],
    "x": [[0.5], []],
    "text": ["a", "b"],
}
TABLE = pa.table(COLUMNS)


@pytest.mark.parametrize(
    "columns",
    [
        TABLE,
        TABLE.to_batches()[0],
        dict(zip(TABLE.column_names, TABLE.columns, strict=True)),
        pa.concat_tables([TABLE[:1], TABLE[1:]]),
        pa.concat_tables([TABLE, TABLE])[1:3].take([1, 0]),
        {name: tuple(values) for name, values in COLUMNS.items()},
        {name: iter(values) for name, values in COLUMNS.items()},
    ],
    ids=["table", "batch", "arrays", "chunks", "slice", "tuples", "iterators"],
)
def test_equals_pad_table(columns):
    padded = pad(columns)
    expected = pad_table(TABLE).to_pydict()
    assert list(padded) == list(expected)
    for name in ("id", "input_ids", "labels", "mask"):
        assert padded[name].tolist() == expected[name]
    assert [list(map(float, row)) for row in padded["x"]] == expected["x"]
    assert list(padded["text"]) == expected["text"]


@pytest.mark.parametrize(("type_", "dtype"), [(pa.float32(), np.float32), (pa.float64(), np.float64)])
def test_floats_keep_their_width(type_, dtype):
    padded = pad({"x": pa.array([[0.5], []], pa.list_(type_)), "h": pa.array([0.5, 1], type_)})
    assert padded["x"].dtype == padded["h"].dtype == dtype


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (pa.array([["a"], []]), [["a"], [""]]),
        (pa.array([[True], []]), [[True], [False]]),
        (pa.array([[[1, 2]], []]), [[[1, 2]], [[0, 0]]]),
        (pa.DictionaryArray.from_arrays([0, 1], pa.array([[5], []])), [[5], [0]]),
    ],
    ids=["strings", "bools", "vectors", "dictionary"],
)
def test_arrow_tokens(rows, expected):
    assert pad({"x": rows})["x"].tolist() == expected


def test_arrow_nulls_are_refused():
    with raises_error(DataError, place="row 1", column="input_ids"):
        pad({"input_ids": pa.array([[1], [None]])})
    assert pad({"input_ids": ROWS, "n": pa.array([1, None])})["n"] == [1, None]


ROWS = [[1, 2], [3]]


@pytest.mark.parametrize("name", ["id", "labels", "attention_mask", "text"])
def test_unequal_numbers_of_rows(name):
    with raises_error(DataError, 1, 2, "input_ids", column=name):
        pad({"input_ids": ROWS, name: [[1, 1]]})


@pytest.mark.parametrize("values", [5, None, "ab", {"a": 1}, {1, 2}], ids=repr)
def test_no_columns(values):
    with raises_error(DataError, type(values).__name__, column="h"):
        pad({"input_ids": ROWS, "h": values})


def test_columns_of_one_name():
    with raises_error(SpecError, "x"):
        pad(pa.table([[[1]], [[2]]], names=["x", "x"]))


@pytest.mark.parametrize(("maxlen", "width"), [("longest", 0), ("p95", 0), (3, 3)])
def test_no_rows(maxlen, width):
    padded = pad({"input_ids": [], "labels": [], "id": np.empty(0, "int64")}, maxlen=maxlen)
    assert padded["input_ids"].shape == padded["mask"].shape == (0, width)
    assert padded["input_ids"].dtype == np.int32
    assert padded["id"].shape == (0,)


@pytest.mark.parametrize(
    ("spec", "name", "option"),
    [(MaskSpec(), "mask", "mask_column"), (MaskSpec(labels_from=True), "labels", "labels_from")],
    ids=["mask", "labels"],
)
def test_names_are_taken(spec, name, option):
    with raises_error(SpecError, name, option=option):
        pad({"input_ids": ROWS, name: [5, 6]}, mask=spec)


def test_no_list_column():
    with raises_error(SpecError, "'a'", "'b'"):
        pad({"a": [1], "b": ["x"]})
