"""padmask beside what people use instead: `python tests/bench/bench.py`.

Generates data with the long-tailed lengths of real text, lets every pair of tools do the
same job by turns, checks that their outputs hold the same, and prints one table of ratios.
`--scale` prints instead what a token costs and how much memory it takes as the input grows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Cost, Pair, by_turns, run
from peers import MAXLEN, PEERS, result_of
from report import machine, table, write_section

HERE = Path(__file__).parent
PADMASK = [sys.executable, "-m", "padmask"]
if (_script := Path(sys.executable).with_name("padmask")).exists():
    PADMASK = [str(_script)]
# What takes a fraction of a second can be measured more often.
SHORT_REPEAT = 4
MEAN_TOKENS = 70
SCALE_TOKENS = [10**5, 10**6, 10**7]
HUGE_TOKENS = 10**8


@dataclass(frozen=True)
class Result:
    """A line of the table.

    Args:
        job, against: what was run, and beside what.
        pair: what it took; peaks are 0 where no process of its own was started.
        sizes: bytes of the two outputs.
    """

    job: str
    against: str
    pair: Pair
    sizes: tuple[int, ...] = ()

    def cells(self) -> list[str]:
        pair = self.pair
        peaks = [cost.peak for cost in (pair.ours, pair.theirs) if cost.peak]
        return [
            self.job,
            self.against,
            f"{pair.ours.wall:.3f}",
            f"{pair.theirs.wall:.3f}",
            f"{pair.wall_ratio:.2f}",
            f"{pair.cpu_ratio:.2f}",
            mebibytes(peaks),
            mebibytes(self.sizes),
        ]


def mebibytes(sizes: Sequence[int]) -> str:
    return " / ".join(f"{size / 2**20:,.0f}" for size in sizes) or "-"


COLUMNS = ["job", "against", "padmask, s", "other, s", "wall ratio", "CPU ratio", "peak, MiB", "output, MiB"]


def python(script: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this folder."""
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def answer(command: Sequence[str]) -> dict:
    """Run a module of this folder and return what it prints as JSON."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def pad(source: Path, goal: Path) -> list[str]:
    return [*PADMASK, "pad", str(source), "-o", str(goal), "--maxlen", str(MAXLEN), "--quiet"]


def writing(command: Sequence[str], goal: Path) -> Callable[[], Cost]:
    """Return a run of the command; each starts without the file that it writes."""

    def fresh() -> Cost:
        goal.unlink(missing_ok=True)
        return run(command)

    return fresh


def bench_files(folder: Path, suffix: str, rows: int, repeat: int) -> Iterator[Result]:
    """Run padmask against every peer of a format."""
    source, ours = folder / f"in.{suffix}", folder / f"padmask.{suffix}"
    answer(python("data.py", rows, source))
    name = {"jsonl": "JSON Lines", "parquet": "Parquet"}[suffix]
    padmask = writing(pad(source, ours), ours)
    # The first run warms the page cache, and its output is what the others are checked by.
    padmask()
    if suffix == "parquet":
        run(python("keep.py", ours, result_of(str(source))))
    for against in PEERS[suffix]:
        theirs = folder / f"peer.{suffix}"
        peer = writing(python("peers.py", suffix, against, source, theirs), theirs)
        peer()
        run(python("check.py", ours, theirs))
        sizes = (ours.stat().st_size, theirs.stat().st_size)
        yield Result(f"{name} -> {name}", against, by_turns(padmask, peer, repeat), sizes)


def bench_jsonl(folder: Path, rows: int, repeat: int) -> Iterator[Result]:
    return bench_files(folder, "jsonl", rows, repeat)


def bench_parquet(folder: Path, rows: int, repeat: int) -> Iterator[Result]:
    return bench_files(folder, "parquet", rows, repeat)


def bench_memory(_: Path, rows: int, repeat: int) -> Iterator[Result]:
    """Run `pad_sequences` and `pad` in one process of their own."""
    found = answer(python("memory.py", rows, SHORT_REPEAT * repeat))
    if not found["keras"]:
        print("in memory, Keras: skipped, Keras cannot be imported here", file=sys.stderr)
    for one in found["results"]:
        pair = one["pair"] | {side: Cost(**one["pair"][side]) for side in ("ours", "theirs")}
        yield Result(one["job"], one["against"], Pair(**pair))


def bench_startup(folder: Path, _: int, repeat: int) -> Iterator[Result]:
    """Run what takes no time but its start."""
    source, goal = folder / "ten.jsonl", folder / "ten.out.jsonl"
    answer(python("data.py", 10, source))
    for job, command, imports in (
        ("`padmask --version`", [*PADMASK, "--version"], "import click"),
        ("`padmask pad` on 10 rows", pad(source, goal), "import numpy, pyarrow"),
    ):
        ours, theirs = writing(command, goal), lambda code=imports: run([sys.executable, "-c", code])
        ours(), theirs()
        yield Result(job, f"`python -c '{imports}'`", by_turns(ours, theirs, SHORT_REPEAT * repeat))


BENCHES = {"jsonl": bench_jsonl, "parquet": bench_parquet, "memory": bench_memory, "startup": bench_startup}


def compare(names: Sequence[str], rows: int, repeat: int) -> list[str]:
    """Run the comparisons and return the table's lines."""
    results = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
            for result in BENCHES[name](Path(folder), rows, repeat):
                say(result.cells())
                results.append(result)
    return table(COLUMNS, [result.cells() for result in results])


