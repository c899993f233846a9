"""`--mask-polarity`, `--mask-kind`, `--position-ids`, `--labels-from` and `--preset` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from padmask.cli import run

ROWS = [
    {"input_ids": [7, 8, 9], "attention_mask": [1, 1, 1]},
    {"input_ids": [5], "attention_mask": [1]},
]
LOWEST = -3.4028234663852886e38

Padmask = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def padmask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Padmask:
    """Run `padmask ARGS...` in this process. Return the exit code, the rows on stdout, and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def start(*args: str) -> tuple[int, list[dict[str, Any]], str]:
        code = run(list(args))
        out, err = capfd.readouterr()
        return code, [json.loads(line) for line in out.splitlines() if line.startswith("{")], err

    return start


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ("--mask-polarity padding", {"attention_mask": [0, 1, 1]}),
        ("--mask-kind additive", {"attention_mask": [0.0, LOWEST, LOWEST]}),
        ("--position-ids", {"attention_mask": [1, 0, 0], "position_ids": [0, 0, 0]}),
        ("--labels-from input_ids", {"attention_mask": [1, 0, 0], "labels": [5, -100, -100]}),
        ("--preset hf", {"attention_mask": [1, 0, 0]}),
        ("--preset hf --no-mask", {}),
        ("--preset hf --mask-column m", {"m": [1, 0, 0]}),
        ("--preset hf --mask-dtype bool", {"attention_mask": [True, False, False]}),
        ("--preset keras", {"mask": [True, False, False]}),
        ("--preset keras --mask-polarity padding", {"mask": [False, True, True]}),
        ("--preset torch", {"key_padding_mask": [False, True, True]}),
        ("--preset torch --mask-polarity real", {"key_padding_mask": [True, False, False]}),
        ("--preset torch --mask-kind additive", {"key_padding_mask": [0.0, LOWEST, LOWEST]}),
        ("--preset causal-lm", {"attention_mask": [1, 0, 0], "labels": [5, -100, -100]}),
    ],
)
def test_added_columns(padmask: Padmask, options: str, added: dict[str, Any]) -> None:
    code, rows, _ = padmask("pad", "in.jsonl", *options.split())
    assert (code, rows[1]) == (0, {"input_ids": [5, 0, 0], **added})


def test_left_padded_causal_lm(padmask: Padmask) -> None:
    _, rows, _ = padmask("pad", "in.jsonl", "--preset", "causal-lm", "--padding", "left")
    assert rows[0]["position_ids"] == [0, 1, 2] and rows[1]["position_ids"] == [0, 0, 0]
    options = ("--preset", "causal-lm", "--padding", "left", "--no-position-ids")
    assert "position_ids" not in padmask("pad", "in.jsonl", *options)[1][0]


def test_project_overrides_the_preset(padmask: Padmask) -> None:
    Path("pyproject.toml").write_text("[tool.padmask.pad]\npreset = 'hf'\nmask-column = 'm'\n")
    assert padmask("pad", "in.jsonl")[1][1] == {"input_ids": [5, 0, 0], "m": [1, 0, 0]}
    assert "key_padding_mask" not in padmask("pad", "in.jsonl", "--preset", "torch")[1][1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--mask-polarity padding --mask-kind additive", "--mask-kind additive"),
        ("--mask-kind additive --mask-dtype int8", "float32"),
        ("--no-mask --mask-polarity padding", "--mask-polarity"),
        ("--no-mask --mask-kind additive", "--mask-kind"),
        ("--labels-from missing", "'missing'"),
        ("--labels-from input_ids -c attention_mask", "not be padded together"),
        ("--labels-from input_ids --mask-column labels", "Choose different names"),
    ],
)
def test_contradictions_are_refused(padmask: Padmask, options: str, named: str) -> None:
    code, rows, error = padmask("pad", "in.jsonl", *options.split())
    assert (code, rows) == (2, []) and named in error


@pytest.mark.parametrize("name", ["labels", "position_ids"])
def test_existing_columns(padmask: Padmask, name: str) -> None:
    Path("has.jsonl").write_text(json.dumps({"input_ids": [5, 6], name: [1, 2]}) + "\n")
    option = ("--labels-from", "input_ids") if name == "labels" else ("--position-ids",)
    code, _, error = padmask("pad", "has.jsonl", *option)
    assert code == 2 and option[0] in error
    preset = ("--preset", "causal-lm", "--padding", "pre")
    assert padmask("pad", "has.jsonl", *preset)[1][0][name] == [1, 2]
    assert padmask("pad", "has.jsonl", *preset, *option)[0] == 2


@pytest.mark.parametrize("command", ["unpad", "inspect", "verify"])
def test_readers_accept_the_dialect(padmask: Padmask, command: str) -> None:
    rest = {"unpad": (), "inspect": ("--json",), "verify": ("--no-model", "--strict")}[command]
    padmask("pad", "in.jsonl", "--mask-polarity", "padding", "-o", "out.jsonl")
    assert padmask(command, "out.jsonl", "--mask-polarity", "padding", *rest)[0] == 0
    padmask("pad", "in.jsonl", "--mask-kind", "additive", "-o", "additive.jsonl")
    additive = ("--mask-column", "attention_mask", "--mask-kind", "additive")
    assert padmask(command, "additive.jsonl", *additive, *rest)[0] == 0


