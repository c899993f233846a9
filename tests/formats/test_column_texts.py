"""Columns become the JSON text that msgspec and orjson write for each row."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import hypothesis.extra.numpy as arrays
import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.arrow_lists import to_lists
from padmask.formats.jsonl import column_texts as column_texts_module
from padmask.formats.jsonl.column_texts import MaskCache, Texts, column_texts, join_lines

NUMBERS = st.sampled_from(["int32", "int64", "uint64", "float32", "float64", "bool"])


def finite(dtype: str, shape: Any) -> st.SearchStrategy[Any]:
    options = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    return arrays.arrays(dtype, shape, elements=arrays.from_dtype(np.dtype(dtype), **options))


def texts_of(
    column: pa.Array, shape: tuple[int, ...] | None = (), masks: MaskCache | None = None
) -> list[bytes]:
    texts = column_texts(column, shape, {} if masks is None else masks)
    return [texts.before + text + texts.after for text in texts.rows]


@given(NUMBERS.flatmap(lambda dtype: finite(dtype, arrays.array_shapes(min_dims=2, max_dims=4))))
def test_arrays(values):
    values = np.abs(values) % (1 << 20) if values.dtype.kind == "f" else values
    expected = [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in values]
    assert texts_of(to_lists(values, values.dtype.name), values.shape[1:]) == expected


@given(finite("bool", arrays.array_shapes(min_dims=2, max_dims=2)))
def test_masks(mask):
    cache: MaskCache = {}
    expected = [orjson.dumps(row.tolist()) for row in mask]
    for rows in (slice(None), slice(None, None, -1)):
        assert texts_of(to_lists(mask[rows], "bool"), mask.shape[1:], cache) == expected[rows]


def test_threads_share_the_cache_of_masks(monkeypatch):
    monkeypatch.setattr(column_texts_module, "MASK_POSITIONS", 1000)
    cache: MaskCache = {}
    masks = [np.tri(width, width, dtype=bool) for width in range(1, 60)] * 20
    columns = [(to_lists(mask, "bool"), mask.shape[1:]) for mask in masks]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda column: texts_of(*column, cache), columns))
    finally:
        sys.setswitchinterval(interval)
    assert found == [[orjson.dumps(row.tolist()) for row in mask] for mask in masks]


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4), max_size=6))
def test_rows_of_different_lengths(rows):
    assert texts_of(pa.array(rows, pa.list_(pa.int32())), None) == list(map(msgspec.json.encode, rows))


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\\x00\b\t\n\f\r\x1f\x7f/'), max_size=8)


@given(
    st.lists(st.none() | TEXT | st.just("plain"), max_size=9),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_strings(values, type_):
    for start in range(len(values) + 1):
        assert texts_of(pa.array(values, type_).slice(start)) == list(
            map(msgspec.json.encode, values[start:])
        )


@pytest.mark.parametrize("code", [*range(32), 34, 92, 127])
def test_escaped_characters(code):
    values = [f"a{chr(code)}b", "plain", "", "é"]
    assert texts_of(pa.array(values)) == list(map(msgspec.json.encode, values))


def test_lines():
    numbers, lists = Texts([b"1", b"2"]), Texts([b"", b"3"], b"[", b"]")
    assert join_lines({'"n"': numbers, "b": lists}) == b'{"\\"n\\"":1,"b":[]}\n{"\\"n\\"":2,"b":[3]}\n'
    assert join_lines({}) == b""


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "-00:01", "UTC"])
@pytest.mark.parametrize("seconds", [-5_233_535_618, 0])
def test_times_with_offsets(unit, zone, seconds):
    """In 1804, the offset of most zones had seconds, which JSON text cannot contain."""
    moment = pa.array([seconds], pa.timestamp("s")).cast(pa.timestamp(unit, zone))
    nested = pa.StructArray.from_arrays([moment], ["at"])
    [text], [inner] = texts_of(moment), texts_of(nested)
    assert datetime.fromisoformat(msgspec.json.decode(text)).timestamp() == seconds
    assert inner == b'{"at":' + text + b"}"
