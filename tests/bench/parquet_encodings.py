"""Compare Parquet encodings of padded ids and masks: `python tests/bench/parquet_encodings.py [--write]`.

Each column is written alone, in memory, with the options of padmask's writer except one.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from commands import HERE, pad, python
from report import machine, table, write_section

ROWS = 100_000
TURNS = 7
IDS, MASK = "input_ids.list.element", "mask.list.element"
WAYS: dict[str, dict[str, dict[str, Any]]] = {
    "input_ids": {
        "as padmask writes: dictionary, zstd 1": {},
        "no dictionary": {"use_dictionary": False},
        "byte stream split": {"use_dictionary": False, "column_encoding": {IDS: "BYTE_STREAM_SPLIT"}},
        "delta": {"use_dictionary": False, "column_encoding": {IDS: "DELTA_BINARY_PACKED"}},
        "zstd 3": {"compression_level": 3},
        "snappy": {"compression": "snappy"},
        "not compressed": {"compression": "none"},
    },
    "mask": {
        "as padmask writes: packed bits, zstd 1": {},
        "run lengths": {"use_dictionary": False, "column_encoding": {MASK: "RLE"}},
        "not compressed": {"compression": "none"},
    },
}


def measured(column: Any, options: dict[str, Any]) -> tuple[float, int]:
    """Return the median time for writing in seconds, and the size in bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    seconds = []
    for _ in range(TURNS):
        sink = pa.BufferOutputStream()
        start = perf_counter()
        pq.write_table(column, sink, row_group_size=32_768, **({"compression": "zstd"} | options))
        seconds.append(perf_counter() - start)
    return statistics.median(seconds), sink.getvalue().size


def lines() -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
        source, destination = Path(folder, "in.parquet"), Path(folder, "out.parquet")
        subprocess.run(python("data.py", "generated", ROWS, source), check=True, stdout=subprocess.DEVNULL)
        subprocess.run(pad(source, destination), check=True)
        padded = pq.read_table(destination).combine_chunks()
    for name, ways in WAYS.items():
        for way, options in ways.items():
            seconds, size = measured(padded.select([name]), options)
            yield [name, way, f"{seconds:.3f}", f"{size / 2**20:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    options = parser.parse_args()
    here, shown = machine(), table(["column", "encoding", "write, s", "MiB"], list(lines()))
    print("\n".join([here, "", *shown]), file=sys.stdout)
    if options.write:
        write_section(HERE / "RESULTS.md", "Parquet encodings", here, shown)


if __name__ == "__main__":
    main()
