"""`padmask inspect`: its tables and its JSON."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fork_server import ForkServer, needs_new_process
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import has_facts
from tiers import represented

from padmask import MaskSpec, PadSpec, WindowSpec, pad, pad_file
from padmask.cli import run

ROWS = [[5, 6, 7], [], [8], [9, 9, 9, 9, 9, 9, 9, 9]]


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("raw.jsonl").write_text("".join(f'{{"input_ids": {row}}}\n' for row in ROWS))
    return "raw.jsonl"


@pytest.fixture
def inspect(capfd):
    def inspect(*args: str) -> dict:
        assert run(["inspect", *args, "--json"]) == 0, capfd.readouterr().err
        return json.loads(capfd.readouterr().out)

    return inspect


def test_json_matches_the_readme(raw, inspect):
    seen = inspect(raw)
    assert list(seen) == [
        "rows",
        "tokens",
        "bad_rows",
        "column",
        "padded",
        "packed",
        "buckets",
        "lengths",
        "histogram",
        "masks",
        "plans",
        "health",
        "shared_end",
        "recommended",
        "advice",
        "notes",
        "warnings",
    ]
    assert (seen["rows"], seen["tokens"], seen["padded"]) == (4, 12, False)
    assert seen["lengths"] == {
        "min": 0,
        "median": 1,
        "mean": 3.0,
        "p90": 8,
        "p95": 8,
        "p99": 8,
        "max": 8,
        "empty": 1,
    }
    assert sum(bin_["rows"] for bin_ in seen["histogram"]) == 4
    assert [mask["length"] for mask in seen["masks"]] == [3, 0, 1, 8]
    assert list(seen["plans"][0]) == [
        "name",
        "maxlen",
        "rows",
        "padding_share",
        "rows_cut",
        "tokens_lost",
        "tokens_lost_share",
        "ends_lost",
        "bytes",
        "shapes",
    ]
    assert list(seen["recommended"]) == ["plan", "maxlen", "command"]
    assert seen["advice"].split("\n")[1] == seen["recommended"]["command"]
    assert list(seen["masks"][0]) == ["row", "length", "cut", "mask"]
    assert [finding["rule"] for finding in seen["health"]] == ["row-fully-masked"]
    assert seen["health"][0]["examples"] == ["raw.jsonl, line 2"]


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_masks_equal_those_of_pad(raw, inspect, padding, truncating):
    sides = ("--padding", padding, "--truncating", truncating)
    seen = inspect(raw, "--maxlen", "2", *sides)
    pad_file(raw, "padded.parquet", spec=PadSpec(maxlen=2, padding=padding, truncating=truncating))
    made = pq.read_table("padded.parquet")["mask"].to_pylist()
    assert [mask["mask"] for mask in seen["masks"]] == made
    assert [mask["mask"] for mask in inspect("padded.parquet")["masks"]] == made


def test_each_length_gets_a_plan(raw, inspect):
    plans = {plan["name"]: plan for plan in inspect(raw, "--maxlen", "2,5,p50")["plans"]}
    assert (plans["2"]["tokens_lost"], plans["5"]["tokens_lost"], plans["p50"]["maxlen"]) == (7, 3, 1)
    # The largest requested length limits the other plans.
    assert plans["buckets-2"]["edges"][-1] == plans["packed"]["maxlen"] == 5
    assert inspect(raw)["plans"][-1]["maxlen"] == 8


@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=30), maxlen=st.integers(1, 20))
def test_plans_predict_padding(tmp_path_factory, lengths, maxlen):
    file = tmp_path_factory.mktemp("plans") / "in.parquet"
    rows = [[1] * length for length in lengths]
    pq.write_table(pa.table({"ids": pa.array(rows, pa.list_(pa.int32()))}), file)
    from padmask.inspect.inspect_file import inspect_file

    plans = {cost.name: cost for cost in inspect_file([str(file)], specs=[PadSpec(maxlen=maxlen)]).plans}
    padded = pad(rows, PadSpec(maxlen=maxlen))
    assert plans[str(maxlen)].tokens == padded.mask.sum()
    assert plans[str(maxlen)].bytes == padded.values.nbytes


def test_metadata_describe_padding(raw, inspect):
    pad_file(
        raw, "odd.parquet", spec=PadSpec(maxlen=4, padding="pre", value=77), mask=MaskSpec(column="real")
    )
    seen = inspect("odd.parquet")
    assert seen["padded"]
    assert [mask["length"] for mask in seen["masks"]] == [3, 0, 1, 4]
    assert {finding["rule"] for finding in seen["health"]} == {"row-fully-masked"}


def test_unpadded_column_is_raw(tmp_path, inspect):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2], "labels": [0, 1]}\n{"input_ids": [3], "labels": [1]}\n')
    pad_file(rows, tmp_path / "padded.parquet", columns=["input_ids"])
    seen = inspect(str(tmp_path / "padded.parquet"), "-c", "labels=-100")
    assert (seen["padded"], seen["tokens"], seen["health"]) == (False, 3, [])
    assert inspect(str(tmp_path / "padded.parquet"), "-c", "input_ids")["padded"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("dtype", ["bool", "int64"])
def test_mask_describes_padding(raw, inspect, suffix, dtype):
    pad_file(raw, f"hf.{suffix}", mask=MaskSpec(column="attention_mask", dtype=dtype, length_column="length"))
    seen = inspect(f"hf.{suffix}")
    assert (seen["padded"], seen["lengths"]["max"], seen["tokens"]) == (True, 8, 12)


def test_mask_can_have_any_name(raw, inspect):
    pad_file(raw, "named.jsonl", mask=MaskSpec(column="real"))
    assert not inspect("named.jsonl", "-c", "input_ids")["padded"]
    assert inspect("named.jsonl", "-c", "input_ids", "--mask-column", "real")["padded"]


def test_tokenizer_mask_is_not_padding(tmp_path, inspect):
    file = tmp_path / "hf.parquet"
    pq.write_table(pa.table({"input_ids": [[1, 2], [3]], "attention_mask": [[1, 1], [1]]}), file)
    assert not inspect(str(file), "-c", "input_ids")["padded"]


BROKEN = {
    "mask-not-contiguous": {"mask": [[True, False, True], [True, True, True]], "ids": [[1, 0, 2], [3, 4, 5]]},
    "mask-wrong-side": {"mask": [[True, True, False], [False, True, True]], "ids": [[1, 2, 0], [0, 4, 5]]},
    "mask-shape": {"mask": [[True, True], [True, True, True]]},
    "rows-unequal": {"mask": [[True, True], [True, True, True]], "ids": [[1, 2], [3, 4, 5]]},
    "padding-not-pad-value": {"ids": [[1, 2, 9], [3, 4, 5]]},
    "pad-value-in-tokens": {"ids": [[0, 2, 0], [3, 4, 5]]},
    "row-fully-masked": {"mask": [[False, False, False], [True, True, True]], "ids": [[0, 0, 0], [3, 4, 5]]},
    "mask-length": {"length": [1, 3]},
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_files_are_reported(tmp_path, inspect, rule):
    good = {
        "ids": [[1, 2, 0], [3, 4, 5]],
        "mask": [[True, True, False], [True, True, True]],
        "length": [2, 3],
    }
    columns = good | ({"length": [sum(m) for m in BROKEN[rule]["mask"]]} if "mask" in BROKEN[rule] else {})
    meta = {
        "columns": {"ids": {"value": 0}},
        "mask_column": "mask",
        "padding": "post",
        "length_column": "length",
    }
    table = pa.table(columns | BROKEN[rule]).replace_schema_metadata({"padmask": json.dumps(meta)})
    pq.write_table(table, tmp_path / "broken.parquet")
    found = {finding["rule"] for finding in inspect(str(tmp_path / "broken.parquet"))["health"]}
    assert rule in found
    assert found <= {rule, "padding-not-pad-value"}


def test_declared_side_is_checked(raw, inspect):
    pad_file(raw, "pre.jsonl", spec=PadSpec(padding="pre"))
    said = {finding["rule"] for finding in inspect("pre.jsonl")["health"]}
    declared = {finding["rule"] for finding in inspect("pre.jsonl", "--padding", "post")["health"]}
    assert declared - said == {"mask-wrong-side"}


def test_mixed_types_are_named(tmp_path, inspect):
    for name, type_ in (("a", pa.int32()), ("b", pa.int64())):
        pq.write_table(pa.table({"ids": pa.array([[1]], pa.list_(type_))}), tmp_path / f"{name}.parquet")
    [finding] = inspect(str(tmp_path), "--workers", "1")["health"]
    assert finding["rule"] == "mixed-dtypes"
    assert finding["examples"] == [f"{tmp_path}/b.parquet (list<element: int64>)"]


def test_rows_can_be_chosen(raw, inspect):
    assert len(inspect(raw, "-n", "2")["masks"]) == 2
    assert inspect(raw, "-n", "0")["masks"] == []
    assert [mask["row"] for mask in inspect(raw)["masks"]] == [0, 1, 2, 3]
    assert [mask["row"] for mask in inspect(raw, "--rows", "1:3")["masks"]] == [1, 2]
    drawn = [mask["row"] for mask in inspect(raw, "--sample", "2", "--seed", "5")["masks"]]
    assert len(set(drawn)) == 2
    assert drawn == sorted(drawn)
    assert drawn == [mask["row"] for mask in inspect(raw, "--sample", "2", "--seed", "5")["masks"]]


@pytest.mark.slow
def test_sample_is_uniform(tmp_path, inspect):
    file = tmp_path / "many.parquet"
    pq.write_table(pa.table({"ids": [[1]] * 20}), file)
    drawn = [
        mask["row"]
        for seed in range(75)
        for mask in inspect(str(file), "--sample", "4", "--seed", f"{seed}")["masks"]
    ]
    counts = np.bincount(drawn, minlength=20)
    assert counts.min() > 5
    assert counts.max() < 30


@pytest.fixture
def shards(tmp_path):
    """The same rows in one file and in several files, one of them empty."""
    rows = [{"input_ids": list(range(number % 7))} for number in range(200)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "whole.jsonl").write_text("".join(lines))
    (tmp_path / "data").mkdir()
    for name, first, last in (("a", 0, 3), ("b", 3, 3), ("c", 3, 120), ("d", 120, 200)):
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(lines[first:last]))
    return tmp_path


@pytest.mark.parametrize("shown", [("-n", "5"), ("--rows", "2:9"), ("--no-masks",)], ids=" ".join)
def test_files_count_as_one(shards, inspect, shown):
    whole = inspect(str(shards / "whole.jsonl"), *shown)
    apart = inspect(str(shards / "data"), *shown, "--workers", "1")
    for found in (whole, apart):
        # The random rows and the name of the input in the command differ.
        del found["advice"], found["recommended"]["command"]
        if "-n" in shown:
            del found["masks"]
        # Each file of a folder is packed separately.
        found["plans"] = [plan for plan in found["plans"] if plan["name"] != "packed"]
        # The locations of the rows differ.
        for finding in found["health"]:
            finding["examples"] = len(finding["examples"])
    assert apart == whole


@pytest.mark.slow
@pytest.mark.parametrize("shown", [("-n", "5"), ("--sample", "9", "--seed", "-3")], ids=" ".join)
def test_workers_do_not_matter(shards, inspect, shown):
    seen = [inspect(str(shards / "data"), *shown, "--workers", workers) for workers in ("1", "2")]
    assert seen[0] == seen[1]
    rows = [mask["row"] for mask in seen[0]["masks"]]
    assert rows == sorted(set(rows))
    assert [mask["length"] for mask in seen[0]["masks"]] == [row % 7 for row in rows]


@pytest.mark.slow
def test_sample_over_files_is_uniform(shards, inspect):
    drawn = [
        mask["row"]
        for seed in range(60)
        for mask in inspect(str(shards / "data"), "--sample", "20", "--seed", f"{seed}", "--workers", "1")[
            "masks"
        ]
    ]
    # 1,200 draws among 200 rows; the first file has three of them, the third 117.
    counts = np.bincount(drawn, minlength=200)
    assert len(drawn) == 1200
    assert 4 <= counts[:3].sum() <= 36
    assert 640 <= counts[3:120].sum() <= 764


@pytest.mark.slow
def test_unreadable_file_is_named(shards, capfd):
    (shards / "data" / "e.jsonl.gz").write_bytes(gzip.compress(b'{"input_ids": [1]}\n')[:-9])
    assert run(["inspect", str(shards / "data"), "--workers", "2"]) == 1
    assert "e.jsonl.gz" in capfd.readouterr().err


def test_random_rows_come_from_the_whole_file(shards, inspect):
    rows = [mask["row"] for mask in inspect(str(shards / "whole.jsonl"))["masks"]]
    assert len(rows) == 10
    assert rows == sorted(rows)
    assert rows[-1] > 100
    assert rows == [mask["row"] for mask in inspect(str(shards / "whole.jsonl"), "--sample", "10")["masks"]]
    other = inspect(str(shards / "whole.jsonl"), "--seed", "1")
    assert rows != [mask["row"] for mask in other["masks"]]


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Rows that end with token 102. A few of them are much longer than the others."""
    monkeypatch.chdir(tmp_path)
    lengths = [20] * 600 + [60] * 300 + [120] * 90 + [140] * 9 + [500]
    rows = [[101, *range(1, length - 1), 102] for length in lengths]
    pq.write_table(pa.table({"input_ids": rows}), "my texts.parquet")
    return "my texts.parquet"


