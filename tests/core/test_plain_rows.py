"""The fast path for plain rows does not inspect single tokens, and has the results of the slow path."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import Collator, MaskSpec, PadmaskError, PadSpec, pad
from padmask.core import arrays, fill, pad_columns, plain_rows, python_rows
from padmask.core.plain_rows import read_arrays, read_plain_rows

INT32 = st.integers(-(2**31), 2**31 - 1)
ODD = st.sampled_from(
    [
        True,
        None,
        0.5,
        2**31,
        -(2**31) - 1,
        2**70,
        np.int64(7),
        np.float64(1),
        "iiii",
        b"iiii",
        [1],
        (),
        {},
        ...,
    ]
)
TOKENS = INT32 | st.sampled_from([0, 1, -100]) | ODD
ROWS = st.lists(st.lists(TOKENS, max_size=4) | st.lists(INT32, max_size=6), min_size=1, max_size=5)


def is_int32(token):
    return type(token) is int and -(2**31) <= token < 2**31


@given(ROWS)
def test_only_ints_are_plain(rows):
    tokens = list(chain.from_iterable(rows))
    plain = read_plain_rows(rows)
    assert (plain is not None) == (tokens != [] and all(map(is_int32, tokens)))
    if plain is not None:
        assert (plain.values.tolist(), plain.lengths) == (tokens, list(map(len, rows)))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[], []],
        [(1, 2)],
        [[1], (2,)],
        [[1], None],
        [[1], np.array([2])],
        [np.array([1]), np.array([0.5])],
        [np.array([1]), np.array([True])],
        [np.array([1]), np.array([1], dtype="uint64")],
        [np.array([[1]])],
        [np.array([1]), np.array([[1]])],
        [np.array(["a"])],
        [np.ma.masked_array([1], [True])],
        [np.array([1], dtype=">i4")],
    ],
    ids=str,
)
def test_other_rows_are_not_plain(rows):
    assert read_plain_rows(rows) is None
    assert read_arrays(rows) is None


def test_many_blocks(monkeypatch):
    rows = [[i] * (i % 4) for i in range(50)]
    monkeypatch.setattr(plain_rows, "_BLOCK_ROWS", 8)
    assert read_plain_rows(rows).values.tolist() == list(chain.from_iterable(rows))
    assert read_plain_rows([*rows, [True]]) is None


# Batches with and without the fast path: the same arrays, or the same error.

SIDES = st.sampled_from(["pre", "post"])
DTYPES = ["int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64", "bool"]
SPECS = st.builds(
    PadSpec,
    maxlen=st.sampled_from(["longest", "p50"]) | st.integers(0, 8),
    padding=SIDES,
    truncating=SIDES,
    value=st.sampled_from([0, -100, 7, 2**40, 0.5]),
    dtype=st.sampled_from(["int32", "int64", "uint16", "float32", "string"]),
    dtype_for_all=st.booleans(),
) | st.builds(
    PadSpec,
    maxlen=st.integers(4, 6),
    truncating=SIDES,
    keep_first=st.integers(0, 2),
    keep_last=st.integers(0, 2),
)


@st.composite
def many_rows(draw):
    """Generate lists or arrays, most of them good."""
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    if draw(st.booleans()):
        tokens = draw(st.sampled_from([INT32, TOKENS, st.integers(0, 9)]))
        return [draw(st.lists(tokens, min_size=n, max_size=n)) for n in lengths]
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=2))
    numbers = st.sampled_from([0, 1, 100, 127])
    return [
        np.array(draw(st.lists(numbers, min_size=n, max_size=n)), dtype=draw(st.sampled_from(dtypes)))
        for n in lengths
    ]


def outcome(function):
    """Return the arrays of a call as types and lists, or its error."""
    try:
        found = function()
    except PadmaskError as error:
        return type(error), str(error)
    named = found if isinstance(found, dict) else vars(found)
    return {name: (its.dtype, its.tolist()) for name, its in named.items()}


def outcomes(function, wide_row):
    """Return the outcomes of a call with and without the fast path for plain rows.

    Args:
        function: the call.
        wide_row: smallest maxlen at which the fast path copies row by row.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "read_plain_rows", lambda rows: None)
        patch.setattr(pad_columns, "read_plain_rows", lambda rows: None)
        patch.setattr(python_rows, "read_arrays", lambda rows: None)
        slow = outcome(function)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "_WIDE_ROW", wide_row)
        return outcome(function), slow


WIDE_ROWS = st.sampled_from([0, 4, 2048])


@given(many_rows(), SPECS, WIDE_ROWS)
def test_pad_is_the_same(rows, spec, wide_row):
    fast, slow = outcomes(lambda: pad(rows, spec), wide_row)
    assert fast == slow


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.sampled_from([None, "int32", "int64"]),
    st.builds(PadSpec, maxlen=st.integers(0, 8), padding=SIDES, truncating=SIDES),
    WIDE_ROWS,
)
def test_truncated_rows_are_the_same(lengths, dtype, spec, wide_row):
    ends = np.cumsum(lengths)
    tokens = [list(range(end - n, end)) for end, n in zip(ends.tolist(), lengths, strict=True)]
    rows = [row if dtype is None else np.array(row, dtype) for row in tokens]
    mask = MaskSpec(position_ids=True, labels_from=True)
    for function in (lambda: pad(rows, spec), lambda: Collator(spec, mask=mask)(rows)):
        fast, slow = outcomes(function, wide_row)
        assert fast == slow


@pytest.mark.parametrize("kind", [list, np.array])
def test_truncation_needs_no_segments(monkeypatch, kind):
    rows = [kind([1, 2, 3]), kind([4])]
    monkeypatch.setattr(arrays, "make_segments", None)
    monkeypatch.setattr(pad_columns, "make_segments", None)
    assert pad(rows, maxlen=2).values.tolist() == [[1, 2], [4, 0]]
    assert Collator(maxlen=2)(rows)["input_ids"].tolist() == [[1, 2], [4, 0]]


MASKS = st.builds(
    MaskSpec,
    length_column=st.sampled_from([None, "n"]),
    polarity=st.sampled_from(["real", "padding"]),
    position_ids=st.booleans(),
    labels_from=st.sampled_from([None, True]),
    if_missing=st.just(("position_ids", "labels_from")),
)


@given(many_rows(), st.data(), SPECS, MASKS, WIDE_ROWS)
def test_batches_are_the_same(rows, data, spec, mask, wide_row):
    batch = [{"input_ids": row} for row in rows]
    if data.draw(st.booleans()):
        # The lengths may differ by one.
        batch = [
            row | {"labels": [1] * (len(row["input_ids"]) + data.draw(st.integers(0, 9)) // 9)}
            for row in batch
        ]
    if data.draw(st.booleans()):
        batch = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in batch]
    fast, slow = outcomes(lambda: Collator(spec, mask=mask)(batch), wide_row)
    assert fast == slow
