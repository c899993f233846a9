"""Worker processes as a `concurrent.futures` executor: one that dies takes no other task with it."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from threading import Lock, local
from typing import Any

from padmask.errors import PadmaskError, WorkerDiedError
from padmask.spec.checks import at_least
from padmask.storage.system import die_with

# Workers that may die of one task before it is to blame.
TRIES = 3

# Times that a task is run again, as the only such task, before it is to blame for workers that died.
ALONE = 2

# Where Dask's scheduler keeps which worker has begun which task.
BEGUN = "padmask-begun"

WORKERS_DIED = (
    "every worker that tried it has died, of its size or of a corrupt file. Check that another tool can read "
    "it, or choose a smaller --maxlen."
)

_NOT_STARTED = (
    "Worker processes end before they begin. In a script, call this below if __name__ == '__main__'; else "
    "make sure that there is memory for them, or ask for fewer."
)

# What a worker runs. Python starts with a safe path, so that nothing is imported from the current
# folder, and then takes over the path and the main module of the process that asked. Whoever
# started it without a guard is refused as multiprocessing refuses it.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from multiprocessing import current_process, spawn
from multiprocessing.connection import Connection
pipe, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
current_process()._inheriting = True
spawn.prepare(pipe.recv())
del current_process()._inheriting
from padmask.shards.processes import serve_tasks
serve_tasks(pipe, parent)
"""

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _DiedError(Exception):
    """A worker's process has ended.

    Args:
        begun: whether it had begun to work.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


class Processes(Executor):
    """Worker processes, each of which has one task at a time: one that dies takes no other's along.

    >>> with Processes(1) as workers:
    ...     workers.submit(abs, -3).result()
    3

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = at_least(1)("workers", workers)
        self._threads = ThreadPoolExecutor(self.workers, "padmask-worker")
        self._own = local()
        self._lock = Lock()
        self._all: list[_Worker] = []
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Have a worker run a function, in up to `TRIES` processes where it brings them down."""
        return self._threads.submit(self._run, function, args, more)

    def _run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        begun = False
        for _ in range(TRIES):
            worker = self._worker()
            try:
                return worker.run(function, args, more)
            except _DiedError as died:
                begun = begun or died.begun
                worker.kill()
                self._own.worker = None
        raise WorkerDiedError(WORKERS_DIED) if begun else PadmaskError(_NOT_STARTED)

    def _worker(self) -> _Worker:
        """Return this thread's own worker."""
        if getattr(self._own, "worker", None) is None:
            with self._lock:
                if self._stopped:
                    raise PadmaskError("The run was ended.")
                self._own.worker = _Worker()
                self._all.append(self._own.worker)
        worker: _Worker = self._own.worker
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End the workers, whatever they are at: what they have not finished was never there."""
        self._threads.shutdown(wait=False, cancel_futures=cancel_futures)
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.kill()
        self._threads.shutdown(wait=wait)


class _Worker:
    """A process, and the pipe that its tasks and their results go through."""

    def __init__(self) -> None:
        told = _told_to_worker()
        self._pipe, theirs = Pipe()
        # Not forked: threads of this process may hold locks that nobody would give back. Not by
        # multiprocessing: its children look for modules in the current folder first.
        with theirs:
            self._process = subprocess.Popen(
                _command(theirs.fileno()), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._begun = False
        # One that is dead already is found out when it gets its first task.
        with suppress(OSError):
            self._pipe.send(told)

    def run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        task = pickle.dumps((function, args, more))
        try:
            self._begun = self._begun or bool(self._pipe.recv_bytes())
            self._pipe.send_bytes(task)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise _DiedError(self._begun) from None
        # Not in there: what a task raises may be an OSError too.
        done, result = pickle.loads(answer)
        if not done:
            raise result
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _command(descriptor: int) -> list[str]:
    """Return the command that starts a worker, with the options that this Python was started with."""
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


def _told_to_worker() -> dict[str, Any]:
    """Return what a worker needs to import what this process can import, its main module included."""
    told = spawn.get_preparation_data("padmask-worker")
    # A plain copy: multiprocessing lets only processes of its own have the original.
    return told | {"authkey": bytes(told["authkey"])}


def serve_tasks(pipe: Connection, parent: int) -> None:
    """Run tasks until the pipe brings no more."""
    # The result of an orphan would reach no process.
    die_with(parent)
    use_one_core()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"begun")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(task: bytes) -> bytes:
    """Run a task and return whether it was done, and its result or what it raised."""
    try:
        function, args, more = pickle.loads(task)
        return pickle.dumps((True, function(*args, **more)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
        return pickle.dumps((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """Return an error as it will arrive elsewhere; what it says, where it would not."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - errors may be made of anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def use_one_core() -> None:
    """Keep Arrow to a thread: other workers have the other cores."""
    import pyarrow as pa

    pa.set_cpu_count(1)


def begun_on_one_core(run: str, number: int, call: Call) -> Any:
    """Run a task of a run, once the scheduler knows which worker has begun it."""
    from distributed import get_worker
    from distributed.utils import sync

    use_one_core()
    worker = get_worker()
    with suppress(Exception):
        sync(worker.loop, worker.scheduler.log_event, topic=BEGUN, msg=(run, number, worker.id))
    function, args, more = call
    return function(*args, **more)


@dataclass(eq=False)
class Task:
    """What a cluster was asked to run.

    Args:
        number: in the run.
        call: the function and its arguments.
        told: the future of whoever asked.
        alone: how often the task was run again after its workers had died, as the only such task.
    """

    number: int
    call: Call
    told: Future[Any]
    alone: int = 0
