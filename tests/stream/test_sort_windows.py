"""The rows of a window are copies that own their memory."""

from __future__ import annotations

from mmap import mmap

import numpy as np
import pyarrow as pa
import pytest
from row_files import write_rows

from padmask import PadSpec
from padmask.spec.pack import PackSpec
from padmask.stream import sort_windows
from padmask.stream.pack import pack_file

SCHEMA = pa.schema([("ids", pa.list_(pa.int64())), ("bbox", pa.list_(pa.list_(pa.int64(), 4)))])


def owner_of(array):
    """Return the object that owns the memory of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


@pytest.mark.parametrize("shape", [(1 << 14,), (1 << 12, 4)])
def test_large_copies_own_pages(shape):
    values = np.arange(1 << 14, dtype=np.int32).reshape(shape)
    copy = sort_windows._in_own_pages(values)
    assert isinstance(owner_of(copy), mmap)
    assert np.array_equal(copy, values) and copy.dtype == values.dtype


@pytest.mark.parametrize("values", [np.arange(3), np.full(1 << 14, "word")])
def test_small_arrays_and_strings_stay(values):
    assert sort_windows._in_own_pages(values) is values


def test_copies_do_not_change_rows(tmp_path, monkeypatch):
    rows = [{"ids": [i] * n, "bbox": [[i, n, 0, k] for k in range(n)]} for i, n in enumerate([3, 1, 4, 2, 5])]
    source = write_rows(tmp_path / "in.parquet", rows, SCHEMA)

    def packed(name):
        spec = PadSpec(maxlen=6, packing=PackSpec())
        pack_file(source, tmp_path / name, columns=["ids", "bbox"], spec=spec)
        return (tmp_path / name).read_bytes()

    usual = packed("usual.jsonl")
    monkeypatch.setattr(sort_windows, "OWN_PAGES", 1)
    assert packed("pages.jsonl") == usual
