"""The options for reading files in the functions that only read: `inspect_file` and `verify_file`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value

from padmask import DataError, ReadOptions, ShowSpec, inspect_file, verify_file

Read = Callable[..., dict[str, Any]]


def inspect(source: Path, **given: Any) -> dict[str, Any]:
    return inspect_file(source, show=ShowSpec(sample=9), **given).as_dict()


def verify(source: Path, **given: Any) -> dict[str, Any]:
    return verify_file(source, **given).as_dict()


readers = pytest.mark.parametrize("read", [inspect, verify], ids=["inspect", "verify"])


@each_value(
    read={"inspect": inspect, "verify": verify}, name={"two files": "data", "one file": "data/a.parquet"}
)
def test_result_ignores_batches_and_threads(tmp_path: Path, read: Read, name: str) -> None:
    table = pa.table({"input_ids": [list(range(number % 7)) for number in range(200)]})
    (tmp_path / "data").mkdir()
    pq.write_table(table.slice(0, 150), tmp_path / "data" / "a.parquet")
    pq.write_table(table.slice(150), tmp_path / "data" / "b.parquet")
    results = [
        read(tmp_path / name, files=ReadOptions(batch_rows=batch_rows, threads=threads))
        for batch_rows, threads in ((None, None), (1, 1), (7, 3), (1000, 2))
    ]
    assert all(result == results[0] for result in results)


@readers
def test_batch_rows_sets_batch_size(tmp_path: Path, read: Read) -> None:
    pq.write_table(pa.table({"input_ids": [[1]] * 100}), tmp_path / "in.parquet")
    calls: list[Any] = []
    read(tmp_path / "in.parquet", files=ReadOptions(batch_rows=30), progress=calls.append)
    assert [progress.rows for progress in calls] == [30, 60, 90, 100]


@readers
def test_limit_stops_before_a_bad_row(tmp_path: Path, read: Read) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1]}\n{"input_ids": [2]}\n{"input_ids": null}\n')
    found = read(tmp_path / "in.jsonl", files=ReadOptions(limit=2))
    assert (found.get("rows") or found["environment"]["rows"]) == 2
    findings = "data" if read is verify else "health"
    assert not found[findings]
    [bad] = read(tmp_path / "in.jsonl")[findings]
    assert (bad["rule"], bad["examples"]) == ("bad-row", [f"{tmp_path / 'in.jsonl'}, line 3"])


@readers
def test_input_format_wins_over_the_suffix(tmp_path: Path, read: Read) -> None:
    (tmp_path / "rows.parquet").write_text('{"input_ids": [1]}\n')
    assert read(tmp_path / "rows.parquet", files=ReadOptions(input_format="jsonl"))
    with pytest.raises(DataError):
        read(tmp_path / "rows.parquet")
