"""Overlap reading and processing: read ahead in a thread, and map a function over items in a thread pool."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.formats import FormatTraits
from padmask.storage.system import cores

Item = TypeVar("Item")

Result = TypeVar("Result")

_END = object()


def ordered_map(
    executor: Executor | None, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result]:
    """Yield `function(item)` in the order of the items. At most `ahead` items are processed at a time.

    >>> list(ordered_map(None, abs, [-1, 2], ahead=2))
    [1, 2]

    Args:
        executor: pool that calls the function. If None, this thread calls the function.
        function: function that is called with one item.
        items: the items. This thread iterates over them.
        ahead: maximum number of items that are processed at the same time, which limits memory use.
    """
    if executor is None:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def choose_threads(files: FileOptions, source: FormatTraits, output: FormatTraits) -> FileOptions:
    """Return the options. If both formats are JSON Lines and the number of threads is not set, set it to 1.

    For JSON Lines, Python's global interpreter lock lets only one thread run at a time.

    Args:
        files: options of the user.
        source, output: formats of the input and the output.
    """
    text = source.is_text and output.is_text
    return replace(files, threads=1) if files.threads is None and text else files


def open_pool(files: ReadOptions) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Return a context manager that opens a thread pool, or returns None if there is only one thread."""
    threads = files.threads or cores()
    return ThreadPoolExecutor(threads, "padmask") if threads > 1 else nullcontext()


class ReadAhead(Iterator[Item]):
    """An iterator that reads up to `ahead` items in advance, in a separate thread.

    If reading an item raises an exception, the iterator raises the same exception. The thread ends at the
    end of the `with` block.

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
        # All later calls also end the iteration.
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
        """Put an item or an exception into the queue. Return False if the consumer has stopped."""
        while not self._stop.is_set():
            try:
                self._queue.put((more, content), timeout=0.1)
            except Full:
                continue
            return True
        return False
