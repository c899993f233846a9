"""For padded files, the recommended command pads the rows in the same way as before."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiers import represented

from padmask import PadSpec, inspect_file
from padmask.cli import run

ROWS = [
    {"input_ids": [*range(9 * n, 10 * n)], "attention_mask": [1] * n, "labels": [n] * n} for n in (3, 1, 7)
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def recommend(maxlen: int, columns: list[str] | None = None) -> str:
    return inspect_file("a.parquet", columns=columns, specs=PadSpec(maxlen=maxlen)).advice.command


@represented(
    "options",
    [
        "--preset hf",
        "--preset causal-lm --padding pre",
        "--mask-column m --mask-polarity padding",
        "--dtype int64 --no-mask --length-column n",
        "-c input_ids:int16=9 -c labels",
        "--preset torch",
        "--preset hf --value 5",
        "--preset hf --mask-dtype bool",
        "--mask-kind additive",
        "--position-ids --mask-dtype int8",
    ],
    by=5,
)
def test_columns_stay_the_same(options):
    assert run(["pad", "in.jsonl", "-q", "-o", "a.parquet", *options.split()]) == 0
    table = pq.read_table("a.parquet")
    command = recommend(5)
    for words in command.replace("--maxlen 5", "--maxlen 7").split(" && "):
        assert run([*shlex.split(words)[1:], "-q"]) == 0
    again = pq.read_table("padded.parquet")
    assert again.select(sorted(again.column_names)).equals(table.select(sorted(table.column_names)))


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ("--preset hf", ["--preset", "hf"]),
        ("--preset torch --maxlen 6", ["--preset", "torch"]),
        ("--preset keras", []),
        ("--mask-column m", ["--mask-column", "m"]),
        (
            "--preset hf --no-mask --length-column n",
            ["-c", "input_ids:int64", "-c", "labels:int64=-100", "--no-mask", "--length-column", "n"],
        ),
    ],
)
def test_command_keeps_the_options(made, options):
    assert run(["pad", "in.jsonl", "-q", "-o", "a.parquet", *made.split()]) == 0
    words = shlex.split(recommend(5).split(" && ")[1])[5:]
    assert words == [*options, "--maxlen", "5"]


def test_requested_columns_keep_their_dtype():
    assert run(["pad", "in.jsonl", "-q", "-o", "a.parquet", "--preset", "hf"]) == 0
    words = shlex.split(recommend(5, ["labels=3"]).split(" && ")[1])
    assert words[5:7] == ["-c", "labels:int64=3"]


def test_json_lines_keep_their_mask():
    """JSON Lines has no metadata, but the mask is known."""
    assert run(["pad", "in.jsonl", "-q", "-o", "a.jsonl", "--preset", "torch"]) == 0
    command = inspect_file("a.jsonl", specs=PadSpec(maxlen=5)).advice.command
    assert "--mask-column key_padding_mask --mask-polarity padding" in command
