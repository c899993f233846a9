"""The tokens that occur in each column: their range, and which ids are unused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags

# Size of the table of used ids, from which an unused id is suggested as the pad value.
LARGEST_ID = 1 << 22


class TokenRanges:
    """Records the integer tokens of each column.

    >>> tokens = TokenRanges()
    >>> tokens.add("ids", np.array([0, 1, 5]))
    >>> tokens.add_used("ids", np.array([0, 1, 5]))
    >>> tokens.range("ids"), tokens.unused("ids")
    ((0, 5), 2)
    """

    def __init__(self) -> None:
        self._range: dict[str, tuple[int, int]] = {}
        self._used: dict[str, Flags] = {}

    def add(self, name: str, values: npt.NDArray[Any]) -> None:
        """Add the tokens of some rows to the range of a column."""
        if values.size:
            least, most = int(values.min()), int(values.max())
            low, high = self._range.get(name, (least, most))
            self._range[name] = min(low, least), max(high, most)

    def add_used(self, name: str, values: npt.NDArray[Any]) -> None:
        """Add the tokens of some rows to the used ids of a column."""
        # Selecting values takes much longer than finding their range.
        if values.size and (values.min() < 0 or values.max() >= LARGEST_ID):
            values = values[(values >= 0) & (values < LARGEST_ID)]
        # -1 is not an unsigned integer, so it cannot be the initial value of the maximum.
        largest = int(values.max()) if values.size else -1
        self._used[name] = used = _extend_to(self._used.get(name), largest)
        # NumPy uses indices of its own index type several times as fast as other integers.
        used[values.astype(np.intp, copy=False)] = True

    def range(self, name: str) -> tuple[int, int] | None:
        """Return the smallest and largest token of a column; None if the column has no tokens."""
        return self._range.get(name)

    def are_flags(self, name: str) -> bool:
        """Return whether a column contains only the values 0 and 1, and at least one of them."""
        low, high = self._range.get(name, (0, LARGEST_ID))
        return low >= 0 and high <= 1

    def unused(self, name: str) -> int | None:
        """Return the smallest unused id of a column; None if its ids are not known."""
        used = self._used.get(name)
        return None if used is None else int(np.argmin(_extend_to(used, len(used))))

    def join(self, other: TokenRanges) -> None:
        """Add the tokens that another object recorded."""
        for name, (low, high) in other._range.items():
            least, most = self._range.get(name, (low, high))
            self._range[name] = min(low, least), max(high, most)
        for name, used in other._used.items():
            self._used[name] = own = _extend_to(self._used.get(name), len(used) - 1)
            own[: len(used)] |= used

    def copy(self) -> TokenRanges:
        """Return an independent copy."""
        same = TokenRanges()
        same._range = dict(self._range)
        same._used = {name: used.copy() for name, used in self._used.items()}
        return same


def _extend_to(used: Flags | None, highest: int) -> Flags:
    """Return an array of flags that is long enough for the id `highest`. New flags are False."""
    known = np.zeros(0, dtype=bool) if used is None else used
    if highest < len(known):
        return known
    # The size is a power of two, so that growing ids do not copy the flags each time.
    longer = np.zeros(1 << int(highest).bit_length(), dtype=bool)
    longer[: len(known)] = known
    return longer
