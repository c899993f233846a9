"""Processes as Linux lists them, and faults for worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 30


def wait_until(true: Callable[[], Any]) -> Any:
    """Wait until a call returns a true value, and return this value."""
    end = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
    return found


def default_signals() -> None:
    """Restore the default signal handlers in a child. As a `preexec_fn`, this undoes the effect of nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def is_alive(pid: int) -> bool:
    """Return whether a process is running. A zombie is not running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> set[int]:
    """Return the descendants of a process."""
    own: set[int] = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            own |= {int(child) for child in (task / "children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return own.union(*map(children, own))


def workers_of(pid: int) -> set[int]:
    """Return the worker processes of a process."""
    return {child for child in children(pid) if is_alive(child) and name_of(child) == "padmask-worker"}


def name_of(pid: int) -> str:
    """Return the name of a process as `ps` shows it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


# Python imports this module at start-up from PYTHONPATH. It changes only workers.
_FAULT = """
import sys
import padmask.shards.worker_process as process
def begin():
    import os, signal, time
    import padmask.shards.worker as shardwork
    pad, measure = shardwork.pad_shard, shardwork.measure_shard
    def pad_shard(work, shard, plan):
        {padding}
        return pad(work, shard, plan)
    def measure_shard(work, shard, typed):
        {measuring}
        return measure(work, shard, typed)
    shardwork.pad_shard, shardwork.measure_shard = pad_shard, measure_shard
    {first}
serve = process.serve_tasks
def serve_tasks(pipe, parent):
    begin()
    serve(pipe, parent)
process.serve_tasks = serve_tasks
if any(name in " ".join(sys.orig_argv) for name in ("spawn_main", "dask_worker")):
    begin()
"""


def faulty(
    folder: Path, padding: str = "pass", measuring: str = "pass", first: str = "pass"
) -> dict[str, str]:
    """Return the environment of a run whose workers have a fault.

    Args:
        folder: folder for the module with the fault.
        padding, measuring: Python code that runs before a worker pads or measures a `shard`.
        first: Python code that runs when a worker starts.
    """
    folder.mkdir(exist_ok=True)
    code = _FAULT.format(padding=padding, measuring=measuring, first=first)
    (folder / "sitecustomize.py").write_text(code)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}
