"""Run tasks on any executor, a few at a time, and yield each result when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from padmask.storage.system import cores
from padmask.stream.overlap import Result
from padmask.stream.progress import Progress, ProgressCallback

Piece = TypeVar("Piece")

# Submitted tasks for each worker. The second waits, so that the worker is never idle.
TASKS_A_WORKER = 2


@dataclass(frozen=True)
class WorkerPool:
    """An executor with a number of workers and a progress callback.

    Args:
        executor: the executor; None runs one task after another in this process.
        workers: number of tasks that the executor runs at the same time.
        progress: the progress callback.
    """

    executor: Executor | None
    workers: int
    progress: ProgressCallback | None

    @classmethod
    def of(
        cls, executor: Executor | None, workers: int | None, pieces: int, progress: ProgressCallback | None
    ) -> WorkerPool:
        """Return a pool for a number of pieces; a single piece runs in this process.

        Args:
            executor, progress: as in the class.
            workers: number of tasks that run at the same time; None takes `executor.workers`, else the cores.
            pieces: number of pieces.
        """
        workers = workers or getattr(executor, "workers", None) or cores()
        return cls(executor if pieces > 1 else None, max(1, min(workers, pieces)), progress)

    def each(
        self, function: Callable[[Piece], Result], pieces: Sequence[Piece]
    ) -> Generator[tuple[Piece, Result | Exception]]:
        """Run a function on each piece, and yield each piece with its result or exception when ready."""
        if self.executor is None:
            for piece in pieces:
                yield piece, _outcome(partial(function, piece))
            return
        waiting = iter(pieces)
        running: dict[Future[Result], Piece] = {}
        try:
            while True:
                for piece in islice(waiting, self.workers * TASKS_A_WORKER - len(running)):
                    running[self.executor.submit(function, piece)] = piece
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _outcome(future.result)
        finally:
            for future in running:
                future.cancel()

    def report(self, phase: str, rows: int, done: int, size: int) -> None:
        """Report the progress in rows and bytes."""
        if self.progress is not None:
            self.progress(Progress(phase, rows, done, size))


def _outcome(work: Callable[[], Result]) -> Result | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the caller adds the name of the piece
        return error
