"""The values of static inputs come from a column of the data."""

from __future__ import annotations

import json
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts, raises_error

from padmask import DataError, SpecError
from padmask.formats.dataset import open_inputs
from padmask.spec.files import ReadOptions
from padmask.verify.static_columns import read_static_columns

ROWS = [{"age": 30 + i, "size": [i, i + 0.5], "name": "x"} for i in range(9)]


def read(path, static, inputs, numbers=(1, 4, 8)):
    with closing(open_inputs([str(path)], ReadOptions(batch_rows=2))) as dataset:
        return read_static_columns(static, inputs, dataset, numbers, None)


@pytest.fixture(params=["parquet", "jsonl"])
def data(tmp_path, request):
    path = tmp_path / f"in.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_values_of_the_rows(data):
    found = read(data, ["age", "extent"], {"extent": "size"})
    assert [value.tolist() for value in found.rows["age"]] == [31, 34, 38]
    assert [value.tolist() for value in found.rows["extent"]] == [[1, 1.5], [4, 4.5], [8, 8.5]]
    assert (found.columns, found.notes) == ({"age": "age", "extent": "size"}, [])


def test_null_row_is_named(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"age": 1}\n{"age": null}\n')
    [note] = read(path, ["age"], {}, numbers=(0, 1)).notes
    assert has_facts(note, "line 2", "None")


def test_no_column(data):
    found = read(data, ["stars", "name"], {})
    assert found.rows == found.columns == {}
    assert [note.name for note in found.notes] == ["random-input"] * 2
    assert has_facts(found.notes[0], "stars", "age", "--input stars:static=COLUMN")


def test_requested_column(data):
    with raises_error(SpecError, "ages", "age", option="model_inputs"):
        read(data, ["x"], {"x": "ages"})
    with raises_error(DataError, "x", column="name", option="model_inputs"):
        read(data, ["x"], {"x": "name"})
