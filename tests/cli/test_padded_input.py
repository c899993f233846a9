"""How commands recognize padded input: length columns without masks, and shards that differ."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import has_facts

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
    """Replace a column and keep the metadata."""
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
    """Return the severity and the number of violations of each violated rule."""
    shown: dict[str, Any] = json.loads(done.stdout)
    findings = shown.get("data", shown.get("health"))
    return {one["rule"]: (one["severity"], one["count"]) for one in findings}


def verify(run: Run, *args: str) -> Completed:
    return run("verify", *args, "--no-model", "--json")


formats = pytest.mark.parametrize("suffix", ["parquet", "arrow"])
sides = pytest.mark.parametrize("side", ["post", "pre"])


@formats
@sides
def test_lengths_show_padding(run: Run, suffix: str, side: str) -> None:
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
def test_wrong_padding_value(run: Run, tmp_path: Path, suffix: str, side: str) -> None:
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


def test_length_must_be_an_integer(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    edit(tmp_path / "p.parquet", "n", pa.array([3.0, 1.0, None]))
    for verb in (["verify", "--no-model"], ["inspect"]):
        done = run(*verb, "p.parquet")
        assert done.returncode
        assert has_facts(done.stderr, "'n'", "double")


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


def test_lost_lengths_mean_raw_rows(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet").drop_columns(["n"]), tmp_path / "p.parquet")
    assert json.loads(run("inspect", "p.parquet", "--json").stdout)["padded"] is False


# --- Shards ---------------------------------------------------------------------------------


@each_value(mask={"mask": True, "lengths": False}, suffix=["parquet", "arrow"])
def test_shards_on_two_sides(run: Run, tmp_path: Path, suffix: str, mask: bool) -> None:
    (tmp_path / "d").mkdir()
    for name, side in (("a", "post"), ("b", "pre"), ("c", "post")):
        pad(run, f"d/{name}.{suffix}", "--padding", side, mask=mask)
    done = verify(run, "d")
    assert done.returncode == 1
    assert found(done)["mixed-sides"] == ("error", 1)
    assert f"b.{suffix} (pre)" in done.stdout
    # Each file is checked with its own padding side.
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
    # A row of only tokens or only padding has no side.
    assert found(done)["mask-wrong-side"] == ("error", 1)


IDS = ("-c", "input_ids")
LENGTHS = ("--length-column", "n")


@pytest.fixture
def shard(run: Run, tmp_path: Path) -> Callable[..., None]:
    """Return a function that writes a shard of the dataset `d`.

    The shard lacks the columns in `drop`, and has metadata only if `metadata` is True.
    """
    (tmp_path / "d").mkdir()
    rows = [{"input_ids": row, "labels": [7] * len(row)} for row in ROWS]
    (tmp_path / "both.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(
        name: str, *, options: tuple[str, ...] = IDS, drop: tuple[str, ...] = (), metadata: bool = True
    ) -> None:
        path = tmp_path / "d" / f"{name}.parquet"
        pad(run, str(path), *options, mask=True, source="both.jsonl")
        table = pq.read_table(path).drop_columns(list(drop))
        pq.write_table(table if metadata else table.replace_schema_metadata(None), path)

    return write


RAW: dict[str, Any] = {"drop": ("mask",), "metadata": False}
ONLY_LENGTHS: dict[str, Any] = {"options": LENGTHS, "drop": ("mask",)}
# Arguments of `shard` for two shards with different padding.
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a raw file beside a mask": ({}, RAW),
    "a raw file beside lengths": (ONLY_LENGTHS, RAW),
    "a mask without metadata": ({}, {"metadata": False}),
    "a mask that is gone": ({}, {"drop": ("mask",)}),
    "another mask": ({}, {"options": ("--mask-column", "real")}),
    "a mask or lengths": ({}, ONLY_LENGTHS),
    "a mask, with or without lengths": ({}, {"options": LENGTHS}),
    "other columns": ({}, {"options": (*IDS, "-c", "labels=-100")}),
}


@each_value(case=DIFFERENT.keys(), order=["ab", "ba"])
def test_mixed_padding_is_refused(run: Run, shard: Callable[..., None], case: str, order: str) -> None:
    for name, made in zip(order, DIFFERENT[case], strict=True):
        shard(name, **made)
    messages = set()
    for command in (["verify", "--no-model"], ["inspect"], ["unpad", "-o", "out.jsonl"]):
        done = run(*command, "d")
        assert done.returncode == 1, done.stderr
        assert has_facts(done.stderr, "padded", "same way")
        assert all(f"d/{name}.parquet" in done.stderr for name in "ab")
        messages.add(done.stderr)
    assert len(messages) == 1
    # pad checks each file, and pads such files only with --allow-padded.
    again = ["pad", "d", "-c", "input_ids", "-o", "again.parquet", "--overwrite-mask"]
    done = run(*again)
    assert (done.returncode, "already padded" in done.stderr) == (1, True)
    assert run(*again, "--allow-padded").returncode == 0


# Options for a second shard that is consistent with the first one.
ALIKE = {
    "side, with a mask": ("--padding", "pre"),
    "pad value": ("--value", "9"),
    "length of the rows": ("--maxlen", "7"),
}


@pytest.mark.parametrize("options", ALIKE.values(), ids=ALIKE)
def test_consistent_files_form_a_dataset(
    run: Run, shard: Callable[..., None], options: tuple[str, ...]
) -> None:
    shard("a")
    shard("b", options=(*IDS, *options))
    seen = json.loads(run("inspect", "d", "--json").stdout)
    assert (seen["padded"], seen["rows"]) == (True, 6)
    done = run("unpad", "d", "-o", "-", "--output-format", "jsonl")
    assert [json.loads(line)["input_ids"] for line in done.stdout.splitlines()] == ROWS * 2


def test_only_requested_columns_are_compared(run: Run, shard: Callable[..., None]) -> None:
    shard("a")
    shard("b", options=(*IDS, "-c", "labels=-100"))
    assert json.loads(run("inspect", "d", *IDS, "--json").stdout)["padded"] is True
    assert run("verify", "d", *IDS, "--no-model").returncode == 0
    assert run("unpad", "d", *IDS, "-o", "out.parquet").returncode == 0
    assert run("inspect", "d", "-c", "labels").returncode == 1


def test_unpad_refuses_unmasked_mixed_sides(run: Run, shard: Callable[..., None]) -> None:
    # The metadata refer to a missing mask, but the lengths exist.
    shard("a", options=(*IDS, *LENGTHS), drop=("mask",))
    shard("b", options=(*IDS, *LENGTHS, "--padding", "pre"), drop=("mask",))
    done = run("unpad", "d", "-o", "out.jsonl")
    assert done.returncode == 1
    assert has_facts(done.stderr, "no mask")
    assert found(verify(run, "d"))["mixed-sides"] == ("error", 1)


def test_masks_of_ones_are_not_padding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    plain = pa.table({"input_ids": [[1, 2], [3]]})
    for name, mask in (("a", None), ("b", [[1, 1], [1]])):
        table = plain if mask is None else plain.append_column("attention_mask", [mask])
        pq.write_table(table, tmp_path / "d" / f"{name}.parquet")
    assert json.loads(run("inspect", "d", "--json", "--workers", "1").stdout)["padded"] is False
    assert "padded" not in run("pad", "d", "-o", "out.parquet").stderr


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_mask_in_a_later_file_is_found(run: Run, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "d").mkdir()
    for name, mask in (("a", None), ("b", [[1, 0], [1, 1]])):
        rows: dict[str, Any] = {"input_ids": [[1, 2], [3, 4]]} | (
            {} if mask is None else {"attention_mask": mask}
        )
        path = tmp_path / "d" / f"{name}.{suffix}"
        if suffix == "parquet":
            pq.write_table(pa.table(rows), path)
        else:
            lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for command in (["inspect"], ["verify", "--no-model"]):
        done = run(*command, "d")
        assert (done.returncode, "b." + suffix in done.stderr) == (1, True)
    if suffix == "parquet":
        # For JSON Lines, only the first file is checked.
        assert "already padded" in run("pad", "d", "-o", "out.parquet").stderr


def test_unmarked_padding_causes_warning(run: Run, tmp_path: Path) -> None:
    pad(run, "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet").drop_columns(["n"]), tmp_path / "p.parquet")
    seen = json.loads(run("inspect", "p.parquet", "--json").stdout)
    report = json.loads(verify(run, "p.parquet").stdout)
    assert seen["padded"] is False
    rules = [[finding["rule"] for finding in findings] for findings in (seen["health"], report["data"])]
    assert [found[-1] for found in rules] == ["unmarked-padding", "unmarked-padding"]
    again = run("pad", "p.parquet", "-o", "again.parquet")
    assert (again.returncode, "metadata" in again.stderr) == (1, True)
    assert run("pad", "p.parquet", "-o", "again.parquet", "--allow-padded").returncode == 0
    assert run("unpad", "p.parquet", "-o", "out.jsonl").returncode == 2


def test_unpadded_column_counts_as_raw(run: Run, shard: Callable[..., None]) -> None:
    shard("a")
    assert json.loads(run("inspect", "d", "-c", "labels", "--json").stdout)["padded"] is False
    again = ["pad", "d", "-o", "again.parquet", "--overwrite-mask"]
    assert "already padded" not in run(*again, "-c", "labels").stderr
    assert "already padded" in run(*again, *IDS).stderr


def test_empty_masks_count_as_padding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"input_ids": [], "mask": []}\n')
    assert json.loads(run("inspect", "e.jsonl", "--json").stdout)["padded"] is True
    assert verify(run, "e.jsonl").returncode == 0
    assert run("unpad", "e.jsonl").stdout == '{"input_ids":[]}\n'


# Masks of the rows in a file, the name of the mask column, and whether the input is padded.
ANSWERS = {
    "a mask with padding, rows of two lengths": ([[1, 1, 0], [1, 1]], "attention_mask", True),
    "a mask with padding, rows of the same length": ([[1, 1, 0], [1, 1, 1]], "attention_mask", True),
    "a mask of ones, rows of two lengths": ([[1, 1, 1], [1, 1]], "attention_mask", False),
    "padmask's own name": ([[1, 1, 0], [1, 1, 1]], "mask", True),
}


@each_value(case=ANSWERS.keys(), suffix=["jsonl", "parquet"])
def test_commands_agree_on_padding(run: Run, tmp_path: Path, case: str, suffix: str) -> None:
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
    assert ("already padded" in done.stderr) is padded, done.stderr
    cut = run("unpad", source, "-o", "-", "--output-format", "jsonl")
    kept = [len(json.loads(line)["input_ids"]) for line in cut.stdout.splitlines()]
    assert kept == [sum(mask) for mask in masks], cut.stderr
    rules = found(verify(run, source))
    equal = len({len(mask) for mask in masks}) == 1
    assert ("rows-unequal" in rules) is (padded and not equal), rules
