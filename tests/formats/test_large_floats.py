"""JSON floats become float32 only if no large number changes; floats of typed formats keep their width."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import DataError, PadSpec, RowPolicy, pad_file, unpad_file

SECONDS = [1700000000.25, 1700000001.25]


def write_json(folder, rows):
    (folder / "in.jsonl").write_text("".join(json.dumps({"t": row}) + "\n" for row in rows))
    return folder / "in.jsonl"


def read_json(path):
    return [json.loads(line)["t"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_view(pa.float64())]
)
@pytest.mark.parametrize("format_", ["parquet", "arrow", "jsonl"])
def test_typed_floats_keep_64_bits(tmp_path, type_, format_):
    table = pa.table({"t": pa.array([SECONDS, [16777217.0]], type_)})
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as raw, pa.ipc.new_file(raw, table.schema) as out:
        out.write_table(table)
    result = tmp_path / f"out.{format_}"
    pad_file(tmp_path / "in.arrow", result)
    if format_ == "jsonl":
        assert read_json(result) == [SECONDS, [16777217.0, 0.0]]
    else:
        padded = pq.read_table(result) if format_ == "parquet" else pa.ipc.open_file(str(result)).read_all()
        assert padded["t"].type == pa.list_(pa.float64())
        assert padded["t"].to_pylist() == [SECONDS, [16777217.0, 0.0]]


def test_float64_on_request_is_float32(tmp_path):
    pq.write_table(pa.table({"t": [SECONDS]}), tmp_path / "in.parquet")
    pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet", columns=["t:float32"])
    assert pq.read_schema(tmp_path / "out.parquet").field("t").type == pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("row", "position"),
    [
        ([0.5, 1700000000.25], "position 1"),
        ([0.5, -16777216.5], "position 1"),
        ([0.5, 123456789.0], "position 1"),
        ([0.5, 1e30], "position 1"),
        ([[0.5, 16777217.0]], "position 0: in the vector"),
    ],
    ids=str,
)
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_large_json_float_is_refused(tmp_path, row, position, format_):
    source = write_json(tmp_path, [row[:1], row] if position == "position 1" else [row])
    with raises_error(DataError, position, ":float64", column="t", option="columns"):
        pad_file(source, tmp_path / f"out.{format_}")
    pad_file(source, tmp_path / "wide.jsonl", columns=["t:float64"])
    assert read_json(tmp_path / "wide.jsonl")[-1] == row
    pad_file(source, tmp_path / "narrow.jsonl", columns=["t:float32"])


def test_large_json_float_is_skipped(tmp_path):
    source = write_json(tmp_path, [[0.5], [16777217.0], [1.5]])
    pad_file(source, tmp_path / "out.jsonl", policy=RowPolicy(on_error="skip"))
    assert read_json(tmp_path / "out.jsonl") == [[0.5], [1.5]]


def test_floats_that_float32_holds(tmp_path):
    """A large float that float32 holds is written as its exact value, so it can be read again."""
    rows = [[0.1, 46574712.0], [2.0**24, 2.0**100]]
    pad_file(write_json(tmp_path, rows), tmp_path / "out.jsonl")
    assert read_json(tmp_path / "out.jsonl") == rows
    unpad_file(tmp_path / "out.jsonl", tmp_path / "again.jsonl")
    assert read_json(tmp_path / "again.jsonl") == rows
    pad_file(tmp_path / "again.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=2))
    assert pq.read_table(tmp_path / "out.parquet")["t"].type == pa.list_(pa.float32())


# --- small numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "column"), [("jsonl", "t"), ("jsonl", "t:float32"), ("parquet", "t:float32")]
)
@pytest.mark.parametrize("number", [1e-50, -1e-60, 5e-324])
def test_number_that_becomes_zero(tmp_path, format_, column, number):
    source = tmp_path / f"in.{format_}"
    if format_ == "jsonl":
        source.write_text(json.dumps({"t": [0.5, number]}) + "\n")
    else:
        pq.write_table(pa.table({"t": [[0.5, number]]}), source)
    with raises_error(DataError, "position 1", "float32", "dtype float64", column="t"):
        pad_file(source, tmp_path / "out.parquet", columns=[column])
    pad_file(source, tmp_path / "out.parquet", columns=["t:float64"])
    assert pq.read_table(tmp_path / "out.parquet")["t"].to_pylist() == [[0.5, number]]


def test_small_numbers_that_float32_holds(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"t": [0.5, 1e-45, -1e-40, 0.0, -0.0]}\n')
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", columns=["t"])
    [row] = pq.read_table(tmp_path / "out.parquet")["t"].to_pylist()
    assert np.array_equal(row, np.float32([0.5, 1e-45, -1e-40, 0, 0])) and row[1] and row[2]


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        ("[0.5, 1e39]", "dtype float64"),
        ("[0.1, 16777217]", "dtype float64"),
        ("[0.5, 9007199254740993]", "dtype int64"),
        ("[0.5, 1" + 30 * "0" + "1]", "no dtype"),
        ("[1, 1e39]", "dtype float64"),
        ("[1, 1e-50]", "dtype float64"),
        ("[1, 1.5]", "dtype float32"),
    ],
)
def test_remedy_can_hold_the_number(tmp_path, rows, remedy):
    first = rows.partition(",")[0] + "]"
    (tmp_path / "in.jsonl").write_text(f'{{"t": {first}}}\n{{"t": {rows}}}\n')
    with raises_error(DataError, "position 1", remedy, place="in.jsonl, line 2", column="t"):
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", columns=["t"])