def run_command(line: str) -> dict:
    """Run a recommended command, and return its report."""
    words = shlex.split(line)
    assert words[0] == "padmask"
    assert run([*words[1:], "--report", "report.json", "--quiet"]) == 0
    return json.loads(Path("report.json").read_text())


@represented("asked", ["140", "p95", "120,p50", "100", "500", "600"], by=3)
def test_command_makes_the_plan(texts, inspect, asked):
    seen = inspect(texts, "--maxlen", asked, "--value", "7")
    [plan] = [plan for plan in seen["plans"] if plan["name"] == seen["recommended"]["plan"]]
    report = run_command(seen["recommended"]["command"])
    assert (report["maxlen"], report["rows_truncated"]) == (plan["maxlen"], plan["rows_cut"])
    assert report["tokens_lost"] == plan["tokens_lost"]
    rows = pq.read_table("padded.parquet")
    assert {row[sum(mask) - 1] for row, mask in zip(*rows.to_pydict().values(), strict=True)} == {102}
    assert rows["input_ids"][0].as_py()[-1] == (7 if plan["maxlen"] > 20 else 102)


@represented("asked", ["p95", "140 --overlong drop", "140", "100", "500"], by=2)
def test_all_commands_work(texts, capfd, asked):
    assert run(["inspect", texts, "--maxlen", *asked.split()]) == 0
    printed = capfd.readouterr().out
    commands = [line.strip() for line in printed.splitlines() if line.startswith("  padmask ")]
    assert printed.index("Recommended:\n  padmask ") < printed.index("Alternatives:")
    assert len(commands) == len({*commands}) >= 2
    for command in commands:
        run_command(command)


