"""Batches in memory equal the rows that `pad_table` pads."""

from __future__ import annotations

import pickle
import sys
from collections import UserDict
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raised import raises_error

from padmask import (
    Collator,
    DataError,
    MaskSpec,
    MissingExtraError,
    PadSpec,
    SpecError,
    WindowSpec,
    pad_table,
)

SIDES = st.sampled_from(["pre", "post"])


@st.composite
def batches(draw):
    """Generate rows with ids, companions, scalars and texts."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
    ids = st.integers(-(2**31), 2**31 - 1)
    return [
        {
            "id": i,
            "input_ids": draw(st.lists(ids, min_size=n, max_size=n)),
            "token_type_ids": [0] * n,
            "labels": draw(st.lists(st.integers(-100, 9), min_size=n, max_size=n)),
            "text": str(i),
        }
        for i, n in enumerate(lengths)
    ]


@given(batches(), st.builds(PadSpec, maxlen=st.integers(1, 12) | st.just("longest"), padding=SIDES))
def test_equals_pad_table(rows, spec):
    expected = pad_table(pa.Table.from_pylist(rows), spec=spec).to_pydict()
    batch = Collator(spec)(rows)
    assert {name: list(map(to_list, its)) for name, its in batch.items()} == expected
    assert (batch["input_ids"].dtype, batch["mask"].dtype) == (np.int32, np.bool_)


def to_list(value):
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("convert", [list, tuple, np.array], ids=["lists", "tuples", "arrays"])
def test_accepts_sequences(convert):
    batch = Collator(maxlen=3)([convert([1, 2]), convert([3])])
    assert batch["input_ids"].tolist() == [[1, 2, 0], [3, 0, 0]]
    assert batch["mask"].tolist() == [[True, True, False], [True, False, False]]


def test_mask_of_ones_is_replaced():
    rows = [{"input_ids": [1, 2], "attention_mask": [1, 1]}, {"input_ids": [3], "attention_mask": [1]}]
    batch = Collator()(rows)
    assert list(batch) == ["input_ids", "attention_mask"]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["attention_mask"].dtype == np.int64
    with pytest.raises(DataError):
        Collator()([rows[0], {"input_ids": [3, 0], "attention_mask": [1, 0]}])


def test_own_lengths_and_masks():
    rows = [{"input_ids": [1, 2], "labels": [7]}, {"input_ids": [3], "labels": [7, 8, 9]}]
    batch = Collator(own_lengths={"labels": 4}, mask=MaskSpec(own={"labels": "labels_mask"}))(rows)
    assert batch["labels"].tolist() == [[7, -100, -100, -100], [7, 8, 9, -100]]
    assert batch["labels_mask"].sum(axis=1).tolist() == [1, 3]
    with raises_error(DataError, "'labels'", place="row 0", option="own_lengths"):
        Collator()(rows)


def test_ends_come_from_columns():
    rows = [{"input_ids": [1, 2, 3, 4], "n": 1}, {"input_ids": [5, 6, 7, 8], "n": 2}]
    batch = Collator(maxlen=3, keep_last="n")(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 4], [5, 7, 8]]


@pytest.mark.parametrize("number", [None, 1.7, True, -1, "2"])
def test_bad_ends_are_refused(number):
    rows = [{"input_ids": [1, 2, 3, 4], "n": 1}, {"input_ids": [5, 6, 7, 8], "n": number}]
    with raises_error(DataError, place="row 1", column="n"):
        Collator(maxlen=3, keep_last="n")(rows)
    with pytest.raises(SpecError) as caught:
        Collator(maxlen=3, keep_last="m")(rows)
    assert caught.value.options == ("keep_last",)


def test_numbers_become_arrays():
    rows = [{"x": [1.5], "label": 3, "score": 0.5, "good": True, "name": "a", "none": None}] * 2
    batch = Collator()(rows)
    assert {name: its.dtype.name for name, its in batch.items() if hasattr(its, "dtype")} == {
        "x": "float32",
        "label": "int64",
        "score": "float32",
        "good": "bool",
        "mask": "bool",
    }
    assert (batch["name"], batch["none"]) == (["a", "a"], [None, None])


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"input_ids": [1]}, {"ids": [1]}],
        [{"input_ids": [1]}, [1]],
        [{"input_ids": [1, None]}],
        [{"input_ids": [1, 2**40]}],
        [{"input_ids": [1, True]}],
        [{"input_ids": [1], "attention_mask": [1, 1]}],
        [{"input_ids": [True, 5]}],
    ],
    ids=["empty", "keys", "types", "null", "too large", "bool", "mask", "int among bools"],
)
def test_bad_rows_are_refused(rows):
    with pytest.raises(DataError):
        Collator()(rows)


@pytest.mark.parametrize(
    "options",
    [{"max_len": 3}, {"windows": WindowSpec(), "maxlen": 3}, {"framework": "mxnet"}, {"maxlen": -1}],
)
def test_options_are_checked(options):
    with pytest.raises(SpecError):
        Collator(**options)


BATCH = [{"input_ids": [7, 8]}, {"input_ids": [9]}]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (MaskSpec(polarity="padding"), {"mask": [[False, False], [False, True]]}),
        (MaskSpec(kind="additive"), {"mask": [[0, 0], [0, np.finfo("float32").min]]}),
        (MaskSpec(column=None, position_ids=True), {"position_ids": [[0, 1], [0, 0]]}),
        (MaskSpec(column=None, labels_from=True), {"labels": [[7, 8], [9, -100]]}),
        (MaskSpec(column=None, length_column="n"), {"n": [2, 1]}),
    ],
    ids=["polarity", "additive", "positions", "labels", "lengths"],
)
@pytest.mark.parametrize("convert", [list, tuple], ids=["lists", "tuples"])
def test_collator_makes_masks(mask, expected, convert):
    batch = Collator(mask=mask)([{"input_ids": convert(row["input_ids"])} for row in BATCH])
    assert batch.pop("input_ids").tolist() == [[7, 8], [9, 0]]
    assert {name: its.tolist() for name, its in batch.items()} == expected


@pytest.mark.parametrize(
    ("preset", "added", "dtypes"),
    [
        ("hf", {"attention_mask": [[1, 1], [1, 0]]}, ["int64", "int64"]),
        ("keras", {"mask": [[True, True], [True, False]]}, ["int32", "bool"]),
        ("torch", {"key_padding_mask": [[False, False], [False, True]]}, ["int64", "bool"]),
        (
            "causal-lm",
            {"attention_mask": [[1, 1], [1, 0]], "labels": [[7, 8], [9, -100]]},
            ["int64", "int64", "int64"],
        ),
    ],
    ids=["hf", "keras", "torch", "causal-lm"],
)
def test_presets_add_columns(preset, added, dtypes):
    batch = Collator(preset=preset, maxlen=2, framework="numpy")(BATCH)
    assert [its.dtype.name for its in batch.values()] == dtypes
    del batch["input_ids"]
    assert {name: its.tolist() for name, its in batch.items()} == added


def test_preset_and_spec():
    with pytest.raises(SpecError) as caught:
        Collator(PadSpec(maxlen=3), preset="hf")
    assert caught.value.options == ("preset", "spec")
    with pytest.raises(SpecError):
        Collator(preset="pytorch")


@pytest.mark.parametrize(
    "batch",
    [{"input_ids": [[1]]}, pa.table({"input_ids": [[1]]}), UserDict({"input_ids": [[1]]})],
    ids=["dict", "table", "mapping"],
)
def test_columns_are_refused(batch):
    with raises_error(SpecError, "padmask.pad"):
        Collator()(batch)


@pytest.mark.parametrize("y", [1, [0, 1]], ids=["label", "labels"])
@pytest.mark.parametrize("convert", [list, np.array], ids=["lists", "arrays"])
def test_tuples_of_columns(convert, y):
    with raises_error(DataError, "input_ids", place="row 0"):
        Collator()([(convert([1, 2]), y)] * 2)


def test_remedies_are_python():
    with raises_error(DataError, "columns=['input_ids']", "own_lengths={'labels': 'longest'}"):
        Collator()([{"input_ids": [1, 2], "labels": [1]}])


@pytest.mark.parametrize("short", ["np", "pt", "tf"])
def test_short_names(short):
    names = {"np": "numpy", "pt": "torch", "tf": "tensorflow"}
    pytest.importorskip(names[short])
    ids = [Collator(framework=name)([[1]])["input_ids"] for name in (short, names[short])]
    assert type(ids[0]) is type(ids[1])


@pytest.mark.parametrize(("number", "dtype"), [(2**40, "int32"), (1700000000.5, "float32")], ids=str)
def test_jax_keeps_large_numbers(monkeypatch, number, dtype):
    jax = SimpleNamespace(asarray=lambda array: array.astype(dtype) if array.itemsize == 8 else array)
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setitem(sys.modules, "jax.numpy", jax)
    collate = Collator(framework="jax")
    rows = [{"input_ids": [1], "h": 3}, {"input_ids": [1], "h": number}]
    with raises_error(DataError, dtype, "jax_enable_x64", place="row 1", column="h"):
        collate(rows)
    assert collate(rows[:1])["h"].tolist() == [3]


def test_preset_sets_the_framework(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with raises_error(MissingExtraError, "torch", "framework='numpy'"):
        Collator(preset="torch")
    assert type(Collator(preset="hf")([[1]])["input_ids"]) is np.ndarray


class Scalar:
    """A tensor without axes, as in TensorFlow and torch."""

    dtype = np.dtype("int64")

    def __init__(self, number):
        self.number = number

    def __array__(self, dtype=None, copy=None):
        return np.array(self.number)

    def __len__(self):
        raise TypeError("scalar tensor")


@pytest.mark.parametrize("convert", [np.int64, np.array, Scalar], ids=["numbers", "arrays", "tensors"])
def test_labels_without_axes(convert):
    rows = [{"input_ids": [1, 2], "label": convert(3)}, {"input_ids": [3], "label": convert(4)}]
    assert np.asarray(Collator()(rows)["label"]).tolist() == [3, 4]


def test_keep_ends_and_multiples():
    rows = [[1, 2, 3, 4, 5], [6]]
    assert Collator(maxlen=3, keep_first=1, keep_last=1)(rows)["input_ids"].tolist() == [[1, 2, 5], [6, 0, 0]]
    assert Collator(pad_to_multiple_of=4)(rows)["input_ids"].shape == (2, 8)


def test_can_be_sent_to_workers():
    collate = Collator(maxlen=2)
    collate([[1]])
    assert pickle.loads(pickle.dumps(collate))([[5]])["input_ids"].tolist() == [[5, 0]]


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_frameworks_get_tensors(framework):
    module = pytest.importorskip(framework)
    rows = [
        {"input_ids": [1, 2], "labels": [1, 1], "label": 3},
        {"input_ids": [3], "labels": [1], "label": 4},
    ]
    batch = Collator(framework=framework)(rows)
    kinds = {"torch": "Tensor", "tensorflow": "Tensor", "jax": "Array"}
    assert all(isinstance(its, getattr(module, kinds[framework])) for its in batch.values())
    assert np.asarray(batch["labels"]).tolist() == [[1, 1], [1, -100]]
    again = Collator(framework=framework)([{"input_ids": its} for its in batch["input_ids"]])
    assert np.asarray(again["input_ids"]).tolist() == [[1, 2], [3, 0]]
