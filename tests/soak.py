"""Convert many tokens between every pair of formats: `python tests/soak.py [--tokens N]`.

Prints a markdown table: seconds, rows per second, and peak memory compared with that of a tenth of the
tokens. The exit code is 1 if memory grew too much. This process loads no data, because the peak memory of
a process includes that of its parent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.measure import run

SOURCES = ["jsonl", "parquet", "arrow"]
GOALS = ["jsonl", "parquet", "arrow", "npz"]
MAXLEN = 128
MEAN_TOKENS = 70
GROWTH = 1.1
COLUMNS = [
    "in",
    "out",
    "tokens",
    "wall, s",
    "rows/s",
    "peak, MiB",
    "peak for a tenth, MiB",
    "ratio",
    f"<= {GROWTH}",
]

# Runs in a separate process, block by block.
MAKE = f"""
import json, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
folder, tokens = sys.argv[1], int(sys.argv[2])
draw, rows = np.random.default_rng(7), tokens // {MEAN_TOKENS}
schema = pa.schema([("id", pa.int64()), ("input_ids", pa.list_(pa.int32()))])
with (
    open(folder + "/in.jsonl", "w") as lines,
    pq.ParquetWriter(folder + "/in.parquet", schema) as parquet,
    pa.ipc.new_file(folder + "/in.arrow", schema) as arrow,
):
    for first in range(0, rows, 10_000):
        count = min(10_000, rows - first)
        lengths = np.minimum(draw.geometric(1 / {MEAN_TOKENS}, count), 8 * {MEAN_TOKENS})
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        ids = draw.integers(1, 32_000, ends[-1], dtype=np.int32)
        numbers = np.arange(first, first + count)
        table = pa.table([numbers, pa.ListArray.from_arrays(ends, ids)], schema=schema)
        parquet.write_table(table)
        arrow.write_table(table)
        texts = ids.tolist()
        rows_of = zip(numbers.tolist(), ends, ends[1:])
        lines.writelines(json.dumps({{"id": n, "input_ids": texts[a:b]}}) + "\\n" for n, a, b in rows_of)
"""


@dataclass(frozen=True)
class Soaked:
    """The time and memory for one pair of formats, with the number of rows and tokens."""

    wall: float
    peak: int
    rows: int
    tokens: int


def soak(folder: Path, source: str, output: str) -> Soaked:
    out, report = folder / f"out.{output}", folder / "report.json"
    command = [
        sys.executable,
        "-m",
        "padmask",
        "pad",
        str(folder / f"in.{source}"),
        "-o",
        str(out),
        "--quiet",
        # Otherwise, only the larger input has several processes.
        "--workers",
        "1",
    ]
    cost = run([*command, "--maxlen", str(MAXLEN), "--report", str(report), "--max-bytes", "1TB"])
    counts = json.loads(report.read_bytes())
    out.unlink()
    return Soaked(cost.wall, cost.peak, counts["rows_written"], counts["tokens_kept"])


def soaked(tokens: int, folder: Path) -> dict[tuple[str, str], Soaked]:
    """Run every pair, and check that all report the same number of rows and tokens."""
    subprocess.run([sys.executable, "-c", MAKE, str(folder), str(tokens)], check=True)
    results = {(source, output): soak(folder, source, output) for source in SOURCES for output in GOALS}
    if len({(one.rows, one.tokens) for one in results.values()}) > 1:
        raise SystemExit(f"The pairs do not count the same: {results}")
    return results


def line(pair: tuple[str, str], tokens: int, full: Soaked, tenth: Soaked) -> tuple[list[str], bool]:
    """Return a line of the table, and whether memory stayed within the limit.

    For npz archives, memory has no limit. Their arrays go through temporary files, whose pages
    the kernel may or may not count.
    """
    ratio = full.peak / tenth.peak
    fine = ratio <= GROWTH
    verdict = ("yes" if fine else "no") + (", not judged" if pair[1] == "npz" else "")
    cells = [*pair, f"{tokens:,}", f"{full.wall:.1f}", f"{full.rows / full.wall:,.0f}"]
    cells += [f"{one.peak / (1 << 20):.0f}" for one in (full, tenth)]
    return [*cells, f"{ratio:.2f}", verdict], fine or pair[1] == "npz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10**8)
    parser.add_argument("--folder", help="where there is room; default: the folder for temporary files")
    given = parser.parse_args()
    results = []
    for tokens in (given.tokens // 10, given.tokens):
        with tempfile.TemporaryDirectory(prefix="padmask-soak-", dir=given.folder) as folder:
            results.append(soaked(tokens, Path(folder)))
    tenth, full = results
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    all_fine = True
    for pair, one in full.items():
        cells, fine = line(pair, given.tokens, one, tenth[pair])
        all_fine &= fine
        print("| " + " | ".join(cells) + " |")
    return 0 if all_fine else 1


if __name__ == "__main__":
    sys.exit(main())