def test_command_makes_windows(texts, inspect):
    seen = inspect(texts, "--maxlen", "30")
    report = run_command(seen["recommended"]["command"])
    plan = seen["plans"][-1]
    assert (report["maxlen"], report["rows_written"]) == (30, plan["rows"])
    assert (report["tokens_lost"], report["padding_share"]) == (0, pytest.approx(plan["padding_share"]))
    rows = pq.read_table("padded.parquet").to_pylist()
    assert {(row["input_ids"][0], row["input_ids"][sum(row["mask"]) - 1]) for row in rows} == {(101, 102)}


CUTS = ["--overlong window --overlap 7 --keep-first 2", "--overlong drop", "--keep-last 3"]


@each_value(cuts=CUTS, maxlen=["130", "p95"])
def test_plans_honour_the_options_of_pad(texts, inspect, maxlen, cuts):
    seen = inspect(texts, "--maxlen", maxlen, *cuts.split())
    [plan] = [plan for plan in seen["plans"] if plan["name"] == maxlen]
    report = run_command(seen["recommended"]["command"])
    assert seen["recommended"]["plan"] == maxlen
    assert cuts in seen["recommended"]["command"]
    assert (report["rows_written"], report["tokens_lost"]) == (plan["rows"], plan["tokens_lost"])
    assert plan["ends_lost"] == 0
    assert report["padding_share"] == pytest.approx(plan["padding_share"])


