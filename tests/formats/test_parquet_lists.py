"""Lists of equal length, compared with a file that Arrow encodes."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.formats import parquet_lists
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.parquet import ParquetWriter
from padmask.formats.parquet_lists import SHORTEST, encode_equal_lists


def lists(values: np.ndarray, length: int, type_: pa.DataType) -> pa.Array:
    """Cut values into lists of equal length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values), length).cast(type_)


def written(table: pa.Table) -> bytes:
    """Write a table as padmask does."""
    out = io.BytesIO()
    options = WriterOptions(as_stream=False, threads=1, folder="")
    writer = ParquetWriter(out, Layout(table.schema, {}, len(table)), options)
    writer.append(Batch(table.combine_chunks().to_batches()[0], "x", np.arange(len(table)), "row").columns)
    writer.finish()
    return out.getvalue()


@pytest.fixture(scope="module")
def large() -> pa.Table:
    """Lists with several pages. Some have a dictionary, and for others the dictionary becomes too large."""
    draw, length, count = np.random.default_rng(3), 100, 400_000
    return pa.table(
        {
            "ids": lists(draw.integers(0, 30_000, count, np.int32), length, pa.list_(pa.int32())),
            "floats": lists(draw.random(count), length, pa.large_list(pa.float64())),
            "mask": lists(draw.random(count) < 0.5, length, pa.list_(pa.bool_())),
            "row": np.arange(count // length),
        }
    )


@pytest.mark.parametrize("reader", ["pyarrow", "duckdb", "polars"])
def test_readers_read_lists(reader, large, tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(written(large))
    if reader == "pyarrow":
        found = pq.read_table(path)
    elif reader == "duckdb":
        library = pytest.importorskip(reader, reason="duckdb is not installed")
        found = library.sql(f"select * from '{path}' order by row").to_arrow_table()
    else:
        found = pytest.importorskip(reader, reason="polars is not installed").read_parquet(path).to_arrow()
    for name in large.column_names:
        assert found[name].cast(large[name].type).equals(large[name])


def test_column_metadata(large):
    plain = io.BytesIO()
    pq.write_table(large, plain, compression="zstd", data_page_version="1.0")
    ours, arrow = (pq.read_metadata(file).row_group(0) for file in (io.BytesIO(written(large)), plain))

    for i in range(ours.num_columns):
        a, b = ours.column(i).to_dict(), arrow.column(i).to_dict()
        for name in ("path_in_schema", "num_values", "statistics", "compression", "encodings"):
            assert a[name] == b[name]
        assert a["total_compressed_size"] <= 1.01 * b["total_compressed_size"]


@given(
    rows=st.integers(1, 40),
    length=st.integers(SHORTEST, 3000),
    token=st.sampled_from(["int8", "uint64", "float16", "float32", "bool"]),
    nullable=st.tuples(st.booleans(), st.booleans()),
)
def test_round_trip(rows, length, token, nullable):
    values = (np.arange(rows * length) % 50).astype(token)
    type_ = pa.list_(pa.field("element", pa.from_numpy_dtype(values.dtype), nullable=nullable[0]))
    schema = pa.schema([pa.field("x", type_, nullable=nullable[1])])
    table = pa.Table.from_arrays([lists(values, length, type_)], schema=schema)

    assert encode_equal_lists(schema.field("x"), table["x"].chunk(0)) is not None
    assert pq.read_table(io.BytesIO(written(table))).equals(table)


@pytest.mark.parametrize("length", [16, 20, 33])
@pytest.mark.parametrize("start", [0, 8])
def test_bools_have_several_pages(length, start, monkeypatch):
    monkeypatch.setattr(parquet_lists, "_PAGE_BOOLS", 8 * length)
    bits = np.random.default_rng(5).random((start + 50) * length) < 0.5
    rows = lists(bits, length, pa.list_(pa.bool_())).slice(start)
    encoded = encode_equal_lists(pa.field("x", rows.type), rows)
    (pages,) = encoded.chunks[0][3][1][13][1][1]
    assert pages[3] == (5, 7)
    table = pa.table({"x": rows})
    assert pq.read_table(io.BytesIO(written(table))).equals(table)


def test_bools_that_start_within_a_byte():
    rows = lists(np.arange(100) % 3 == 0, 20, pa.list_(pa.bool_())).slice(1)
    table = pa.table({"x": rows})
    assert pq.read_table(io.BytesIO(written(table))).equals(table)


@pytest.mark.parametrize("value", [False, True])
def test_equal_bools(value):
    table = pa.table({"x": lists(np.full(60, value), 20, pa.list_(pa.bool_()))})
    file = io.BytesIO(written(table))
    assert pq.read_table(file).equals(table)
    statistics = pq.read_metadata(file).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (value, value)


OTHER_LISTS = {
    "short": [[1] * (SHORTEST - 1)] * 2,
    "unequal": [[1] * 20, [1] * 21],
    "null row": [[1] * 20, None],
    "null token": [[1] * 20, [None] * 20],
    "strings": [["a"] * 20] * 2,
    "vectors": [[[1]] * 20] * 2,
    "no rows": pa.array([], pa.list_(pa.int32())),
}


@pytest.mark.parametrize("rows", OTHER_LISTS.values(), ids=OTHER_LISTS)
def test_other_lists_use_arrow(rows):
    array = pa.array(rows)
    assert encode_equal_lists(pa.field("x", array.type), array) is None


def test_damage_is_found():
    """Each page has a checksum, so a reader finds a change of a single bit. The footer has no checksum."""
    table = pa.table(
        {
            "ids": lists(np.arange(6 * SHORTEST, dtype=np.int32), SHORTEST, pa.list_(pa.int32())),
            "text": [f"row {number}" for number in range(6)],
        }
    )
    good = written(table)
    pages = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    for place in range(4, pages):
        damaged = bytearray(good)
        damaged[place] ^= 1
        try:
            found = pq.read_table(io.BytesIO(damaged), page_checksum_verification=True)
        except (OSError, pa.ArrowException):
            continue
        # Arrow does not use all bytes of the headers of pages, such as those with statistics.
        assert found.equals(table), place