ADDITIVE = [
    {"input_ids": [5, 6], "attention_mask": [0.0, 0.0]},
    {"input_ids": [7, 0], "attention_mask": [0.0, -1e9]},
]


def write_rows(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


INTS = [{"input_ids": [7, 0], "attention_mask": [0, -10000]}]


@pytest.mark.parametrize(
    "rows", [ADDITIVE, ADDITIVE[1:], ADDITIVE[::-1], INTS], ids=["zeros", "one", "last", "ints"]
)
def test_additive_masks_are_found(padmask: Padmask, rows: list[dict[str, Any]]) -> None:
    write_rows("a.jsonl", rows)
    for options in ((), ("--mask-kind", "additive")):
        code, written, error = padmask("pad", "a.jsonl", *options)
        assert (code, written) == (1, []) and "--mask-column attention_mask --mask-kind additive" in error
    asked = ("--mask-kind", "additive")
    assert padmask("inspect", "a.jsonl", *asked, "--json")[1][0]["padded"] is True
    assert padmask("verify", "a.jsonl", *asked, "--no-model")[0] == 0
    tokens = [row["input_ids"][: row["attention_mask"].count(0)] for row in rows]
    assert [row["input_ids"] for row in padmask("unpad", "a.jsonl", *asked)[1]] == tokens


@pytest.mark.parametrize("command", [("unpad",), ("inspect", "--json")])
@pytest.mark.parametrize(
    ("mask", "options", "remedy"),
    [([0.0, -1e9], (), "additive"), ([1, 0], ("--mask-kind", "additive"), "binary")],
)
def test_wrong_kind(
    padmask: Padmask, command: tuple[str, ...], mask: list[float], options: tuple[str, ...], remedy: str
) -> None:
    write_rows("a.jsonl", [{"input_ids": [5, 0], "attention_mask": mask}])
    _, found, error = padmask(*command, "a.jsonl", *options)
    assert f"--mask-kind {remedy}" in error + str(found) and "--on-error" not in error


@pytest.mark.parametrize(
    "dialect", ["--mask-column bias --mask-kind additive", "--mask-column inv --mask-polarity padding"]
)
def test_notes_name_the_mask(padmask: Padmask, dialect: str) -> None:
    assert dialect in padmask("pad", "in.jsonl", *dialect.split(), "-o", "out.jsonl")[2]
    code, rows, _ = padmask("unpad", "out.jsonl", *dialect.split())
    assert (code, rows[1]) == (0, {"input_ids": [5]})


def test_other_additive_masks(padmask: Padmask) -> None:
    options = ("--mask-column", "bias", "--mask-kind", "additive")
    padmask("pad", "in.jsonl", *options, "-o", "out.jsonl")
    assert " ".join(options) in padmask("pad", "out.jsonl")[2]


@pytest.mark.parametrize("side", ["pre", "post"])
def test_inverted_masks_are_refused(padmask: Padmask, side: str) -> None:
    padmask("pad", "in.jsonl", "--mask-polarity", "padding", "--padding", side, "-o", "out.jsonl")
    code, rows, error = padmask("unpad", "out.jsonl")
    assert (code, rows) == (1, []) and "--mask-polarity padding" in error and "out.jsonl" in error
    assert padmask("unpad", "out.jsonl", "--mask-polarity", "padding")[1][1] == {"input_ids": [5]}
    assert padmask("unpad", "out.jsonl", "--mask-polarity", "real")[0] == 0


@pytest.mark.parametrize("output", ["-", "out.arrow"])
def test_added_columns_are_noted(padmask: Padmask, output: str) -> None:
    summary = padmask("pad", "in.jsonl", "--labels-from", "input_ids", "-o", output)[2]
    assert ("unpad keeps 'labels'" in summary) == (output == "-")


def test_warning_names_the_option(padmask: Padmask) -> None:
    options = ("--mask-column", "m", "--mask-polarity", "padding")
    assert "--mask-polarity padding" in padmask("pad", "in.jsonl", *options, "-o", "out.jsonl")[2]
    code, _, error = padmask("pad", "out.jsonl", *options)
    assert code == 1 and "--mask-polarity padding" in error


def test_advice_keeps_the_dialect(padmask: Padmask) -> None:
    padmask("pad", "in.jsonl", "--mask-polarity", "padding", "-o", "out.jsonl", "--maxlen", "9")
    options = ("--mask-column", "attention_mask", "--mask-polarity", "padding", "--json")
    [found] = padmask("inspect", "out.jsonl", *options)[1]
    assert "--mask-polarity padding" in json.dumps(found)


@pytest.mark.parametrize(
    ("options", "line"),
    [("", "mask: 'attention_mask' (int64)"), ("--preset torch", "mask: 'key_padding_mask' (bool)")],
)
def test_summary_names_the_mask(padmask: Padmask, options: str, line: str) -> None:
    _, _, summary = padmask("pad", "in.jsonl", "-o", "out.jsonl", *options.split())
    assert line in summary.splitlines()


def test_summary_omits_the_default_mask(padmask: Padmask) -> None:
    _, _, summary = padmask("pad", "in.jsonl", "-o", "out.jsonl", "--preset", "keras")
    assert "mask:" not in summary
