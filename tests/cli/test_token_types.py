"""The token type of a column: an explicit dtype takes precedence, and bad rows are ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import raises_error

import padmask
from padmask import PadSpec

Completed = CompletedProcess[str]

INTS = PadSpec(dtype="int32", dtype_for_all=True)


def lines(*rows: str) -> str:
    """Return JSON Lines with these texts as values of `x`."""
    return "".join(f'{{"x":{row}}}\n' for row in rows)


def written(output: str, name: str = "x") -> list[Any]:
    return [json.loads(line)[name] for line in output.splitlines()]


@pytest.fixture
def run(here: Callable[..., Completed], tmp_path: Path) -> Callable[..., Completed]:
    """Run `padmask COMMAND in.jsonl ARGS...` on lines."""

    def call(command: str, *args: str, stdin: str) -> Completed:
        (tmp_path / "in.jsonl").write_text(stdin)
        return here(command, "in.jsonl", *args)

    return call


BAD_FIRST = {
    "vector": "[[1]]",
    "fraction": "[0.5]",
    "string": '["a"]',
    "bool": "[true]",
    "null": "[null]",
    "object": "[{}]",
    "deep": "[[[1]]]",
    "number": "5",
}


@pytest.mark.parametrize("asked", [("-c", "x:int32"), ("-c", "x", "--dtype", "int64")], ids=["own", "all"])
@pytest.mark.parametrize("bad", BAD_FIRST.values(), ids=BAD_FIRST)
def test_explicit_dtype_rejects_bad_rows(run, asked, bad):
    rows = lines(bad, "[1,2]", "[3]")

    ran = run("pad", *asked, "--on-error", "skip", "--rejects", "r.jsonl", stdin=rows)
    assert (written(ran.stdout), ran.returncode) == ([[1, 2], [3, 0]], 0)

    ran = run("pad", *asked, stdin=rows)
    assert "line 1: column 'x'" in ran.stderr


def test_one_good_row_is_enough(run):
    ran = run("pad", "-c", "x:int32", "--on-error", "skip", stdin=lines("[[1]]", "[1,2]"))
    assert written(ran.stdout) == [[1, 2]]


@pytest.mark.parametrize("output", ["o.parquet", "o.arrow", "o.npz"])
def test_typed_output_skips_bad_rows(here, tmp_path, output):
    (tmp_path / "in.jsonl").write_text(lines("[[1]]", "[0.5]", '["a"]', "[1,2]", "[3]"))

    assert here("pad", "in.jsonl", "-c", "x:int64", "--on-error", "skip", "-o", output).returncode == 0

    if output == "o.npz":
        values = np.load(tmp_path / output)["x"]
    elif output == "o.parquet":
        values = np.array(pq.read_table(tmp_path / output)["x"].to_pylist())
    else:
        values = np.array(pa.ipc.open_file(tmp_path / output).read_all()["x"].to_pylist())
    assert values.tolist() == [[1, 2], [3, 0]]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("bad", [0.5, float("nan"), 2.0**40], ids=str)
def test_typed_floats_as_ints(here, tmp_path, suffix, bad):
    table = pa.table({"x": pa.array([[bad], [1.0, 2.0], [3.0]])})
    if suffix == "parquet":
        pq.write_table(table, tmp_path / "in.parquet")
    else:
        with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as out:
            out.write_table(table)

    ran = here("pad", f"in.{suffix}", "-c", "x:int32", "--on-error", "skip", "-o", "o.jsonl")

    assert ran.returncode == 0
    assert written((tmp_path / "o.jsonl").read_text()) == [[1, 2], [3, 0]]


@pytest.mark.parametrize("asked", ["string", "float64", "int64"])
def test_null_lists_take_a_dtype(asked):
    table = pa.table({"x": pa.array([[], []], type=pa.list_(pa.null()))})

    padded = padmask.pad_table(table, [f"x:{asked}"], PadSpec(maxlen=1))

    zero = {"string": "", "float64": 0.0, "int64": 0}[asked]
    assert padded["x"].to_pylist() == [[zero], [zero]]


@pytest.mark.parametrize("rows", ["", lines("[]", "[]"), lines("[null]")], ids=["no row", "empty", "null"])
def test_no_token_takes_a_dtype(run, rows):
    ran = run("pad", "-c", "x:string", "--maxlen", "1", "--on-error", "skip", stdin=rows)

    assert ran.returncode == 0
    assert written(ran.stdout) == [[""]] * rows.count("[]")


def test_strings_are_not_ints(run):
    ran = run("pad", "-c", "x:int32", stdin=lines('["a"]', '["b"]'))

    assert ran.returncode == 2
    assert "'x' contains strings" in ran.stderr


def test_most_rows_decide_the_kind(run):
    for bad in ("[[1]]", '["a"]', "[true]"):
        ran = run("pad", "--on-error", "skip", stdin=lines(bad, "[1,2]", "[3]"))
        assert written(ran.stdout) == [[1, 2], [3, 0]]
    ran = run("pad", "--on-error", "skip", stdin=lines("[1]", '["a","b"]', '["c"]'))
    assert written(ran.stdout) == [["a", "b"], ["c", ""]]


ORDERS = [("[1.0,2]", "[2,1.0]"), ("[0.5,2]", "[2,0.5]"), ("[[0.5,2]]", "[[2,0.5]]")]


@each_value(both={both[0]: both for both in ORDERS}, asked=["x", "x:int32", "x:float64"])
def test_order_within_row_is_irrelevant(run, both, asked):
    ran = [run("pad", "-c", asked, "-o", "o.parquet", stdin=lines(row)) for row in both]
    assert ran[0].returncode == ran[1].returncode

    sorted_text = [sorted(run("pad", "-c", asked, stdin=lines(row)).stdout) for row in both]
    assert sorted_text[0] == sorted_text[1]

    taken = [_pad(json.loads(row), asked.partition(":")[2]) for row in both]
    assert taken[0] == taken[1]


def _pad(row: Any, asked: str) -> Any:
    spec = PadSpec(dtype=asked, dtype_for_all=True) if asked else PadSpec()
    try:
        padded = padmask.pad([row], spec)
    except padmask.DataError as error:
        return type(error)
    return padded.values.dtype, sorted(padded.values.reshape(-1).tolist())


def test_whole_floats_may_be_ints(run):
    ran = run("pad", "-c", "x:int64", stdin=lines("[1]", "[2.0,3]", "[4,5e0]", f"[{2**53 + 1},1.0]"))
    assert written(ran.stdout) == [[1, 0], [2, 3], [4, 5], [2**53 + 1, 1]]

    ran = run("pad", "-c", "x:int64", stdin=lines("[1]", "[[1.0]]", "[2e16]"))
    assert "line 2" in ran.stderr


def test_fraction_among_ints(run):
    ran = run("pad", stdin=lines("[1]", "[2,1.5]"))

    assert ran.returncode != 0
    assert "line 2" in ran.stderr and "position 1" in ran.stderr and "1.5" in ran.stderr


@pytest.mark.parametrize(
    ("rows", "spec"),
    [
        ([[[1]], [1, 2], [3]], INTS),
        ([["a"], [1]], INTS),
        ([[0.5], [1, 2]], INTS),
        ([[1], ["a"]], PadSpec(dtype="string")),
        ([np.array([[1]]), np.array([1, 2]), np.array([3])], PadSpec(dtype="int64")),
        ([[1.0, 2**53 + 1]], PadSpec(dtype="int64")),
    ],
    ids=str,
)
def test_api_names_the_bad_row(rows, spec):
    with pytest.raises(padmask.DataError, match="Row 0"):
        padmask.pad(rows, spec)


@pytest.mark.parametrize("row", [[[[1]], [["a"]]], [[1.5], [10**5000]], [[10**5000]]], ids=range(3))
def test_api_refuses_odd_rows(row):
    with pytest.raises(padmask.DataError):
        padmask.pad(row)


def test_pad_sequences_rounds_no_ints():
    with raises_error(padmask.DataError, "ints and floats", 2**53 + 1, place="row 0"):
        padmask.pad_sequences([[2**53 + 1, 1.0]], dtype="int64")


# Labels that are cut off


@pytest.mark.parametrize("bad", ["[0.5]", "[[1]]", '["a"]', "[null]", "5", "[1.0]"])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_lost_labels_are_counted(here, tmp_path, bad, last):
    rows = [f'{{"x":[1],"labels":{bad}}}\n', '{"x":[1,2,3],"labels":[-100,2,3]}\n']
    rows += ['{"x":[1,2,3],"labels":[1,2,-100]}\n', '{"x":[1,2,3],"labels":[1,2,9]}\n']
    (tmp_path / "in.jsonl").write_text("".join(rows[1:] + rows[:1] if last else rows))

    options = ("-c", "x", "-c", "labels:int32=-100", "--maxlen", "2", "--on-error", "skip")
    here("pad", "in.jsonl", "-o", "o.jsonl", *options, "--report", "r.json")

    assert json.loads((tmp_path / "r.json").read_text())["labels_lost"] == 2


@pytest.mark.parametrize("type_", [pa.float64(), pa.int16(), pa.int64()], ids=str)
def test_typed_labels_are_counted(tmp_path, type_):
    table = pa.table({"x": [[1, 2, 3]], "labels": pa.array([[1, 2, 3]], type=pa.list_(type_))})
    pq.write_table(table, tmp_path / "in.parquet")

    result = padmask.pad_file(
        tmp_path / "in.parquet",
        tmp_path / "o.parquet",
        columns=["x", "labels:int32=-100"],
        spec=PadSpec(maxlen=1),
    )

    assert result.ledger.labels_lost == 2


# Other commands


def test_unpad_blames_the_bad_row(run, tmp_path):
    rows = [("[[1]]", [True]), ("[1,2.0]", [True, True]), ("[3,0]", [True, False])]
    text = "".join(f'{{"x":{row},"mask":{json.dumps(mask)}}}\n' for row, mask in rows)

    ran = run("unpad", "-c", "x", "-o", "o.parquet", "--on-error", "skip", stdin=text)

    assert ran.returncode == 0, ran.stderr
    assert pq.read_table(tmp_path / "o.parquet")["x"].to_pylist() == [[1.0, 2.0], [3.0]]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_verify_uses_explicit_dtype(tmp_path: Path, suffix):
    source = tmp_path / f"in.{suffix}"
    rows = [[1.0, 0.0, 3.0]] * 3
    if suffix == "jsonl":
        source.write_text(lines(*map(json.dumps, rows)))
    else:
        pq.write_table(pa.table({"x": rows}), source)

    report = padmask.verify_file(source, columns=["x:int32"])

    # An unused id is suggested only for ids.
    [finding] = [found for found in report.data if found.rule.name == "pad-value-in-tokens"]
    assert "x=2" in finding.detail


def test_inspect_reads_good_rows(here, tmp_path):
    (tmp_path / "in.jsonl").write_text(lines("[2,1.0]", "[3]"))

    ran = here("inspect", "in.jsonl", "-c", "x:int32", "--json")
    assert json.loads(ran.stdout)["rows"] == 2
