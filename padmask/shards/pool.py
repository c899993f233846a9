"""Run tasks on any executor, a few at a time, and yield results as they finish."""

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

# Tasks that wait for a worker that is done with its own: enough that none stands idle.
TASKS_A_WORKER = 2


@dataclass(frozen=True)
class WorkerPool:
    """Who works on pieces, and who is told how far they are.

    Args:
        executor: where the work is done; None is here, one piece after the other.
        workers: how many the executor works on at once.
        progress: who is told.
    """

    executor: Executor | None
    workers: int
    progress: ProgressCallback | None

    @classmethod
    def of(
        cls, executor: Executor | None, workers: int | None, pieces: int, progress: ProgressCallback | None
    ) -> WorkerPool:
        """Return those who are needed: what one piece takes is less than it takes to start a process.

        Args:
            executor, progress: as in the team.
            workers: how many the executor works on at once; None is what it says itself, else the cores.
            pieces: how many there are.
        """
        workers = workers or getattr(executor, "workers", None) or cores()
        return cls(executor if pieces > 1 else None, max(1, min(workers, pieces)), progress)

    def each(
        self, function: Callable[[Piece], Result], pieces: Sequence[Piece]
    ) -> Generator[tuple[Piece, Result | Exception]]:
        """Give what a function makes of each piece, or what it raised, as they are done."""
        if self.executor is None:
            for piece in pieces:
                yield piece, _outcome(partial(function, piece))
            return
        waiting = iter(pieces)
        under_way: dict[Future[Result], Piece] = {}
        try:
            while True:
                for piece in islice(waiting, self.workers * TASKS_A_WORKER - len(under_way)):
                    under_way[self.executor.submit(function, piece)] = piece
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), _outcome(future.result)
        finally:
            for future in under_way:
                future.cancel()

    def tell(self, phase: str, rows: int, done: int, whole: int) -> None:
        """Say how far the work is, in rows and bytes."""
        if self.progress is not None:
            self.progress(Progress(phase, rows, done, whole))


def _outcome(work: Callable[[], Result]) -> Result | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever was raised, the one who asked says of which piece
        return error
