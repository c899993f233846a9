"""The comparisons of commands that read and write files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from commands import PADMASK, answer, cat, pad, peer, python, without_fsync, writing
from measure import by_turns, run
from peers import BY_FORMATS, MAXLEN, SCRIPT, result_of
from results import Load, Result, present, skipped
from targets import INSPECT, VERIFY, job_of

FOUND = ("p95", "longest")
COMPRESSED = ("jsonl.gz", "jsonl.zst")
# Number of rows in jobs that take little time per row, and in the file that several processes pad.
MANY_ROWS = 10**6
# Number of turns of these jobs.
FEW_TURNS = 3


def bench_jsonl(folder: Path, load: Load) -> Iterator[Result]:
    return _bench_same(folder, "jsonl", load)


def bench_parquet(folder: Path, load: Load) -> Iterator[Result]:
    return _bench_same(folder, "parquet", load)


def _bench_same(folder: Path, suffix: str, load: Load) -> Iterator[Result]:
    """Run padmask against `cat` and against every peer whose input and output have the format `suffix`."""
    source = _data(folder, load, suffix)
    return _compare(source, folder / f"padmask.{suffix}", BY_FORMATS[suffix, suffix], load, cats=True)


def bench_formats(folder: Path, load: Load) -> Iterator[Result]:
    """Run padmask against the peers for each conversion between two formats, and for Arrow to Arrow."""
    if load.data == "real":
        skipped("every pair of formats", "all peers", "generated data is enough")
        return
    for (suffix, output), names in BY_FORMATS.items():
        if suffix != output or suffix == "arrow":
            source = folder / f"in.{suffix}"
            if not source.exists():
                _data(folder, load, suffix)
            yield from _compare(source, folder / f"padmask.{output}", names, load)


def bench_found(folder: Path, load: Load) -> Iterator[Result]:
    """Run padmask against peers on jobs in which maxlen must first be computed from the row lengths."""
    for suffix in ("jsonl", "parquet"):
        source = _data(folder, load, suffix)
        for maxlen in FOUND:
            job = f"{job_of(suffix, suffix)}, {maxlen}"
            yield from _compare(source, folder / f"padmask.{suffix}", ["DuckDB", "Polars"], load, job, maxlen)


def bench_compressed(folder: Path, load: Load) -> Iterator[Result]:
    """Run padmask against peers on compressed JSON Lines."""
    for suffix in COMPRESSED:
        source, job = (
            _data(folder, load, suffix),
            f"{suffix.removeprefix('jsonl')}, {job_of('jsonl', 'jsonl')}",
        )
        yield from _compare(source, folder / "padmask.jsonl", ["DuckDB", SCRIPT], load, job)


def bench_disk(folder: Path, load: Load) -> Iterator[Result]:
    """Measure the cost of waiting until the output is on disk, which peers do not do."""
    for suffix in ("jsonl", "parquet"):
        source, ours = _data(folder, load, suffix), folder / f"padmask.{suffix}"
        command = pad(source, ours)
        waiting, hasty = writing(command, ours), writing(without_fsync(command), ours)
        waiting(), hasty()
        yield Result(job_of(suffix, suffix), "padmask without fsync", by_turns(waiting, hasty, load.repeat))


def bench_workers(folder: Path, load: Load) -> Iterator[Result]:
    """Compare two worker processes with one on the same input file. Both outputs must have the same bytes."""
    source = _data(folder, Load("generated", MANY_ROWS, FEW_TURNS), "jsonl")
    for output in ("jsonl", "parquet"):
        job, against = f"{job_of('jsonl', output)}, --workers 2", "--workers 1"
        one, two = (folder / f"{name}.{output}" for name in ("one", "two"))
        ours = writing(pad(source, two, "--workers", "2"), two)
        theirs = writing(pad(source, one, "--workers", "1"), one)
        try:
            ours(), theirs()
        except RuntimeError as error:
            skipped(job, against, str(error))
            continue
        run(["cmp", str(one), str(two)])
        yield Result(job, against, by_turns(ours, theirs, FEW_TURNS))


def bench_reports(folder: Path, load: Load) -> Iterator[Result]:
    """Run `inspect`, and `verify` without a model, on many rows."""
    source, padded = (
        _data(folder, Load("generated", MANY_ROWS, FEW_TURNS), "parquet"),
        folder / "padded.parquet",
    )
    run(pad(source, padded))
    for command, job, file in (("inspect", INSPECT, source), ("verify", VERIFY, padded)):
        names = ["DuckDB, quantiles and histogram"] * (command == "inspect") + ["pyarrow, read alone"]
        options = ["--quiet", "--no-model"] if command == "verify" else ["--quiet"]
        ours = _process([*PADMASK, command, str(file), *options])
        for against in present(job, names):
            theirs = _process(peer(against, file, folder / "unused"))
            ours(), theirs()
            yield Result(job, against, by_turns(ours, theirs, FEW_TURNS))


def _process(command: list[str]) -> Callable[[], object]:
    return lambda: run(command)


def _data(folder: Path, load: Load, suffix: str) -> Path:
    source = folder / f"in.{suffix}"
    answer(python("data.py", load.data, load.rows, source))
    return source


def _compare(
    source: Path,
    ours: Path,
    names: list[str],
    load: Load,
    job: str | None = None,
    maxlen: str = str(MAXLEN),
    cats: bool = False,
) -> Iterator[Result]:
    """Run padmask against peers, and compare their outputs with that of padmask."""
    suffix = ours.suffix[1:]
    theirs, kept = ours.with_stem("peer"), ours.with_stem("kept")
    job = job or job_of(source.suffix[1:], suffix)
    padmask = writing(pad(source, ours, maxlen=maxlen), ours)
    # The first run warms the page cache. The other outputs are compared with its output.
    padmask()
    if cats and suffix == "parquet":
        run(python("keep.py", ours, result_of(str(source))))
    others = {name: peer(name, source, theirs, maxlen) for name in present(job, names)}
    if cats:
        kept.unlink(missing_ok=True)
        kept.hardlink_to(ours)
        others["`cat` of the output's bytes"] = cat(kept, theirs)
    for against, command in others.items():
        other = writing(command, theirs)
        other()
        run(python("check.py", ours, theirs))
        sizes = (ours.stat().st_size, theirs.stat().st_size)
        yield Result(job, against, by_turns(padmask, other, load.repeat), sizes)


FILES = {
    "jsonl": bench_jsonl,
    "parquet": bench_parquet,
    "formats": bench_formats,
    "found": bench_found,
    "compressed": bench_compressed,
    "disk": bench_disk,
}
MANY = {"reports": bench_reports, "workers": bench_workers}
