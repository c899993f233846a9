"""The commands that inspect recommends."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from padmask import Column, PadSpec, WindowSpec
from padmask.inspect.commands import PadCommand, has_many_files, new_name


def words(command: PadCommand, spec: PadSpec | None = None, overlong: str = "truncate") -> list[str]:
    return shlex.split(command.text(spec or PadSpec(), overlong))


def test_options_of_the_user_are_kept():
    sides = PadSpec(padding="pre", truncating="pre", maxlen="p95")
    spec = replace(sides, value="<pad>", dtype="string", pad_to_multiple_of=8)
    command = PadCommand(["a b.jsonl"], "padded.parquet", ["ids", "x y=-1"], input_format="jsonl")
    assert words(command, spec) == [
        *("padmask", "pad", "a b.jsonl", "-o", "padded.parquet", "--input-format", "jsonl"),
        *("-c", "ids", "-c", "x y=-1", "--padding", "pre", "--truncating", "pre", "--value", "<pad>"),
        *("--dtype", "string", "--pad-to-multiple-of", "8", "--maxlen", "p95"),
    ]


def test_defaults_are_omitted():
    text = PadCommand(["in.jsonl"], "out.parquet").text(PadSpec(maxlen=8))
    assert text == "padmask pad in.jsonl -o out.parquet --maxlen 8"


@pytest.mark.parametrize(
    ("spec", "overlong", "options"),
    [
        (PadSpec(keep_first="n", keep_last=1), "truncate", ["--keep-first", "n", "--keep-last", "1"]),
        (PadSpec(), "drop", ["--overlong", "drop"]),
        (
            PadSpec(windows=WindowSpec(overlap=3, labels="new"), keep_last=1),
            "truncate",
            [*("--overlong", "window", "--overlap", "3", "--window-labels", "new", "--keep-last", "1")],
        ),
    ],
    ids=str,
)
def test_options_for_longer_rows(spec, overlong, options):
    command = PadCommand(["in.jsonl"], "out.parquet")
    assert words(command, replace(spec, maxlen=9), overlong)[5:] == ["--maxlen", "9", *options]


def test_columns_of_the_library():
    command = PadCommand(["in.jsonl"], "out.npz", [Column("labels", "int64", -100), Column("ids")])
    assert words(command)[5:-2] == ["-c", "labels:int64=-100", "-c", "ids"]
    mapping = PadCommand(["in.jsonl"], "out.npz", {"ids": 5, "x": None})
    assert words(mapping)[5:-2] == ["-c", "ids=5", "-c", "x"]


def test_padded_input_is_unpadded_first():
    command = PadCommand(
        ["in.jsonl"],
        "out.parquet",
        ["ids=7"],
        input_format="jsonl",
        unpadded="rows.parquet",
        mask_column="m",
        names=["ids"],
    )
    first, second = command.text(PadSpec(padding="pre", maxlen=9)).split(" && ")
    assert first == ("padmask unpad in.jsonl -o rows.parquet --input-format jsonl -c ids --mask-column m")
    assert second == "padmask pad rows.parquet -o out.parquet -c ids=7 --padding pre --maxlen 9"


def test_windows_are_joined_first():
    command = PadCommand(["in.jsonl"], "out.parquet", ["ids=7"], unpadded="rows.parquet", names=["ids"])
    first, second = command.join_text([128, "p95"], PadSpec(padding="pre")).split(" && ")
    assert first == "padmask unpad in.jsonl -o rows.parquet -c ids"
    assert second == "padmask inspect rows.parquet -c ids=7 --padding pre --maxlen 128,p95"


def test_inputs_are_safe():
    secret = PadCommand(["s3://key:secret@bucket/a?region=x", "-odd.jsonl", "-", "$(rm x)"], "out/")
    assert words(secret)[2:6] == ["s3://bucket/a", "./-odd.jsonl", "INPUT", "$(rm x)"]


@pytest.mark.parametrize(
    ("inputs", "many"),
    [(["a.jsonl"], False), (["-"], False), (["a", "b"], True), (["."], True), (["*.jsonl"], True)],
)
def test_several_files_need_a_folder(inputs, many):
    assert has_many_files(inputs) is many


def test_new_names_replace_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_name("padded", ".parquet") == "padded.parquet"
    (tmp_path / "padded.parquet").touch()
    (tmp_path / "padded-2.parquet").symlink_to("nowhere")
    assert new_name("padded", ".parquet") == "padded-3.parquet"
    assert new_name("padded", "/") == "padded/"
    (tmp_path / "padded").mkdir()
    assert new_name("padded", "/") == "padded-2/"
