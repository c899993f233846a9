"""The commands that inspect recommends."""

from __future__ import annotations

import shlex

import pytest

from padmask import Column, PadSpec
from padmask.inspect.commands import PadCommand, has_many_files, new_name


def words(command: PadCommand, *options: str) -> list[str]:
    return shlex.split(command.text(*options))


def test_options_of_the_user_are_kept():
    spec = PadSpec(padding="pre", truncating="pre", value="<pad>", dtype="string", pad_to_multiple_of=8)
    command = PadCommand(["a b.jsonl"], "padded.parquet", ["ids", "x y=-1"], spec, input_format="jsonl")
    assert words(command, "--maxlen", "p95") == [
        *("padmask", "pad", "a b.jsonl", "-o", "padded.parquet", "--input-format", "jsonl"),
        *("-c", "ids", "-c", "x y=-1", "--padding", "pre", "--truncating", "pre", "--value", "<pad>"),
        *("--dtype", "string", "--pad-to-multiple-of", "8", "--maxlen", "p95"),
    ]


def test_defaults_are_omitted():
    assert PadCommand(["in.jsonl"], "out.parquet").text() == "padmask pad in.jsonl -o out.parquet"


def test_columns_of_the_library():
    command = PadCommand(["in.jsonl"], "out.npz", [Column("labels", "int64", -100), Column("ids")])
    assert words(command)[5:] == ["-c", "labels:int64=-100", "-c", "ids"]
    assert words(PadCommand(["in.jsonl"], "out.npz", {"ids": 5, "x": None}))[5:] == ["-c", "ids=5", "-c", "x"]


def test_padded_input_is_unpadded_first():
    command = PadCommand(
        ["in.jsonl"],
        "out.parquet",
        ["ids=7"],
        PadSpec(padding="pre"),
        input_format="jsonl",
        unpadded="rows.parquet",
        mask_column="m",
        names=["ids"],
    )
    first, second = command.text("--maxlen", "9").split(" && ")
    assert first == ("padmask unpad in.jsonl -o rows.parquet --input-format jsonl -c ids --mask-column m")
    assert second == "padmask pad rows.parquet -o out.parquet -c ids=7 --padding pre --maxlen 9"


def test_inputs_are_safe():
    secret = PadCommand(["s3://key:secret@bucket/a?region=x", "-odd.jsonl", "-", "$(rm x)"], "out/")
    assert words(secret)[2:6] == ["s3://bucket/a", "./-odd.jsonl", "-", "$(rm x)"]


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
