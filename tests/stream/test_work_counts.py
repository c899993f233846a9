"""What a run may cost, in things that can be counted: a guard that no busy machine sets off.

Seconds are for `make bench`. Here stand the reasons why those seconds are few: how often the
input is read, that nothing is done once a token in Python, that no second rectangle is made.
"""

import json
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
    """Write rows of so many tokens each."""
    ids = [10_000 + i % 20_000 for i in range(tokens)]
    if path.suffix == ".jsonl":
        path.write_text((json.dumps({"id": 7, "text": "a word", "input_ids": ids}) + "\n") * rows)
    else:
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": [7] * rows, "input_ids": [ids] * rows}), path)
    return path


def calls(run: Callable[[], object]) -> int:
    """Count the calls of functions, Python's own and C's, that a run makes in this thread."""
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


def pad(source: Path, goal: Path) -> Callable[[], object]:
    files = padmask.FileOptions(threads=1)
    return lambda: padmask.pad_file(source, goal, spec=PadSpec(maxlen=16), files=files)


FORMATS = [
    ("jsonl", "jsonl", 8),
    ("jsonl", "parquet", 40),
    ("parquet", "jsonl", 8),
    ("parquet", "parquet", 1),
]


@pytest.mark.parametrize(("source", "goal", "most"), FORMATS)
def test_a_row_costs_a_few_calls_and_a_token_none(tmp_path, source, goal, most):
    few, many, long = (
        write_rows(tmp_path / f"{name}.{source}", rows, tokens)
        for name, rows, tokens in (("few", 2000, 8), ("many", 4000, 8), ("long", 2000, 16))
    )
    out = tmp_path / f"out.{goal}"
    pad(few, out)()  # What is loaded and remembered once costs once.

    base = calls(pad(few, out))
    assert (calls(pad(many, out)) - base) / 2000 <= most
    # A chunk holds fewer of the longer rows, and a chunk costs something.
    assert (calls(pad(long, out)) - base) / 16_000 < 0.1


def transferred() -> dict[str, int]:
    """Return the bytes that this process has read and written so far."""
    told = Path("/proc/self/io").read_text().splitlines()
    return {name: int(count) for name, count in (line.split(": ") for line in told)}


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts a process's bytes")
@pytest.mark.parametrize(("source", "goal"), [row[:2] for row in FORMATS])
@pytest.mark.parametrize(("maxlen", "passes"), [(8, 1), ("longest", 2)])
def test_the_input_is_read_once_and_once_more_to_find_a_length(tmp_path, source, goal, maxlen, passes):
    rows = write_rows(tmp_path / f"rows.{source}", 20_000, 20)
    out = tmp_path / f"out.{goal}"

    def run() -> None:
        padmask.pad_file(rows, out, spec=PadSpec(maxlen=maxlen), files=padmask.FileOptions(threads=1))

    run()
    before = transferred()
    run()
    after = transferred()
    # JSON Lines tell their types only when all has been read.
    passes = 2 if (source, goal) == ("jsonl", "parquet") else passes
    size = rows.stat().st_size
    # Beside the passes: the first chunks and footers, where columns are chosen.
    assert after["rchar"] - before["rchar"] <= passes * size + (1 << 21)
    assert after["wchar"] - before["wchar"] <= out.stat().st_size + (1 << 12)


def peak(run: Callable[[], object]) -> int:
    """Return the most bytes that a run holds at once in Python's and NumPy's memory."""
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("side", ["pre", "post"])
def test_the_kernel_holds_its_result_and_a_few_blocks(side, dtype):
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


def test_arrow_rows_are_padded_without_a_copy_of_their_tokens():
    rows = pa.array([list(range(50))] * 20_000, type=pa.list_(pa.int32()))
    ragged, _ = Ragged.from_arrow(rows)

    assert np.shares_memory(ragged.values, rows.values.to_numpy())
    before = pa.total_allocated_bytes()
    padmask.pad(rows, PadSpec(maxlen=64))
    assert pa.total_allocated_bytes() == before


def test_ten_times_the_rows_take_no_more_memory(tmp_path):
    few, many = (write_rows(tmp_path / f"{n}.jsonl", n, 60) for n in (5_000, 50_000))

    small, large = (peak(pad(source, tmp_path / "out.jsonl")) for source in (few, many))
    assert large <= 1.1 * small + (1 << 20)
