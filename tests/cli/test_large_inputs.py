"""Slow input, many files, many rows, and very long rows.

With PADMASK_LOAD=large, the inputs are ten times as large: rows of 10^7 tokens, and 10^7 empty rows.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiers import represented

import padmask

pytestmark = pytest.mark.slow

SCALE = 10 if os.environ.get("PADMASK_LOAD") == "large" else 1
SECONDS = 60 * SCALE

passes = pytest.mark.parametrize("passes", [("--maxlen", "3"), ()], ids=["one pass", "two passes"])

# A small process starts the command, because the peak memory of a child includes that of its parent.
PEAK = """
import resource, subprocess, sys
print(subprocess.call(sys.argv[1:]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

TEXTS = [
    "\ufeff" + '{"input_ids": [1, 2, 3], "t": "é☃𝄞"}\r\n',
    "\n",
    '{"input_ids": []}\n',
    '{"input_ids": [4]}',
]
ROWS = [
    {"input_ids": [1, 2, 3], "t": "é☃𝄞", "mask": [True, True, True]},
    {"input_ids": [0, 0, 0], "mask": [False, False, False]},
    {"input_ids": [4, 0, 0], "mask": [True, False, False]},
]


def fed(command: list[str], pieces: list[bytes], *args: str, pause: float = 0) -> bytes:
    """Feed standard input piece by piece, one write per piece, and return the output."""
    with subprocess.Popen(
        [*command, "pad", "-", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:

        def feed() -> None:
            for piece in pieces:
                process.stdin.write(piece)
                time.sleep(pause)
            process.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        out: bytes = process.stdout.read()
        feeder.join()
        assert process.wait(timeout=SECONDS) == 0
    return out


def rows_of(out: bytes) -> list[object]:
    return [json.loads(line) for line in out.splitlines()]


@passes
@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_json_stdin_byte_by_byte(command: list[str], passes: tuple[str, ...], codec: str) -> None:
    data = "".join(TEXTS).encode()
    data = gzip.compress(data) if codec == "gzip" else data
    # Slower than the reader, so that each byte is one read.
    assert rows_of(fed(command, [bytes([byte]) for byte in data], *passes, pause=0.001)) == ROWS


@passes
def test_arrow_stdin_byte_by_byte(command: list[str], passes: tuple[str, ...]) -> None:
    out = pa.BufferOutputStream()
    table = pa.table({"input_ids": [[1, 2, 3], [], [4]]})
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    pieces = [bytes([byte]) for byte in out.getvalue().to_pybytes()]
    expected = [{name: row[name] for name in ("input_ids", "mask")} for row in ROWS]
    assert rows_of(fed(command, pieces, *passes, pause=0)) == expected


@passes
def test_limit_byte_by_byte(command: list[str], passes: tuple[str, ...]) -> None:
    pieces = [bytes([byte]) for byte in "".join(TEXTS).encode()]
    assert rows_of(fed(command, pieces, "--limit", "2", *passes, pause=0.001)) == ROWS[:2]


@passes
def test_slow_stdin(command: list[str], passes: tuple[str, ...]) -> None:
    pieces = [text.encode()[part] for text in TEXTS for part in (slice(0, 9), slice(9, None))]
    assert rows_of(fed(command, pieces, *passes, pause=0.05)) == ROWS


@represented("suffix", ["jsonl", "parquet", "arrow"], by=1)
def test_thousand_files(command: list[str], tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(1000):
        path, rows = folder / f"{number:04}.{suffix}", [[number] * (number % 5)]
        if suffix == "jsonl":
            path.write_text(json.dumps({"input_ids": rows[0]}))
        elif suffix == "parquet":
            pq.write_table(pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))}), path)
        else:
            table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
            with pa.ipc.new_file(path, table.schema) as out:
                out.write_table(table)
    output = tmp_path / "out.parquet"
    # The limit on open files is far lower.
    done = subprocess.run(
        [*command, "pad", str(folder), "-o", str(output), "--quiet"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [[n] * (n % 5) + [0] * (4 - n % 5) for n in range(1000)]
    assert pq.read_table(output)["input_ids"].to_pylist() == expected


@represented(
    "suffix,policy", [("npz", "keep"), ("parquet", "drop"), ("jsonl", "keep"), ("parquet", "keep")], by=2
)
def test_million_empty_arrow_rows(tmp_path: Path, suffix: str, policy: str) -> None:
    # Typed rows are written in row groups, unlike text.
    source, output, count = tmp_path / "in.arrow", tmp_path / f"out.{suffix}", SCALE * 10**6
    table = pa.table(
        {"input_ids": pa.ListArray.from_arrays(np.zeros(count + 1, np.int32), pa.array([], "i4"))}
    )
    with pa.ipc.new_file(source, table.schema) as out:
        out.write_table(table)
    spec, rows = padmask.PadSpec(maxlen=0), padmask.RowPolicy(empty_rows=policy)
    result = padmask.pad_file(source, output, spec=spec, policy=rows)
    kept = count if policy == "keep" else 0
    assert (result.ledger.rows_read, result.ledger.rows_written, result.maxlen) == (count, kept, 0)
    if suffix == "jsonl":
        assert output.read_bytes() == b'{"input_ids":[],"mask":[]}\n' * kept
    elif suffix == "parquet":
        assert pq.read_metadata(output).num_rows == kept
    else:
        assert np.load(output)["mask"].shape == (kept, 0)


def test_million_empty_json_rows(tmp_path: Path) -> None:
    source, output, count = tmp_path / "in.jsonl", tmp_path / "out.jsonl", SCALE * 10**6
    source.write_bytes(b'{"input_ids":[]}\n' * count)
    result = padmask.pad_file(source, output, spec=padmask.PadSpec(maxlen=1))
    assert (result.ledger.rows_empty, result.ledger.places) == (count, count)
    assert output.read_bytes() == b'{"input_ids":[0],"mask":[false]}\n' * count


@represented(
    "source,output,maxlen",
    [
        ("jsonl", "jsonl", "p50"),
        ("jsonl", "npz", "longest"),
        ("parquet", "npz", "p50"),
        ("jsonl", "jsonl", "longest"),
        ("jsonl", "npz", "p50"),
        ("parquet", "npz", "longest"),
    ],
    by=3,
)
def test_row_of_a_million_tokens(tmp_path: Path, source: str, output: str, maxlen: str) -> None:
    count = SCALE * 10**6
    long = np.arange(count, dtype=np.int32)
    path, out = tmp_path / f"in.{source}", tmp_path / f"out.{output}"
    if source == "jsonl":
        text = "[" + ",".join(map(str, range(count))) + "]"
        path.write_text(f'{{"input_ids":[1]}}\n{{"input_ids":{text}}}\n{{"input_ids":[2]}}')
    else:
        offsets = np.array([0, 1, count + 1, count + 2], np.int32)
        values = np.concatenate([[1], long, [2]]).astype(np.int32)
        pq.write_table(pa.table({"input_ids": pa.ListArray.from_arrays(offsets, values)}), path)
    result = padmask.pad_file(path, out, spec=padmask.PadSpec(maxlen=maxlen))
    width = count if maxlen == "longest" else 1
    assert (result.maxlen, result.ledger.tokens_lost) == (width, count - width)
    if output == "npz":
        with np.load(out) as arrays:
            padded, mask = arrays["input_ids"], arrays["mask"]
    else:
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        padded, mask = (np.array([row[name] for row in rows]) for name in ("input_ids", "mask"))
    assert padded.shape == mask.shape == (3, width)
    assert np.array_equal(padded[1], long[:width])
    assert padded[[0, 2], 0].tolist() == [1, 2]
    assert mask.sum(axis=1).tolist() == [1, width, 1]


@represented("output", ["jsonl", "parquet"], by=1)
def test_long_piped_line_is_fast(command: list[str], tmp_path: Path, output: str) -> None:
    # Appending each piece to a growing buffer would take quadratic time.
    line = b'{"input_ids":[' + b",".join([b"12345"] * SCALE * 10**6) + b"]}\n"
    out = tmp_path / f"out.{output}"
    pieces = [line[i : i + 4096] for i in range(0, len(line), 4096)]
    fed(command, pieces, "--limit", "1", "-o", str(out), "--quiet")
    assert out.stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="others count memory in other units")
@represented(
    "output,rows,mebibytes", [("out.jsonl", 200, 150), ("out/", 200, 150), ("out.parquet", 600, 500)], by=1
)
def test_long_rows_use_little_memory(
    command: list[str], tmp_path: Path, output: str, rows: int, mebibytes: int
) -> None:
    # Rows of 1 MiB each must not be in memory at once, neither to find the columns nor in a row group.
    row = json.dumps({"text": "x" * (1 << 20), "input_ids": [1, 2, 3]}).encode() + b"\n"
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data" / "in.jsonl", "wb") as file:
        for _ in range(rows):
            file.write(row)
    args = [*command, "pad", "data/in.jsonl", "-o", output, "--maxlen", "2", "--quiet", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", PEAK, *args], cwd=tmp_path, capture_output=True, check=True)
    code, peak = map(int, done.stdout.split())
    assert (code, peak < mebibytes << 10) == (0, True), peak
