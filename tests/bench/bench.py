"""Compare padmask with other tools: `python tests/bench/bench.py`.

The data is generated or real, and its row lengths have the long tail of real text. In each comparison,
padmask and another tool do the same job alternately, and their outputs must be equal. Prints one table of
ratios for each number of rows, and one table of results that do not depend on the number of rows.
`--scale` prints the time per token and the memory for growing inputs instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import scale
from benches import BENCHES, ONCE, SIZED
from real import REAL
from report import section
from results import COLUMNS, Load

MANY_ROWS = 10**6


def compared(names: Sequence[str], load: Load) -> Iterator[list[str]]:
    """Run some comparisons and yield the lines of the table."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
            for result in BENCHES[name](Path(folder), load):
                yield result.cells()


def turns(repeat: int, rows: int) -> int:
    """Return how often each tool of a pair runs: `repeat` times, or half as often if there are many rows."""
    return repeat if rows < MANY_ROWS else (repeat + 1) // 2


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000], help="rows to pad; default 100,000")
    parser.add_argument("--real", action="store_true", help="pad real data, not generated")
    parser.add_argument(
        "--repeat", type=int, default=3, help="turns of each pair, half of it for a million rows; default 3"
    )
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES), help="some jobs only")
    parser.add_argument("--scale", action="store_true", help="what a token costs as the input grows")
    parser.add_argument("--huge", action="store_true", help="with --scale: 10^8 tokens too")
    parser.add_argument("--write", action="store_true", help="keep the tables in RESULTS.md")
    options = parser.parse_args()
    if options.write and options.only != list(BENCHES):
        parser.error("--write keeps whole tables: leave --only out")
    return options


def main() -> None:
    options = parse()
    keep = partial(section, write=options.write)
    if options.scale:
        counts = scale.SCALE_TOKENS + [scale.HUGE_TOKENS] * options.huge
        keep("Cost per token", scale.COLUMNS, scale.scaled(counts, options.repeat))
        return
    if options.real and not REAL.exists():
        print("real data: skipped, there is no ../shared/data/jargon.jsonl", file=sys.stderr)
        return
    data, of_what = ("real", " of real data") if options.real else ("generated", "")
    for rows in options.rows:
        load = Load(data, rows, turns(options.repeat, rows))
        names = [name for name in options.only if name in SIZED]
        keep(f"Comparison with other tools, {rows:,} rows{of_what}", COLUMNS, compared(names, load))
    if not options.real:
        for title, names in ONCE.items():
            chosen = [name for name in options.only if name in names]
            keep(title, COLUMNS, compared(chosen, Load(data, 0, options.repeat)))


if __name__ == "__main__":
    main()
