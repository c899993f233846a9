"""Every command and format once, with only the required dependencies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]

ROWS = [
    {"id": 1, "input_ids": [711, 632, 71], "labels": [1, 0, 2], "x": [0.5, 1.5, 2.0], "text": "a"},
    {"id": 2, "input_ids": [], "labels": [], "x": [], "text": None},
    {"id": 3, "input_ids": [73], "labels": [1], "x": [3.0], "text": "c"},
]
COLUMNS = ["-c", "input_ids", "-c", "labels=-100", "-c", "x:float32"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def read(done: CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("format_", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_unpad_restores_rows(padmask: Run, rows: Path, format_: str) -> None:
    padded = rows.with_name(f"padded.{format_}")
    done = padmask("pad", rows, "-o", padded, *COLUMNS, "--maxlen", "longest")
    assert done.returncode == 0, done.stderr
    named = [] if format_ in ("parquet", "arrow") else ["-c", "input_ids", "-c", "labels", "-c", "x"]
    assert read(padmask("unpad", padded, *named)) == ROWS


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_values_and_masks(padmask: Run, rows: Path, format_: str) -> None:
    typed = rows.with_name(f"raw.{format_}")
    assert padmask("pad", rows, "-o", typed, *COLUMNS, "--maxlen", "2", "--no-mask").returncode == 0
    found = read(padmask("pad", rows, *COLUMNS, "--maxlen", "2"))
    assert [row["input_ids"] for row in found] == [[711, 632], [0, 0], [73, 0]]
    assert [row["labels"] for row in found] == [[1, 0], [-100, -100], [1, -100]]
    assert [row["mask"] for row in found] == [[True, True], [False, False], [True, False]]


def test_pad_writes_npz(padmask: Run, rows: Path) -> None:
    assert padmask("pad", rows, "-o", "out.npz", *COLUMNS).returncode == 0


def test_folder_with_workers(padmask: Run, tmp_path: Path, rows: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / f"{name}.jsonl").write_bytes(rows.read_bytes())
    done = padmask("pad", "data/", "-o", "padded/", *COLUMNS, "--workers", "2", "--output-format", "parquet")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "padded" / "_padmask.json").read_text())["total"]["rows_written"] == 6


@pytest.mark.parametrize("name", ["masks.html", "masks.txt"])
def test_inspect_exports_masks(padmask: Run, rows: Path, name: str) -> None:
    assert padmask("inspect", rows, "-c", "input_ids", "--export", name).returncode == 0
    assert rows.with_name(name).stat().st_size > 500


def test_verify_writes_junit(padmask: Run, rows: Path) -> None:
    done = padmask("verify", rows, "-c", "input_ids", "--no-model", "--report", "junit:report.xml")
    assert done.returncode == 0, done.stderr