def scale(counts: Sequence[int], repeat: int) -> list[str]:
    """Run padmask on more and more tokens and return the table's lines."""
    lines = []
    for suffix, name in (("jsonl", "JSON Lines"), ("parquet", "Parquet")):
        for count in counts:
            with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
                pair, tokens = grown(Path(folder), suffix, count, repeat)
            lines.append(
                [
                    f"{name} -> {name}",
                    f"{tokens:,}",
                    f"{pair.ours.wall:.2f}",
                    f"{1e9 * (pair.ours.wall - pair.theirs.wall) / tokens:.0f}",
                    f"{1e9 * (pair.ours.cpu - pair.theirs.cpu) / tokens:.0f}",
                    mebibytes([pair.ours.peak]),
                ]
            )
            say(lines[-1])
    return table(["job", "tokens", "wall, s", "wall, ns/token", "CPU, ns/token", "peak, MiB"], lines)


def grown(folder: Path, suffix: str, count: int, repeat: int) -> tuple[Pair, int]:
    """Run padmask on so many tokens and, by turns, on ten rows, which is its start-up."""
    runs = []
    for name, rows in (("in", count // MEAN_TOKENS), ("ten", 10)):
        source, goal = folder / f"{name}.{suffix}", folder / f"{name}.out.{suffix}"
        tokens = answer(python("data.py", rows, source))[str(source)]
        runs.append((writing(pad(source, goal), goal), tokens))
    (ours, tokens), (start, _) = runs
    ours(), start()
    # Where start-up is most of it, the rest shows only in many turns.
    return by_turns(ours, start, repeat * (SHORT_REPEAT if count < 10**6 else 1)), tokens


def say(cells: Sequence[str]) -> None:
    """Show a line as soon as it is there: the whole takes minutes."""
    print(" | ".join(cells), file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows to pad; default 100,000")
    parser.add_argument("--repeat", type=int, default=5, help="turns of each pair; default 5")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES), help="some jobs only")
    parser.add_argument("--scale", action="store_true", help="what a token costs as the input grows")
    parser.add_argument("--huge", action="store_true", help="with --scale: 10^8 tokens too")
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    options = parser.parse_args()
    if options.write and options.only != list(BENCHES):
        parser.error("--write keeps a whole table: leave --only out")
    return options


def main() -> None:
    options = parse()
    here = machine()
    if options.scale:
        title = "Cost of a token"
        lines = scale(SCALE_TOKENS + [HUGE_TOKENS] * options.huge, options.repeat)
    else:
        title = f"Beside its peers, {options.rows:,} rows"
        lines = compare(options.only, options.rows, options.repeat)
    print("\n".join([here, "", *lines]))
    if options.write:
        write_section(HERE / "RESULTS.md", title, here, lines)


if __name__ == "__main__":
    main()
