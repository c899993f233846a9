"""A value that an output cannot hold is refused with the name of its column and the formats that hold it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import OutputError, pad_file
from padmask.formats import other_formats

UNION = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
FAR_SECONDS = pa.array([2**60, 1], pa.timestamp("s"))
PERMUTED = pa.ExtensionArray.from_storage(
    pa.fixed_shape_tensor(pa.int32(), [2, 1], permutation=[1, 0]),
    pa.array([[1, 2]] * 2, pa.list_(pa.int32(), 2)),
)
COLUMNS = {
    "a union": (UNION, "parquet", "Arrow or JSON Lines"),
    "a struct without fields": (pa.array([{}, {}], pa.struct([])), "parquet", "Arrow or JSON Lines"),
    "lists of size 0": (pa.array([[], []], pa.list_(pa.int32(), 0)), "parquet", "Arrow or JSON Lines"),
    "seconds beyond milliseconds": (FAR_SECONDS, "parquet", "Arrow"),
    "years beyond 9999": (FAR_SECONDS, "jsonl", "Arrow"),
    "microseconds beyond 9999": (pa.array([2**62, 1], pa.timestamp("us")), "jsonl", "Parquet or Arrow"),
    "nanoseconds of a duration": (pa.array([1, 2], pa.duration("ns")), "jsonl", "Parquet or Arrow"),
    "NaN": (pa.array([float("nan"), 1]), "jsonl", "Parquet or Arrow"),
    "axes in another order": (PERMUTED, "jsonl", "Parquet or Arrow"),
    "NaN in a struct": (pa.array([{"a": float("nan")}, {}]), "jsonl", "Parquet or Arrow"),
}


def write(path, column: pa.Array):
    table = pa.table({"input_ids": [[1], [2]], "x": column})
    with pa.OSFile(str(path), "wb") as raw, pa.ipc.new_file(raw, table.schema) as out:
        out.write_table(table)
    return path


@pytest.mark.parametrize(("column", "format_", "able"), COLUMNS.values(), ids=COLUMNS)
def test_refused_with_a_way_out(tmp_path, column, format_, able):
    source = write(tmp_path / "in.arrow", column)
    with raises_error(OutputError, "column 'x'", able) as refused:
        pad_file(source, tmp_path / f"out.{format_}")
    assert not (tmp_path / f"out.{format_}").exists()
    assert ("Parquet" in str(refused.value).split("Write")[1]) == ("Parquet" in able)
    suffixes = {"JSON Lines": "jsonl", "Parquet": "parquet", "Arrow": "arrow"}
    for title in able.split(" or "):
        assert pad_file(source, tmp_path / f"good.{suffixes[title]}").ledger.rows_written == 2


def test_durations_of_microseconds(tmp_path):
    pad_file(write(tmp_path / "in.arrow", pa.array([1000, None], pa.duration("ns"))), tmp_path / "out.jsonl")
    rows = [json.loads(line)["x"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == ["PT0.000001S", None]


def test_no_format_holds_it(monkeypatch):
    monkeypatch.setattr("padmask.formats._load", lambda address: lambda values: False)
    assert other_formats(pa.array([1])) == "Convert the column or remove it."


def test_arrow_schema_in_parquet(tmp_path):
    """The schema that Arrow stores in the footer describes the columns of the file."""
    views = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["a"], pa.string_view()))
    pad_file(write(tmp_path / "in.arrow", views), tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.schema_arrow.names == ["input_ids", "x", "mask"]
    pq.write_table(file.read(), tmp_path / "plain.parquet", store_schema=False)
    assert pq.read_table(tmp_path / "plain.parquet").equals(file.read())
