"""`LengthStats`: the histogram of row lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

# Up to this number of rows, a Counter is faster than NumPy.
FEW_LENGTHS = 200


@dataclass(frozen=True)
class LengthStats:
    """Histogram of row lengths.

    >>> stats = LengthStats.of([3, 1, 3]) + LengthStats.of([0])
    >>> stats.rows, stats.tokens, stats.longest, stats.percentile("50")
    (4, 7, 3, 1)

    Args:
        counts: number of rows with each length in tokens. Memory use depends only on the number of
            different lengths.
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, lengths: npt.ArrayLike) -> LengthStats:
        """Return the histogram of `lengths`, an array with the number of tokens in each row."""
        array = np.asarray(lengths, dtype=np.int64)
        if array.size < FEW_LENGTHS:
            return cls(dict(sorted(Counter(array.tolist()).items())))
        if array.max() < array.size:
            # Counting takes a tenth of the time of sorting.
            rows = np.bincount(array.ravel())
            found = np.flatnonzero(rows)
            rows = rows[found]
        else:
            found, rows = np.unique(array, return_counts=True)
        return cls(dict(zip(found.tolist(), rows.tolist(), strict=True)))

    def __add__(self, other: LengthStats) -> LengthStats:
        counts = dict(self.counts)
        for length, rows in other.counts.items():
            counts[length] = counts.get(length, 0) + rows
        return LengthStats(counts)

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def tokens(self) -> int:
        return sum(length * rows for length, rows in self.counts.items())

    @property
    def longest(self) -> int:
        """Length of the longest row; 0 if there are no rows."""
        return max(self.counts, default=0)

    def percentile(self, percent: str | float) -> int:
        """Return a percentile of the row lengths, by the nearest-rank method; 0 if there are no rows.

        The result is the length of a row. At least `percent` % of the rows have this length or are shorter.
        `percent` may be decimal text such as `"99.9"`, so that the rank is exact.
        """
        rank = Fraction(str(percent)) * self.rows / 100
        seen = 0
        for length in sorted(self.counts):
            seen += self.counts[length]
            if seen >= rank:
                return length
        return 0
