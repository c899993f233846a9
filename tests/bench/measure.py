"""Measure processes and functions in pairs. This module imports only the standard library.

The reported peak memory of a process is at least that of its parent, so the
measuring process has no data in memory.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

# Installed packages have bytecode files. Allow padmask to write them too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Cost:
    """The time and memory of one run.

    Args:
        wall: wall-clock time, in seconds.
        cpu: CPU time of the process and its children, user and system, in seconds.
        peak: peak resident memory, in bytes; 0 if not measured.
    """

    wall: float
    cpu: float
    peak: int = 0


@dataclass(frozen=True)
class Pair:
    """The medians of alternating runs of two functions. A ratio is the median of the ratios of all turns."""

    ours: Cost
    theirs: Cost
    wall_ratio: float
    cpu_ratio: float


def run(command: Sequence[str]) -> Cost:
    """Run a process and measure it.

    Raises:
        RuntimeError: the process failed. The message is its output.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said.decode(errors='replace')}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def call(function: Callable[[], object]) -> Cost:
    """Call a function and measure it, without the time for releasing the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
    del result
    return cost


def by_turns(ours: Callable[[], Cost], theirs: Callable[[], Cost], repeat: int) -> Pair:
    """Run two functions alternately, so that a slow phase of the machine affects both."""
    turns = [(ours(), theirs()) for _ in range(repeat)]
    return Pair(
        middle([a for a, _ in turns]),
        middle([b for _, b in turns]),
        median(a.wall / b.wall for a, b in turns),
        median(a.cpu / b.cpu for a, b in turns),
    )


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs."""
    return Cost(
        median(cost.wall for cost in costs),
        median(cost.cpu for cost in costs),
        int(median(cost.peak for cost in costs)),
    )
