"""INTERVAL columns keep their months, days and milliseconds, or the error names the column."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import pad_file
from padmask.errors import OutputError
from padmask.formats.parquet_interval import interval_columns, read_intervals

VALUES = [[1, 2, 3_500_000_000], None, [0, 0, 0]]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = f"{tmp_path}/in.parquet"
    duckdb.sql(
        "COPY (FROM (VALUES ([1, 2], INTERVAL '1 month 2 days 3.5 seconds'), ([3], NULL), "
        f"([4], INTERVAL 0 DAY)) AS rows(input_ids, iv)) TO '{file}'"
    )
    return file


def test_columns_are_found(path: str) -> None:
    assert interval_columns(pq.ParquetFile(path).schema) == ["iv"]


def test_values_are_kept(path: str, tmp_path: Path) -> None:
    pad_file(path, f"{tmp_path}/out.jsonl")
    rows = [json.loads(line) for line in Path(f"{tmp_path}/out.jsonl").read_text().splitlines()]
    assert [row["iv"] for row in rows] == VALUES
    pad_file(path, f"{tmp_path}/out.arrow")
    found = pa.ipc.open_file(f"{tmp_path}/out.arrow").read_all()["iv"].to_pylist()
    assert [value and [*value] for value in found] == VALUES


def test_parquet_is_refused_by_name(path: str, tmp_path: Path) -> None:
    with raises_error(OutputError, "'iv'", "month_day_nano_interval"):
        pad_file(path, f"{tmp_path}/out.parquet")


def test_slices_are_read() -> None:
    column = pa.array([bytes(12), bytes([7, *bytes(11)]), None], pa.binary(12)).slice(1)
    assert [value and value[0] for value in read_intervals(column).to_pylist()] == [7, None]