def test_windows_need_a_length(texts, inspect, capfd):
    assert run(["inspect", texts, "--overlong", "window"]) == 2
    assert "--maxlen 512" in capfd.readouterr().err
    Path("pyproject.toml").write_text('[tool.padmask]\noverlong = "window"\noverlap = 4\n')
    assert inspect(texts)["recommended"]["plan"] == "p99"
    assert "--overlap 4" in inspect(texts, "--maxlen", "30")["recommended"]["command"]


def test_error_is_not_recommended_to_fail(texts, inspect):
    seen = inspect(texts, "--maxlen", "130", "--overlong", "error")
    assert "10 of 1,000 rows" in seen["advice"]
    assert run_command(seen["recommended"]["command"])["maxlen"] == 500


def test_column_of_ends_is_noted(tmp_path, inspect, capfd):
    file = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"input_ids": [[1, 2, 3, 4]], "n": [2]}), file)
    seen = inspect(str(file), "--maxlen", "3", "--keep-first", "n")
    assert seen["recommended"]["command"].endswith("--overlong window --overlap 0 --keep-first n")
    assert "'n'" in seen["notes"][0]
    assert run(["inspect", str(file), "--maxlen", "3", "--keep-first", "m"]) == 2
    assert "'m'" in capfd.readouterr().err


@pytest.mark.parametrize("folder", [False, True])
def test_windows_are_joined_before_padding(texts, inspect, folder):
    windows = PadSpec(maxlen=60, windows=WindowSpec(overlap=9), keep_first=1, keep_last=1)
    Path("in").mkdir()
    pad_file(texts, "in/windows.parquet", spec=windows)
    seen = inspect("in" if folder else "in/windows.parquet", "--maxlen", "50")
    assert seen["rows"] == pq.read_table("in/windows.parquet").num_rows > 1000
    assert seen["recommended"] is None
    unpad, again = seen["advice"].splitlines()[-1].split(" && ")
    assert run(shlex.split(unpad)[1:]) == 0
    rows, joined = (pq.read_table(name)["input_ids"].to_pylist() for name in (texts, "rows.parquet"))
    assert joined == rows
    assert (
        inspect(*shlex.split(again)[2:])["recommended"]
        == inspect("rows.parquet", "--maxlen", "50")["recommended"]
    )


def test_windows_kept_as_rows_are_padded(texts, inspect):
    pad_file(texts, "windows.parquet", spec=PadSpec(maxlen=60, windows=WindowSpec()))
    assert run(["unpad", "windows.parquet", "-o", "rows.parquet", "--no-join-windows", "-q"]) == 0
    seen = inspect("rows.parquet", "--maxlen", "50")
    plan = next(plan for plan in seen["plans"] if plan["name"] == "50")
    assert run_command(seen["recommended"]["command"])["tokens_lost"] == plan["tokens_lost"]
    # New windows of these rows would need columns that the rows already have.
    assert "--overlong" not in inspect("rows.parquet", "--maxlen", "20")["advice"]


