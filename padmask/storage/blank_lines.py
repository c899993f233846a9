"""Find the blank lines and the non-blank lines of a text, with vectorized operations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

BLANK = b" \t\r\n"

_NEWLINE = 10

_NOT_BLANK = np.ones(256, dtype=bool)

_NOT_BLANK[list(BLANK)] = False


def is_blank(data: bytes) -> bool:
    """Return whether the bytes are all JSON whitespace.

    >>> is_blank(b" "), is_blank(bytes([11])), is_blank(b"")
    (True, False, True)
    """
    letters = np.frombuffer(data, dtype=np.uint8)
    # Counting in NumPy is ten times as fast as bytes.strip.
    if letters.max(initial=0) > max(BLANK):
        return False
    return sum(int(np.count_nonzero(letters == blank)) for blank in BLANK) == len(letters)


def count_newlines(data: bytes, size: int = -1) -> int:
    """Return the number of newlines in the first `size` bytes, or in all bytes if `size` is -1.

    >>> count_newlines(b"{}\\n{}\\n"), count_newlines(b"{}\\n{}\\n", 4)
    (2, 1)
    """
    # Counting in NumPy is several times as fast as bytes.count.
    return int(np.count_nonzero(np.frombuffer(data, np.uint8, size) == _NEWLINE)) if data else 0


def blank_lines(data: bytes) -> tuple[int, int]:
    """Return the number of complete blank lines at the start of the data, and their size in bytes.

    >>> blank_lines(b"\\n \\n {}\\n"), blank_lines(b"{}\\n\\n")
    ((2, 3), (0, 0))
    """
    if data[:1] not in (b" ", b"\t", b"\r", b"\n"):
        return 0, 0
    before = len(data) if is_blank(data) else len(data) - len(data.lstrip(BLANK))
    end = data.rfind(b"\n", 0, before) + 1
    return count_newlines(data, end), end


def filled_lines(data: bytes) -> tuple[Places, Places, Places]:
    """Return the indices, start offsets and end offsets (before the newline) of the lines that are not blank.

    >>> [places.tolist() for places in filled_lines(b"\\n{}\\n \\n[]")]
    [[1, 3], [1, 6], [3, 8]]
    """
    letters = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(letters == _NEWLINE)
    lines = np.searchsorted(newlines, np.flatnonzero(_NOT_BLANK[letters]))
    lines = lines[np.diff(lines, prepend=-1) > 0]
    if not len(newlines):
        return lines, np.zeros_like(lines), np.full_like(lines, len(data))
    starts = np.where(lines > 0, newlines[lines - 1] + 1, 0)
    last = lines == len(newlines)
    return lines, starts, np.where(last, len(data), newlines[np.where(last, 0, lines)])
