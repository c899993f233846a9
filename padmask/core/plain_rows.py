"""Read plain rows: lists of ints, or one-dimensional NumPy arrays of one dtype.

Most rows in memory are plain. No Python code runs for single tokens, so reading a small batch takes little
time.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from padmask.core.fill import is_wide
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

# An int32 in marshal's format: one byte for the type, then the number. A list is written like an int, with
# its length as the number, before its elements.
_RECORD = np.dtype({"names": ["type", "number"], "formats": ["u1", "<i4"], "offsets": [0, 1], "itemsize": 5})
_INT, _LIST = b"i", b"["

# Version 2 of the format has no references to earlier objects.
_VERSION = 2

_DTYPE, _NDIM = attrgetter("dtype"), attrgetter("ndim")

# Number of rows to read at a time. The records of these rows usually fit in the processor's cache.
_BLOCK_ROWS = 1 << 10


class PlainRows(NamedTuple):
    """Rows of ints, floats or bools of one dtype. At least one of the rows has a token.

    >>> rows = PlainRows([np.array([7, 8]), np.array([9])], [2, 1])
    >>> rows.values, rows.dtype
    (array([7, 8, 9]), dtype('int64'))

    Args:
        parts: the tokens of all rows in order, in one array of shape (tokens,) or in several such arrays. If
            there are as many arrays as rows, each array is a row.
        lengths: number of tokens of each row.
    """

    parts: Sequence[npt.NDArray[Any]]
    lengths: list[int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the tokens."""
        return self.parts[0].dtype

    @property
    def values(self) -> npt.NDArray[Any]:
        """The tokens of all rows in order: shape (tokens,). Several parts are joined at each access."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)

    def join(self) -> PlainRows:
        """Return the same rows with all tokens in one array."""
        return PlainRows([self.values], self.lengths)

    @property
    def first(self) -> None:
        """Always None, because the dtype shows the type of the tokens. See `Ragged.first`."""
        return None

    def split(self) -> Iterable[npt.NDArray[Any]]:
        """Return the tokens of each row as an array."""
        if len(self.parts) == len(self.lengths):
            return self.parts
        values, ends = self.values, accumulate(self.lengths, initial=0)
        return (values[start:end] for start, end in pairwise(ends))

    def truncate(self, maxlen: int, side: Side) -> PlainRows:
        """Return the rows truncated to `maxlen` tokens. `side` is the side on which tokens are removed.

        >>> PlainRows([np.array([7, 8, 9])], [2, 1]).truncate(1, "pre").values
        array([8, 9])
        """
        if side == "post":
            parts = [row[:maxlen] for row in self.split()]
        else:
            parts = [row[max(0, len(row) - maxlen) :] for row in self.split()]
        return PlainRows(parts, list(map(len, parts)))

    def ragged(self) -> Ragged:
        """Return the same rows as a `Ragged`."""
        lengths = np.array(self.lengths, dtype=np.int64)
        return Ragged(self.values, np.cumsum(lengths) - lengths, lengths)


def read_plain_rows(rows: Sequence[Any]) -> PlainRows | None:
    """Read rows if all rows are lists of ints of at most 32 bits, or arrays of one dtype; else return None.

    >>> read_plain_rows([[7, 8], [], [9]])
    PlainRows(parts=[array([7, 8, 9], dtype=int32)], lengths=[2, 0, 1])
    >>> read_plain_rows([[7, True]]), read_plain_rows([[7, 0.5]]), read_plain_rows([[7], None])
    (None, None, None)

    No token of the result is null, and a bool is never read as an int.
    """
    kinds = set(map(type, rows))
    if kinds == {np.ndarray}:
        return _read_arrays(rows)
    return _read_lists(list(rows)) if kinds == {list} else None


def read_arrays(rows: Sequence[Any]) -> PlainRows | None:
    """Read rows if all rows are one-dimensional arrays of one dtype of numbers or bools; else return None.

    >>> read_arrays([np.array([7, 8]), np.array([9])]).values
    array([7, 8, 9])
    >>> read_arrays([np.array([7, 8]), np.array([0.5])]), read_arrays([[7, 8]])
    (None, None)
    """
    return _read_arrays(rows) if set(map(type, rows)) == {np.ndarray} else None


def _read_arrays(rows: Sequence[Any]) -> PlainRows | None:
    dtype = rows[0].dtype
    if dtype.kind not in "iufb" or not dtype.isnative:
        return None
    try:
        lengths = list(map(len, rows))
        if is_wide(max(lengths), joined=False):
            # Wide rows are padded one by one, so they need not be joined.
            are_alike = set(map(_DTYPE, rows)) == {dtype} and set(map(_NDIM, rows)) == {1}
            return PlainRows(rows, lengths) if are_alike else None
        # "no" refuses rows of another dtype.
        values = np.concatenate(rows, dtype=dtype, casting="no")
    except (TypeError, ValueError):
        return None
    return PlainRows([values], lengths) if values.ndim == 1 and values.size else None


def _read_lists(rows: list[Any]) -> PlainRows | None:
    lengths = list(map(len, rows))
    first = next(filter(None, rows), None)
    # This check avoids the cost of serializing long lists of strings or floats.
    if first is None or type(first[0]) is not int:
        return None
    if len(rows) <= _BLOCK_ROWS:
        values = _read_ints(rows, lengths)
        return None if values is None else PlainRows([values], lengths)
    parts = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        part = _read_ints(rows[block], lengths[block])
        if part is None:
            return None
        parts.append(part)
    return PlainRows([np.concatenate(parts)], lengths)


def _read_ints(rows: list[Any], lengths: list[int]) -> npt.NDArray[Any] | None:
    """Return the tokens of lists; None if a token is not an int, or needs more than 32 bits.

    `marshal` writes a record of 5 bytes for each int of at most 32 bits, and for the start of each list. Each
    record starts with a type code. All records before the first other token have this size, so this token
    also starts a record, and its type code shows that it is not such an int.
    """
    with suppress(ValueError):
        records = np.frombuffer(marshal.dumps(rows, _VERSION), dtype=_RECORD)
        types = records["type"]
        expected = _LIST + _LIST + _LIST.join([_INT * length for length in lengths])
        if types.tobytes() == expected:
            numbers: npt.NDArray[Any] = records["number"][types == _INT[0]]
            return numbers
    return None
