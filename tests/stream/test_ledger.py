"""Every row is written, dropped or rejected exactly once and in order, and is counted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from oracle import nearest_rank, pad_lists

from padmask import PadSpec, pad_file
from padmask.cli import run
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Segments, make_plan
from padmask.stream.capacity import PositionBytes, predict_bytes
from padmask.stream.ledger import Ledger

SCHEMA = pa.schema([("id", pa.int64()), ("a", pa.list_(pa.int64())), ("b", pa.list_(pa.int64()))])
# The first row determines the kind of tokens.
FIRST = {"a": [7], "b": [8]}

ids = st.integers(-(2**31), 2**31 - 1)
too_large = st.sampled_from([2**31, -(2**31) - 1, 2**40])
sequences = st.lists(ids, max_size=6)


@st.composite
def good_rows(draw: st.DrawFn) -> dict[str, Any]:
    length = draw(st.integers(0, 6))
    column = st.lists(ids, min_size=length, max_size=length)
    return {"a": draw(column), "b": draw(column)}


@st.composite
def unequal_rows(draw: st.DrawFn) -> dict[str, Any]:
    return {"a": draw(sequences), "b": draw(sequences)}


def spoiled(token: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Good rows with one bad token."""

    def put(row: dict[str, Any], name: str, bad: Any, place: int) -> dict[str, Any]:
        return row | {name: [*row[name][:place], bad, *row[name][place:]]}

    return st.builds(put, good_rows(), st.sampled_from("ab"), token, st.integers(0, 6))


null_rows = st.builds(lambda row, name: row | {name: None}, good_rows(), st.sampled_from("ab"))
TYPED = st.one_of(good_rows(), good_rows(), unequal_rows(), null_rows, spoiled(too_large | st.none()))
missing = st.builds(lambda row, name: {name: row[name]}, good_rows(), st.sampled_from("ab"))
odd_tokens = st.sampled_from([1.5, True, "x", [1], {}, 2**70])
odd_values = st.builds(lambda row, value: row | {"a": value}, good_rows(), st.sampled_from([7, "x", {}]))
# In JSON Lines, a line may have any content. A string is the text of a line.
no_rows = st.sampled_from(["{", "[1]", "7", "null", '{"a": [1', "é\udcff"])
FREE = st.one_of(TYPED, TYPED, missing, spoiled(odd_tokens), odd_values, no_rows)


@dataclass(frozen=True)
class Policy:
    """The options of a run."""

    maxlen: str
    overlong: str
    empty_rows: str
    on_error: str
    padding: str
    truncating: str
    batch_rows: int | None
    threads: int

    def args(self) -> list[str]:
        batch = ["--batch-rows", str(self.batch_rows)] if self.batch_rows else []
        # pad refuses --truncating if no row is truncated.
        cut = ["--truncating", self.truncating] if self.overlong == "truncate" else []
        return [
            *("--maxlen", self.maxlen, "--overlong", self.overlong, "--empty-rows", self.empty_rows),
            *("--on-error", self.on_error, "--padding", self.padding, *cut),
            *("--threads", str(self.threads), *batch),
        ]


policies = st.builds(
    Policy,
    maxlen=st.sampled_from(["0", "2", "4", "9", "longest", "p50", "p90"]),
    overlong=st.sampled_from(["truncate", "truncate", "drop", "drop", "error"]),
    empty_rows=st.sampled_from(["keep", "keep", "drop", "drop", "error"]),
    on_error=st.sampled_from(["skip", "skip", "skip", "fail"]),
    padding=st.sampled_from(["post", "pre"]),
    truncating=st.sampled_from(["post", "pre"]),
    batch_rows=st.sampled_from([None, 1, 2, 5]),
    threads=st.sampled_from([1, 1, 3]),
)


@st.composite
def files(draw: st.DrawFn, rows: st.SearchStrategy[Any]) -> list[list[Any]]:
    """One or several files of rows with unique numbers."""
    parts = draw(st.lists(st.lists(rows, max_size=8), min_size=1, max_size=3))
    parts[0].insert(0, FIRST)
    number = iter(range(99))
    return [[row if isinstance(row, str) else {"id": next(number)} | row for row in part] for part in parts]


# --- The expected output, computed row by row ---------------------------------------------


def is_sequence(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(token, int) and not isinstance(token, bool) and -(2**31) <= token < 2**31
        for token in value
    )


def is_good(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and is_sequence(row.get("a"))
        and is_sequence(row.get("b"))
        and len(row["a"]) == len(row["b"])
    )


