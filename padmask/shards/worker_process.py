"""One worker process: start it, send tasks through a pipe, and run these tasks in the worker."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, NoReturn

from padmask.storage.system import die_with, keep_freed_memory, name_process

# Size of the freed memory that a worker keeps for its next task, in bytes. Without it, padding JSON Lines
# takes 20% more CPU time.
KEPT_BYTES = 64 << 20

# The program of a worker. Python starts with a safe path, so that it imports nothing from the current folder.
# It then uses the import path and the main module of the parent process. If the main module of the parent has
# no `if __name__ == "__main__"`, multiprocessing raises an error.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from multiprocessing import current_process, spawn
from multiprocessing.connection import Connection
pipe, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
current_process()._inheriting = True
spawn.prepare(pipe.recv())
del current_process()._inheriting
from padmask.shards.worker_process import serve_tasks
serve_tasks(pipe, parent)
"""


class DiedError(Exception):
    """A worker process has ended before it returned a result.

    Args:
        begun: whether the worker was ready for tasks before it ended.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


class _ForkedChild:
    """A child process that `os.fork` has started.

    Args:
        number: process ID of the child.
    """

    def __init__(self, number: int) -> None:
        self._number: int | None = number
        self._lock = Lock()

    def end(self) -> None:
        """Kill the process, and wait until it has ended. Any thread may call this method."""
        with self._lock:
            # After `waitpid`, another process may have the same ID.
            if self._number is None:
                return
            # If SIGCHLD is ignored, the system has already removed a child that has ended.
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._number, signal.SIGKILL)
                os.waitpid(self._number, 0)
            self._number = None


class Worker:
    """A worker process, and the pipe for its tasks and results.

    Args:
        end: function that kills the process, and waits until it has ended.
        pipe: end of the pipe.
    """

    def __init__(self, end: Callable[[], None], pipe: Connection) -> None:
        self.kill, self._pipe = end, pipe
        self._begun = False

    def run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        """Run a function in the worker, and return its result.

        Raises:
            DiedError: the worker has ended.
        """
        task = pickle.dumps((function, args, more), pickle.HIGHEST_PROTOCOL)
        try:
            self._begun = self._begun or bool(self._pipe.recv_bytes())
            self._pipe.send_bytes(task)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise DiedError(self._begun) from None
        # This is outside the try block, because the task itself may raise an OSError.
        done, result = pickle.loads(answer)
        if not done:
            raise result
        return result

    def close_pipe(self) -> None:
        """Close the copy of the pipe that a forked process inherits."""
        self._pipe.close()


def start_worker() -> Worker:
    """Start a worker in a new Python process."""
    preparation = _preparation_data()
    pipe, theirs = Pipe()
    # multiprocessing is not used, because its child processes import from the current folder first.
    with theirs:
        process = subprocess.Popen(
            _command(theirs.fileno()), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
    # If the process has already died, the first task detects this.
    with suppress(OSError):
        pipe.send(preparation)

    def end() -> None:
        process.kill()
        process.wait()

    return Worker(end, pipe)


def fork_worker(earlier: Iterable[Worker]) -> Worker:
    """Start a worker by forking this process, which is much faster than starting a new Python process.

    Args:
        earlier: the workers that this process has already started.

    Raises:
        OSError: the system allows no more processes.
    """
    parent = os.getpid()
    pipe, theirs = Pipe()
    # The handlers of this process must not run in the child.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with theirs, warnings.catch_warnings():
            # Python also counts the threads of libraries, such as Arrow. They support fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
            if child == 0:
                _serve_as_child(pipe, theirs, earlier, parent, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Worker(_ForkedChild(child).end, pipe)


def _serve_as_child(
    pipe: Connection, theirs: Connection, earlier: Iterable[Worker], parent: int, blocked: Iterable[int]
) -> NoReturn:
    """Run tasks in a forked child. The child never returns to the code of its parent."""
    try:
        # Only the parent may keep these ends of the pipes. When they are closed, the workers end.
        pipe.close()
        for worker in earlier:
            worker.close_pipe()
        _forget_parent(blocked)
        serve_tasks(theirs, parent)
    finally:
        os._exit(0)


def _forget_parent(blocked: Iterable[int]) -> None:
    """Give a forked child the same signal handlers and stdin as a new worker process."""
    for number in signal.valid_signals():
        # Signals that are ignored stay ignored, such as SIGHUP under nohup.
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _command(descriptor: int) -> list[str]:
    """Return the command that starts a worker. The worker has the Python options of this process."""
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [
        os.fsdecode(spawn.get_executable()),
        *options,
        "-P",
        "-c",
        _START,
        str(descriptor),
        str(os.getpid()),
    ]


def _preparation_data() -> dict[str, Any]:
    """Return the data that a worker needs to import the modules of this process."""
    data = spawn.get_preparation_data("padmask-worker")
    # multiprocessing refuses to pickle the original key for other processes.
    return data | {"authkey": bytes(data["authkey"])}


def serve_tasks(pipe: Connection, parent: int) -> None:
    """Run tasks from the pipe until the pipe is closed."""
    die_with(parent)
    name_process("padmask-worker")
    use_one_core()
    keep_freed_memory(KEPT_BYTES)
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"begun")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(task: bytes) -> bytes:
    """Run a task. Return a pickled pair: True and the result, or False and the exception."""
    try:
        function, args, more = pickle.loads(task)
        # Older protocols do not support the buffers in results.
        return pickle.dumps((True, function(*args, **more)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        return pickle.dumps((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled: `error` itself, or a RuntimeError with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - pickling calls code of any class
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def use_one_core() -> None:
    """Limit Arrow to one thread, because other workers use the other cores."""
    import pyarrow as pa

    pa.set_cpu_count(1)
