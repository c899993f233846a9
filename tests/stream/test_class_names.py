"""Class label names stay in typed outputs, and the notes name the columns that lose them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask import pad_dataset, pad_file, unpad_file
from padmask.core.foreign_metadata import class_names

NAMES = ["neg", "pos"]


def write(path, names=NAMES):
    label = {"names": names, "_type": "ClassLabel"}
    tags = {"feature": {"names": ["O", "PER"], "_type": "ClassLabel"}, "_type": "List"}
    stored = {"info": {"features": {"label": label, "tags": tags}}}
    table = pa.table({"input_ids": [[1, 2], [3]], "label": [0, 1], "tags": [[0, 1], [1]]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(stored)}), path)
    return path


def about_names(result):
    return [note for note in result.notes if "class label names" in note]


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_names_of_other_columns_stay(tmp_path, format_):
    result = pad_file(write(tmp_path / "in.parquet"), tmp_path / f"out.{format_}", columns=["input_ids"])
    assert about_names(result) == []
    out = tmp_path / f"out.{format_}"
    schema = pq.read_schema(out) if format_ == "parquet" else pa.ipc.open_file(str(out)).schema
    assert class_names(schema) == {"label": NAMES, "tags": ["O", "PER"]}
    assert about_names(unpad_file(out, tmp_path / "again.parquet")) == []
    assert class_names(pq.read_schema(tmp_path / "again.parquet")) == {"label": NAMES, "tags": ["O", "PER"]}


def test_names_of_padded_tags(tmp_path):
    source, ids = write(tmp_path / "in.parquet"), "input_ids"
    (note,) = about_names(pad_file(source, tmp_path / "out.parquet", columns=[ids, "tags=-100"]))
    assert "'tags'" in note
    assert "'label'" not in note
    assert "tags:int64" in note
    assert about_names(pad_file(source, tmp_path / "wide.parquet", columns=[ids, "tags:int64=-100"])) == []
    assert "tags" in class_names(pq.read_schema(tmp_path / "wide.parquet"))


def test_names_in_json_lines(tmp_path):
    result = pad_file(write(tmp_path / "in.parquet"), tmp_path / "out.jsonl", columns=["input_ids"])
    (note,) = about_names(result)
    assert all(word in note for word in ("'label'", "'tags'", "JSON Lines", "Parquet or Arrow"))
    padded = pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet", columns=["input_ids"])
    assert about_names(padded) == []
    assert about_names(unpad_file(tmp_path / "out.parquet", tmp_path / "again.jsonl")) == [note]


def test_files_with_different_names(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", NAMES[::-1])
    both = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    (note,) = about_names(pad_file(both, tmp_path / "out.parquet", columns=["input_ids"]))
    assert "'label'" in note
    assert "names differ" in note
    assert class_names(pq.read_schema(tmp_path / "out.parquet")) == {"tags": ["O", "PER"]}


def test_names_in_shards(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.parquet")
    result = pad_dataset(tmp_path / "in", tmp_path / "out", columns=["input_ids"])
    assert about_names(result) == []
    (shard,) = (tmp_path / "out").glob("*.parquet")
    assert class_names(pq.read_schema(shard))["label"] == NAMES
