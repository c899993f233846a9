"""Worker processes as a `concurrent.futures` executor. A worker that dies fails only its own task."""

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

# Number of worker deaths after which a task fails.
TRIES = 3

# Number of times that a cluster reruns a task whose worker died, before the task fails. Such tasks run one at
# a time.
ALONE = 2

# Topic under which the Dask scheduler records which worker has started which task.
BEGUN = "padmask-begun"

# Number of seconds that a task on a cluster waits until the scheduler has recorded its start.
ANSWER_SECONDS = 10

WORKERS_DIED = (
    "each worker that read the file died, because the file is too large or corrupt. Check that another tool "
    "can read the file, or use fewer --workers or a smaller --batch-rows."
)

_NOT_STARTED = (
    "Worker processes exit when they start. If a script calls padmask, put the call inside an "
    "`if __name__ == '__main__':` block. Otherwise, free some memory, or use fewer workers."
)

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
from padmask.shards.processes import serve_tasks
serve_tasks(pipe, parent)
"""

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _DiedError(Exception):
    """A worker process has ended.

    Args:
        begun: whether the worker was ready for tasks before it ended.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


class Processes(Executor):
    """An executor of worker processes. A worker that dies fails only its own task.

    >>> with Processes(1) as workers:
    ...     workers.submit(abs, -3).result()
    3

    Args:
        workers: number of processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = at_least(1)("workers", workers)
        self._threads = ThreadPoolExecutor(self.workers, "padmask-worker")
        self._own = local()
        self._lock = Lock()
        self._all: list[_Worker] = []
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Run a function in a worker. If the worker dies, try again in a new worker, up to `TRIES` times."""
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
        """Return the worker of this thread."""
        if getattr(self._own, "worker", None) is None:
            with self._lock:
                if self._stopped:
                    raise PadmaskError("The run has ended.")
                self._own.worker = _Worker()
                self._all.append(self._own.worker)
        worker: _Worker = self._own.worker
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Kill the workers. Killed tasks leave no incomplete output files."""
        self._threads.shutdown(wait=False, cancel_futures=cancel_futures)
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.kill()
        self._threads.shutdown(wait=wait)


class _Worker:
    """A worker process, and the pipe for its tasks and results."""

    def __init__(self) -> None:
        preparation = _preparation_data()
        self._pipe, theirs = Pipe()
        # fork is not used, because a lock held by another thread would never be released in the child.
        # multiprocessing is not used, because its child processes import from the current folder first.
        with theirs:
            self._process = subprocess.Popen(
                _command(theirs.fileno()), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._begun = False
        # If the process has already died, the first task detects this.
        with suppress(OSError):
            self._pipe.send(preparation)

    def run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        task = pickle.dumps((function, args, more))
        try:
            self._begun = self._begun or bool(self._pipe.recv_bytes())
            self._pipe.send_bytes(task)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise _DiedError(self._begun) from None
        # This is outside the try block, because the task itself may raise an OSError.
        done, result = pickle.loads(answer)
        if not done:
            raise result
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


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
    use_one_core()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"begun")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(task: bytes) -> bytes:
    """Run a task. Return a pickled pair: True and the result, or False and the exception."""
    try:
        function, args, more = pickle.loads(task)
        return pickle.dumps((True, function(*args, **more)))
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


def begun_on_one_core(run: str, number: int, call: Call) -> Any:
    """Record on the scheduler that this worker has started a task, then run the task.

    Args:
        run: ID of the run.
        number: number of the task in the run.
        call: the function and its arguments.
    """
    from distributed import get_worker
    from distributed.utils import sync

    use_one_core()
    worker = get_worker()
    log, event = worker.scheduler.log_event, {"topic": BEGUN, "msg": (run, number, worker.id)}
    # Without a timeout, a lost answer of the scheduler would block the task.
    with suppress(Exception):
        sync(worker.loop, log, **event, callback_timeout=ANSWER_SECONDS)
    function, args, more = call
    return function(*args, **more)


@dataclass(eq=False)
class Task:
    """A task on a cluster.

    Args:
        number: number of the task in the run.
        call: the function and its arguments.
        future: the future that was returned to the caller.
        alone: number of times that the task ran again after its worker died.
    """

    number: int
    call: Call
    future: Future[Any]
    alone: int = 0
