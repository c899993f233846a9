"""`pad` in memory, and `pad_sequences` as in Keras."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import pad_lists
from raised import raises_error

from padmask import BatchSpec, MaskSpec, PadSpec, SpecError, pack, pad, pad_sequences
from padmask.core import arrays as sequences
from padmask.errors import DataError

ROWS = [[711, 632, 71], [73, 8, 3215, 55, 927], [], [0]]


@pytest.mark.parametrize(
    "given_rows",
    [
        ROWS,
        tuple(map(tuple, ROWS)),
        [np.array(row, dtype=np.int64) for row in ROWS],
        pa.array(ROWS, pa.list_(pa.int64())),
        pa.chunked_array([ROWS[:2], ROWS[2:]], pa.large_list(pa.int32())),
    ],
    ids=["lists", "tuples", "arrays", "arrow", "chunked"],
)
@pytest.mark.parametrize("padding", ["pre", "post"])
def test_kinds_of_rows_pad_alike(given_rows, padding):
    padded = pad(given_rows, PadSpec(maxlen=4, padding=padding, value=9))
    values, mask, lengths = pad_lists(ROWS, 4, padding, "post", 9)
    assert (padded.values.tolist(), padded.mask.tolist(), padded.lengths.tolist()) == (values, mask, lengths)
    assert padded.values.dtype == np.int32


@pytest.mark.parametrize(
    ("maxlen", "width"), [("longest", 5), ("p50", 1), ("p75", 3), (2, 2), (0, 0)], ids=str
)
def test_maxlen_sets_the_width(maxlen, width):
    assert pad(ROWS, PadSpec(maxlen=maxlen)).values.shape == (4, width)


def test_default_padding_is_post():
    assert pad([[7], [8, 9]]).values.tolist() == [[7, 0], [8, 9]]


def test_no_rows():
    padded = pad([])
    assert (padded.values.shape, padded.mask.shape, padded.lengths.shape) == ((0, 0), (0, 0), (0,))


def test_strings_are_padded():
    padded = pad([["a", "b"], ["c"]], PadSpec(dtype="string"))
    assert padded.values.tolist() == [["a", "b"], ["c", ""]]
    assert pad([["a"]], PadSpec(dtype="string", value="<pad>", maxlen=2)).values.tolist() == [["a", "<pad>"]]


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([[1.0, 2.0], [3]], "float32"),
        ([np.ones(3, "float32"), np.ones(1, "float32")], "float32"),
        ([np.ones(3), np.ones(1)], "float64"),
        ([[[1.0, 2.0]], [[3.0, 4.0]]], "float32"),
        (pa.array([[1.0], [2.5]]), "float64"),
        ([[1, 2]], "int32"),
        ([["a"]], "object"),
        ([], "int32"),
    ],
)
def test_dtype_of_first_token(rows, dtype):
    assert pad(rows).values.dtype == dtype


def test_dtype_for_all():
    assert pad([[1.0, 2.0]], PadSpec(dtype_for_all=True)).values.dtype == "int32"


def test_vectors_are_padded():
    padded = pad([[[0.5, 1.0]], [[2.0, 3.0], [4.0, 5.0]]], PadSpec(dtype="float32"))
    assert (padded.values.shape, padded.mask.shape) == ((2, 2, 2), (2, 2))
    assert padded.values[0].tolist() == [[0.5, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "spec", "row", "facts"),
    [
        ([[1, 2**31]], PadSpec(), 0, ["position 1", 2147483648, "int32", "int64"]),
        ([[1], [0.5]], PadSpec(), 1, ["position 0", 0.5, "int32", "float32"]),
        ([[1, True]], PadSpec(), 0, ["position 1", "bool"]),
        ([np.array([True])], PadSpec(), 0, ["position 0", "bool"]),
        ([[1], None], PadSpec(), 1, [None]),
        (pa.array([[1], None]), PadSpec(), 1, ["null"]),
        (pa.array([[1, None]]), PadSpec(), 0, ["position 1", "null"]),
        ([["a"]], PadSpec(dtype="int64"), 0, ["position 0", "string", "int64"]),
        (["a"], PadSpec(), 0, ["'a'"]),
    ],
)
def test_bad_rows_are_named(rows, spec, row, facts):
    with raises_error(DataError, *facts, place=f"row {row}"):
        pad(rows, spec)


def test_sequences_of_the_wrong_type():
    with raises_error(DataError, "`sequences`", "int"):
        pad(7)
    with raises_error(SpecError, "int64"):
        pad(pa.array([1]))


@pytest.mark.parametrize(("value", "facts"), [(0.5, [0.5, "int32"]), (2**40, [2**40, "int32", "int64"])])
def test_pad_value_must_fit(value, facts):
    with raises_error(SpecError, *facts, option="value"):
        pad([[1]], PadSpec(value=value))


def test_two_threads_pad_alike(monkeypatch):
    rows = [np.arange(length) for length in range(1, 400)]
    alone = pad(rows, maxlen=300, threads=1)
    monkeypatch.setattr(sequences, "VALUES_FOR_TWO_THREADS", 0)
    together = pad(rows, maxlen=300, threads=2)
    assert (alone.values == together.values).all()
    assert (alone.mask == together.mask).all()


# `pad_sequences`: Keras's own test cases, then random input compared with Keras.


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ([[1], [1, 2], [1, 2, 3]], {"maxlen": 3, "padding": "pre"}, [[0, 0, 1], [0, 1, 2], [1, 2, 3]]),
        ([[1], [1, 2], [1, 2, 3]], {"maxlen": 3, "padding": "post"}, [[1, 0, 0], [1, 2, 0], [1, 2, 3]]),
        ([[1], [1, 2], [1, 2, 3]], {"maxlen": 2, "truncating": "pre"}, [[0, 1], [1, 2], [2, 3]]),
        ([[1], [1, 2], [1, 2, 3]], {"maxlen": 2, "truncating": "post"}, [[0, 1], [1, 2], [1, 2]]),
        ([[1], [1, 2], [1, 2, 3]], {"maxlen": 3, "value": 1}, [[1, 1, 1], [1, 1, 2], [1, 2, 3]]),
        ([["1"], ["1", "2"]], {"dtype": object, "value": "pad"}, [["pad", "1"], ["1", "2"]]),
        (
            [["1"], ["1", "2"]],
            {"dtype": "<U3", "value": "pad", "padding": "post"},
            [["1", "pad"], ["1", "2"]],
        ),
        ([[[1, 1]], [[2, 1], [2, 2]]], {}, [[[0, 0], [1, 1]], [[2, 1], [2, 2]]]),
        ([[[1, 1]]], {"maxlen": 2, "value": [9, 8]}, [[[9, 8], [1, 1]]]),
        ([[], []], {"maxlen": 2}, [[0, 0], [0, 0]]),
        ([[1, 2]], {"maxlen": 0}, [[]]),
    ],
)
def test_pad_sequences_passes_keras_tests(rows, options, expected):
    assert pad_sequences(rows, **options).tolist() == expected


def test_pad_sequences_of_nothing():
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([], maxlen=3).shape == (0, 3)


@pytest.mark.parametrize(
    ("rows", "options", "row", "facts"),
    [
        ([[1], [1.7]], {}, 1, [1.7, "int32"]),
        ([[1], [2**31]], {}, 1, [2**31, "int32"]),
        ([np.array([2**31])], {}, 0, [2**31, "int32"]),
        ([np.array([300])], {"dtype": "uint8"}, 0, [300, "uint8"]),
        ([[float("nan")]], {}, 0, ["nan", "int32"]),
        ([["hello"]], {"dtype": "<U3", "value": ""}, 0, ["<U3", "'hello'"]),
        ([[1], 2], {}, 1, ["2"]),
        ([[1], "12"], {}, 1, ["'12'"]),
        ([[1], {1: 2}], {}, 1, ["{1: 2}"]),
    ],
)
def test_pad_sequences_refuses_damage(rows, options, row, facts):
    with raises_error(DataError, *facts, place=f"row {row}"):
        pad_sequences(rows, **options)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"value": float("nan")}, "nan"),
        ({"value": 0.5}, "0.5"),
        ({"value": "pad"}, "int32"),
        ({"value": "pad", "dtype": "<U1"}, "<U1"),
        ({"padding": "left"}, "'left'"),
        ({"truncating": "right"}, "'right'"),
        ({"maxlen": -1}, "-1"),
    ],
    ids=str,
)
def test_pad_sequences_checks_options(options, fact):
    with raises_error(SpecError, f"`{next(iter(options))}`", fact):
        pad_sequences([["a"]], **options)


def test_pad_sequences_of_strings_as_ints():
    with raises_error(DataError, "int32", "'a'"):
        pad_sequences([["a"]])


def test_pad_sequences_of_an_iterator():
    with pytest.raises(ValueError, match="must have a length"):  # the message of Keras
        pad_sequences(iter([[1]]))


@pytest.fixture(scope="module")
def keras_pad_sequences():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'padmask[verify]'")
    return keras.utils.pad_sequences


INTEGERS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), min_size=1, max_size=6)
FLOATS = st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=6), min_size=1, max_size=6)
STRINGS = st.lists(st.lists(st.text(max_size=3), max_size=6), min_size=1, max_size=6)
VECTORS = st.lists(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(list), max_size=6), min_size=1, max_size=6
)
CASES = st.one_of(
    st.tuples(INTEGERS, st.just({})),
    st.tuples(INTEGERS, st.just({"dtype": "float64", "value": -1.5})),
    st.tuples(FLOATS, st.just({"dtype": "float32", "value": 0.5})),
    st.tuples(STRINGS, st.sampled_from([{"dtype": object, "value": ""}, {"dtype": "<U3", "value": "p"}])),
    st.tuples(VECTORS, st.just({})),
    st.tuples(VECTORS, st.just({"dtype": "float32"})),
)
SIDES = st.sampled_from(["pre", "post"])


@pytest.mark.tf
@settings(deadline=None)
@given(
    case=CASES, maxlen=st.none() | st.integers(1, 8), padding=SIDES, truncating=SIDES, arrays=st.booleans()
)
def test_pad_sequences_equals_keras(keras_pad_sequences, case, maxlen, padding, truncating, arrays):
    rows, options = case
    if arrays and options.get("dtype") is not object:
        rows = [np.array(row, dtype=options.get("dtype", "int32")) if row else [] for row in rows]
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, **options}
    theirs, ours = keras_pad_sequences(rows, **options), pad_sequences(rows, **options)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert (ours == theirs).all()


@pytest.mark.parametrize("rows", [[[0.5, 1700000000.25]], [[[1700000000.25]]]], ids=["floats", "vectors"])
def test_large_python_floats(rows):
    with raises_error(DataError, "float32", "float64", place="row 0"):
        pad(rows)
    assert pad(rows, PadSpec(dtype="float64")).values.max() == 1700000000.25
    assert pad(rows, PadSpec(dtype="float32")).values.max() == np.float32(1700000000.25)
    assert pad([np.array(row) for row in rows]).values.max() == 1700000000.25


def test_empty_first_vector():
    with raises_error(DataError, "position 0", "0 values", place="row 0"):
        pad([[[]], [[1, 2]]])
    with raises_error(DataError, "position 0", None, place="row 1"):
        pad([[[1, 2]], [None]])


def test_fields_of_the_spec_are_keywords():
    rows = [[1, 2, 3, 4], [5]]
    expected = pad(rows, PadSpec(maxlen=3, padding="pre", keep_last=1, value=9))
    found = pad(rows, PadSpec(padding="pre", value=9), maxlen=3, keep_last=1)
    assert found.values.tolist() == expected.values.tolist() == [[1, 2, 4], [9, 9, 5]]
    with raises_error(SpecError, "`maxlength`", "'maxlen'"):
        pad(rows, maxlength=3)


def test_dict_of_columns_is_padded():
    batch = pad({"input_ids": [[1, 2], [3]], "labels": [[5, 6], [7]], "name": ["a", "b"]}, maxlen=3)
    assert batch["labels"].tolist() == [[5, 6, -100], [7, -100, -100]]
    assert batch["mask"].tolist() == [[True, True, False], [True, False, False]]
    assert batch["name"] == ["a", "b"]


def test_dict_takes_columns_and_mask():
    columns = {"ids": [[1, 2], [3]], "other": [[1], [2]]}
    batch = pad(columns, columns=["ids"], mask=MaskSpec(polarity="padding"))
    assert batch["mask"].tolist() == [[False, False], [False, True]]
    assert batch["other"] == [[1], [2]]
    with pytest.raises(SpecError) as caught:
        pad([[1]], mask=MaskSpec())
    assert caught.value.options == ("columns", "mask")


def test_int_dtype():
    assert pad([[1], [2, 3]], int_dtype="int64").values.dtype == "int64"
    assert pad([[0.5]], int_dtype="int64").values.dtype == "float32"


@pytest.mark.parametrize(
    "options", [{"buckets": 2}, {"batches": BatchSpec(tokens=8)}], ids=["buckets", "batches"]
)
def test_options_for_files(options):
    with pytest.raises(SpecError) as caught:
        pad([[1]], **options)
    assert caught.value.options == tuple(options)


def test_own_lengths_need_names():
    with raises_error(SpecError, option="own_lengths"):
        pad(ROWS, own_lengths={"labels": 2})
    assert pad({"input_ids": [[1]], "labels": [[2, 3]]}, own_lengths={"labels": 2})["labels"].shape == (1, 2)


@pytest.mark.parametrize("function", [pad, pack])
def test_rows_that_are_dicts(function):
    with raises_error(DataError, "padmask.Collator", "padmask.pack_table", place="row 0"):
        function([{"input_ids": [1]}])


@pytest.mark.parametrize("columns", [{"x": [[1]]}, pa.table({"x": [[1]]})], ids=["dict", "table"])
def test_pack_takes_columns(columns):
    assert pack(columns)["x"].tolist() == [[1]]


@pytest.mark.parametrize("function, other", [(pad, "preset"), (pack, "pack_preset")])
def test_preset_is_not_a_field(function, other):
    with raises_error(SpecError, f"spec, mask = padmask.{other}('hf')", option="preset"):
        function(ROWS, preset="hf")
