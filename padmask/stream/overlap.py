"""Overlap reading and work, in order: read ahead in a thread, and map over a pool."""

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
    """Yield `function(item)` in the order of the items, with at most `ahead` items in work.

    >>> list(ordered_map(None, abs, [-1, 2], ahead=2))
    [1, 2]

    Args:
        executor: the pool to run on; None runs in this thread.
        function: called with one item.
        items: iterated in this thread.
        ahead: largest number of items in work, which bounds the memory.
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
    """Iterate over items in a separate thread that is at most `ahead` items in front.

    An exception of the items is raised in the consumer. The thread ends with the block.

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
        # A read from a pipe may block forever. The thread then ends with the process.
        self._thread.join(timeout=1.0)

    def __next__(self) -> Item:
        more, content = self._queue.get()
        if more:
            item: Item = content
            return item
        # A further call ends the iteration too.
        self._queue.put((False, None))
        raise content or StopIteration

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(True, item):
                    return
        except BaseException as raised:  # noqa: BLE001 - raised again in the consumer
            error = raised
        self._put(False, error)

    def _put(self, more: bool, content: Any) -> bool:
        """Put an item or an exception into the queue, and return False after the consumer stopped."""
        while not self._stop.is_set():
            try:
                self._queue.put((more, content), timeout=0.1)
            except Full:
                continue
            return True
        return False
