"""Time per token and memory for growing inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benches import SHORT_REPEAT
from commands import answer, pad, python, writing
from measure import Pair, by_turns
from report import mebibytes
from targets import JSON_LINES, MEMORY_GROWTH, PARQUET, verdict

MEAN_TOKENS = 70
# Each number is ten times the previous one, to measure the growth of memory.
SCALE_TOKENS = [10**5, 10**6, 10**7]
HUGE_TOKENS = 10**8
COLUMNS = [
    "job",
    "tokens",
    "wall, s",
    "wall, ns/token",
    "CPU, ns/token",
    "peak, MiB",
    "peak ratio",
    "peak target",
]


def scaled(counts: Sequence[int], repeat: int) -> Iterator[list[str]]:
    """Run padmask on growing inputs and yield the lines of the table."""
    for suffix, job in (("jsonl", JSON_LINES), ("parquet", PARQUET)):
        before = 0
        for count in counts:
            with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
                pair, tokens = _grown(Path(folder), suffix, count, repeat)
            peak = pair.ours.peak
            yield [
                job,
                f"{tokens:,}",
                f"{pair.ours.wall:.2f}",
                f"{1e9 * (pair.ours.wall - pair.theirs.wall) / tokens:.0f}",
                f"{1e9 * (pair.ours.cpu - pair.theirs.cpu) / tokens:.0f}",
                mebibytes([peak]),
                *_growth(peak, before, count),
            ]
            before = peak


def _growth(peak: int, before: int, count: int) -> tuple[str, str]:
    """Return the ratio of a peak to the peak for a tenth of the tokens, and whether it meets the target.

    Only the largest input has a target.
    """
    if not before:
        return "-", "-"
    ratio = peak / before
    return f"{ratio:.2f}", verdict(ratio, MEMORY_GROWTH if count == HUGE_TOKENS else None)


def _grown(folder: Path, suffix: str, count: int, repeat: int) -> tuple[Pair, int]:
    """Run padmask alternately on many tokens, and on ten rows to measure the start-up."""
    runs = []
    for name, rows in (("in", count // MEAN_TOKENS), ("ten", 10)):
        source, destination = folder / f"{name}.{suffix}", folder / f"{name}.out.{suffix}"
        tokens = answer(python("data.py", "generated", rows, source))[str(source)]
        # Without --workers 1, the largest input would have several processes, and the others one.
        runs.append((writing(pad(source, destination, "--workers", "1"), destination), tokens))
    (ours, tokens), (start, _) = runs
    ours(), start()
    # If start-up dominates, many runs are needed to measure the rest.
    return by_turns(ours, start, repeat * (SHORT_REPEAT if count < 10**6 else 1)), tokens