@dataclass(frozen=True)
class Fates:
    """The expected fate of each row ("written", "dropped" or "rejected"); None if the run must fail."""

    fates: list[str] | None
    maxlen: int


def fates_of(rows: list[Any], policy: Policy) -> Fates:
    good = [row for row in rows if is_good(row)]
    lengths = [len(row["a"]) for row in good if row["a"] or policy.empty_rows == "keep"]
    if policy.maxlen.isdigit():
        maxlen = int(policy.maxlen)
    elif policy.maxlen == "longest":
        maxlen = max(lengths, default=0)
    else:
        maxlen = nearest_rank(lengths, float(policy.maxlen[1:])) if lengths else 0
    refused = (
        (policy.on_error == "fail" and len(good) < len(rows))
        # A computed maxlen of 0 is refused.
        or (maxlen == 0 and not policy.maxlen.isdigit())
        or (policy.empty_rows == "error" and any(not row["a"] for row in good))
        or (policy.overlong == "error" and any(len(row["a"]) > maxlen for row in good))
    )

    def fate(row: Any) -> str:
        if not is_good(row):
            return "rejected"
        empty = policy.empty_rows == "drop" and not row["a"]
        overlong = policy.overlong == "drop" and len(row["a"]) > maxlen
        return "dropped" if empty or overlong else "written"

    return Fates(None if refused else [fate(row) for row in rows], maxlen)


# --- The run and its summary ---------------------------------------------------------------


def write(folder: Path, parts: list[list[Any]], suffix: str) -> list[Path]:
    paths = []
    for number, rows in enumerate(parts):
        path = folder / f"{number}.{suffix}"
        paths.append(path)
        if suffix == "jsonl":
            texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            # Blank lines are not rows.
            path.write_bytes("\n\n".join(texts).encode("utf-8", "surrogateescape"))
            continue
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        if suffix == "parquet":
            pq.write_table(table, path, row_group_size=3)
        else:
            with pa.ipc.new_file(path, table.schema) as out:
                out.write_table(table, max_chunksize=3)
    return paths


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    return table.to_pylist()


def rejected_row(line: bytes) -> Any:
    """Return the original row of a line of the rejects."""
    rejected = json.loads(line)
    if "bytes" in rejected:
        return bytes(rejected["bytes"]).decode("utf-8", "surrogateescape")
    row = rejected["text"] if "text" in rejected else rejected["row"]
    # Lines that are JSON but not rows are under `row` or `text`.
    return row if isinstance(row, (dict, str)) else json.dumps(row)


def said_of(what: str, text: str) -> int:
    """Return the number of rows that the summary reports with the word `what`; 0 if there is none."""
    found = re.search(rf"([\d,]+) rows? {what}", text)
    return int(found[1].replace(",", "")) if found else 0


def check(parts: list[list[Any]], policy: Policy, source: str, target: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="padmask-test-"))
    try:
        inputs = write(folder, parts, source)
        paths = {name: folder / name for name in (f"out.{target}", "rejects.jsonl", "report.json")}
        output, rejects, report = paths.values()
        columns = ["-c", "a:int32", "-c", "b:int32=-100"]
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            beside = ["--rejects", str(rejects), "--report", str(report)]
            args = [*map(str, inputs), "-o", str(output), *columns, *policy.args()]
            code = run(["pad", *args, *beside])
        rows = [row for part in parts for row in part]
        expected = fates_of(rows, policy)
        if expected.fates is None:
            event("refused")
            assert code == 1, said.getvalue()
            assert not output.exists()
            assert not rejects.exists()
            assert json.loads(report.read_text())["exit_code"] == 1
            return
        assert code == 0, said.getvalue()
        _agree(rows, expected, policy, read(output), rejects.read_bytes().splitlines())
        _count(rows, expected, json.loads(report.read_text()), said.getvalue())
    finally:
        shutil.rmtree(folder)


def _agree(
    rows: list[Any], expected: Fates, policy: Policy, written: list[dict[str, Any]], rejects: list[bytes]
) -> None:
    """Check that the output and the rejects together contain every row once and in order."""
    assert expected.fates is not None
    kept, left = iter(written), iter(rejects)
    for row, fate in zip(rows, expected.fates, strict=True):
        if fate != "written":
            assert rejected_row(next(left)) == row
            continue
        values, mask, _ = pad_lists([row["a"]], expected.maxlen, policy.padding, policy.truncating, 0)
        labels, _, _ = pad_lists([row["b"]], expected.maxlen, policy.padding, policy.truncating, -100)
        assert next(kept) == {"id": row["id"], "a": values[0], "b": labels[0], "mask": mask[0]}
    assert next(kept, None) is None
    assert next(left, None) is None


