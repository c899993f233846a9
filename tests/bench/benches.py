"""The comparisons. Each runs padmask and another tool alternately, and checks that their outputs agree."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from commands import PADMASK, answer, importing, pad, python, writing
from file_benches import FILES, MANY, MANY_ROWS
from measure import Cost, Pair, by_turns, run
from results import Load, Result, skipped

# Short runs are repeated more often.
SHORT_REPEAT = 4
IN_MEMORY = ("keras", "torch", "tensorflow", "copy")
SMALL = ("loop", "transformers")
SMALL_TURNS = 20
VERIFIED_ROWS = 2_000


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
        skipped("in memory", peer, found["missing"])
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
        skipped(job, f"import {modules}", f"no {modules} here")
        return
    source = folder / "rows.jsonl"
    answer(python("data.py", "generated", VERIFIED_ROWS, source))
    verify = [*PADMASK, "verify", str(source), "--quiet"]
    # If the exit code of either is not 0, the run stops.
    run(verify), run(importing(modules))
    pair = by_turns(lambda: run(verify), lambda: run(importing(modules)), load.repeat)
    yield Result(job, f"`python -c 'import {modules}'`", pair)


# Benches that depend on the number of rows, and benches that run once, by the title of their table.
SIZED = FILES | {"memory": bench_memory}
ONCE = {
    f"{MANY_ROWS:,} rows": MANY,
    "Start-up and proof": {"startup": bench_startup, "verify": bench_verify},
    "Batches of 32 rows in memory": {"small": bench_small},
}
BENCHES = SIZED | {name: bench for benches in ONCE.values() for name, bench in benches.items()}
