"""`[tool.padmask]` in a pyproject.toml of unknown origin: allowed and refused settings."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts

from padmask.cli import cli

Run = Callable[..., subprocess.CompletedProcess[str]]

READ = ("column", "maxlen", "max-length", "padding", "truncating", "value", "dtype", "pad-to-multiple-of")
READ = (*READ, "input-format")
# Every long option of every command. Add a new option to one of the two lists of its command.
MAY_SET = {
    "pad": {
        *READ,
        "own-length",
        "own-mask",
        "output-format",
        "mask-column",
        "mask-dtype",
        "no-mask",
        "mask",
        "length-column",
    }
    | {"overlong", "empty-rows", "fixed-size-list", "no-fixed-size-list", "batch-rows", "threads", "workers"}
    | {"shard-bytes", "allow", "progress", "no-progress"}
    | {"keep-first", "keep-last", "overlap", "window-labels", "source", "no-source", "buckets"}
    | {"batch-tokens", "batch-multiple", "sort-window", "shuffle-batches"}
    | {"mask-polarity", "mask-kind", "position-ids", "no-position-ids", "labels-from", "preset"},
    "unpad": {"column", "mask-column", "length-column", "padding", "keep-mask", "no-keep-mask"}
    | {"input-format", "output-format", "threads", "allow", "progress", "no-progress"}
    | {"join-windows", "no-join-windows", "restore-order", "no-restore-order", "align"}
    | {"mask-polarity", "mask-kind"},
    "inspect": {*READ, "count", "rows", "sample", "seed", "style", "mask-column", "masks", "no-masks"}
    | {"theme", "plans", "no-plans", "json", "workers", "allow", "progress", "no-progress"}
    | {"overlong", "keep-first", "keep-last", "overlap", "mask-polarity", "mask-kind"},
    "verify": {*READ, "mask-column", "input", "explain", "strict", "no-strict", "device", "backend", "seed"}
    | {"batch-size", "vocab-size", "embedding-dim", "units", "json", "progress", "no-progress"}
    | {"verbose", "no-verbose", "allow"}
    | {"mask-polarity", "mask-kind"},
}
MUST_NOT_SET = {
    "pad": {"output", "rejects", "report", "limit", "on-error", "overwrite-mask", "no-overwrite-mask"}
    | {"allow-padded", "no-allow-padded"}
    | {"cluster", "resume", "no-resume", "delete", "no-delete", "max-bytes", "quiet", "no-quiet"},
    "unpad": {"output", "rejects", "report", "limit", "on-error", "max-bytes", "quiet", "no-quiet"},
    "inspect": {"export", "title", "limit", "cluster", "quiet", "no-quiet"},
    "verify": {"model", "predict", "custom-objects", "allow-unsafe-model", "no-model", "models"}
    | {"against", "route", "sample", "report", "limit", "quiet", "no-quiet"},
}
REFUSED = [(command, key) for command, keys in MUST_NOT_SET.items() for key in sorted(keys)]
WAYS = {
    "for all": "[tool.padmask]\n{key} = true\n",
    "for one": "[tool.padmask.{command}]\n{key} = true\n",
    "underscores": "[tool.padmask.{command}]\n{name} = 'x'\n",
    "a list": "[tool.padmask]\nmaxlen = 2\n{key} = ['x']\n",
}


def long_options(command: str) -> set[str]:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    names = {name for one in found.params for name in (*one.opts, *one.secondary_opts)}
    return {name.removeprefix("--") for name in names if name.startswith("--")}


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """Write some data, and return a function that writes a pyproject.toml and returns its path."""
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2, 3]}\n{"input_ids": [4]}\n')

    def write(text: str) -> Path:
        file = tmp_path / "pyproject.toml"
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize("command", MAY_SET)
def test_every_option_is_listed(command: str) -> None:
    assert MAY_SET[command] | MUST_NOT_SET[command] == long_options(command)
    assert not MAY_SET[command] & MUST_NOT_SET[command]


@pytest.mark.parametrize(
    ("command", "key", "way"),
    [(command, key, way) for (command, key), way in zip(REFUSED, cycle(WAYS), strict=False)],
)
def test_refused_settings(here: Run, project: Callable[[str], Path], command: str, key: str, way: str):
    text = WAYS[way].format(command=command, key=key, name=key.replace("-", "_"))
    file = project(text)
    done = here(command, "in.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {file}: [tool.padmask")
    assert f"{key.replace('-', '_') if way == 'underscores' else key!r}".strip("'") in done.stderr
    assert f"--{key} " in done.stderr
    assert "command line" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", MAY_SET)
def test_settings_of_other_commands(here: Run, project: Callable[[str], Path], command: str) -> None:
    project("[tool.padmask.verify]\npredict = 'evil:run'\n[tool.padmask.pad]\ndelete = true\n")
    done = here(command, "in.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert has_facts(done.stderr, "--delete")


def test_settings_cannot_run_code(padmask: Run, project: Callable[[str], Path], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef run(ids, mask): return ids\n")
    for key, value in (("predict", "evil:run"), ("custom-objects", "evil.py"), ("model", "evil.py")):
        project(f"[tool.padmask.verify]\n{key} = '{value}'\n")
        done = padmask("verify", "in.jsonl")
        assert (done.returncode, f"--{key} may run code" in done.stderr) == (2, True)
        assert not mark.exists()


@pytest.mark.parametrize(
    ("by", "key", "name"),
    [
        ("pad", "output", "mine.jsonl"),
        ("pad", "rejects", "mine.jsonl"),
        ("inspect", "export", "mine.txt"),
        ("verify", "report", "mine.json"),
    ],
)
def test_settings_cannot_write_files(
    padmask: Run, project: Callable[[str], Path], tmp_path: Path, by: str, key: str, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    project(f"[tool.padmask]\n{key} = '{name}'\n")
    done = padmask(by, "in.jsonl", *(["--no-model"] if by == "verify" else []))
    assert done.returncode == 2
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "args",
    [
        ("pad", "in.jsonl"),
        ("inspect", "in.jsonl"),
        ("inspect", "in.jsonl", "--json"),
        ("verify", "in.jsonl", "--no-model"),
        ("verify", "in.jsonl", "--no-model", "--report", "json:-"),
    ],
    ids=" ".join,
)
def test_settings_file_is_named(
    here: Run, project: Callable[[str], Path], tmp_path: Path, args: tuple[str, ...]
) -> None:
    file = project("[tool.padmask]\nmaxlen = 2\npadding = 'pre'\ntruncating = 'post'\n")
    done = here(*args)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("settings: ")]
    assert lines == [f"settings: --maxlen and --padding are set in {file}"]
    assert "settings: " not in done.stdout
    assert "settings: " not in here(*args, "--quiet").stderr


def test_unused_settings_are_silent(here: Run, project: Callable[[str], Path]) -> None:
    project("[tool.padmask]\npadding = 'post'\nmaxlen = 1\n[tool.padmask.inspect]\ncount = 3\n")
    assert "settings: " not in here("pad", "in.jsonl", "--maxlen", "2").stderr


@pytest.mark.parametrize(
    ("settings", "args", "said", "blamed"),
    [
        ("pad-to-multiple-of = 2", ("pad", "two.jsonl"), "2 list columns", ""),
        ("maxlen = 2\nvalue = 2", ("pad", "two.jsonl"), "2 list columns", ""),
        ("column = 'nope'", ("pad", "in.jsonl"), "Column 'nope' does not exist", "--column is"),
        (
            "column = 'nope:int64=3'",
            ("unpad", "in.jsonl", "--mask-column", "m"),
            "Column 'nope' does not exist",
            "--column is",
        ),
        ("mask-column = 'nope'", ("unpad", "in.jsonl"), "Column 'nope' does not exist", "--mask-column is"),
        (
            "length-column = 'nope'\npadding = 'post'",
            ("unpad", "in.jsonl"),
            "Column 'nope' does not exist",
            "--length-column is",
        ),
        ("maxlen = 3", ("pad", "in.jsonl", "--pad-to-multiple-of", "2"), "multiple", "--maxlen is"),
        ("maxlen = 3\npad-to-multiple-of = 2", ("pad", "in.jsonl"), "multiple", "--maxlen and "),
        ("maxlen = 'p0'", ("pad", "in.jsonl"), "'p0'", "--maxlen is"),
        ("value = 'x'", ("pad", "in.jsonl"), "'x'", "--value is"),
        ("dtype = 'string'", ("pad", "in.jsonl"), "string", "--dtype is"),
        ("column = 'input_ids:string'", ("pad", "in.jsonl"), "string", "--column is"),
        ("length-column = 'input_ids'", ("pad", "in.jsonl"), "'input_ids'", "--length-column is"),
        (
            "maxlen = 2\noverlong = 'error'",
            ("pad", "in.jsonl"),
            "3 tokens",
            "--maxlen and --overlong",
        ),
        (
            "output-format = 'arrow'",
            ("pad", "in.jsonl", "-o", "x.parquet"),
            "--output-format is arrow",
            "--output-form",
        ),
        ("dtype = 'int16'", ("pad", "bad.jsonl"), "70000", "--dtype is"),
        ("dtype = 'int16'", ("pad", "bad.parquet"), "70000", "--dtype is"),
        ("dtype = 'int16'", ("inspect", "bad.jsonl"), "70000", "--dtype is"),
        ("dtype = 'int32'", ("pad", "bad.jsonl", "-c", "input_ids:int16"), "int16", ""),
        ("dtype = 'int32'", ("pad", "bad.jsonl", "-c", "null"), "'null'", ""),
        ("column = 'null'", ("pad", "bad.jsonl"), "'null'", "--column is"),
        (
            "column = ['input_ids', 'short']",
            ("pad", "bad.jsonl"),
            "'short' has 1",
            "--column is",
        ),
        (
            "input-format = 'parquet'",
            ("pad", "bad.jsonl"),
            "JSON Lines, not Parquet",
            "--input-format is",
        ),
        ("input-format = 'jsonl'", ("pad", "bad.parquet"), "Parquet", "--input-format is"),
        ("output-format = 'arrow'", ("pad", "mixed.jsonl"), "field 'x'", "--output-format is"),
        (
            "mask-column = 'short'",
            ("unpad", "bad.jsonl", "-c", "input_ids"),
            "has 2 values",
            "--mask-column is",
        ),
        (
            "length-column = 'n'",
            ("unpad", "bad.jsonl", "--padding", "post"),
            "'n' is 3",
            "--length-column is",
        ),
        ("rows = 'x'", ("inspect", "in.jsonl"), "A:B", "--rows is"),
        (
            "explain = true",
            ("verify", "in.jsonl", "--no-model"),
            "--model",
            "--explain is",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_bad_setting_is_named(
    here: Run,
    project: Callable[[str], Path],
    tmp_path: Path,
    settings: str,
    args: tuple,
    said: str,
    blamed: str,
) -> None:
    (tmp_path / "two.jsonl").write_text('{"a": [1], "b": [2]}\n')
    (tmp_path / "bad.jsonl").write_text('{"input_ids": [1, 70000], "null": null, "short": [1], "n": 3}\n')
    (tmp_path / "mixed.jsonl").write_text('{"ids": [1], "x": 1}\n{"ids": [1], "x": "a"}\n')
    pq.write_table(pa.table({"ids": [[1, 70000]]}), tmp_path / "bad.parquet")
    file = project(f"[tool.padmask.{args[0]}]\n{settings}\n")
    done = here(*args)
    assert (done.returncode, said in done.stderr) in ((1, True), (2, True))
    assert (f"set in {file}." in done.stderr) == bool(blamed)
    assert blamed in done.stderr


def test_typed_options_are_not_blamed(here: Run, project: Callable[[str], Path]) -> None:
    project("[tool.padmask]\nmaxlen = 2\ncolumn = 'input_ids'\n")
    done = here("pad", "in.jsonl", "-c", "maxlen")
    assert (done.returncode, "Column 'maxlen' does not exist" in done.stderr) == (2, True)
    assert "set in" not in done.stderr
