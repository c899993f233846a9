"""INT96 timestamps are read as microseconds."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import FileOptions, pad_file
from padmask.errors import UnsupportedError

FAR, NEAR = dt.datetime(9999, 12, 31), dt.datetime(2020, 1, 1, 1, 2, 3, 456789)
US, UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
SPARK_ROW = {"type": "struct", "fields": [{"name": "at", "type": "timestamp", "metadata": {}}]}


def write(folder, at: pa.Array, name="in.parquet", spark=False):
    table = pa.table({"input_ids": [[1]] * len(at), "at": at})
    if spark:
        table = table.replace_schema_metadata({"org.apache.spark.version": "4.0.0"})
    pq.write_table(table, folder / name, use_deprecated_int96_timestamps=True)
    return folder / name


def padded(folder, at: pa.Array, **options) -> pa.ChunkedArray:
    pad_file(write(folder, at, **options), folder / "out.parquet")
    return pq.read_table(folder / "out.parquet")["at"]


def test_years_after_2262(tmp_path):
    at = padded(tmp_path, pa.array([FAR, None, NEAR, dt.datetime(1, 1, 1)], US))
    assert at.type == US
    assert at.to_pylist() == [FAR, None, NEAR, dt.datetime(1, 1, 1)]
    pad_file(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["at"] == "9999-12-31T00:00:00"


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([FAR, NEAR], UTC),
        ([[FAR], [NEAR, None], None], pa.list_(UTC)),
        ([{"a": FAR, "b": 1}, None], pa.struct([("a", UTC), ("b", pa.int64())])),
        ([[("k", FAR)], []], pa.map_(pa.string(), UTC)),
    ],
    ids=str,
)
def test_spark_times_are_in_utc(tmp_path, values, type_):
    written = padded(tmp_path, pa.array(values, type_), spark=True)
    assert "tz=UTC" in str(written.type)
    assert written.to_pylist() == pa.array(values, type_).to_pylist()


def test_times_of_two_kinds(tmp_path):
    """A file of Spark and a file with UTC timestamps are one dataset."""
    write(tmp_path, pa.array([FAR], US), "a.parquet", spark=True)
    pq.write_table(pa.table({"input_ids": [[1]], "at": pa.array([NEAR], UTC)}), tmp_path / "b.parquet")
    pad_file([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").field("at").type == UTC


@pytest.mark.parametrize("rows", [1, 3, None])
def test_fractions_of_a_microsecond(tmp_path, rows):
    at = pa.array([1000, None, 2000, 3001], pa.timestamp("ns"))
    with raises_error(UnsupportedError, "in.parquet", "'at'", "INT96", "INT64"):
        pad_file(write(tmp_path, at), tmp_path / "out.parquet", files=FileOptions(batch_rows=rows))
    assert not (tmp_path / "out.parquet").exists()


def test_int96_next_to_int64(tmp_path):
    """A struct does not show which of its times are INT96, so none of them gets a time zone."""
    type_ = pa.struct([("t", US)])
    assert padded(tmp_path, pa.array([{"t": NEAR}], type_), spark=False).type == type_


def test_columns_with_dots(tmp_path):
    table = pa.table({"input_ids": [[1]], "a.b": pa.array([FAR], US)})
    pq.write_table(table, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
    pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["a.b"].to_pylist() == [FAR]
