"""Costs of a run that can be counted, so that the tests do not depend on the load of the machine.

`make bench` measures seconds. These tests count passes over the input, Python calls per row and token,
and bytes in memory.
"""

import json
import mmap
import platform
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import padmask
from padmask.core.kernel import BLOCK_VALUES, pad_batch
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.spec.pad import PadSpec


def write_rows(path: Path, rows: int, tokens: int) -> Path:
    """Write rows of equal length."""
    ids = [10_000 + i % 20_000 for i in range(tokens)]
    if path.suffix == ".jsonl":
        path.write_text((json.dumps({"id": 7, "text": "a word", "input_ids": ids}) + "\n") * rows)
    else:
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": [7] * rows, "input_ids": [ids] * rows}), path)
    return path


def calls(run: Callable[[], object]) -> int:
    """Count the Python and C function calls of a run in this thread."""
    count = 0

    def watch(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def pad(source: Path, output: Path) -> Callable[[], object]:
    files = padmask.FileOptions(threads=1)
    return lambda: padmask.pad_file(source, output, spec=PadSpec(maxlen=16), files=files)


FORMATS = [
    ("jsonl", "jsonl", 4),
    ("jsonl", "parquet", 3),
    ("parquet", "jsonl", 0.6),
    ("parquet", "parquet", 0.2),
]


@pytest.mark.parametrize(("source", "output", "most"), FORMATS)
def test_calls_per_row_and_token(tmp_path, source, output, most):
    few, many, long = (
        write_rows(tmp_path / f"{name}.{source}", rows, tokens)
        for name, rows, tokens in (("few", 2000, 8), ("many", 4000, 8), ("long", 2000, 16))
    )
    out = tmp_path / f"out.{output}"
    pad(few, out)()  # The first run is not counted, because of imports and caches.

    base = calls(pad(few, out))
    assert (calls(pad(many, out)) - base) / 2000 <= most
    # A chunk has fewer long rows than short rows, and each chunk has a cost.
    assert (calls(pad(long, out)) - base) / 16_000 < 0.1


def transferred() -> dict[str, int]:
    """Return the bytes that this process has read and written so far."""
    counters = Path("/proc/self/io").read_text().splitlines()
    return {name: int(count) for name, count in (line.split(": ") for line in counters)}


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> dict[str, Path]:
    """The same rows in each format. Reading the JSON Lines once more would exceed the limits of the tests."""
    folder = tmp_path_factory.mktemp("large")
    return {name: write_rows(folder / f"rows.{name}", 20_000, 20) for name in ("jsonl", "parquet")}


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts a process's bytes")
@pytest.mark.parametrize(("source", "output"), [row[:2] for row in FORMATS])
@pytest.mark.parametrize(("maxlen", "passes"), [(8, 1), ("longest", 2)])
def test_number_of_passes(tmp_path, large, source, output, maxlen, passes):
    rows = large[source]
    out = tmp_path / f"out.{output}"

    def run() -> None:
        padmask.pad_file(rows, out, spec=PadSpec(maxlen=maxlen), files=padmask.FileOptions(threads=1))

    run()
    before = transferred()
    run()
    after = transferred()
    size = rows.stat().st_size
    # The first pass keeps the columns, and the second pass reads them instead of the text. The columns are
    # smaller than the text.
    kept = size if (source, output, maxlen) == ("jsonl", "parquet", "longest") else 0
    # In addition to the passes, the first chunks are read to choose the columns. The Parquet file is smaller
    # than these chunks, so its passes cannot be counted.
    if source == "jsonl":
        assert after["rchar"] - before["rchar"] <= passes * size + (1 << 21)
    assert after["wchar"] - before["wchar"] <= out.stat().st_size + kept + (1 << 12)


def peak(run: Callable[[], object]) -> int:
    """Return the peak memory of a run in Python and NumPy, in bytes."""
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can keep freed memory")
def test_workers_keep_freed_memory(tmp_path):
    """After the first tasks, workers get no new pages from the system, which would fill them with zeros."""
    source = write_rows(tmp_path / "rows.jsonl", 10_000, 60)
    faults = "__import__('resource').getrusage(0).ru_minflt"
    with padmask.Processes(1) as worker:
        counts = []
        for _ in range(3):
            padmask.pad_file(source, tmp_path / "out.jsonl", maxlen=64, executor=worker)
            counts.append(worker.submit(eval, faults).result())
    pages = source.stat().st_size / mmap.PAGESIZE
    assert counts[2] - counts[1] < pages / 2


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("side", ["pre", "post"])
def test_kernel_memory(side, dtype):
    lengths = np.arange(100_000) % 40
    tokens = np.arange(int(lengths.sum()), dtype=dtype)
    ragged = Ragged(tokens, np.cumsum(lengths) - lengths, lengths)

    def run() -> object:
        return pad_batch(
            ragged, plan_pad(ragged.lengths, 64, padding=side, truncating=side), value=1, dtype=dtype
        )

    result = 100_000 * 64 * (tokens.itemsize + 1)
    counts = 100_000 * 8 * 4
    assert peak(run) <= result + counts + 4 * BLOCK_VALUES * tokens.itemsize


def test_arrow_tokens_are_not_copied():
    rows = pa.array([list(range(50))] * 20_000, type=pa.list_(pa.int32()))
    ragged, _ = Ragged.from_arrow(rows)

    assert np.shares_memory(ragged.values, rows.values.to_numpy())
    before = pa.total_allocated_bytes()
    padmask.pad(rows, PadSpec(maxlen=64))
    assert pa.total_allocated_bytes() == before


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path):
    # The small file also fills all chunks that are in memory at the same time.
    few, many = (write_rows(tmp_path / f"{n}.jsonl", n, 60) for n in (15_000, 90_000))

    small, large = (peak(pad(source, tmp_path / "out.jsonl")) for source in (few, many))
    assert large <= 1.1 * small + (1 << 20)
