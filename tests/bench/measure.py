"""Processes and functions measured beside each other. Small: nothing is imported but the standard library.

A process's peak memory can never read less than that of the one that started it, so the
process that measures holds no data.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

# Installed packages come with their bytecode, and padmask run from its sources shall have it too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Args:
        wall: seconds by the clock.
        cpu: seconds of all cores, user and system, of the process and its children.
        peak: bytes of the largest resident set; 0 where it was not measured.
    """

    wall: float
    cpu: float
    peak: int = 0


@dataclass(frozen=True)
class Pair:
    """The medians of two things run by turns; the ratios are medians of the ratio of each turn."""

    ours: Cost
    theirs: Cost
    wall_ratio: float
    cpu_ratio: float


def run(command: Sequence[str]) -> Cost:
    """Run a process to its end.

    Raises:
        RuntimeError: it failed; the message is what it said.
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
    """Call a function; throwing its result away is not measured."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
    del result
    return cost


def by_turns(ours: Callable[[], Cost], theirs: Callable[[], Cost], repeat: int) -> Pair:
    """Run two things A B A B, so that a slow spell of the machine strikes both."""
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
