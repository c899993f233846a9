"""Names in outputs and in messages: npz members, columns and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts, raises_error

import padmask

Run = Callable[..., CompletedProcess[str]]


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "name", ["../../evil", "/abs", "..", "a/../b", "a//b", "a\\b", "C:x", "a\0b", "a\nb", "./x"], ids=repr
)
def test_npz_refuses_unsafe_names(here: Run, tmp_path: Path, name: str) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text(json.dumps({name: [1, 2]}) + "\n")
    done = here("pad", rows, "-o", "out.npz", "-c", name)
    assert done.returncode == 2
    assert has_facts(done.stderr, "out.npz", "column")
    assert not (tmp_path / "out.npz").exists()


def test_npz_refuses_equal_names(here: Run, tmp_path: Path) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"x": [1], "x.npy": [2]}\n')
    done = here("pad", rows, "-o", "out.npz", "-c", "x", "-c", "x.npy")
    assert done.returncode == 2
    assert "'x.npy'" in done.stderr


def test_npz_refuses_unsafe_mask_name(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"ids": [1]}\n')
    assert here("pad", "in.jsonl", "-o", "out.npz", "--mask-column", "../mask").returncode == 2


@pytest.mark.parametrize("name", ["ids", "data/ids", "x.npy", "ünïcode", "a b"])
def test_npz_keeps_safe_names(here: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({name: [1, 2]}) + "\n")
    assert here("pad", "in.jsonl", "-o", "out.npz", "-c", name).returncode == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays[name].tolist() == [[1, 2]]


def test_parquet_error_names_output(here: Run, tmp_path: Path) -> None:
    column = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    table = pa.table({"input_ids": [[1]], "wait": column})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    done = here("pad", "in.arrow", "-o", "out.parquet")
    assert done.returncode == 2
    assert has_facts(done.stderr, "out.parquet", "'wait'")


@pytest.mark.parametrize("name", ["`maxlen`", "`limit`.jsonl", "`x`"])
def test_backticks_of_names_stay(here: Run, name: str) -> None:
    done = here("pad", name)
    assert done.returncode == 2
    assert name in done.stderr


def test_arguments_are_shown_as_options(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1]}\n')
    done = here("pad", "in.jsonl", "--maxlen", "p0")
    assert done.stderr.startswith("Error: --maxlen ")
    with raises_error(padmask.SpecError, "`pad_to_multiple_of`", option="pad_to_multiple_of"):
        padmask.PadSpec(pad_to_multiple_of=0)


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails: /proc/self/mem"
)
@pytest.mark.parametrize("verb", ["pad", "unpad", "inspect", "verify"])
def test_read_error_names_the_file(padmask: Run, verb: str) -> None:
    done = padmask(verb, "/proc/self/mem", *(["--no-model"] if verb == "verify" else []))
    assert done.returncode == 2
    assert "/proc/self/mem" in done.stderr
    assert "Input/output error" in done.stderr


def test_foreign_metadata_is_kept(here: Run, tmp_path: Path) -> None:
    table = pa.table({"input_ids": [[1, 2]]}).replace_schema_metadata({"a": "1"})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"license": "MIT"})
    assert here("pad", "in.parquet", "-o", "out.parquet").returncode == 0
    found = pq.read_schema(tmp_path / "out.parquet").metadata
    assert (found[b"a"], found[b"license"]) == (b"1", b"MIT")
    assert here("unpad", "out.parquet", "-o", "back.parquet").returncode == 0
    assert pq.read_schema(tmp_path / "back.parquet").metadata[b"license"] == b"MIT"


@pytest.mark.parametrize("command", ["pad", "unpad"])
def test_input_without_columns(here: Run, tmp_path: Path, command: str) -> None:
    pq.write_table(pa.table({}), tmp_path / "in.parquet")
    done = here(command, "in.parquet")
    assert has_facts(done.stderr, "no columns")
    assert "none" not in done.stderr


def test_rows_exclude_sample(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1]}\n' * 9)
    done = here("inspect", "in.jsonl", "--rows", "0:2", "--sample", "3")
    assert done.returncode == 2
    assert "--rows and --sample" in done.stderr


def test_rows_override_sample_setting(here: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.padmask.inspect]\nsample = 1\n")
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1]}\n' * 9)
    shown = json.loads(here("inspect", "in.jsonl", "--rows", "4:6", "--json").stdout)["masks"]
    assert [row["row"] for row in shown] == [4, 5]
