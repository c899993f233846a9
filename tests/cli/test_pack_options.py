"""Options and messages of `padmask pack`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from raised import has_facts

from padmask.cli import run
from padmask.cli.commands import load_command

ROWS: list[dict[str, Any]] = [
    {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
    {"input_ids": [4, 5], "labels": [4, 5]},
]
OPTIONS = {name for option in load_command("pack").params for name in (*option.opts, *option.secondary_opts)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The path of a file with ROWS."""
    return write(tmp_path, ROWS)


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines, and return the path of the file."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def options_in(text: str) -> set[str]:
    """Return the options in a message, without the options of other commands that the message names."""
    return set(re.findall(r"(?<![\w-])--[a-z-]+", re.sub(r"padmask (unpad|verify)[^.,]*", "", text)))


MASKED = {"input_ids": [1], "mask": [True]}
FAILURES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "mask of ones": ([MASKED], []),
    "padded": ([{"input_ids": [1, 0], "mask": [True, False]}], []),
    "later mask": (
        [*[MASKED] * 1000, {"input_ids": [1, 0], "mask": [True, False]}],
        ["--mask-column", "real"],
    ),
    "later field": ([*[{"input_ids": [1]}] * 1000, MASKED], []),
    "mask is a column": (ROWS, ["--mask-column", "labels"]),
    "mask is emitted": (ROWS, ["--mask-column", "attention_mask", "--emit", "attention_mask"]),
    "mask is a source": (ROWS, ["--mask-column", "source_rows"]),
    "empty row": ([{"input_ids": [1]}, {"input_ids": []}], ["--empty-rows", "error"]),
    "overlong row": (ROWS, ["--maxlen", "2"]),
    "unequal lengths": ([{"a": [1, 2], "b": [1]}], ["-c", "a", "-c", "b"]),
    "packed": ([{"input_ids": [1, 2], "seq_lengths": [1, 1], "source_rows": [0, 1]}], []),
    "npz": (ROWS, ["-o", "x.npz"]),
}


@pytest.mark.parametrize("case", FAILURES)
def test_messages_name_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    rows, options = FAILURES[case]
    assert run(["pack", str(write(tmp_path, rows)), "-o", str(tmp_path / "out.jsonl"), *options]) in (1, 2)
    error = capsys.readouterr().err
    assert options_in(error) <= OPTIONS, error
    assert "--empty-rows keep" not in error


def test_help_lists_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pack", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--padding" not in text
    assert not re.search(r"np[yz] or|npz, \.npy|npz\|npy\|tf", text)
    assert ".parquet, .arrow or .tfrecord" in " ".join(text.split())


@pytest.mark.parametrize(
    "option, remedy",
    [
        ("--preset", "--dialect"),
        ("--padding", "--padding"),
        ("--padding_side", "--padding-side"),
        ("--truncation", "--overlong"),
        ("--return-tensors", "padmask.pack"),
        ("--eos-token-id", "--eos"),
    ],
)
def test_foreign_option_has_a_remedy(
    source: Path, capsys: pytest.CaptureFixture[str], option: str, remedy: str
) -> None:
    assert run(["pack", str(source), option, "x"]) == 2
    assert has_facts(capsys.readouterr().err, remedy)


@pytest.mark.parametrize(
    "command, others, option",
    [
        ("pack", [], "--overlong"),
        ("pack", ["--overlong", "drop"], "--overlong"),
        ("pack", ["--algorithm", "wrap"], "--algorithm"),
        ("pad", ["--overlong", "drop"], "--overlong"),
        ("inspect", ["--overlong", "error"], "--overlong"),
    ],
)
def test_unused_truncating_is_refused(
    source: Path, capsys: pytest.CaptureFixture[str], command: str, others: list[str], option: str
) -> None:
    assert run([command, str(source), "--maxlen", "4", "--truncating", "pre", *others]) == 2
    assert has_facts(capsys.readouterr().err, "--truncating", option)


@pytest.mark.parametrize("overlong", ["truncate", "split", "window"])
def test_truncating_is_used(tmp_path: Path, source: Path, overlong: str) -> None:
    target = tmp_path / "out.jsonl"
    options = ["--maxlen", "2", "--truncating", "pre", "--overlong", overlong, "--algorithm", "in-order"]
    assert run(["pack", str(source), "-o", str(target), "-q", *options]) == 0
    assert [2, 3] in [json.loads(line)["input_ids"] for line in target.read_text().splitlines()]


@pytest.mark.parametrize("fields, note", [("list", "list for each"), ("drop", "not in the output")])
def test_other_columns_are_named(
    source: Path, capsys: pytest.CaptureFixture[str], fields: str, note: str
) -> None:
    assert run(["pack", str(source), "-c", "input_ids", "--fields", fields]) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "labels" in line)
    assert line.startswith("not packed") and note in line


@pytest.mark.parametrize(
    "options, column",
    [([], "attention_mask"), (["--mask"], "attention_mask"), (["--mask-column", "real"], "real")],
)
def test_mask_keeps_the_dialects_name(tmp_path: Path, source: Path, options: list[str], column: str) -> None:
    target = tmp_path / "out.jsonl"
    base = ["pack", str(source), "-o", str(target), "-q", "--maxlen", "8", "--dialect", "llm-foundry"]
    assert run([*base, *options]) == 0
    row = json.loads(target.read_text())
    assert column in row and "mask" not in row


@pytest.mark.parametrize("pad", ["--pad", "--no-pad"])
@pytest.mark.parametrize("most, full", [("2", "62.5%"), ("1", "31.2%")])
def test_summary_has_tokens_and_fullness(
    source: Path, capsys: pytest.CaptureFixture[str], pad: str, most: str, full: str
) -> None:
    assert run(["pack", str(source), "--maxlen", "8", "--max-segments", most, pad]) == 0
    assert has_facts(capsys.readouterr().err, "5 tokens", full, "fewer rows are not possible")


def test_summary_of_a_folder(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("1.jsonl", "2.jsonl"):
        (folder / name).write_text(source.read_text())
    assert run(["pack", str(folder), "-o", f"{tmp_path}/out/", "--maxlen", "16", "--workers", "1"]) == 0
    assert has_facts(capsys.readouterr().err, "fewer rows are not possible if each file is packed separately")


@pytest.mark.parametrize("overlong", ["drop", "error", "truncate"])
def test_recommended_command_works(tmp_path: Path, capsys: pytest.CaptureFixture[str], overlong: str) -> None:
    path = write(tmp_path, [{"input_ids": [1] * n} for n in [2] * 90 + [9] * 5 + [400]])
    asked = ["--truncating", "pre"] if overlong == "truncate" else ["--overlong", overlong]
    assert run(["inspect", str(path), "--maxlen", "9", *asked]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    commands = [line for line in lines if re.match(r"padmask (pad|pack) ", line)]
    assert commands
    for command in commands:
        words = shlex.split(command)[1:]
        words[words.index("-o") + 1] = str(tmp_path / "out.parquet")
        # The exit code is 0, or 1 because of the data. Options that contradict each other would give 2.
        assert run([*words, "-q"]) in (0, 1)
