"""The first vector that is not empty decides the length of all vectors, in every format."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import DataError, FileOptions, RowPolicy, pad_file

ROWS = [[], [[]], [[1.5, 2.5], [3.5, 4.5]], [[5.5, 6.5]], [[7.5, 8.5], []], [[9.5]]]
GOOD = [0, 2, 3]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"id": i, "x": row}) + "\n" for i, row in enumerate(rows)))
        return path
    table = pa.table({"id": range(len(rows)), "x": pa.array(rows, pa.list_(pa.list_(pa.float64())))})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=1)
    else:
        with pa.OSFile(str(path), "wb") as raw, pa.ipc.new_file(raw, table.schema) as out:
            out.write_table(table, max_chunksize=1)
    return path


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("batch_rows", [1, None])
def test_empty_first_vector(tmp_path, format_, batch_rows):
    source = write(tmp_path / f"in.{format_}", ROWS)
    files, policy = FileOptions(batch_rows=batch_rows), RowPolicy(on_error="skip")
    done = pad_file(source, tmp_path / "out.jsonl", columns=["x"], policy=policy, files=files)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == GOOD
    assert rows[1]["x"] == ROWS[2]
    assert done.ledger.rows_rejected == 3


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([[1.5, 2.5], None], "null"),
        ([[1.5, 2.5], [3.5, None]], "null"),
        ([[1.5, 2.5], [3.5]], "1 numbers"),
        ([[1.5, 2.5], []], "0 numbers"),
    ],
    ids=str,
)
def test_bad_vector_is_named(tmp_path, format_, bad, said):
    source = write(tmp_path / f"in.{format_}", [[[0.5, 0.5]], bad])
    place = "in.jsonl, line 2" if format_ == "jsonl" else f"in.{format_}, row 1"
    with raises_error(DataError, "position 1", said, place=place, column="x"):
        pad_file(source, tmp_path / "out.jsonl", columns=["x"])


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
def test_only_empty_vectors(tmp_path, format_):
    pad_file(write(tmp_path / f"in.{format_}", [[[]], []]), tmp_path / "out.jsonl", columns=["x"])
    rows = [json.loads(line)["x"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == [[[]], [[]]]