def test_command_for_padded_input(texts, inspect):
    pad_file(texts, "all.parquet", spec=PadSpec(maxlen=600))
    seen = inspect("all.parquet")
    assert seen["recommended"]["plan"] == "p99"
    unpad, command = seen["recommended"]["command"].split(" && ")
    assert run(shlex.split(unpad)[1:]) == 0
    assert run_command(command)["maxlen"] == 120
    # The padded rows cannot become shorter without a cut.
    assert inspect("padded.parquet", "--maxlen", "120")["recommended"]["command"] is None


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("side", ["pre", "post"])
@pytest.mark.parametrize(
    ("marks", "options"),
    [
        ({}, ""),
        ({"column": None, "length_column": "n"}, "--no-mask --length-column n "),
        ({"column": "attention_mask"}, "--mask-column attention_mask "),
    ],
)
def test_padded_input_keeps_side_and_end(tmp_path, monkeypatch, inspect, suffix, side, marks, options):
    monkeypatch.chdir(tmp_path)
    rows = [[101, 5, 6, 7, 8, 102], *[[101, 5, 6, 102]] * 5]
    Path("rows.jsonl").write_text("".join(f'{{"input_ids": {row}}}\n' for row in rows))
    if suffix == "jsonl" and marks.get("length_column"):
        pytest.skip("JSON Lines has no metadata that name the length column")
    pad_file("rows.jsonl", f"all.{suffix}", spec=PadSpec(padding=side), mask=MaskSpec(**marks))
    seen = inspect(f"all.{suffix}", "--maxlen", "5")
    assert seen["shared_end"] == {"token": 102, "end": "last", "rows": 6}
    assert {plan["name"]: plan["ends_lost"] for plan in seen["plans"]}["5"] == 1
    padding = "--padding pre " if side == "pre" else ""
    command = seen["recommended"]["command"]
    assert command.endswith(f"-o padded.parquet {options}{padding}--maxlen 5 --keep-last 1")
    pre = inspect(f"all.{suffix}", "--maxlen", "5", "--truncating", "pre")
    assert pre["shared_end"] == {"token": 101, "end": "first", "rows": 6}


def test_requested_side_takes_precedence(raw, inspect):
    pad_file(raw, "pre.parquet", spec=PadSpec(padding="pre"))
    command = inspect("pre.parquet", "--maxlen", "7", "--padding", "post")["recommended"]["command"]
    assert "--padding" not in command


def test_other_plans_lose_no_more(tmp_path, inspect):
    file = tmp_path / "equal.jsonl"
    file.write_text('{"input_ids": [1, 2, 3, 4, 5, 6, 7, 8]}\n' * 20)
    seen = inspect(str(file), "--maxlen", "6")
    assert seen["recommended"]["plan"] == "windows-6"
    assert "sorted-32" not in seen["advice"]


def test_limit_is_noted(texts, inspect):
    assert inspect(texts, "--limit", "2000")["notes"] == []
    [note] = inspect(texts, "--limit", "10")["notes"]
    assert "first 10 rows" in note


def test_rows_beyond_the_end_are_noted(raw, inspect, capfd):
    seen = inspect(raw, "--rows", "50:60")
    assert seen["masks"] == []
    assert "50:60" in seen["notes"][0] and "4 rows" in seen["notes"][0]
    assert run(["inspect", raw, "--rows", "0:2", "-n", "1"]) == 2
    assert "--rows and --count" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--maxlen", "100"], "97 98 [20 tokens cut] 102"),
        (["--maxlen", "100", "--truncating", "pre"], "101 [20 tokens cut] 21 22"),
        (["--maxlen", "100", "--overlong", "window"], "97 98 [20 tokens in further windows] 102"),
    ],
)
def test_shown_rows_are_those_of_the_command(texts, capfd, args, shown):
    assert run(["inspect", texts, "--rows", "950:951", "--style", "tokens", "--no-plans", *args]) == 0
    assert shown in " ".join(capfd.readouterr().out.split())


def test_dropped_rows_are_shown(texts, capfd):
    cuts = ["--maxlen", "130", "--overlong", "drop", "--no-plans"]
    assert run(["inspect", texts, "--rows", "988:992", *cuts]) == 0
    assert "× in dropped rows" in capfd.readouterr().out


def test_shared_end_is_reported(texts, inspect):
    seen = inspect(texts, "--maxlen", "100,p99")
    assert seen["shared_end"] == {"token": 102, "end": "last", "rows": 1000}
    ends = {plan["name"]: plan["ends_lost"] for plan in seen["plans"]}
    assert (ends["longest"], ends["p99"], ends["100"], ends["packed"]) == (0, 10, 100, 10)
    assert seen["recommended"]["command"].endswith("--maxlen p99 --keep-last 1")
    pre = inspect(texts, "--truncating", "pre")
    assert pre["shared_end"] == {"token": 101, "end": "first", "rows": 1000}
    assert pre["recommended"]["command"].endswith("--truncating pre --maxlen p99 --keep-first 1")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.slow
