"""Shards whose JSON types are those of the first rows are read only once.

The output is the same as after a first pass that finds the types of all rows.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import raises_error
from tiers import represented

import padmask.shards.driver
from padmask import PackSpec, PadSpec, RowPolicy
from padmask.errors import DataError
from padmask.formats.jsonl.reader import JsonlReader
from padmask.shards.pack_dataset import pack_dataset
from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.processes import Processes
from padmask.spec.files import FileOptions
from padmask.stream.ledger import PadResult

GIVEN = PadSpec(maxlen=3)
SKIP = RowPolicy(on_error="skip")


class EndedError(Exception):
    """An exception that ends a run abruptly, like a kill."""


@pytest.fixture(autouse=True)
def two_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assume the JSON types of only the first two rows, so that short shards also have later rows."""
    monkeypatch.setattr("padmask.stream.passes.HEAD_ROWS", 2)


@dataclass
class Run:
    """A dataset with one shard for each item of `shards`, and its output folder.

    Args:
        folder: folder of the dataset and its outputs.
        shards: the field `x` of the rows of each shard. A dict has all fields except the ids.
        asked: keyword arguments of `pad_dataset`.
    """

    folder: Path
    shards: Sequence[Sequence[Any]]
    asked: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir()
        for shard, values in enumerate(self.shards):
            self.write(shard, values)

    def write(self, shard: int, values: Sequence[Any]) -> Path:
        fields = [value if isinstance(value, dict) else {"x": value} for value in values]
        path = self.folder / "data" / f"{shard}.jsonl"
        path.write_text("".join(json.dumps({"input_ids": [shard] * 2} | row) + "\n" for row in fields))
        return path

    def __call__(self, name: str = "padded", ends: Any = None, **more: Any) -> PadResult:
        """Pad.

        `ends` is a phase and a number: the run ends when the phase has processed this number of shards.
        """
        self.progress = Counter[str]()

        def report(progress: Any) -> None:
            self.progress[progress.phase] += 1
            if (progress.phase, self.progress[progress.phase]) == ends:
                raise EndedError

        asked = {"spec": GIVEN, "files": FileOptions(output_format="parquet")} | self.asked | more
        return pad_dataset(self.folder / "data", self.folder / name, progress=report, **asked)

    def surveyed(self) -> tuple[PadResult, dict[str, bytes]]:
        """Return the result and the files of a run that reads all rows first."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(padmask.shards.driver, "assume_first_types", lambda *_: None)
            result = self("surveyed")
        assert self.progress["measuring"]
        return result, bytes_in(self.folder / "surveyed")

    def ended(self, phase: str, shards: int) -> None:
        with pytest.raises(EndedError):
            self(ends=(phase, shards))


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Run]:
    return lambda *shards, **asked: Run(tmp_path, shards, asked)


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the inputs that are read completely, one name for each time."""
    read, plain = list[str](), JsonlReader.chunks

    def count(reader: JsonlReader, *wanted: Any) -> Any:
        read.append(reader._source.name)
        return plain(reader, *wanted)

    monkeypatch.setattr(JsonlReader, "chunks", count)
    return read


SAME = [[1, 2], [None, 3], [{}, 4], [5, -6]]
LAST = [[1, 2], [3, 4], [5, 6], [7, 0.5]]
MIDDLE = [[1, 2], [3, 0.5], [5, 6], [7, 8]]
NEW_FIELD = [[1, 2], [3, 4], [{"x": 5, "y": "a"}], [6]]

CASES = {
    "same": SAME,
    "last": LAST,
    "middle": MIDDLE,
    "new field": NEW_FIELD,
    "new nested field": [[{"x": {"a": 1}}] * 2, [{"x": {"a": 1, "b": 2}}]],
    "empty objects": [[{"x": {}}] * 2, [{"x": {"a": 1}}]],
    "empty lists": [[{"x": []}] * 2, [{"x": [1]}]],
    "large integers": [[1, 2], [2**63]],
    "nulls first": [[None, None], [True]],
    "ints after floats": [[0.5, 1.5], [2, 3]],
    "one row": [[1], [2], [0.5]],
    "no rows": [[], [], [1, 2], [3]],
}

LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "buckets": {"spec": PadSpec(maxlen=4, buckets=(2, 4))},
    "Arrow": {"files": FileOptions(output_format="arrow", limit=7)},
}


@each_value(case=CASES.keys(), layout=LAYOUTS.keys(), workers=[1, 2])
def test_output_equals_a_survey(dataset, case, layout, workers):
    run = dataset(*CASES[case], **LAYOUTS[layout])
    with ThreadPoolExecutor(workers) as executor:
        run.asked |= {"executor": executor, "workers": workers}
        assert (run(), bytes_in(run.folder / "padded")) == run.surveyed()


def test_packing_equals_a_survey(dataset, tmp_path):
    run = dataset(*LAST)
    files = FileOptions(output_format="parquet")
    for folder in ("padded", "surveyed"):
        with pytest.MonkeyPatch.context() as patch:
            if folder == "surveyed":
                patch.setattr(padmask.shards.driver, "assume_first_types", lambda *_: None)
            pack_dataset(
                tmp_path / "data", tmp_path / folder, spec=GIVEN, packing=PackSpec(source=False), files=files
            )
    assert bytes_in(run.folder / "padded") == bytes_in(run.folder / "surveyed")


def test_each_shard_is_read_once(dataset, chunks):
    run = dataset(*SAME)
    run()
    assert Counter(map(Path, chunks)) == Counter((run.folder / "data").iterdir())
    assert run.progress == {"padding": 4}


def test_other_types_are_read_again(dataset, chunks):
    run = dataset(*MIDDLE)
    run()
    # The second shard is the last one that the first attempt reads.
    assert len(chunks) == 2 + 4 + 4
    assert run.progress == {"padding": 1 + 4, "measuring": 4}


def test_new_field_is_in_all_shards(dataset):
    run = dataset(*NEW_FIELD)
    run()
    for path in (run.folder / "padded").glob("*.parquet"):
        assert pq.read_schema(path).names == ["input_ids", "x", "y", "mask"]


def test_small_limit_reads_all_rows_first(dataset):
    run = dataset(*SAME)
    run(files=FileOptions(output_format="parquet", limit=1))
    assert run.progress == {"measuring": 1, "padding": 1}


def test_mixed_types_leave_no_files(dataset):
    run = dataset([1, 2], [3], ["text"])
    with raises_error(DataError, "2.jsonl, line 1", "0.jsonl, line 1", "'x'", option="output_format"):
        run()
    assert not (run.folder / "padded").exists()


@pytest.mark.slow
@represented("case", ["last", "same", "new field"], by=1)
def test_processes_check_types(dataset, case):
    run = dataset(*CASES[case])
    with Processes(2) as executor:
        run.asked |= {"executor": executor, "workers": 2}
        assert (run(), bytes_in(run.folder / "padded")) == run.surveyed()


@pytest.mark.exhaustive(by="test_processes_check_types")
def test_cluster_checks_types(dataset):
    from padmask.shards.dask import open_cluster

    run = dataset(*LAST)
    with open_cluster("local", 2) as executor:
        run.asked |= {"executor": executor, "workers": 2}
        assert (run(), bytes_in(run.folder / "padded")) == run.surveyed()


def test_running_workers_end_first(dataset, monkeypatch):
    """A worker of the first attempt must not replace a file of the second."""
    run, events = dataset(*MIDDLE), list[str]()
    pad, measure = padmask.shards.driver.pad_shard, padmask.shards.driver.measure_shard

    def slow_pad(work: Any, shard: Any, plan: Any) -> Any:
        if shard.index == 2 and "measured" not in events:
            time.sleep(0.2)
        events.append("padded")
        return pad(work, shard, plan)

    def mark(work: Any, shard: Any, typed: Any) -> Any:
        events.append("measured")
        return measure(work, shard, typed)

    monkeypatch.setattr(padmask.shards.driver, "pad_shard", slow_pad)
    monkeypatch.setattr(padmask.shards.driver, "measure_shard", mark)
    with ThreadPoolExecutor(2) as executor:
        run(executor=executor, workers=2)
    assert events == ["padded"] * 4 + ["measured"] * 4 + ["padded"] * 4


# --- Unreadable shards and bad rows ------------------------------------------------------


