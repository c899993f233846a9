"""A run processes every row once and in order, reports progress, and writes a complete output or none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.errors import ChangedError
from padmask.formats.contract import Batch, Chunk, Layout, Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl import reader as jsonl
from padmask.spec.files import FileOptions
from padmask.spec.formats import FORMATS
from padmask.storage.source import Source
from padmask.storage.system import cores
from padmask.stream.ledger import Ledger
from padmask.stream.overlap import choose_threads, open_pool
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.progress import Progress
from padmask.stream.run import Reading, RowSink, Run, open_sink

LINES = [json.dumps({"x": [n]}) for n in range(100)]
SCHEMA = pa.schema({"x": pa.list_(pa.int64())})
LAYOUT = Layout(SCHEMA, {}, 1000)


@dataclass(frozen=True)
class Taken:
    """The lines of a chunk, their count in a ledger, and the bytes that were consumed."""

    lines: list[str]
    ledger: Ledger
    consumed: int

    @classmethod
    def of(cls, chunk: Chunk) -> Taken:
        lines = bytes(chunk.data).decode().split()
        return cls(lines, Ledger(rows_read=len(lines)), chunk.consumed)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "CHUNK_BYTES", 50)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    sources = []
    for name, lines in (("a", LINES[:60]), ("b", LINES[60:])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(line.replace(" ", "") for line in lines) + "\n")
        sources.append(Source(str(path)))
    opened = Dataset(sources)
    yield opened
    opened.close()


def read(reading: Reading) -> list[Taken]:
    with reading.map_chunks("padding", Wanted(SCHEMA), Taken.of) as rows:
        return list(rows)


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_reading_takes_every_row(dataset: Dataset, threads: int | None) -> None:
    pool = None if threads is None else ThreadPoolExecutor(threads)
    pieces = read(Reading(dataset, FileOptions(threads=threads), pool, None))
    assert [json.loads(line) for piece in pieces for line in piece.lines] == list(map(json.loads, LINES))
    assert len(pieces) > 10


@pytest.mark.parametrize("limit", [0, 1, 59, 60, 61, 100, 101])
def test_reading_stops_at_the_limit(dataset: Dataset, limit: int) -> None:
    pieces = read(Reading(dataset, FileOptions(limit=limit), None, None))
    assert sum(piece.ledger.rows_read for piece in pieces) == min(limit, len(LINES))


def test_progress_counts_rows_and_bytes(dataset: Dataset) -> None:
    seen: list[Progress] = []
    pieces = read(Reading(dataset, FileOptions(), None, seen.append))
    counts = np.cumsum([piece.ledger.rows_read for piece in pieces])
    assert [progress.rows for progress in seen] == counts.tolist()
    assert [progress.consumed for progress in seen] == [piece.consumed for piece in pieces]
    assert seen[-1] == Progress("padding", len(LINES), dataset.size, dataset.size)


def test_reading_refuses_changed_inputs(dataset: Dataset, tmp_path: Path) -> None:
    reading = Reading(dataset, FileOptions(), None, None)
    with pytest.raises(ChangedError), reading.map_chunks("padding", Wanted(SCHEMA), Taken.of) as rows:
        next(rows)
        os.utime(tmp_path / "b.jsonl", ns=(1, 1))


def test_threads_default_to_the_cores(dataset: Dataset) -> None:
    assert Reading(dataset, FileOptions(), None, None).threads == cores()
    reading = Reading(dataset, FileOptions(threads=5), None, None)
    assert (reading.threads, reading.ahead) == (5, 10)


def test_one_thread_needs_no_pool() -> None:
    with open_pool(FileOptions(threads=1)) as pool:
        assert pool is None
    with open_pool(FileOptions(threads=2)) as pool:
        assert pool is not None


@pytest.mark.parametrize(
    ("asked", "formats", "threads"),
    [
        (None, ("jsonl", "jsonl"), 1),
        (4, ("jsonl", "jsonl"), 4),
        (None, ("jsonl", "parquet"), None),
        (None, ("parquet", "jsonl"), None),
        (None, ("parquet", "parquet"), None),
    ],
)
def test_json_lines_get_one_thread(asked: int | None, formats: tuple[str, str], threads: int | None) -> None:
    assert choose_threads(FileOptions(threads=asked), *(FORMATS[name] for name in formats)).threads == threads


def batch_of(*numbers: int) -> Batch:
    """Rows with one token each, which is the row number."""
    columns = pa.record_batch({"x": pa.array([[n] for n in numbers], pa.list_(pa.int64()))}, schema=SCHEMA)
    return Batch(columns, "in.parquet", np.array(numbers), "row")


class Lines:
    """A rejects file in memory."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def write(self, line: bytes) -> None:
        self.numbers.append(json.loads(line)["row_number"])


class Pieces:
    """A writer that stores its pieces in a list."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def append(self, piece: Any) -> None:
        self.pieces.append(piece)


def test_sink_writes_rejects_in_order() -> None:
    batch, writer, rejects = batch_of(3, 4, 7, 9), Pieces(), Lines()
    sink = RowSink(writer, rejects)
    sink.write("first", [RejectedRow(batch, row, "overlong") for row in (3, 0, 2, 1)])
    sink.write("second", [])
    assert writer.pieces == ["first", "second"]
    assert rejects.numbers == [3, 4, 7, 9]


def test_sink_needs_no_rejects() -> None:
    writer = Pieces()
    RowSink(writer, None).write("piece", [RejectedRow(batch_of(1), 0, "overlong")])
    assert writer.pieces == ["piece"]


@pytest.fixture
def run(dataset: Dataset) -> Run:
    return Run(dataset, FileOptions(), None, None, None)


def read_rows(path: Path) -> list[list[int]]:
    if path.suffix == ".jsonl":
        return [json.loads(line)["x"] for line in path.read_text().splitlines()]
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    return table["x"].to_pylist()


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
def test_output_appears_when_the_block_ends(run: Run, tmp_path: Path, format_: str) -> None:
    output, rejects = tmp_path / f"out.{format_}", tmp_path / "rejects.jsonl"
    run = replace(run, files=FileOptions(rejects=str(rejects)))
    with open_sink(run, str(output), FORMATS[format_], LAYOUT) as sink:
        sink.write(sink.writer.encode(batch_of(1, 2)), [RejectedRow(batch_of(3), 0, "overlong")])
        assert not output.exists()
    assert read_rows(output) == [[1], [2]]
    assert json.loads(rejects.read_text())["row_number"] == 3


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow", "npz"])
def test_failed_run_leaves_no_output(run: Run, tmp_path: Path, format_: str) -> None:
    before = sorted(os.listdir(tmp_path))
    layout = replace(LAYOUT, shapes={"x": (1,)})
    with (
        pytest.raises(ValueError, match="stop"),
        open_sink(run, str(tmp_path / "out"), FORMATS[format_], layout) as sink,
    ):
        sink.write(sink.writer.encode(batch_of(1)), [])
        raise ValueError("stop")
    assert sorted(os.listdir(tmp_path)) == before


def test_output_is_sealed_before_it_appears(run: Run, tmp_path: Path) -> None:
    output, sizes = tmp_path / "out.jsonl", []

    def sealed(descriptor: int) -> None:
        assert not output.exists()
        sizes.append(os.fstat(descriptor).st_size)

    with open_sink(run, str(output), FORMATS["jsonl"], LAYOUT, sealed) as sink:
        sink.write(sink.writer.encode(batch_of(1)), [])
    assert sizes == [output.stat().st_size]
