"""Whether input is padded, and what says so: a length column without a mask, and shards that differ."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]

ROWS = [[7, 8, 9], [5], []]


@pytest.fixture
def run(here: Run, tmp_path: Path) -> Run:
    """Run padmask in a folder that has rows to pad."""
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in ROWS))
    return here


def pad(run: Run, output: str, *options: str, mask: bool = False, source: str = "raw.jsonl") -> None:
    lengths = [] if mask else ["--no-mask", "--length-column", "n"]
    done = run("pad", source, "-o", output, *lengths, *options)
    assert done.returncode == 0, done.stderr


def edit(path: Path, name: str, column: pa.Array) -> None:
    """Replace a column, and keep what the file says of its padding."""
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    place = table.schema.get_field_index(name)
    table = table.set_column(place, pa.field(name, column.type), column)
    assert b"padmask" in table.schema.metadata
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)


def found(done: Completed) -> dict[str, tuple[str, int]]:
    """Return the severity and the count of each rule that is broken."""
    shown: dict[str, Any] = json.loads(done.stdout)
    findings = shown.get("data", shown.get("health"))
    return {one["rule"]: (one["severity"], one["count"]) for one in findings}


def verify(run: Run, *args: str) -> Completed:
    return run("verify", *args, "--no-model", "--json")


formats = pytest.mark.parametrize("suffix", ["parquet", "arrow"])
sides = pytest.mark.parametrize("side", ["post", "pre"])


@formats
@sides
def test_lengths_say_padded(run: Run, suffix: str, side: str) -> None:
    pad(run, f"p.{suffix}", "--padding", side, "--value", "-1")
    seen = json.loads(run("inspect", f"p.{suffix}", "--json").stdout)
    assert (seen["padded"], seen["tokens"], seen["rows"]) == (True, 4, 3)
    masks = [row["mask"] for row in seen["masks"]]
    assert [sum(mask) for mask in masks] == [3, 1, 0]
    assert masks[1] == ([True, False, False] if side == "post" else [False, False, True])
    done = verify(run, f"p.{suffix}")
    assert done.returncode == 0
    assert not [rule for rule, (severity, _) in found(done).items() if severity == "error"]


@formats
@sides
def test_wrong_value_in_padding(run: Run, tmp_path: Path, suffix: str, side: str) -> None:
    pad(run, f"p.{suffix}", "--padding", side, "--value", "-1")
    row = [5, -1, 6] if side == "post" else [6, -1, 5]
    edit(tmp_path / f"p.{suffix}", "input_ids", pa.array([[7, 8, 9], row, [-1] * 3], pa.list_(pa.int32())))
    done = verify(run, f"p.{suffix}")
    assert done.returncode == 1
    assert found(done)["padding-not-pad-value"] == ("error", 1)
    assert "padding-not-pad-value" in found(run("inspect", f"p.{suffix}", "--json"))


@formats
@pytest.mark.parametrize("length", [4, -1, None, 2**31 - 1])
def test_wrong_length(run: Run, tmp_path: Path, suffix: str, length: int | None) -> None:
    pad(run, f"p.{suffix}")
    edit(tmp_path / f"p.{suffix}", "n", pa.array([3, length, 0], pa.int32()))
    done = verify(run, f"p.{suffix}")
    assert done.returncode == 1
    assert found(done)["length-range"] == ("error", 1)
    assert "row 1" in done.stdout
    shown = run("inspect", f"p.{suffix}", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["padded"]) == (0, True)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
def test_large_unsigned_length(run: Run, tmp_path: Path, length: int) -> None:
    pad(run, "p.parquet")
    edit(tmp_path / "p.parquet", "n", pa.array([3, length, 0], pa.uint64()))
    assert found(verify(run, "p.parquet"))["length-range"] == ("error", 1)


def test_short_length_hides_tokens(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    edit(tmp_path / "p.parquet", "n", pa.array([2, 1, 0], pa.int32()))
    assert found(verify(run, "p.parquet"))["padding-not-pad-value"] == ("error", 1)


def test_lengths_that_are_not_numbers(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    edit(tmp_path / "p.parquet", "n", pa.array([3.0, 1.0, None]))
    for verb in (["verify", "--no-model"], ["inspect"]):
        done = run(*verb, "p.parquet")
        assert done.returncode
        assert "'n' of type double" in done.stderr


def test_lengths_of_vectors(run: Run, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text('{"x": [[1.5, 2.5], [3.5, 4.5]]}\n{"x": [[5.5, 6.5]]}\n')
    pad(run, "v.parquet", "--value", "-1", source="v.jsonl")
    assert verify(run, "v.parquet").returncode == 0
    wrong = pa.array([[[1.5, 2.5], [3.5, 4.5]], [[5.5, 6.5], [-1.0, 0.0]]], pa.list_(pa.list_(pa.float32())))
    edit(tmp_path / "v.parquet", "x", wrong)
    assert found(verify(run, "v.parquet"))["padding-not-pad-value"] == ("error", 1)


def test_mask_wins_over_lengths(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet", "--length-column", "n", mask=True)
    edit(tmp_path / "p.parquet", "n", pa.array([2, 1, 0], pa.int32()))
    assert found(verify(run, "p.parquet"))["mask-length"] == ("error", 1)


def test_lost_lengths_are_raw(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet").drop_columns(["n"]), tmp_path / "p.parquet")
    assert json.loads(run("inspect", "p.parquet", "--json").stdout)["padded"] is False


# --- Shards ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [True, False], ids=["mask", "lengths"])
@formats
def test_shards_on_two_sides(run: Run, tmp_path: Path, suffix: str, mask: bool) -> None:
    (tmp_path / "d").mkdir()
    for name, side in (("a", "post"), ("b", "pre"), ("c", "post")):
        pad(run, f"d/{name}.{suffix}", "--padding", side, mask=mask)
    done = verify(run, "d")
    assert done.returncode == 1
    assert found(done)["mixed-sides"] == ("error", 1)
    assert f"b.{suffix} (pre)" in done.stdout
    # Each file is checked by its own side, so that its padding counts as padding.
    assert "padding-not-pad-value" not in found(done)
    shown = run("inspect", "d", "--json")
    assert found(shown)["mixed-sides"][1] == 1
    assert json.loads(shown.stdout)["tokens"] == 3 * 4
    assert verify(run, "d", "--allow", "mixed-sides", "--allow", "mask-wrong-side").returncode == 0


def test_json_shards_on_two_sides(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name, side in (("a", "post"), ("b", "pre")):
        pad(run, f"d/{name}.jsonl", "--padding", side, mask=True)
    done = verify(run, "d")
    assert done.returncode == 1
    # A row that is all tokens or all padding has no side.
    assert found(done)["mask-wrong-side"] == ("error", 1)


@pytest.mark.parametrize("mask", [True, False], ids=["mask", "lengths"])
@pytest.mark.parametrize("first", ["a", "z"], ids=["padded first", "raw first"])
def test_raw_shard_among_padded(run: Run, tmp_path: Path, mask: bool, first: str) -> None:
    (tmp_path / "d").mkdir()
    pad(run, f"d/{first}.parquet", "--mask-column", "real", mask=mask)
    pq.write_table(
        pa.table({"input_ids": pa.array(ROWS, pa.list_(pa.int32()))}), tmp_path / "d" / "m.parquet"
    )
    for verb in (["verify", "--no-model"], ["inspect"]):
        done = run(*verb, "d")
        assert done.returncode
        assert "m.parquet" in done.stderr
        assert "must be raw, or padded in the same way" in done.stderr
    done = run("pad", "d", "-o", "again.parquet", "--overwrite-mask")
    assert "looks padded already" in done.stderr


def test_two_ways_of_telling(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pad(run, "d/a.parquet")
    pad(run, "d/b.parquet", mask=True)
    for verb in (["verify", "--no-model"], ["inspect"]):
        done = run(*verb, "d")
        assert done.returncode
        assert "are padded differently" in done.stderr


# What the commands must agree on: the rows of a file, and whether they are padded.
ANSWERS = {
    "a mask with padding, rows of two lengths": ([[1, 1, 0], [1, 1]], "attention_mask", True),
    "a mask with padding, rows of one length": ([[1, 1, 0], [1, 1, 1]], "attention_mask", True),
    "a mask of ones, rows of two lengths": ([[1, 1, 1], [1, 1]], "attention_mask", False),
    "padmask's own name": ([[1, 1, 0], [1, 1, 1]], "mask", True),
}


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_commands_agree_whether_input_is_padded(run: Run, tmp_path: Path, case: str, suffix: str) -> None:
    masks, name, padded = ANSWERS[case]
    rows = {"input_ids": [[5] * len(mask) for mask in masks], name: masks}
    source = f"in.{suffix}"
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]
        (tmp_path / source).write_text("\n".join(lines) + "\n")
    else:
        pq.write_table(pa.table(rows), tmp_path / source)
    seen = run("inspect", source, "--json")
    assert json.loads(seen.stdout)["padded"] is padded, seen.stdout
    tokens = sum(map(sum, masks)) if padded else sum(map(len, masks))
    assert json.loads(seen.stdout)["tokens"] == tokens
    done = run("pad", source, "-o", "out.parquet", "--mask-column", "real")
    assert ("padded already" in done.stderr) is padded, done.stderr
    cut = run("unpad", source, "-o", "-", "--output-format", "jsonl")
    kept = [len(json.loads(line)["input_ids"]) for line in cut.stdout.splitlines()]
    assert kept == [sum(mask) for mask in masks], cut.stderr
    rules = found(verify(run, source))
    equal = len({len(mask) for mask in masks}) == 1
    assert ("rows-unequal" in rules) is (padded and not equal), rules
