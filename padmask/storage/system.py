"""Query the operating system: free memory, free disk space, CPU cores and umask. Also defer signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Options of prctl.
_DIE_WITH_PARENT, _SET_NAME = 1, 15

# Parameters of mallopt, and the largest threshold that glibc accepts on 64-bit systems.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20


def free_memory() -> int | None:
    """Return the free memory of this machine or container in bytes, without swap; None if unknown."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
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
    """Return the free space in bytes on the disk that contains a path; None if unknown.

    The file and its parent folders need not exist.
    """
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        return free_space(folder)
    except OSError:
        return None


def free_space(file: str | int) -> int:
    """Return the free space in bytes on the disk that contains a file, given as a path or a descriptor."""
    disk = os.statvfs(file)
    return disk.f_bavail * disk.f_frsize


def read_small(path: str, most: int) -> bytes | None:
    """Return the contents of a file; None if the file is larger than `most` bytes."""
    with open(path, "rb") as file:
        # A file can grow, or have the size 0 in /proc, so the number of bytes read is checked too.
        if os.fstat(file.fileno()).st_size > most:
            return None
        data = file.read(most + 1)
    return None if len(data) > most else data


def die_with(parent: int) -> None:
    """Make Linux kill this process when its parent ends. On other systems, do nothing.

    Args:
        parent: process ID of the parent.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def can_fork() -> bool:
    """Return whether this process can be forked safely.

    A child would wait forever for a lock that another thread holds. On macOS, system libraries do not support
    fork.
    """
    return sys.platform == "linux" and threading.active_count() == 1


def name_process(name: str) -> None:
    """Set the name of this process that `ps` and `top` show, on Linux. The first 15 characters are used."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_SET_NAME, name.encode())


def keep_freed_memory(most: int) -> None:
    """Let the C library keep up to `most` bytes of freed memory, instead of returning them to the system.

    As a result, a process that allocates similar blocks repeatedly does not wait for new pages. The function
    does nothing on systems without the GNU C library.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Setting one limit turns off the automatic choice of the other.
        mallopt(_TRIM_THRESHOLD, most)
        mallopt(_TOP_PAD, most // 4)
        mallopt(_MMAP_THRESHOLD, min(most, _LARGEST_MMAP_THRESHOLD))


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13: also honors PYTHON_CPU_COUNT
    if count is not None:
        return int(count() or 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def umask(folder: str) -> int:
    """Return the umask of the process without changing it. A change would affect other threads.

    Args:
        folder: existing folder. If the system does not report the umask, this function reads the mode of a
            temporary file in the folder.
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
    """Defer Ctrl-C, SIGTERM and SIGHUP until the end of the block. Outside the main thread, do nothing."""
    received: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    numbers = [
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if main and hasattr(signal, name)
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    # Do not defer signals that are ignored, or whose handlers were not set from Python.
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received[:1]:
            os.kill(os.getpid(), number)
