"""Masks of all dialects, positions and labels, compared with plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import pad_lists
from tiers import represented

from padmask import Column, MaskSpec, PadSpec, SpecError, pad_table, unpad_table
from padmask.core.dialects import dialect_options, read_flags, usual_dialect
from padmask.core.masks import as_dialect, make_mask, make_positions
from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.spec.mask import ADDITIVE_DTYPES, MASK_DTYPES, Dialect

SIDES = st.sampled_from(["pre", "post"])
ROWS = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=5)
MASKS = [
    MaskSpec(kind="additive"),
    *(MaskSpec(dtype=dtype, polarity=side) for dtype in MASK_DTYPES for side in ("real", "padding")),
    *(MaskSpec(dtype=dtype, kind="additive") for dtype in ADDITIVE_DTYPES),
]


def flag(is_real: bool, spec: MaskSpec) -> float:
    """Return the value of one position of a mask."""
    if spec.kind == "additive":
        return 0.0 if is_real else float(np.finfo(spec.written_dtype).min)
    return float(is_real == (spec.polarity == "real"))


def name_of(spec: MaskSpec) -> str:
    return f"{spec.kind}-{spec.polarity}-{spec.written_dtype}"


@represented("spec", MASKS, by=5)
@settings(max_examples=10)
@given(rows=ROWS, maxlen=st.integers(0, 7), padding=SIDES)
def test_mask_equals_the_rule(spec, rows, maxlen, padding):
    table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
    padded = pad_table(table, None, PadSpec(maxlen=maxlen, padding=padding), spec)
    _, real, _ = pad_lists(rows, maxlen, padding, "post", 0)
    assert padded["mask"].to_pylist() == [[flag(place, spec) for place in row] for row in real]
    assert str(padded["mask"].type.value_type) == {
        "bool": "bool",
        "float32": "float",
        "float64": "double",
    }.get(spec.written_dtype, spec.written_dtype)
    assert unpad_table(padded).to_pydict() == {"input_ids": [row[:maxlen] for row in rows]}


@pytest.mark.parametrize("spec", MASKS, ids=name_of)
@settings(max_examples=10)
@given(real=st.lists(st.booleans(), min_size=1, max_size=9))
def test_reading_reverses_writing(spec, real):
    mask = np.array([real])
    assert read_flags(as_dialect(mask, spec), spec.dialect).astype(bool).tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("values", "dialect", "bad"),
    [
        ([0.0, -1.0], Dialect(kind="additive"), "position 1: -1.0"),
        ([0.0, 1.0], Dialect(kind="additive"), "--mask-kind binary"),
        ([0.0, float("nan")], Dialect(kind="additive"), "position 1: nan"),
        ([1, 2], Dialect(polarity="padding"), "position 1: 2"),
        ([1.0, -3e38], Dialect(), "--mask-kind additive"),
    ],
)
def test_other_values_are_faults(values, dialect, bad):
    _, [fault] = Ragged.from_mask(pa.array([values, values[:1]]), dialect)
    assert fault.row == 0 and bad in str(fault)


@pytest.mark.parametrize("value", [-10000.0, -1e9, float("-inf"), float(np.finfo("float16").min)])
def test_additive_masks_of_others(value):
    assert read_flags(np.array([0.0, value]), Dialect(kind="additive")).tolist() == [1, 0]


@pytest.mark.parametrize("name", ["mask", "attention_mask", "padding_mask", "key_padding_mask", "x"])
def test_usual_dialects(name):
    polarity = "padding" if name == "key_padding_mask" else "real"
    assert usual_dialect(name) == Dialect(polarity=polarity)
    assert dialect_options(name, Dialect(polarity=polarity)) == []
    assert dialect_options(name, Dialect(kind="additive")) == ["--mask-kind", "additive"]


@settings(max_examples=30)
@given(ROWS, st.integers(0, 7), SIDES, SIDES)
def test_positions_equal_the_rule(rows, maxlen, padding, truncating):
    table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
    spec = PadSpec(maxlen=maxlen, padding=padding, truncating=truncating)
    padded = pad_table(table, None, spec, MaskSpec(position_ids=True))
    positions = [list(range(min(maxlen, len(row)))) for row in rows]
    assert padded["position_ids"].to_pylist() == pad_lists(positions, maxlen, padding, "post", 0)[0]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=3))
def test_positions_restart_in_sequences(rows):
    """In a packed row, the positions start at 0 in each sequence."""
    lengths = np.array([length for row in rows for length in row])
    segments = Segments(
        lengths,
        np.zeros_like(lengths),
        lengths,
        10,
        sources=np.arange(len(lengths)),
        sequences=np.arange(len(lengths)),
        rows=np.repeat(np.arange(len(rows)), list(map(len, rows))),
        firsts=np.concatenate([np.cumsum([0, *row[:-1]]) for row in rows]),
    )
    found = make_positions(segments, make_mask(segments), "int32")
    expected = [[place for length in row for place in range(length)] for row in rows]
    assert found.tolist() == [row + [0] * (10 - len(row)) for row in expected]


@settings(max_examples=30)
@given(ROWS, st.integers(0, 7), SIDES)
def test_labels_equal_the_rule(rows, maxlen, padding):
    table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
    spec = PadSpec(maxlen=maxlen, padding=padding)
    padded = pad_table(table, None, spec, MaskSpec(labels_from="input_ids"))
    assert padded["labels"].to_pylist() == pad_lists(rows, maxlen, padding, "post", -100)[0]


@pytest.mark.parametrize(
    ("dtype", "maxlen", "positions", "labels"),
    [
        ("int32", 4, "int32", "int32"),
        ("int64", 4, "int64", "int64"),
        ("int16", 4, "int16", "int16"),
        ("uint16", 4, "uint16", "int32"),
        ("int16", 40_000, "int32", "int16"),
    ],
)
def test_dtypes_follow_the_ids(dtype, maxlen, positions, labels):
    spec, mask = PadSpec(maxlen=maxlen, dtype=dtype), MaskSpec(position_ids=True, labels_from=True)
    padded = pad_table(pa.table({"input_ids": [[1, 2]]}), None, spec, mask)
    assert str(padded["position_ids"].type.value_type) == positions
    assert str(padded["labels"].type.value_type) == labels


def test_positions_of_floats_are_int32():
    padded = pad_table(pa.table({"x": [[0.5, 1.5]]}), ["x"], mask=MaskSpec(position_ids="places"))
    assert padded["places"].to_pylist() == [[0, 1]]
    assert padded["places"].type == pa.list_(pa.int32())


@pytest.mark.parametrize(
    ("table", "columns", "mask", "option"),
    [
        ({"ids": [[1]], "position_ids": [[0]]}, None, MaskSpec(position_ids=True), "position_ids"),
        ({"ids": [[1]], "labels": [[0]]}, None, MaskSpec(labels_from=True), "labels_from"),
        ({"ids": [[1]], "labels": ["pos"]}, None, MaskSpec(labels_from="ids"), "labels_from"),
        ({"ids": [[1]]}, None, MaskSpec(labels_from="other"), "labels_from"),
        ({"ids": [[1]], "other": [[1]]}, ["ids"], MaskSpec(labels_from="other"), "labels_from"),
        ({"ids": [[0.5]]}, None, MaskSpec(labels_from=True), "labels_from"),
        ({"ids": [[1]]}, [Column("ids", "float32")], MaskSpec(labels_from=True), "labels_from"),
        ({"ids": [[[1]]]}, None, MaskSpec(labels_from=True), "labels_from"),
    ],
)
def test_unmakeable_columns(table, columns, mask, option):
    with pytest.raises(SpecError) as error:
        pad_table(pa.table(table), columns or ["ids"], mask=mask)
    assert error.value.options == (option,)


def test_missing_columns_are_added():
    mask = MaskSpec(labels_from=True, position_ids=True, if_missing=["labels_from", "position_ids"])
    rows = {"input_ids": [[5, 6], [7]], "labels": [[1, 2], [3]]}
    padded = pad_table(pa.table(rows), mask=mask).to_pydict()
    assert padded["labels"] == [[1, 2], [3, -100]]
    assert padded["position_ids"] == [[0, 1], [0, 0]]
    assert pad_table(pa.table({"input_ids": [[5], []]}), mask=mask)["labels"].to_pylist() == [[5], [-100]]
