"""Overlap work and keep its order: read ahead in a thread, and map over a pool in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")

Result = TypeVar("Result")

_END = object()


def ordered_map(
    executor: Executor | None, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result]:
    """Yield `function(item)` in the order of the items, with at most `ahead` of them under way.

    >>> list(ordered_map(None, abs, [-1, 2], ahead=2))
    [1, 2]

    Args:
        executor: where the work is done; None does it here.
        function: the work, on one item.
        items: taken one by one, in this thread.
        ahead: how many items may be under way, which bounds the memory.
    """
    if executor is None:
        yield from map(function, items)
        return
    under_way: deque[Future[Result]] = deque()
    try:
        for item in items:
            under_way.append(executor.submit(function, item))
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


class ReadAhead(Iterator[Item]):
    """Runs an iterable in a thread of its own, at most `ahead` items in front.

    What it raises is raised where the items are taken; when the block ends the thread ends.

    >>> with ReadAhead(range(3), ahead=2) as items:
    ...     list(items)
    [0, 1, 2]
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        self._items = items
        self._queue: Queue[tuple[bool, Any]] = Queue(ahead)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="padmask-reader", daemon=True)

    def __enter__(self) -> ReadAhead[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A read from a pipe may never come back; the thread then ends with the process.
        self._thread.join(timeout=1.0)

    def __next__(self) -> Item:
        more, thing = self._queue.get()
        if more:
            item: Item = thing
            return item
        # Whoever asks again is told the same again.
        self._queue.put((False, None))
        raise thing or StopIteration

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(True, item):
                    return
        except BaseException as raised:  # noqa: BLE001 - raised again in the taker's thread
            error = raised
        self._put(False, error)

    def _put(self, more: bool, thing: Any) -> bool:
        """Put something in the queue; False where nobody will take it any more."""
        while not self._stop.is_set():
            try:
                self._queue.put((more, thing), timeout=0.1)
            except Full:
                continue
            return True
        return False