def _count(rows: list[Any], expected: Fates, report: dict[str, Any], summary: str) -> None:
    """Check that the numbers in the report and the summary are correct."""
    assert expected.fates is not None
    counts = {fate: expected.fates.count(fate) for fate in ("written", "dropped", "rejected")}
    event(", ".join(fate for fate, number in counts.items() if number))
    assert {fate: report[f"rows_{fate}"] for fate in counts} == counts
    assert report["rows_read"] == len(rows) == sum(counts.values())
    assert report["maxlen"] == expected.maxlen
    lengths = [len(row["a"]) for row, fate in zip(rows, expected.fates, strict=True) if fate == "written"]
    assert report["tokens_kept"] == sum(min(length, expected.maxlen) for length in lengths)
    assert report["tokens_read"] == sum(len(row["a"]) for row in rows if is_good(row))
    assert report["rows_truncated"] == sum(length > expected.maxlen for length in lengths)
    assert report["rows_empty"] == lengths.count(0)
    assert {fate: said_of(fate, summary) for fate in ("dropped", "rejected")} == {
        fate: counts[fate] for fate in ("dropped", "rejected")
    }
    assert said_of("->", summary) == counts["written"]


many = settings(
    max_examples=int(os.environ.get("PADMASK_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.slow
@many
@given(files(FREE), policies, st.sampled_from(["jsonl", "jsonl", "parquet"]))
def test_jsonl_rows_are_counted(parts: list[list[Any]], policy: Policy, output: str) -> None:
    check(parts, policy, "jsonl", output)


@pytest.mark.slow
@many
@given(
    files(TYPED),
    policies,
    st.sampled_from(["parquet", "arrow", "jsonl"]),
    st.sampled_from(["parquet", "arrow"]),
)
def test_typed_rows_are_counted(parts: list[list[Any]], policy: Policy, output: str, source: str) -> None:
    check(parts, policy, source, output)


def test_rows_without_column_are_counted(tmp_path: Path) -> None:
    whole = pa.Table.from_pylist([{"id": 0} | FIRST, {"id": 1, "a": [1, 2], "b": [3, 4]}], schema=SCHEMA)
    pq.write_table(whole, tmp_path / "0.parquet")
    pq.write_table(whole.drop_columns("b"), tmp_path / "1.parquet")
    args = ["--on-error", "skip", "-c", "a", "-c", "b", "--quiet"]
    args += ["--rejects", str(tmp_path / "rejects.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    assert run(["pad", str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet"), *args]) == 0
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [0, 1]
    rejects = [rejected_row(line) for line in (tmp_path / "rejects.jsonl").read_bytes().splitlines()]
    assert [row["id"] for row in rejects] == [0, 1]


def plan_windows(lengths: npt.NDArray[np.int64], maxlen: int, **_: str) -> Segments:
    """Plan output rows that overlap by one token. Each source row gets as many as it needs."""
    rows = np.maximum(1, -(-(lengths - 1) // (maxlen - 1)))
    sources = np.repeat(np.arange(len(lengths)), rows)
    starts = (np.arange(len(sources)) - np.repeat(np.cumsum(rows) - rows, rows)) * (maxlen - 1)
    return Segments(lengths, starts, np.minimum(lengths[sources] - starts, maxlen), maxlen, sources=sources)


def test_planner_may_write_several_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the planner is replaced. Values, other columns, masks, counts and the predicted size follow."""
    monkeypatch.setattr("padmask.core.planners.plan_pad", plan_windows)
    rows = [{"id": 0, "a": [1, 2, 3, 4, 5], "b": [0] * 5}, {"id": 1, "a": [], "b": []}]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "in.parquet")
    result = pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet", columns="a", spec=PadSpec(maxlen=3))
    assert pq.read_table(tmp_path / "out.parquet", columns=["id", "a", "mask"]).to_pylist() == [
        {"id": 0, "a": [1, 2, 3], "mask": [True] * 3},
        {"id": 0, "a": [3, 4, 5], "mask": [True] * 3},
        {"id": 1, "a": [0, 0, 0], "mask": [False] * 3},
    ]
    assert result.ledger == Ledger(
        rows_read=2,
        rows_used=2,
        rows_written=3,
        rows_empty=1,
        tokens_read=5,
        tokens_kept=5,
        tokens_repeated=1,
        places=9,
    )
    assert (
        predict_bytes(LengthStats.of([5, 0]), make_plan(PadSpec(maxlen=3)), PadSpec(), PositionBytes(1, 0))
        == 6
    )
