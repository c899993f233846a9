"""The types of JSON fields in typed output are those of all rows, not only of the first rows."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import DataError, FileOptions, PadSpec, RowPolicy, pad_file
from padmask.formats.contract import HEAD_ROWS
from padmask.formats.jsonl.reader import JsonlReader

ROW = {"input_ids": [1, 2], "a": 1}


def pad_rows(folder, later: dict[str, Any] | str, first=ROW, **options) -> pa.Table:
    """Pad a file with many first rows and one later row."""
    lines = [json.dumps(first)] * (HEAD_ROWS + 10)
    lines.append(later if isinstance(later, str) else json.dumps(later))
    (folder / "in.jsonl").write_text("\n".join(lines))
    spec = options.pop("spec", PadSpec(maxlen=2))
    pad_file(folder / "in.jsonl", folder / "out.parquet", spec=spec, **options)
    assert not list(folder.glob(".*")), "a temporary file is left"
    return pq.read_table(folder / "out.parquet")


@pytest.fixture
def reads(monkeypatch):
    """One item for each time that the input is read to its end."""
    times = []
    chunks = JsonlReader.chunks
    monkeypatch.setattr(JsonlReader, "chunks", lambda *args: (times.append(1), chunks(*args))[1])
    return times


def test_types_of_the_first_rows(tmp_path, reads):
    table = pad_rows(tmp_path, {"input_ids": [3], "a": 2})
    assert (table.schema.field("a").type, len(table)) == (pa.int64(), HEAD_ROWS + 11)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (1.5, pa.float64()),
        (2**63, pa.uint64()),
        (None, pa.int64()),
    ],
    ids=["float", "uint64", "null"],
)
def test_later_values_widen_the_type(tmp_path, value, type_):
    table = pad_rows(tmp_path, {"input_ids": [3], "a": value})
    assert table.schema.field("a").type == type_
    assert table["a"].to_pylist()[-2:] == [1, value]


def test_later_fields(tmp_path):
    table = pad_rows(tmp_path, {"b": "x", "input_ids": [3]})
    assert table.column_names == ["input_ids", "a", "b", "mask"]
    assert table["b"].to_pylist()[-2:] == [None, "x"]


def test_later_keys_of_objects(tmp_path):
    table = pad_rows(tmp_path, {"input_ids": [3], "a": {"y": "z"}}, first={"input_ids": [1], "a": {"x": 1}})
    assert table["a"].to_pylist()[-1] == {"x": None, "y": "z"}


def test_later_keys_of_empty_objects(tmp_path):
    # Parquet cannot store objects without keys.
    table = pad_rows(tmp_path, ROW | {"a": {"b": 1}}, first=ROW | {"a": {}})
    assert table.schema.field("a").type == pa.struct([("b", pa.int64())])


def test_type_of_a_field_without_values(tmp_path):
    table = pad_rows(tmp_path, {"input_ids": [3], "a": "x"}, first={"input_ids": [1], "a": None})
    assert table["a"].to_pylist()[-2:] == [None, "x"]


def test_values_without_a_common_type(tmp_path):
    with raises_error(DataError, "a string", f"line {HEAD_ROWS + 11}"):
        pad_rows(tmp_path, {"input_ids": [3], "a": "x"})


def test_fields_of_skipped_rows_do_not_count(tmp_path):
    row = {"input_ids": [3], "a": 1.5}
    for options in (
        {"policy": RowPolicy(on_error="skip"), "later": {**row, "input_ids": None}},
        {"policy": RowPolicy(empty_rows="drop"), "later": {**row, "input_ids": []}},
    ):
        assert pad_rows(tmp_path, **options).schema.field("a").type == pa.int64()


def test_rejects_are_written_once(tmp_path):
    files = FileOptions(rejects=str(tmp_path / "rejects.jsonl"))
    policy = RowPolicy(overlong="drop")
    pad_rows(
        tmp_path,
        {"input_ids": [3], "a": 1.5},
        first={"input_ids": [1, 2, 3], "a": 1},
        policy=policy,
        files=files,
    )
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == HEAD_ROWS + 10


def test_first_bad_row_is_named(tmp_path):
    with raises_error(DataError, place=f"in.jsonl, line {HEAD_ROWS + 11}"):
        pad_rows(tmp_path, '{"input_ids": [3, null], "a": "x"}')


def test_limit_in_the_first_rows(tmp_path):
    table = pad_rows(tmp_path, {"input_ids": [3], "a": 1.5}, files=FileOptions(limit=5))
    assert (len(table), table.schema.field("a").type) == (5, pa.int64())
