"""Files that padmask does not read, and streams with unusual parts."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts

Run = Callable[..., subprocess.CompletedProcess[str]]

LINE = b'{"input_ids": [1, 2]}\n'


@pytest.fixture
def here(padmask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return padmask


FILES = {
    "a.jsonl.bz2": (bz2.compress(LINE), "bzip2 -dc a.jsonl.bz2 > a.jsonl"),
    "a.jsonl.xz": (lzma.compress(LINE), "xz -dc a.jsonl.xz > a.jsonl"),
    "a.jsonl": (bz2.compress(LINE), "bzip2"),
    "a.zip": (b"PK\x03\x04" + bytes(30), "unzip a.zip"),
    "a.feather": (b"FEA1" + bytes(30) + b"FEA1", "write_feather"),
    "a.csv": (b'input_ids,y\n"[1, 2]",0\n', "duckdb"),
    "a.json": (b'[\n  {"input_ids": [1]}\n]\n', "jq -c '.[]' a.json > a.jsonl"),
    "a.jsonl.gz": (gzip.compress(b'[{"input_ids": [1]}]'), "jq"),
    "a.parquet": (lzma.compress(LINE), "xz -dc"),
    "b.parquet": (gzip.compress(LINE), "gzip -dc b.parquet"),
    "a.arrow": (b"\x93NUMPY\x01\0" + bytes(100), "numpy.load('a.arrow')"),
}


@pytest.mark.parametrize("name", FILES)
def test_command_is_named(here: Run, name: str) -> None:
    data, command = FILES[name]
    Path(name).write_bytes(data)
    done = here("pad", name, "-o", "out.jsonl")
    assert done.returncode == 2
    assert has_facts(done.stderr, f"{name}:", command)
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("verb", [["unpad"], ["inspect"], ["verify", "--no-model"]], ids=lambda verb: verb[0])
def test_other_commands(here: Run, verb: list[str]) -> None:
    np.save("a.npy", np.zeros((2, 3)))
    done = here(*verb, "a.npy")
    assert done.returncode == 2
    assert "numpy.load('a.npy')" in done.stderr


def test_format_under_another_suffix(here: Run) -> None:
    pq.write_table(pa.table({"input_ids": [[1]]}), "a.jsonl")
    done = here("pad", "a.jsonl")
    assert done.returncode == 2
    assert has_facts(done.stderr, "--input-format parquet")
    assert here("pad", "a.jsonl", "--input-format", "parquet").returncode == 0


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_text_under_another_suffix(here: Run, name: str) -> None:
    Path(name).write_bytes(LINE * 9)
    assert "--input-format jsonl" in here("pad", name).stderr
    assert here("pad", name, "--input-format", "jsonl").returncode == 0


def test_plain_text_named_gz(here: Run) -> None:
    Path("a.jsonl.gz").write_bytes(LINE)
    done = here("pad", "a.jsonl.gz")
    assert done.returncode == 1
    assert has_facts(done.stderr, "gzip")


@pytest.mark.parametrize(
    "passes", [[], ["-o", "out.parquet", "--maxlen", "3"]], ids=["one pass", "two passes"]
)
def test_nan_beside_tokens(here: Run, passes: list[str]) -> None:
    Path("a.jsonl").write_bytes(LINE + b'{"input_ids": [1], "score": NaN}\n')
    done = here("pad", "a.jsonl", *passes)
    assert done.returncode == 1
    assert "a.jsonl, line 2" in done.stderr and "'score'" in done.stderr and "NaN" in done.stderr
    assert here("pad", "a.jsonl", *passes, "--on-error", "skip").returncode == 0


SKIPPABLE = struct.pack("<II", 0x184D2A53, 3) + b"abc"

STREAMS = {
    "zeros after gzip": gzip.compress(LINE) + bytes(512),
    "skippable frame": SKIPPABLE + pa.compress(LINE, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
def test_unusual_streams(here: Run, data: bytes) -> None:
    Path("a.jsonl.packed").write_bytes(data)
    done = here("pad", "a.jsonl.packed", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("out.jsonl").read_text())["input_ids"] == [1, 2]
