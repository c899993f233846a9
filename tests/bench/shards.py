"""Pad a dataset of shards with one process, several processes, and a local Dask cluster.

`python tests/bench/shards.py [--tokens N] [--shards N] [--tiny N] [--repeat N] [--write]`

The three tables show the cost per token, the cost per small shard, and the cost of the driver
alone. The manifests of all runs, which contain the checksums of the shards, must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from commands import HERE, PADMASK, answer, python
from measure import ENVIRONMENT
from peers import MAXLEN
from report import machine, mebibytes, table, write_section

# data.py writes blocks of 10,000 rows with 70 tokens on average.
BLOCK_TOKENS = 700_000
TINY_ROWS, FEW = 10, 20
# Seconds between two looks at the processes. The system reports the peak memory of each process, so only a
# peak just before its end can be missed.
LOOK_SECONDS = 0.1
DRIVEN = (1_000, 10_000)
FORMATS = {"jsonl": "JSON Lines -> JSON Lines", "parquet": "Parquet -> Parquet"}
WAYS = {
    "one process": ["--workers", "1"],
    "2 processes": ["--workers", "2"],
    "4 processes": ["--workers", "4"],
    "Dask, a worker a core": ["--cluster", "local"],
}
TOKEN_COLUMNS = [
    "job",
    "executor",
    "shards",
    "tokens",
    "wall, s",
    "CPU, s",
    "10^6 tokens/s",
    "10^6 tokens/CPU s",
    "driver, MiB",
    "worker, MiB",
]
SHARD_COLUMNS = ["job", "executor", "shards", "start-up, s", "wall, ms/shard", "CPU, ms/shard", "driver, MiB"]
DRIVER_COLUMNS = ["format", "maxlen", "files", "wall, s", "ms/file", "peak, MiB", "manifest, bytes/shard"]
PARTS = {
    "tokens": ("Shards on processes and a cluster", TOKEN_COLUMNS),
    "shards": ("Shards on processes and a cluster: cost per shard", SHARD_COLUMNS),
    "driver": ("Shards on processes and a cluster: cost of the driver", DRIVER_COLUMNS),
}


@dataclass(frozen=True)
class Usage:
    """The time and memory of a run with several processes.

    Args:
        wall: wall-clock time, in seconds.
        cpu: CPU time of all processes, in seconds.
        driver: peak resident memory of the driver, in bytes.
        worker: largest peak resident memory of a worker, in bytes; 0 if there are no workers.
    """

    wall: float
    cpu: float
    driver: int
    worker: int


def run(command: Sequence[str]) -> Usage:
    """Run a process and its children, and measure them.

    Raises:
        RuntimeError: the process failed. The message is its output.
    """
    drivers, workers = dict[int, int](), dict[int, int]()
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=said)
        while True:
            for pid in _family(process.pid):
                works = b"padmask-worker" in _read(pid, "comm") or b"spawn_main" in _read(pid, "cmdline")
                seen = workers if works else drivers
                seen[pid] = max(seen.get(pid, 0), _peak(pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(LOOK_SECONDS if time.perf_counter() - begin > 1 else LOOK_SECONDS / 10)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed: {said.read().decode(errors='replace')}")
    peaks = (max(seen.values(), default=0) for seen in (drivers, workers))
    return Usage(wall, usage.ru_utime + usage.ru_stime, *peaks)


def _family(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    found = {pid}
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= _family(int(child))
    return found


def _read(pid: int, what: str) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/{what}").read_bytes()
    return b""


def _peak(pid: int) -> int:
    found = (line for line in _read(pid, "status").splitlines() if line.startswith(b"VmHWM"))
    return 1024 * int(next(found, b"0 0").split()[1])


def middle(runs: Sequence[Usage]) -> Usage:
    """Return the medians of several runs."""
    told = zip(*((one.wall, one.cpu, one.driver, one.worker) for one in runs), strict=True)
    wall, cpu, driver, worker = map(median, told)
    return Usage(wall, cpu, int(driver), int(worker))


# --- What is padded ------------------------------------------------------------------------


def make(folder: str, suffix: str, shards: int, blocks: int, rows: int) -> int:
    """Write shards of `blocks` blocks each, and return the number of tokens.

    If `rows` is not 0, each shard has only the first `rows` rows of a block.
    """
    from itertools import islice

    from data import BLOCK_ROWS, generated_blocks, write_blocks

    made = generated_blocks(shards * blocks * BLOCK_ROWS)
    if rows:
        first = {name: column[:rows] for name, column in next(made).items()}
        tiny = os.path.join(folder, f"00000.{suffix}")
        tokens = write_blocks(tiny, iter([first]))
        for i in range(1, shards):
            shutil.copyfile(tiny, os.path.join(folder, f"{i:05}.{suffix}"))
        return tokens * shards
    names = (os.path.join(folder, f"{i:05}.{suffix}") for i in range(shards))
    return sum(write_blocks(name, islice(made, blocks)) for name in names)


def made(folder: Path, suffix: str, shards: int, blocks: int = 1, rows: int = 0) -> int:
    """Write shards in a separate process, so that the measuring process has no data in memory."""
    folder.mkdir()
    return int(answer(python("shards.py", "--make", folder, suffix, shards, blocks, rows)))


def padded(source: Path, destination: Path, way: str) -> Usage:
    """Pad a folder into a new folder."""
    shutil.rmtree(destination, ignore_errors=True)
    asked = ["--maxlen", str(MAXLEN), "--threads", "1", "--quiet", *WAYS[way]]
    return run([*PADMASK, "pad", str(source), "-o", f"{destination}/", *asked])


def compared(source: Path, destination: Path, repeat: int) -> Iterator[tuple[str, Usage]]:
    """Run all executors alternately, and return the medians. Raise an error if the manifests differ."""
    runs: dict[str, list[Usage]] = {way: [] for way in WAYS}
    manifests = set()
    for _ in range(repeat):
        for way, found in runs.items():
            found.append(padded(source, destination, way))
            manifests.add((destination / "_padmask.json").read_bytes())
    if len(manifests) > 1:
        raise SystemExit(f"{source}: the manifests differ.")
    for way, found in runs.items():
        yield way, middle(found)


# --- The tables ----------------------------------------------------------------------------


def tokens_table(folder: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    """Measure the cost per token."""
    shards = options.shards
    blocks = max(1, round(options.tokens / BLOCK_TOKENS / shards))
    for suffix, job in FORMATS.items():
        source, destination = folder / f"in-{suffix}", folder / "out"
        tokens = made(source, suffix, shards, blocks)
        padded(source, destination, "2 processes")
        for way, took in compared(source, destination, options.repeat):
            speed = (f"{tokens / seconds / 1e6:.1f}" for seconds in (took.wall, took.cpu))
            peaks = (mebibytes([peak] if peak else []) for peak in (took.driver, took.worker))
            yield [
                *(job, way, f"{shards:,}", f"{tokens:,}", f"{took.wall:.2f}", f"{took.cpu:.2f}"),
                *(*speed, *peaks),
            ]
        shutil.rmtree(source)


def shards_table(folder: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    """Measure the cost per tiny shard, without the start-up. A run with few shards measures the start-up."""
    shards = options.tiny
    for suffix, job in FORMATS.items():
        sources = {count: folder / f"tiny-{suffix}-{count}" for count in (FEW, shards)}
        for count, source in sources.items():
            made(source, suffix, count, rows=TINY_ROWS)
        few, many = (dict(compared(source, folder / "out", options.repeat)) for source in sources.values())
        for way, took in many.items():
            per = 1e3 / (shards - FEW)
            yield [
                *(job, way, f"{shards:,}", f"{few[way].wall:.2f}"),
                f"{(took.wall - few[way].wall) * per:.2f}",
                f"{(took.cpu - few[way].cpu) * per:.2f}",
                mebibytes([took.driver]),
            ]


class FakeWorkers(Executor):
    """Fake workers that write a file of one byte and return realistic results."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        from padmask.shards.manifest import ShardRecord
        from padmask.shards.worker import pad_shard
        from padmask.stream.survey import Survey

        told: Future[Any] = Future()
        shard = args[0]
        if function.func is pad_shard:
            record = ShardRecord(
                shard.index, shard.name, shard.place, size=1, sha256="0" * 64, version=shard.stamp
            )
            staging = function.args[0].staging
            Path(staging.folder.path_of(staging.shard_file(record))).write_bytes(b"x")
            told.set_result(record)
        else:
            lengths = pickle.loads(_lengths())
            told.set_result(Survey(lengths, lengths.longest, rows=lengths.rows))
        return told


