"""Run a limited number of tasks at a time on any executor, and yield each result when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from padmask.storage.system import cores
from padmask.stream.overlap import Result
from padmask.stream.progress import Progress, ProgressCallback

Item = TypeVar("Item")

# Number of submitted tasks per worker. The second task waits, so that the worker is never idle.
TASKS_PER_WORKER = 2


@dataclass(frozen=True)
class WorkerPool:
    """An executor with a limit on the number of tasks at a time, and a progress callback.

    Args:
        executor: the executor. If None, tasks run one after another in this process.
        workers: number of tasks that the executor runs at the same time.
        progress: the progress callback; None if progress is not reported.
    """

    executor: Executor | None
    workers: int
    progress: ProgressCallback | None

    @classmethod
    def of(
        cls, executor: Executor | None, workers: int | None, items: int, progress: ProgressCallback | None
    ) -> WorkerPool:
        """Return a pool for `items` tasks. A single task runs in this process.

        Args:
            executor, progress: see `WorkerPool`.
            workers: number of tasks that run at the same time. If None, `executor.workers` is used, or the
                number of cores.
            items: number of tasks.
        """
        workers = workers or getattr(executor, "workers", None) or cores()
        return cls(executor if items > 1 else None, max(1, min(workers, items)), progress)

    def each(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[tuple[Item, Result | Exception]]:
        """Call a function with each item. When a call ends, yield the item with its result or exception."""
        if self.executor is None:
            for item in items:
                yield item, _outcome(partial(function, item))
            return
        waiting = iter(items)
        running: dict[Future[Result], Item] = {}
        try:
            while True:
                for item in islice(waiting, self.workers * TASKS_PER_WORKER - len(running)):
                    running[self.executor.submit(function, item)] = item
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _outcome(future.result)
        finally:
            for future in running:
                future.cancel()

    def report(self, phase: str, rows: int, done: int, size: int) -> None:
        """Call the progress callback with the counts of processed rows and bytes."""
        if self.progress is not None:
            self.progress(Progress(phase, rows, done, size))


def _outcome(work: Callable[[], Result]) -> Result | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the caller adds the name of the item
        return error
