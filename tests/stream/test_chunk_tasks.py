"""Worker processes for one JSON Lines input do not change the output, the errors or the rejected rows."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from raised import raises_error

from padmask import (
    BatchSpec,
    DataError,
    FileOptions,
    MaskSpec,
    PackSpec,
    PadSpec,
    Processes,
    RowPolicy,
    SpecError,
    WindowSpec,
    pad_file,
)
from padmask.errors import AccessError
from padmask.formats.contract import HEAD_ROWS, Chunk
from padmask.formats.jsonl import reader
from padmask.stream import chunk_tasks
from padmask.stream.chunk_tasks import ResultFile

ROWS = [
    {"id": i, "input_ids": list(range(i % 7)), "words": ["é"] * (i % 5), "text": "é" * (i % 50)}
    for i in range(HEAD_ROWS + 500)
]
SKIP = RowPolicy(on_error="skip", overlong="drop")


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch) -> None:
    monkeypatch.setattr(reader, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(chunk_tasks, "TASK_BYTES", 1 << 15)


@pytest.fixture
def workers() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def write(folder: Path, *later: str) -> Path:
    path = folder / "in.jsonl"
    path.write_text("\ufeff\n\n" + "".join(json.dumps(row) + "\n \n" for row in ROWS) + "\n".join(later))
    return path


def pad(source: Path, suffix: str, **options: Any) -> tuple[bytes, bytes, Any]:
    """Return the output, the rejected rows and the result."""
    out, rejects = source.with_name(f"out{suffix}"), source.with_name("rejects.jsonl")
    result = pad_file(source, out, files=FileOptions(rejects=str(rejects)), **options)
    return out.read_bytes(), rejects.read_bytes(), result


PARQUET: dict[str, dict[str, Any]] = {
    "number": {"spec": PadSpec(maxlen=4)},
    "percentile": {"spec": PadSpec(maxlen="p50"), "policy": SKIP},
    "windows": {"spec": PadSpec(maxlen=3, windows=WindowSpec())},
    "batches": {"spec": PadSpec(batches=BatchSpec(tokens=64)), "mask": MaskSpec(length_column="n")},
    "packed": {"spec": PadSpec(maxlen=9, packing=PackSpec(eos=7)), "policy": RowPolicy(empty_rows="drop")},
}
JSON: dict[str, dict[str, Any]] = {
    "number": {"spec": PadSpec(maxlen=4), "policy": SKIP},
    "longest": {"columns": "input_ids"},
    "strings": {"columns": "words", "spec": PadSpec(maxlen="p90")},
}
CASES = [(".parquet", options) for options in PARQUET.values()] + [(".jsonl", its) for its in JSON.values()]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "options"), CASES, ids=[*PARQUET, *JSON])
def test_same_output(tmp_path, workers, suffix, options):
    source = write(tmp_path, *(['{"input_ids": [null]}', "{"] if options.get("policy") == SKIP else []))
    assert pad(source, suffix, executor=workers, **options) == pad(source, suffix, **options)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("has_proc", [True, False])
def test_processes_write_the_same(tmp_path, monkeypatch, suffix, has_proc):
    """Without /proc, for example on macOS, the results come through pipes."""
    source = write(tmp_path)
    expected = pad(source, suffix)
    if not has_proc:
        monkeypatch.setattr(chunk_tasks, "FILES_OF_PROCESS", "/missing/{}/{}")
    with Processes(2) as workers:
        assert pad(source, suffix, executor=workers) == expected


def test_other_file_is_not_written(tmp_path):
    """In a container that sees the process IDs of its host, the path names a file of another process."""
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    with open(tmp_path / "results", "w+b") as file, pytest.raises(FileNotFoundError):
        replace(ResultFile.of(file), path=str(other)).open()
    assert other.read_bytes() == b"kept"


def test_shorter_file_is_refused(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b"{}\n")
    chunk = Chunk("in.jsonl", 1, 4, 0, (str(tmp_path / "in.jsonl"), 0))
    with raises_error(AccessError, "in.jsonl"):
        list(chunk_tasks._with_data([chunk]))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_later_types(tmp_path, workers, suffix):
    source = write(tmp_path, '{"input_ids": [3], "id": 0.5}')
    assert pad(source, suffix, executor=workers) == pad(source, suffix)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_first_bad_line_is_named(tmp_path, workers, suffix):
    source = write(tmp_path, *['{"input_ids": [1]}', '{"input_ids": [null]}'] * 2000)
    with raises_error(DataError, place=f"in.jsonl, line {2 * len(ROWS) + 4}"):
        pad(source, suffix, executor=workers)
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_earlier_error_is_raised(tmp_path, workers):
    source = write(tmp_path, '{"input_ids": [null]}')
    with raises_error(DataError, "6 tokens", place="in.jsonl, line 15"):
        pad(source, ".jsonl", executor=workers, spec=PadSpec(maxlen=5), policy=RowPolicy(overlong="error"))


def test_compressed_input(tmp_path, workers):
    source = write(tmp_path)
    expected = pad(source, ".parquet")
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert pad(packed, ".parquet", executor=workers) == expected


def test_without_proc(tmp_path, workers, monkeypatch):
    """The results do not go through a file if the workers cannot open the file."""
    source = write(tmp_path)
    expected = pad(source, ".jsonl")
    monkeypatch.setattr(chunk_tasks, "FILES_OF_PROCESS", "/missing/{}/{}")
    assert pad(source, ".jsonl", executor=workers) == expected


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".npz", {}), (".jsonl", {"spec": PadSpec(maxlen=3, windows=WindowSpec())})],
    ids=["npz", "windows"],
)
def test_refused_outputs(tmp_path, workers, suffix, options):
    with raises_error(SpecError, option="workers"):
        pad(write(tmp_path), suffix, executor=workers, **options)