@cache
def _lengths() -> bytes:
    """Return the lengths of 10,000 rows as a worker would send them."""
    import numpy as np
    from data import lengths_of

    from padmask.core.length_stats import LengthStats

    return pickle.dumps(LengthStats.of(lengths_of(np.random.default_rng(0), 10_000)))


def drive(source: str, destination: str, maxlen: str) -> None:
    """List, plan and commit a dataset with fake workers."""
    from padmask import FileOptions, PadSpec, pad_dataset

    spec = PadSpec(maxlen=int(maxlen) if maxlen.isdigit() else maxlen)
    # Ignore the free disk space, because almost nothing is written.
    files = FileOptions(max_bytes=1 << 60)
    pad_dataset(source, destination, spec=spec, files=files, executor=FakeWorkers(), workers=2)


def driver_table(folder: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    """Measure the driver on tiny files: listing, footers, planning, records and the manifest."""
    for suffix in FORMATS:
        one = folder / f"one-{suffix}"
        made(one, suffix, 1, rows=TINY_ROWS)
        for count in DRIVEN:
            source, destination = folder / f"driven-{suffix}-{count}", folder / "driven"
            source.mkdir()
            for i in range(count):
                shutil.copyfile(one / f"00000.{suffix}", source / f"{i:06}.{suffix}")
            for maxlen in (str(MAXLEN), "p95"):
                runs = []
                for _ in range(options.repeat):
                    shutil.rmtree(destination, ignore_errors=True)
                    runs.append(run(python("shards.py", "--drive", source, destination, maxlen)))
                took, kept = middle(runs), (destination / "_padmask.json").stat().st_size
                yield [
                    *(suffix, maxlen, f"{count:,}", f"{took.wall:.2f}", f"{took.wall / count * 1e3:.2f}"),
                    *(mebibytes([took.driver]), f"{kept / count:.0f}"),
                ]
            shutil.rmtree(source)


MADE_BY = {"tokens": tokens_table, "shards": shards_table, "driver": driver_table}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=10**8, help="in the shards together; default 10^8")
    parser.add_argument("--shards", type=int, default=36, help="that hold them; default 36")
    parser.add_argument("--tiny", type=int, default=2_000, help="shards of ten rows; default 2,000")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; default 3")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some tables only")
    parser.add_argument("--write", action="store_true", help="keep the tables in RESULTS.md")
    parser.add_argument("--make", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--drive", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def shown(columns: Sequence[str], lines: Iterator[list[str]]) -> list[str]:
    """Return a table, and print each line when it is complete."""
    done = []
    for cells in lines:
        print(" | ".join(cells), file=sys.stderr, flush=True)
        done.append(cells)
    return table(columns, done)


def main() -> None:
    options = parse()
    if options.make:
        folder, suffix, *counts = options.make
        print(json.dumps(make(folder, suffix, *map(int, counts))))
        return
    if options.drive:
        drive(*options.drive)
        return
    for part in options.only:
        here, (title, columns) = machine(), PARTS[part]
        with tempfile.TemporaryDirectory(prefix="padmask-bench-") as name:
            lines = shown(columns, MADE_BY[part](Path(name), options))
        print("\n".join([f"## {title}", "", here, "", *lines, ""]))
        if options.write:
            write_section(HERE / "RESULTS.md", title, here, lines)


if __name__ == "__main__":
    main()
