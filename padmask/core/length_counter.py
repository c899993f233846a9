"""Count the rows of each length over many small batches."""

from __future__ import annotations

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions

# Number of lengths to collect before they are counted. Counting has a fixed cost.
PENDING_ROWS = 1 << 16


class LengthCounter:
    """A counter of the rows of each length, which is fast even with many small batches.

    >>> counter = LengthCounter()
    >>> counter.add(np.array([3, 1])), counter.add(np.array([3]))
    (None, None)
    >>> counter.rows, counter.stats().counts
    (3, {1: 1, 3: 2})
    """

    def __init__(self) -> None:
        self._stats = LengthStats()
        self._pending: list[Positions] = []
        self._pending_rows = 0
        self._rows = 0

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        return self._rows

    def add(self, lengths: Positions) -> None:
        """Count the rows of a batch."""
        self._rows += len(lengths)
        self._pending.append(lengths)
        self._pending_rows += len(lengths)
        if self._pending_rows >= PENDING_ROWS:
            self.stats()

    def stats(self) -> LengthStats:
        """Return the histogram of all lengths so far."""
        if self._pending:
            self._stats += LengthStats.of(np.concatenate(self._pending))
            self._pending, self._pending_rows = [], 0
        return self._stats