def test_shared_end_over_files(tmp_path, inspect, workers):
    (tmp_path / "data").mkdir()
    for number in range(3):
        table = pa.table({"ids": [[1, number, 9], [], [number, 9]] * (number + 1)})
        pq.write_table(table, tmp_path / "data" / f"{number}.parquet")
    seen = inspect(str(tmp_path / "data"), "--workers", workers, "--maxlen", "2")
    assert seen["shared_end"] == {"token": 9, "end": "last", "rows": 12}
    assert {plan["name"]: plan["ends_lost"] for plan in seen["plans"]}["2"] == 6
    assert shlex.split(seen["recommended"]["command"])[4] == "padded/"


def test_large_loss_is_not_recommended(texts, inspect):
    seen = inspect(texts, "--maxlen", "30")
    assert seen["recommended"]["plan"] == seen["plans"][-1]["name"] == "windows-30"
    windows = "--maxlen 30 --overlong window --overlap 3 --keep-first 1 --keep-last 1"
    assert seen["recommended"]["command"].endswith(windows)
    assert [len(mask["mask"]) for mask in seen["masks"]] == [30] * 10
    assert all(mask["cut"] in (0, 30, 90, 110, 470) for mask in seen["masks"])


def test_grid_shows_cut_tokens(texts, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["inspect", texts, "--rows", "988:992", "--maxlen", "130", "--no-plans"]) == 0
    head, legend, *rows = capfd.readouterr().out.splitlines()[2:8]
    assert head.startswith("Masks of 4 rows: 130 positions, ")
    assert "× cut" in legend
    assert [line.split()[0] for line in rows] == ["988", "989", "990", "991"]
    assert [line.endswith("130 -10") for line in rows] == [False, False, True, True]


