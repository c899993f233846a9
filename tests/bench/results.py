"""Classes for the data and the number of runs of a measurement, and for its line in the tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from measure import Pair
from peers import NEEDS
from report import mebibytes
from targets import TARGETS, Target, verdict


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
        pair: time and memory of padmask and the tool. Peaks are 0 if a run was not a separate process.
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


def skipped(job: str, against: str, reason: str) -> None:
    """Say why a comparison is left out."""
    print(f"{job}, {against}: skipped, {reason}", file=sys.stderr)


def present(job: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the peers whose packages are installed. For each other peer, say what is missing."""
    for against in names:
        missing = [package for package in NEEDS.get(against, ()) if find_spec(package) is None]
        if missing:
            skipped(job, against, f"no {' and no '.join(missing)} here")
        else:
            yield against
