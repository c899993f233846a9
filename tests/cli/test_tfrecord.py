"""`-o out.tfrecord`: TFRecord files, read through `tf.data` with the parsing function of the summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import padmask.formats
from padmask import FileOptions, PadSpec, pad_dataset, pad_file, unpad_file
from padmask.errors import MissingExtraError, OutputError, SpecError

Run = Callable[..., CompletedProcess[str]]

# Importing TensorFlow takes several seconds.
slow = pytest.mark.slow


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def plain(value: Any) -> Any:
    found = value.numpy()
    return found.tolist() if isinstance(found, np.ndarray | np.generic) else found


def read(path: Path, remarks: Sequence[str]) -> list[dict[str, Any]]:
    """Read the rows with the parsing function that the summary shows, as a user would."""
    import tensorflow as tf

    start = remarks.index("def parse(record):")
    code = "\n".join(remarks[start : remarks.index("    })", start) + 1])
    scope: dict[str, Any] = {"tf": tf}
    exec(code, scope)
    rows = tf.data.TFRecordDataset(str(path)).map(scope["parse"])
    return [{name: plain(value) for name, value in row.items()} for row in rows]


ROWS = [
    {"input_ids": [1, 2], "label": 3, "score": 0.1, "ok": True, "text": "a", "tags": ["x", "é"], "gap": None},
    {"input_ids": [3], "label": -4, "score": 2, "ok": False, "text": "", "tags": [], "gap": 5},
]


@slow
def test_function_of_the_summary(here: Run, tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{**row, "meta": {"a": 1}} for row in ROWS])

    done = here("pad", "in.jsonl", "-o", "out.tfrecord")

    assert (done.returncode, "not written: 'meta' (struct<a: int64>)" in done.stderr) == (0, True)
    assert read(tmp_path / "out.tfrecord", done.stderr.splitlines()) == [
        {
            "input_ids": [1, 2],
            "mask": [1, 1],
            "label": 3,
            "score": float(np.float32(0.1)),
            "ok": 1,
            "text": b"a",
            "tags": [b"x", "é".encode()],
            "gap": [],
        },
        {
            "input_ids": [3, 0],
            "mask": [1, 0],
            "label": -4,
            "score": 2.0,
            "ok": 0,
            "text": b"",
            "tags": [],
            "gap": [5],
        },
    ]


@slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4), min_size=1, max_size=6),
    st.integers(0, 4),
    st.integers(1, 4),
)
def test_same_rows_as_parquet(tmp_path: Path, rows: list[list[int]], maxlen: int, batch_rows: int) -> None:
    table = pa.table({"ids": pa.array(rows, pa.list_(pa.int64())), "id": range(len(rows))})
    pq.write_table(table, tmp_path / "in.parquet")
    spec, files = PadSpec(maxlen=maxlen), FileOptions(batch_rows=batch_rows)

    done = pad_file(tmp_path / "in.parquet", tmp_path / "out.tfrecord", spec=spec, files=files)
    pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet", spec=spec)

    found = read(tmp_path / "out.tfrecord", done.remarks)
    assert found == pq.read_table(tmp_path / "out.parquet").to_pylist()


@slow
def test_vectors_and_strings(tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"x": [[0.5, 1.5], [2.5, 3.5]]}, {"x": [[4.5, 5.5]]}])
    done = pad_file(tmp_path / "in.jsonl", tmp_path / "out.tfrecord")
    assert [row["x"] for row in read(tmp_path / "out.tfrecord", done.remarks)] == [
        [[0.5, 1.5], [2.5, 3.5]],
        [[4.5, 5.5], [0.0, 0.0]],
    ]

    jsonl(tmp_path / "in.jsonl", [{"x": ["a", "b"]}, {"x": ["c"]}])
    done = pad_file(tmp_path / "in.jsonl", tmp_path / "out.tfrecord")
    assert [row["x"] for row in read(tmp_path / "out.tfrecord", done.remarks)] == [[b"a", b"b"], [b"c", b""]]


@slow
@pytest.mark.parametrize("column", ["ids", "vectors"])
def test_batches_are_ragged(here: Run, tmp_path: Path, column: str) -> None:
    rows: dict[str, list[list[Any]]] = {"ids": [[1, 2], [3]], "vectors": [[[1, 2], [3, 4]], [[5, 6]]]}
    jsonl(tmp_path / "in.jsonl", [{"x": row} for row in rows[column]])
    done = here("pad", "in.jsonl", "-c", "x", "-o", "out.tfrecord", "--batch-tokens", "2")
    found = sorted(
        read(tmp_path / "out.tfrecord", done.stderr.splitlines()), key=lambda row: row["source_row"]
    )
    assert [plain_lists(row["x"]) for row in found] == rows[column]


def plain_lists(value: Any) -> Any:
    return value.to_list() if hasattr(value, "to_list") else value


@slow
def test_unpad_writes_ragged_rows(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "in.jsonl", [{"input_ids": [1, 2], "mask": [1, 1]}, {"input_ids": [3, 0], "mask": [1, 0]}]
    )
    done = unpad_file(tmp_path / "in.jsonl", tmp_path / "out.tfrecord")
    assert read(tmp_path / "out.tfrecord", done.remarks) == [{"input_ids": [1, 2]}, {"input_ids": [3]}]


@slow
def test_dataset_has_one_function(tmp_path: Path) -> None:
    """A column that is null in one shard is ragged in all shards."""
    (tmp_path / "in").mkdir()
    for name, gap in (("a", 1), ("b", None), ("c", 3)):
        jsonl(tmp_path / "in" / f"{name}.jsonl", [{"input_ids": [1], "gap": gap}])
    files = FileOptions(output_format="tfrecord")
    done = pad_dataset(tmp_path / "in", tmp_path / "out", files=files, workers=1)
    found = [read(tmp_path / "out" / f"{name}.tfrecord", done.remarks)[0]["gap"] for name in "abc"]
    assert found == [[1], [], [3]]


@slow
def test_bytes_are_deterministic(tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{**ROWS[0], "input_ids": [i] * (i % 7)} for i in range(50)])
    for name, files in (("a", FileOptions(threads=1)), ("b", FileOptions(threads=3, batch_rows=4))):
        pad_file(tmp_path / "in.jsonl", tmp_path / f"{name}.tfrecord", files=files)
    assert (tmp_path / "a.tfrecord").read_bytes() == (tmp_path / "b.tfrecord").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tfrecord", "b.tfrecord", "in.jsonl"]


@slow
@pytest.mark.parametrize(
    ("column", "row"),
    [
        (pa.array([[0.5], [0.1]], pa.list_(pa.float64())), 1),
        (pa.array([0.5, 0.1], pa.float64()), 1),
        (pa.array([1, 2**63], pa.uint64()), 1),
        (pa.array([[1, None], [1]], pa.list_(pa.int64())), 0),
        (pa.array([["a"], [None]], pa.list_(pa.string())), 1),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_values_that_do_not_fit(tmp_path: Path, column: pa.Array, row: int) -> None:
    pq.write_table(pa.table({"input_ids": [[1], [2]], "x": column}), tmp_path / "in.parquet")
    with pytest.raises(OutputError) as caught:
        pad_file(tmp_path / "in.parquet", tmp_path / "out.tfrecord", columns=["input_ids"])
    assert (caught.value.column, caught.value.place and caught.value.place.number) == ("x", row)
    assert not (tmp_path / "out.tfrecord").exists()


@slow
def test_large_json_float(tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1], "x": 0.1}, {"input_ids": [1], "x": 16777217.5}])
    with pytest.raises(OutputError) as caught:
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.tfrecord")
    assert caught.value.place is not None
    assert caught.value.place.number == 2


def test_missing_tensorflow(here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padmask.formats, "find_spec", lambda name: None)
    jsonl(tmp_path / "in.jsonl", ROWS)
    with pytest.raises(MissingExtraError, match=r"padmask\[verify\]"):
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.tfrecord")
    assert here("pad", "in.jsonl", "-o", "out/", "--output-format", "tfrecord").returncode == 2


def test_tfrecord_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in.tfrecord").write_bytes(b"\4\0\0\0\0\0\0\0")
    with pytest.raises(SpecError, match="cannot read TFRecord"):
        pad_file(tmp_path / "in.tfrecord", tmp_path / "out.jsonl")
