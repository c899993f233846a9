"""Find the dicts, sets and caches in which a function stores rows or outputs, and clear them.

A function that stores its outputs, keyed by the tokens of a row, returns the same outputs for the row in
every batch. The checks would not find a leak, because all later runs return the outputs of the first run.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Maximum number of attributes, variables and functions between a function and its memory.
_DEPTH = 3


@dataclass(frozen=True)
class Memory:
    """Containers and caches that grow with each row that a function has not seen before.

    Args:
        containers: dicts and sets, each with a copy of its content that `forget` restores.
        caches: functions with a `functools.lru_cache`.
    """

    containers: tuple[tuple[Any, Any], ...] = ()
    caches: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.caches)

    def forget(self) -> None:
        """Restore the copied content of each dict and set, and clear the caches."""
        for container, content in self.containers:
            container.clear()
            container.update(content)
        for cache in self.caches:
            cache.cache_clear()


def find_memory(function: Callable[..., Any], run: Callable[[int], object]) -> Memory:
    """Find the containers and caches of a function that grow with each new row.

    Variables, attributes and arguments with a default are searched, but not the code of libraries. A cache
    of compiled functions is left out, because it does not grow with rows of the same lengths.

    >>> seen = {}
    >>> def predict(row): return seen.setdefault(row, row)
    >>> memory = find_memory(predict, predict)
    >>> memory.forget(), len(seen)
    (None, 1)

    Args:
        function: function of the user.
        run: function that runs `function` on generated rows. Its argument is a number. Different numbers give
            different rows of the same lengths.
    """
    run(0)
    found = {id(one): one for one in _reachable(function, _DEPTH)}.values()
    known = [(one, _size(one), one.copy() if not _is_cache(one) else None) for one in found]
    sizes = [size for _, size, _ in known]
    for number in (1, 2):
        run(number)
        grown = [_size(one) for one, _, _ in known]
        known = [entry for entry, before, after in zip(known, sizes, grown, strict=True) if after > before]
        sizes = [_size(one) for one, _, _ in known]
    return Memory(
        tuple((one, content) for one, _, content in known if not _is_cache(one)),
        tuple(one for one, _, _ in known if _is_cache(one)),
    )


def _reachable(value: Any, depth: int) -> Iterator[Any]:
    """Yield the containers and caches that a value refers to."""
    if isinstance(value, dict | set) or _is_cache(value):
        yield value
    if depth == 0:
        return
    if _is_cache(value):
        value = value.__wrapped__
    if isinstance(value, types.MethodType):
        yield from _reachable(value.__self__, depth)
        value = value.__func__
    if isinstance(value, types.FunctionType):
        names = value.__code__.co_names
        inner = [value.__globals__[name] for name in names if name in value.__globals__]
        inner += [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        inner += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    elif isinstance(value, types.ModuleType | type):
        return
    else:
        inner = list(getattr(value, "__dict__", {}).values())
        call = vars(type(value)).get("__call__")
        inner += [] if call is None else [call]
    for one in inner:
        yield from _reachable(one, depth - 1)


def _is_cache(value: Any) -> bool:
    return hasattr(value, "cache_clear") and hasattr(value, "cache_info") and hasattr(value, "__wrapped__")


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises an error
    except ValueError:
        return False
    return True


def _size(value: Any) -> int:
    return int(value.cache_info().currsize) if _is_cache(value) else len(value)
