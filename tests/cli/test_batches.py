"""`padmask pad --batch-tokens`: options, the summary, the report, and the way back with `padmask unpad`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from raised import has_facts

ROWS = "".join(f'{{"id":{i},"input_ids":{[i] * (i * 5 % 7 + 1)}}}\n'.replace(" ", "") for i in range(40))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(ROWS)
    return path


def test_round_trip_through_pipes(source, shell):
    done = shell("padmask pad in.jsonl --batch-tokens 30 -q | padmask unpad - -q")
    assert (done.returncode, done.stdout) == (0, ROWS)


@pytest.mark.parametrize("suffix", ["", ".parquet"])
def test_unpad_restores_folder(source, here, tmp_path, suffix):
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / f"{name}.jsonl").write_text(ROWS)
    flags = ["--output-format", "parquet"] if suffix else []
    done = here("pad", "data", "-o", "out/", "--batch-tokens", "30", "--workers", "1", *flags)
    assert done.returncode == 0, done.stderr
    assert here("unpad", "out", "-o", "rows.jsonl").returncode == 0
    assert (tmp_path / "rows.jsonl").read_text() == ROWS * 2
    assert here("verify", "--no-model", "out").returncode == 0


def test_summary_and_report(source, here, tmp_path):
    options = ["--batch-tokens", "30", "--batch-multiple", "3", "--sort-window", "20"]
    done = here("pad", "in.jsonl", "-o", "out.jsonl", *options, "--report", "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    batches = {json.loads(line)["batch"] for line in (tmp_path / "out.jsonl").read_text().splitlines()}
    assert (report["batches"], report["batch_tokens"]) == (len(batches), 30)
    assert report["maxlen_found"] == "batches"
    assert f"{len(batches)} batches of at most 30 positions" in done.stderr
    assert report["batches_short"] == 2
    assert has_facts(done.stderr, "2 batches are not full", "--sort-window")


def test_seed_determines_the_order(source, here, tmp_path):
    written = []
    for seed in ("1", "1", "2"):
        here("pad", "in.jsonl", "-o", "out.jsonl", "--batch-tokens", "30", "--shuffle-batches", seed)
        written.append((tmp_path / "out.jsonl").read_text())
    assert written[0] == written[1] != written[2]
    assert here("unpad", "out.jsonl", "-o", "rows.jsonl").returncode == 0
    assert (tmp_path / "rows.jsonl").read_text() == ROWS


def test_columns_and_metadata(source, here, tmp_path):
    here("pad", "in.jsonl", "-o", "out.parquet", "--batch-tokens", "30")
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert [(field.name, str(field.type)) for field in schema][-2:] == [
        ("source_row", "int64"),
        ("batch", "int32"),
    ]
    assert json.loads(schema.metadata[b"padmask"])["batches"]["tokens"] == 30


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--batch-multiple", "8"], ["--batch-multiple", "--batch-tokens"]),
        (["--sort-window", "8"], ["--sort-window", "--batch-tokens"]),
        (["--shuffle-batches", "8"], ["--shuffle-batches", "--batch-tokens"]),
        (["--no-source"], ["--no-source", "--batch-tokens"]),
        (["--batch-tokens", "9", "--own-length", "labels"], ["--own-length"]),
        (["--batch-tokens", "9", "--fixed-size-list"], ["--fixed-size-list"]),
        (["--batch-tokens", "9", "--maxlen", "0"], ["--maxlen"]),
        (["--overlong", "window", "--maxlen", "4", "--no-source"], ["source_row", "--no-source"]),
    ],
)
def test_options_without_meaning(source, here, options, names):
    done = here("pad", "in.jsonl", "-o", "out.parquet", *options)
    assert done.returncode == 2
    assert [name for name in names if name not in done.stderr] == []


def test_npz_batches_are_refused(source, here):
    done = here("pad", "in.jsonl", "-o", "out.npz", "--batch-tokens", "30")
    assert done.returncode == 2
    assert "Parquet" in done.stderr


def test_row_larger_than_the_budget(source, here):
    done = here("pad", "in.jsonl", "-o", "out.parquet", "--batch-tokens", "6")
    assert done.returncode == 1
    assert all(name in done.stderr for name in ("line 5", "--batch-tokens", "--maxlen", "--on-error skip"))


def test_unused_batch_settings(source, here, tmp_path):
    """The settings of a project may contain options of batches, even if a run makes no batches."""
    (tmp_path / "pyproject.toml").write_text("[tool.padmask.pad]\nbatch-multiple = 2\nsource = false\n")
    assert here("pad", "in.jsonl", "-o", "out.jsonl").returncode == 0
    assert here("pad", "in.jsonl", "-o", "out.jsonl", "--batch-tokens", "30").returncode == 0
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert list(row) == ["id", "input_ids", "mask", "batch"]


@pytest.mark.parametrize(
    "option", ["--batch-tokens", "--batch-multiple", "--sort-window", "--shuffle-batches"]
)
def test_large_numbers_name_the_option(here, option):
    done = here("pad", "in.jsonl", "--batch-tokens", "64", option, str(10**24))
    assert done.returncode == 2
    assert f"Error: {option} must be" in done.stderr
