"""Completion in the shell: columns of the input, warnings and rules, lengths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.shell_completion import ShellComplete

from padmask.cli import cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with data files."""
    monkeypatch.chdir(tmp_path)
    table = pa.table({"input_ids": [[5, 6], [7]], "labels": [[1, 2], [3]], "id": [1, 2]})
    pq.write_table(table, "rows.parquet")
    Path("rows.jsonl").write_text('{"input_ids": [5], "labels": [1], "id": 1}\n')
    (tmp_path / "data").mkdir()
    pq.write_table(table, "data/a.parquet")
    return tmp_path


def complete(*words: str) -> list[str]:
    """Return the suggestions for the last word."""
    *args, incomplete = words
    found = ShellComplete(cli, {}, "padmask", "_PADMASK_COMPLETE").get_completions(args, incomplete)
    return [item.value for item in found]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "data", "data/*.parquet"])
def test_columns_come_from_the_input(name):
    assert complete("pad", name, "-c", "") == ["input_ids", "labels", "id"]
    assert complete("verify", "--strict", name, "--column", "la") == ["labels"]


@pytest.mark.parametrize("option", ["--mask-column", "--length-column", "-c"])
def test_unpad_completes_columns(option):
    assert complete("unpad", "rows.parquet", option, "i") == ["input_ids", "id"]


@pytest.mark.parametrize("name", ["absent.jsonl", "-", "s3://bucket/rows.parquet", "pipe", "broken.parquet"])
def test_unreadable_input_is_silent(name, capfd):
    os.mkfifo("pipe")
    Path("broken.parquet").write_text("no Parquet")
    assert complete("pad", name, "-c", "") == []
    assert complete("pad", "-c", "") == []
    assert capfd.readouterr() == ("", "")


def test_lengths_are_words():
    assert complete("pad", "rows.jsonl", "--maxlen", "p9") == ["p90", "p95", "p99"]
    assert complete("inspect", "rows.jsonl", "--maxlen", "128,l") == ["128,longest"]


def test_names_of_warnings_and_rules():
    assert complete("pad", "--allow", "no-rows-r") == ["no-rows-read"]
    assert complete("pad", "--allow", "bad-") == []
    assert complete("verify", "--allow", "bad-") == ["bad-row"]


def test_broken_settings_are_silent(capfd, folder):
    (folder / "pyproject.toml").write_text("[tool.padmask]\nnope = 1\n")
    assert complete("pad", "rows.jsonl", "-c", "") == ["input_ids", "labels", "id"]
    assert complete("verify", "rows.jsonl", "--report", "report.json", "-c", "") != []
    assert capfd.readouterr() == ("", "")
    assert not (folder / "report.json").exists()


def test_bash_completes_columns(folder):
    script = """
        eval "$(_PADMASK_COMPLETE=bash_source padmask)"
        COMP_WORDS=(padmask pad rows.parquet -c l) COMP_CWORD=4
        _padmask_completion padmask
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("labels\n", "")
