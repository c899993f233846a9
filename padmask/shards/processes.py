"""Worker processes as a `concurrent.futures` executor. A worker that dies fails only its own task."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, local
from typing import Any

from padmask.errors import PadmaskError, WorkerDiedError
from padmask.shards.worker_process import DiedError, Worker, fork_worker, start_worker, use_one_core
from padmask.spec.checks import at_least
from padmask.storage.system import can_fork

# Number of worker deaths after which a task fails.
TRIES = 3

# Number of workers that are forked before it is known how many tasks there are. Each takes about 1 ms.
MOST_FORKED = 8

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

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Processes(Executor):
    """An executor of worker processes. A worker that dies fails only its own task.

    >>> with Processes(1) as workers:
    ...     workers.submit(abs, -3).result()
    3

    Args:
        workers: number of processes.
        fork: whether to start up to `MOST_FORKED` workers now, by forking this process. This is done only on
            Linux, and only if this process has no other Python threads. Forked workers inherit the open files
            of this process. All other workers are new Python processes, which start when a task needs them.
    """

    def __init__(self, workers: int, *, fork: bool = False) -> None:
        self.workers = at_least(1)("workers", workers)
        self._threads = ThreadPoolExecutor(self.workers, "padmask-worker")
        self._own = local()
        self._lock = Lock()
        self._all: list[Worker] = []
        # If the system allows no more processes now, workers start when tasks need them.
        with suppress(OSError):
            for _ in range(min(self.workers, MOST_FORKED) if fork and can_fork() else 0):
                self._all.append(fork_worker(self._all))
        self._unused = deque(self._all)
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Run a function in a worker. If the worker dies, use a new worker, but fail after `TRIES` deaths."""
        return self._threads.submit(self._run, function, args, more)

    def _run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        begun = False
        for _ in range(TRIES):
            worker = self._worker()
            try:
                return worker.run(function, args, more)
            except DiedError as died:
                begun = begun or died.begun
                worker.kill()
                self._own.worker = None
        raise WorkerDiedError(WORKERS_DIED) if begun else PadmaskError(_NOT_STARTED)

    def _worker(self) -> Worker:
        """Return the worker of this thread."""
        if getattr(self._own, "worker", None) is None:
            with self._lock:
                if self._stopped:
                    raise PadmaskError("The run has ended.")
                if self._unused:
                    self._own.worker = self._unused.popleft()
                else:
                    self._own.worker = start_worker()
                    self._all.append(self._own.worker)
        worker: Worker = self._own.worker
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Kill the workers. Killed tasks leave no incomplete output files."""
        self._threads.shutdown(wait=False, cancel_futures=cancel_futures)
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.kill()
        self._threads.shutdown(wait=wait)


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
        alone: number of times that the task was run again because its worker died. Such tasks run one at a
            time.
    """

    number: int
    call: Call
    future: Future[Any]
    alone: int = 0
