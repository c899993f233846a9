"""Refuse rows that do not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable

from padmask.errors import SpecError, size
from padmask.storage.system import free_memory


def refuse_large_rows(maxlen: int, needed: int, subject: str, options: Iterable[str]) -> None:
    """Raise an error if rows do not fit in the free memory.

    >>> refuse_large_rows(8, 1000, "the packed rows", ["maxlen"])

    Args:
        maxlen: length of the rows.
        needed: size of the rows in memory, in bytes.
        subject: description of the rows for the message, such as "the packed rows".
        options: parameters that can cause the error, as in `PadmaskError`.

    Raises:
        SpecError: the rows do not fit.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise SpecError(
            f"`maxlen` {maxlen:,} needs {size(needed)} of memory for {subject}, but only {size(free)} are "
            "free. Choose a smaller `maxlen`.",
            options=options,
        )
