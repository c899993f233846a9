"""What the machine has: free memory, free disk space, CPU cores, signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def free_memory() -> int | None:
    """Return the bytes that can be had without swapping, of this machine or container; None if unknown."""
    try:
        with open("/proc/meminfo") as told:
            lines = dict(line.split(":", 1) for line in told)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            free = min(free, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):
        pass
    return max(free, 0)


def free_disk(path: str) -> int | None:
    """Return the bytes that may be written where a file is or will be; None if unknown.

    Folders on the way to it may not be there yet.
    """
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        there = os.statvfs(folder)
    except OSError:
        return None
    return there.f_bavail * there.f_frsize


def read_small(path: str, most: int) -> bytes | None:
    """Return what a file holds; None where it holds more than `most` bytes."""
    with open(path, "rb") as file:
        # A file can grow, or not know its size, so that what is read is counted too.
        if os.fstat(file.fileno()).st_size > most:
            return None
        data = file.read(most + 1)
    return None if len(data) > most else data


def die_with(parent: int) -> None:
    """Let this process end with its parent, however that ends, where the system can.

    Args:
        parent: the process that started this one.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def cores() -> int:
    """Return how many cores this process may use."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13: honours PYTHON_CPU_COUNT too
    if count is not None:
        return int(count() or 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def umask(folder: str) -> int:
    """Return the process's umask without a change of it, which other threads would create files under.

    Args:
        folder: an existing folder for a file of a moment, on systems that do not show the umask.
    """
    try:
        with open("/proc/self/status", "rb") as status:
            return next(int(line.split()[1], 8) for line in status if line.startswith(b"Umask:"))
    except (OSError, StopIteration):
        pass
    probe = os.path.join(folder, f".padmask-{os.urandom(8).hex()}.tmp")
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    try:
        return 0o666 & ~os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
        os.unlink(probe)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block ends, where this thread is the one that they come to."""
    came: list[int] = []
    mine = threading.current_thread() is threading.main_thread()
    numbers = [
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if mine and hasattr(signal, name)
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    # What is ignored, or was not set by Python, stays as it is.
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            os.kill(os.getpid(), number)