def test_tokens_style_folds_padding(texts, capfd):
    assert run(["inspect", texts, "--rows", "899:901", "--maxlen", "100", "--style", "tokens"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "58 102 (0 x 40) 900: 101 1 2" in shown
    assert "98 [20 tokens cut] 102 Lengths" in shown


def test_command_is_one_line(real_process, texts):
    shown = real_process(texts, "--no-masks", COLUMNS="40")
    command = "  padmask pad 'my texts.parquet' -o padded.parquet --maxlen p99 --keep-last 1"
    assert command in shown.splitlines()


def test_parts_can_be_omitted(raw, inspect):
    assert "plans" not in inspect(raw, "--no-plans")
    assert "masks" not in inspect(raw, "--no-masks")


def test_bool_style_prints_numpy(raw, capfd):
    assert run(["inspect", raw, "--style", "bool", "--maxlen", "3", "--no-plans"]) == 0
    assert (
        "[[ True  True  True]\n [False False False]\n [ True False False]\n [ True  True  True]]\n"
        in capfd.readouterr().out
    )


def test_int_style_prints_a_mask(raw, capfd):
    assert run(["inspect", raw, "--style", "int", "--maxlen", "3", "--no-plans"]) == 0
    assert "[[1 1 1]\n [0 0 0]\n [1 0 0]\n [1 1 1]]\n" in capfd.readouterr().out


def test_tokens_work_without_colour(raw, capfd):
    assert run(["inspect", raw, "--style", "tokens", "--maxlen", "3", "--value", "4", "--no-plans"]) == 0
    assert "2: 8 (4 x 2)" in capfd.readouterr().out


@pytest.fixture
def real_process(fork_server: ForkServer):
    """Run `padmask inspect ARGS...` as a process, and return the text on stdout."""

    def start(*args: str, **env: str) -> str:
        env = {**os.environ, **env}
        if needs_new_process(env):
            command = [sys.executable, "-m", "padmask", "inspect", *args]
            return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, check=True).stdout
        done = fork_server.run("inspect", *args, cwd=Path.cwd(), env=env)
        assert done.returncode == 0, done
        return done.stdout.decode()

    return start


@represented(
    "columns,env",
    [(40, {"LANG": "C", "LC_ALL": "C"}), (200, {"NO_COLOR": "1"}), (40, {}), (200, {})],
    by=2,
)
def test_output_fits_the_terminal(real_process, raw, columns, env):
    shown = real_process(raw, "--maxlen", "300", COLUMNS=str(columns), **env)
    # A finding is one line, like the output of a linter.
    findings = shown.partition("Health\n")[2].partition("Advice: ")[0]
    # The command is one line too, so that users can copy it.
    lines = [line for line in shown.replace(findings, "").splitlines() if "  padmask pad" not in line]
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in shown
    grid = [line for line in shown.splitlines() if line.startswith(("0 ", "1 "))]
    assert len(grid) == 2
    assert "█" not in grid[1]


TITLES = {"rows_cut": "rows cut", "tokens_lost": "tokens lost", "shapes": "shapes"}


@pytest.mark.slow
def test_narrow_terminal(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [[7] * (1 + i * i % 613) for i in range(1500)]
    Path("long.jsonl").write_text("".join(f'{{"input_ids": {row}}}\n' for row in rows))
    assert run(["inspect", "long.jsonl", "--no-masks", "--json"]) == 0
    plans = json.loads(capfd.readouterr().out)["plans"]
    for columns in (20, 30, 40, 50, 60, 70, 78):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert run(["inspect", "long.jsonl", "--no-masks"]) == 0
        shown = capfd.readouterr().out.partition("Plans")[2].partition("Health")[0]

        assert max(map(len, shown.splitlines())) <= columns
        table, _, left_out = shown.partition("omitted columns")
        for plan in plans:
            numbers = [plan["name"], *map(str, plan.get("edges") or [plan["maxlen"]])]
            numbers += [
                f"{plan[name]:,}" for name, title in TITLES.items() if title not in " ".join(left_out.split())
            ]
            assert set(numbers) <= set(table.split()), columns


@pytest.mark.slow
def test_ascii_terminal(real_process, raw):
    shown = real_process(raw, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert shown.isascii()
    assert "###" in shown


def test_full_cell_means_no_padding(raw, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Path("long.jsonl").write_text(
        f'{{"input_ids": {[1] * 999}}}\n{{"input_ids": [1]}}\n{{"input_ids": {[1] * 1000}}}\n'
    )
    assert run(["inspect", "long.jsonl", "--no-plans"]) == 0
    grid = [line.split()[1] for line in capfd.readouterr().out.splitlines() if line[:2] in ("0 ", "1 ", "2 ")]
    assert grid[0].endswith("▓")
    assert grid[1].startswith("░·")
    assert set(grid[2]) == {"█"}


def test_closed_pipe_is_not_an_error(raw, quick_command):
    Path("many.jsonl").write_text('{"input_ids": [1, 2, 3]}\n' * 5000)
    script = f'{" ".join(quick_command)} inspect many.jsonl -n 5000 | head -1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_data_cannot_drive_terminals(tmp_path, capfd):
    (tmp_path / "odd.jsonl").write_text('{"input_ids": ["\\u001b[31mx", "a\\nb"]}\n')
    assert run(["inspect", str(tmp_path / "odd.jsonl"), "--style", "tokens"]) == 0
    assert "0: \\x1b[31mx a\\nb" in capfd.readouterr().out


def test_missing_length_column(raw, inspect):
    pad_file(raw, "with.parquet", mask=MaskSpec(length_column="len"))
    table = pq.read_table("with.parquet")
    pq.write_table(table.drop(["len"]), "without.parquet")
    assert inspect("without.parquet")["tokens"] == 12


def test_given_pad_value_is_checked(tmp_path, inspect):
    file = tmp_path / "plain.parquet"
    ids, mask = [[1, 9, 7], [3, 4, 7]], [[True, False, False], [True, True, True]]
    pq.write_table(pa.table({"input_ids": ids, "mask": mask}), file)
    found = [finding["rule"] for finding in inspect(str(file), "-c", "input_ids=7")["health"]]
    assert found == ["padding-not-pad-value", "pad-value-in-tokens"]


@pytest.mark.parametrize("suffix", ["html", "txt"])
def test_export_is_self_contained(raw, suffix, capfd):
    assert run(["inspect", raw, "--export", f"masks.{suffix}"]) == 0
    capfd.readouterr()
    exported = Path(f"masks.{suffix}").read_text(encoding="utf-8")
    assert "raw.jsonl" in exported
    assert "url(" not in exported.replace("url(#", "")  # a part of the page itself
    assert "://" not in exported


@represented("suffix", ["svg", "png", "pdf"], by=1)
def test_figure_is_exported(raw, suffix, capfd):
    pytest.importorskip("matplotlib")
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    assert run(["inspect", raw, "--export", f"lengths.{suffix}", "--theme", "dark"]) == 0
    assert has_facts(capfd.readouterr().out, raw)
    assert Path(f"lengths.{suffix}").read_bytes().startswith(start)


def test_several_exports(raw, capfd):
    assert run(["inspect", raw, "--export", "a.html", "--export", "b.txt", "--title", "Mine"]) == 0
    assert capfd.readouterr().err.splitlines() == ["wrote a.html", "wrote b.txt"]
    assert "<h1>Mine</h1>" in Path("a.html").read_text()
    assert Path("b.txt").exists()


def test_exports_differ(raw, capfd):
    assert run(["inspect", raw, "--export", "a.html", "--export", "./a.html"]) == 2
    assert not Path("a.html").exists()


def test_quiet_prints_only_errors(raw, tmp_path, capfd):
    assert run(["inspect", raw, "-q", "--export", "a.html"]) == 0
    assert capfd.readouterr() == ("", "")
    table = {"ids": [[1, 0, 2]], "mask": [[True, False, True]]}
    pq.write_table(pa.table(table), tmp_path / "broken.parquet")
    assert run(["inspect", str(tmp_path / "broken.parquet"), "-q"]) == 0
    [line] = capfd.readouterr().out.splitlines()
    assert "mask-not-contiguous" in line
    assert run(["inspect", raw, "-q", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["rows"] == 4


def test_missing_matplotlib(raw, capfd, monkeypatch):
    monkeypatch.setattr("padmask.render.figure.find_spec", lambda name: None)
    assert run(["inspect", "missing.jsonl", "--export", "lengths.svg"]) == 2  # refused before reading
    assert has_facts(capfd.readouterr().err, "pip install 'padmask[plot]'")
    assert not Path("lengths.svg").exists()
    assert run(["inspect", raw, "--export", "lengths.html"]) == 0


def test_unknown_export_is_refused(raw, capfd):
    assert run(["inspect", raw, "--export", "masks.gif"]) == 2
    assert ".svg, .png, .pdf, .html, .txt" in capfd.readouterr().err


def test_stdin_is_read(raw, fork_server):
    with open(raw) as stream:
        done = fork_server.run("inspect", "-", "--json", cwd=Path.cwd(), stdin=stream.fileno())
    assert done.returncode == 0, done
    seen = json.loads(done.stdout)
    assert seen["rows"] == 4
    # The data from the pipe are gone.
    assert seen["recommended"]["command"].startswith("padmask pad INPUT -o ")
    assert "INPUT with a file" in seen["advice"]


@pytest.mark.slow
def test_several_files_are_one_dataset(raw, inspect):
    shutil.copy(raw, "again.jsonl")
    assert inspect(raw, "again.jsonl")["rows"] == 8
    assert inspect(raw, "again.jsonl", "--limit", "5")["rows"] == 5
    # A file that is named twice is read once.
    assert inspect(raw, raw)["rows"] == 4


def test_empty_input(tmp_path, inspect):
    (tmp_path / "empty.jsonl").write_text("")
    seen = inspect(str(tmp_path / "empty.jsonl"))
    assert (seen["rows"], seen["masks"], seen["plans"]) == (0, [], [])


def test_floats_are_called_steps(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("".join(json.dumps({"x": [0.5] * length}) + "\n" for length in (2, 9, 9)))
    assert run(["inspect", "in.jsonl", "--maxlen", "8", "--export", "a.html", "--export", "a.txt"]) == 0
    printed = capfd.readouterr().out
    assert "steps lost" in printed and "10.0% of the steps" in printed
    for text in (printed, Path("a.html").read_text().partition("<main")[2]):
        assert "token" not in re.sub("--batch-tokens|real token", "", text)


BAD = """\
{"input_ids": [1, 2, 3]}
{"input_ids": null}
{"input_ids": [4]}
{"input_ids": [5, null]}
{broken
{"input_ids": [6, 7]}
"""


def test_bad_rows_are_findings(tmp_path, inspect, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text(BAD)
    seen = inspect("in.jsonl")
    assert (seen["rows"], seen["bad_rows"], seen["tokens"], seen["lengths"]["empty"]) == (3, 3, 6, 0)
    assert [mask["row"] for mask in seen["masks"]] == [0, 2, 5]
    examples = [example for finding in seen["health"] for example in finding["examples"]]
    assert examples == ["in.jsonl, line 2", "in.jsonl, line 4", "in.jsonl, line 5"]
    assert "3 bad rows" in seen["advice"] and "--on-error skip" in seen["advice"]
    report = run_command(f"{seen['recommended']['command']} --on-error skip")
    plan = next(plan for plan in seen["plans"] if plan["name"] == "longest")
    assert (report["rows_written"], report["padding_share"]) == (3, pytest.approx(plan["padding_share"]))


def test_files_with_bad_rows(tmp_path, inspect):
    (tmp_path / "data").mkdir()
    (tmp_path / "a.jsonl").write_text(2 * BAD)
    for name in "ab":
        (tmp_path / "data" / f"{name}.jsonl").write_text(BAD)
    whole, apart = inspect(str(tmp_path / "a.jsonl")), inspect(str(tmp_path / "data"), "--workers", "1")
    for key in ("rows", "bad_rows", "lengths", "masks"):
        assert apart[key] == whole[key]
    assert [mask["row"] for mask in whole["masks"]] == [0, 2, 5, 6, 8, 11]


@pytest.mark.parametrize("files", [1, 2])
def test_only_bad_rows_are_an_error(tmp_path, capfd, files):
    for number in range(files):
        (tmp_path / f"{number}.jsonl").write_text('{"input_ids": [1, null]}\n')
    assert run(["inspect", str(tmp_path), "--workers", "1"]) == 1
    said = capfd.readouterr().err
    assert has_facts(said, "0.jsonl, line 1", "'input_ids'", "position 1", "null")
    assert ("All 2 rows" in said) == (files == 2)


def test_pipes_have_no_trailing_spaces(
    here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2, 3]}\n{"input_ids": [4]}\n' * 40)
    for command in ("pad", "pack"):
        assert here(command, "in.jsonl", "-o", f"{command}.parquet", "-q").returncode == 0
    for name in ("in.jsonl", "pad.parquet", "pack.parquet"):
        lines = here("inspect", name).stdout.splitlines()
        assert len(lines) > 5
        assert [line for line in lines if line != line.rstrip()] == []
