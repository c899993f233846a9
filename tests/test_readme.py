"""The commands, help texts and Python examples in the README are correct."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.cli import COMMANDS, cli, run
from padmask.verify.data.rules import RULES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""

pytestmark = pytest.mark.skipif(not TEXT, reason="the README is not part of this installation")

BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```", TEXT, re.M | re.S)
LINES = [
    line.strip().removeprefix("$ ")
    for kind, block in BLOCKS
    if kind in ("", "console")
    for line in block.splitlines()
]
PADMASK_LINES = sorted(
    {part.strip() for line in LINES for part in line.split("|") if part.strip().startswith("padmask ")}
)


def help_text(name: str) -> str:
    """Return the help of a command for a terminal with 100 columns."""
    command = cli.get_command(click.Context(cli), name)
    context = click.Context(
        command,
        info_name=f"padmask {name}",
        terminal_width=100,
        max_content_width=100,
        help_option_names=["-h", "--help"],
    )
    return command.get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_match_help(name):
    shown = re.search(rf"<!-- help: {name} -->\n```\n(.*?)```\n<!-- end -->", TEXT, re.S)
    assert shown, f"the README has no help of {name}"
    assert shown[1].strip() == help_text(name).strip(), "run `make readme`"


@pytest.mark.parametrize("line", PADMASK_LINES)
def test_every_command_parses(line):
    words = shlex.split(line, comments=True)
    words = words[words.index("padmask") + 1 :]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def test_inspect_output_is_current(tmp_path, monkeypatch, capfd):
    if not (ROOT / "sample_data").exists():
        pytest.skip("the sample data is not part of this installation")
    block = next(block for kind, block in BLOCKS if "padmask inspect" in block and kind == "console")
    command, shown = block.split("\n", 1)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(ROOT)
    assert run(shlex.split(command)[3:]) == 0
    assert [line.rstrip() for line in capfd.readouterr().out.splitlines()] == shown.splitlines()


def test_python_examples_run():
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert (failed, tried > 3) == (0, True)


def test_program_runs(tmp_path):
    [program] = [block for _, block in BLOCKS if "padmask.pad_dataset(" in block]
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "data").mkdir()
    table = pa.table({"input_ids": [[1, 2], [3]], "labels": [[1, 2], [3]]})
    for name in ("train.parquet", "data/a.parquet", "data/b.parquet"):
        pq.write_table(table, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 2 0\n2\ndata-ok\n", "")
    padded = pq.read_table(tmp_path / "padded.parquet")
    assert padded["labels"].to_pylist() == [[1, 2], [3, -100]]
    assert sorted(path.name for path in (tmp_path / "padded").glob("*.parquet")) == ["a.parquet", "b.parquet"]


def test_first_example_is_current(tmp_path, monkeypatch, capfd):
    if not (ROOT / "sample_data").exists():
        pytest.skip("the sample data is not part of this installation")
    block = next(block for kind, block in BLOCKS if kind == "console")
    command, shown = block.split("\n", 1)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(command)[2:]) == 0
    assert capfd.readouterr().err == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name):
    command = cli.get_command(click.Context(cli), name)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []
    assert f"  padmask {name} " in command.help


def test_table_of_rules_is_complete():
    listed = dict(re.findall(r"^  \| `([a-z-]+)` \| (error|warning) \|", README.read_text(), re.MULTILINE))
    assert listed == {rule.name: rule.severity for rule in RULES.values()}