def zipped(run: Run, shard: int, first: dict[str, Any]) -> Path:
    """Replace a shard by a truncated gzip file with readable first rows."""
    plain = run.write(shard, [first] * 2 + [{"input_ids": [row]} for row in range(60_000)])
    path = plain.with_suffix(".jsonl.gz")
    path.write_bytes(gzip.compress(plain.read_bytes(), 1)[:-100])
    plain.unlink()
    return path


@each_value(shard=[0, 2], first=[{"x": 1}, {"x": 0.5}, {"y": 1}])
def test_damaged_shard_is_skipped(dataset, shard, first):
    run = dataset(*SAME, policy=SKIP)
    zipped(run, shard, first)
    result = run()
    assert len(result.faults) == 1
    # The first rows are in a skipped shard, so their types do not count.
    assert shard == 2 or run.progress["measuring"] == 3
    assert (result, bytes_in(run.folder / "padded")) == run.surveyed()


def test_unreadable_first_shard(dataset):
    run = dataset(*SAME, policy=SKIP)
    (run.folder / "data" / "0.jsonl").write_bytes(b"PAR1")
    result = run()
    assert run.progress == {"padding": 3}
    assert (result, bytes_in(run.folder / "padded")) == run.surveyed()


def test_unreadable_first_rows(dataset, monkeypatch):
    monkeypatch.setattr("padmask.stream.passes.HEAD_ROWS", 1 << 30)
    run = dataset(*SAME, policy=SKIP)
    zipped(run, 2, {"x": 1})
    result = run()
    assert run.progress == {"measuring": 3, "padding": 3}
    assert (result, bytes_in(run.folder / "padded")) == run.surveyed()


def test_bad_rows_have_no_types(dataset, tmp_path):
    bad = {"input_ids": "none", "x": "text"}
    run = dataset([bad, 1], [2, bad], [3, 4], policy=SKIP)
    rejects = tmp_path / "rejects.jsonl"
    run.asked["files"] = FileOptions(output_format="parquet", rejects=str(rejects))
    result, refused = run(), rejects.read_bytes()
    assert run.progress == {"padding": 3}
    assert (result, bytes_in(run.folder / "padded"), rejects.read_bytes()) == (*run.surveyed(), refused)


# --- A run that ended --------------------------------------------------------------------


def resumed(run: Run) -> int:
    """Resume the run, and return the number of kept shards.

    The files must equal those of a run that reads all rows first.
    """
    result = run(resume=True)
    progress, found = run.progress, bytes_in(run.folder / "padded")
    assert found == run.surveyed()[1]
    run.progress = progress
    return result.resumed


def test_resume_keeps_assumed_types(dataset):
    run = dataset(*SAME)
    run.ended("padding", 3)
    assert resumed(run) == 3
    assert run.progress == {"padding": 1}


def test_resume_finds_other_types(dataset):
    run = dataset(*LAST)
    run.ended("padding", 3)
    assert resumed(run) == 0
    assert run.progress == {"measuring": 4, "padding": 4}


def test_end_while_types_are_found(dataset):
    run = dataset(*LAST)
    run.ended("measuring", 2)
    assert resumed(run) == 0


def test_resume_keeps_found_types(dataset):
    run = dataset(*LAST)
    # The first attempt pads three shards, and the second two.
    run.ended("padding", 5)
    assert resumed(run) == 2
    assert run.progress == {"padding": 2}


def test_resume_after_a_fixed_row(dataset):
    run = dataset([1, 2], [3, 4], [{"input_ids": None}], [6])
    with raises_error(DataError, "2 of 4 shards", "--resume", place="2.jsonl, line 1") as caught:
        run()
    assert "If no input changes" not in str(caught.value)
    run.write(2, [5])
    assert resumed(run) == 2


def test_resume_with_other_first_rows(dataset):
    run = dataset(*SAME)
    run.ended("padding", 3)
    run.write(0, [0.5, 1])
    assert resumed(run) == 0


def test_resume_with_skipped_shard(dataset):
    run = dataset(*SAME, policy=SKIP)
    zipped(run, 1, {"x": 1})
    run.ended("padding", 2)
    assert resumed(run) == 2


def test_resume_with_new_types_in_a_change(dataset):
    run = dataset(*SAME)
    run.ended("padding", 3)
    run.write(1, [0.5])
    assert resumed(run) == 0
