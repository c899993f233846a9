"""The comparisons. Each runs padmask and another tool alternately, and checks that their outputs agree."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from commands import PADMASK, answer, cat, importing, pad, python, writing
from measure import Cost, Pair, by_turns, run
from peers import NEEDS, PEERS, result_of
from report import mebibytes
from targets import JSON_LINES, PARQUET, TARGETS, Target, verdict

# Short runs are repeated more often.
SHORT_REPEAT = 4
IN_MEMORY = ("keras", "torch", "tensorflow", "copy")
SMALL = ("loop", "transformers")
SMALL_TURNS = 20
VERIFIED_ROWS = 2_000


@dataclass(frozen=True)
class Load:
    """The data to pad, and the number of repetitions.

    Args:
        data: `generated` or `real`.
        rows: number of rows in the file or in memory.
        repeat: number of runs of each pair.
    """

    data: str
    rows: int
    repeat: int


@dataclass(frozen=True)
class Result:
    """A row of the table of results.

    Args:
        job, against: name of the job, and the tool that padmask is compared with.
        pair: time and memory of both. Peaks are 0 if the run was not a separate process.
        sizes: size of each output, in bytes.
    """

    job: str
    against: str
    pair: Pair
    sizes: tuple[int, ...] = ()

    def cells(self) -> list[str]:
        pair, target = self.pair, TARGETS.get((self.job, self.against), Target())
        peaks = [cost.peak for cost in (pair.ours, pair.theirs) if cost.peak]
        return [
            self.job,
            self.against,
            _seconds(pair.ours.wall),
            _seconds(pair.theirs.wall),
            f"{pair.wall_ratio:.2f}",
            verdict(pair.wall_ratio, target.wall),
            f"{pair.cpu_ratio:.2f}",
            verdict(pair.cpu_ratio, target.cpu),
            mebibytes(peaks),
            mebibytes(self.sizes),
        ]


def _seconds(wall: float) -> str:
    return f"{wall:.3f}" if wall >= 0.01 else f"{wall:.6f}"


COLUMNS = [
    "job",
    "against",
    "padmask, s",
    "other, s",
    "wall ratio",
    "wall target",
    "CPU ratio",
    "CPU target",
    "peak, MiB",
    "output, MiB",
]


def bench_jsonl(folder: Path, load: Load) -> Iterator[Result]:
    return _bench_files(folder, "jsonl", JSON_LINES, load)


def bench_parquet(folder: Path, load: Load) -> Iterator[Result]:
    return _bench_files(folder, "parquet", PARQUET, load)


def _bench_files(folder: Path, suffix: str, job: str, load: Load) -> Iterator[Result]:
    """Run padmask against every peer of a format, and against `cat`."""
    source, ours, theirs, kept = (folder / f"{name}.{suffix}" for name in ("in", "padmask", "peer", "kept"))
    answer(python("data.py", load.data, load.rows, source))
    padmask = writing(pad(source, ours), ours)
    # The first run warms the page cache. The other outputs are compared with its output.
    padmask()
    kept.hardlink_to(ours)
    if suffix == "parquet":
        run(python("keep.py", ours, result_of(str(source))))
    others = {name: python("peers.py", suffix, name, source, theirs) for name in _present(job, suffix)}
    others["`cat` of the output's bytes"] = cat(kept, theirs)
    for against, command in others.items():
        peer = writing(command, theirs)
        peer()
        run(python("check.py", ours, theirs))
        sizes = (ours.stat().st_size, theirs.stat().st_size)
        yield Result(job, against, by_turns(padmask, peer, load.repeat), sizes)


def _present(job: str, suffix: str) -> Iterator[str]:
    """Yield the peers of a format whose packages are installed."""
    for against in PEERS[suffix]:
        missing = [package for package in NEEDS.get(against, ()) if find_spec(package) is None]
        if missing:
            _skipped(job, against, f"no {' and no '.join(missing)} here")
        else:
            yield against


def bench_memory(_: Path, load: Load) -> Iterator[Result]:
    """Run `pad_sequences` and `pad` against each peer, in a separate process for each peer."""
    for peer in IN_MEMORY:
        yield from _results(peer, python("memory.py", peer, load.data, load.rows, SHORT_REPEAT * load.repeat))


def bench_small(_: Path, load: Load) -> Iterator[Result]:
    """Run `Collator` and `pad` on 32 rows."""
    for peer in SMALL:
        yield from _results(peer, python("small.py", peer, SMALL_TURNS * load.repeat))


def _results(peer: str, command: list[str]) -> Iterator[Result]:
    """Run a module that prints its results as JSON."""
    found = answer(command)
    if found["missing"]:
        _skipped("in memory", peer, found["missing"])
    for one in found["results"]:
        pair = one["pair"] | {side: Cost(**one["pair"][side]) for side in ("ours", "theirs")}
        yield Result(one["job"], one["against"], Pair(**pair))


def bench_startup(folder: Path, load: Load) -> Iterator[Result]:
    """Measure the start-up time."""
    source, destination = folder / "ten.jsonl", folder / "ten.out.jsonl"
    answer(python("data.py", "generated", 10, source))
    for job, command, modules in (
        ("`padmask --version`", [*PADMASK, "--version"], "click"),
        ("`padmask pad` on 10 rows", pad(source, destination), "numpy, pyarrow"),
    ):
        ours, theirs = writing(command, destination), lambda modules=modules: run(importing(modules))
        ours(), theirs()
        pair = by_turns(ours, theirs, SHORT_REPEAT * load.repeat)
        yield Result(job, f"`python -c 'import {modules}'`", pair)


def bench_verify(folder: Path, load: Load) -> Iterator[Result]:
    """Run `verify` on all reference models, and compare with the time for importing TensorFlow."""
    job, modules = f"`padmask verify` on {VERIFIED_ROWS:,} rows", "tensorflow"
    if find_spec(modules) is None:
        _skipped(job, f"import {modules}", f"no {modules} here")
        return
    source = folder / "rows.jsonl"
    answer(python("data.py", "generated", VERIFIED_ROWS, source))
    verify = [*PADMASK, "verify", str(source), "--quiet"]
    # If the exit code of either is not 0, the run stops.
    run(verify), run(importing(modules))
    pair = by_turns(lambda: run(verify), lambda: run(importing(modules)), load.repeat)
    yield Result(job, f"`python -c 'import {modules}'`", pair)


def _skipped(job: str, against: str, reason: str) -> None:
    print(f"{job}, {against}: skipped, {reason}", file=sys.stderr)


# Benches that depend on the number of rows, and benches that run once, by the title of their table.
SIZED = {"jsonl": bench_jsonl, "parquet": bench_parquet, "memory": bench_memory}
ONCE = {
    "Start-up and proof": {"startup": bench_startup, "verify": bench_verify},
    "Batches of 32 rows in memory": {"small": bench_small},
}
BENCHES = SIZED | {name: bench for benches in ONCE.values() for name, bench in benches.items()}
