"""Lengths in, a plan out: the maxlen of all rows, and where each token goes.

`LengthStats` adds up over batches, shards and machines and gives the `Plan`. A planner turns the lengths
of some rows into `Segments`, which the kernel follows. This module knows no values, files or columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from padmask.errors import SpecError
from padmask.spec.pad import PadSpec, percentile_of


@dataclass(frozen=True)
class LengthStats:
    """How many rows there are of each length.

    >>> stats = LengthStats.of([3, 1, 3]) + LengthStats.of([0])
    >>> stats.rows, stats.tokens, stats.longest, stats.percentile("50")
    (4, 7, 3, 1)

    Args:
        counts: rows by length, in tokens; memory grows with the distinct lengths only.
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, lengths: npt.ArrayLike) -> LengthStats:
        """Count `lengths`, an array of shape (rows,) in tokens."""
        found, rows = np.unique(np.asarray(lengths, dtype=np.int64), return_counts=True)
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
        """Length of the longest row; 0 where there is none."""
        return max(self.counts, default=0)

    def percentile(self, percent: str | float) -> int:
        """Return the smallest length that at least `percent` % of the rows do not exceed.

        Nearest rank, exact: `percent` may be decimal text such as `"99.9"`, and the rank
        is found in whole numbers. 0 where there are no rows.
        """
        rank = Fraction(str(percent)) * self.rows / 100
        seen = 0
        for length in sorted(self.counts):
            seen += self.counts[length]
            if seen >= rank:
                return length
        return 0


@dataclass(frozen=True)
class Plan:
    """The length that every row gets, and how it was found.

    Args:
        maxlen: places in every row.
        found: `"given"`, `"longest"`, or the percentile's name such as `"p95"`.
        exact: the length before it was rounded up to a multiple.
    """

    maxlen: int
    found: str
    exact: int


def needs_lengths(spec: PadSpec) -> bool:
    """Tell whether `spec` leaves the length to be found from the data."""
    return isinstance(spec.maxlen, str)


def make_plan(spec: PadSpec, lengths: LengthStats | None = None) -> Plan:
    """Decide one concrete maxlen.

    >>> make_plan(PadSpec(maxlen="longest", pad_to_multiple_of=8), LengthStats.of([3, 9]))
    Plan(maxlen=16, found='longest', exact=9)

    Args:
        spec: what was asked for.
        lengths: of all the rows; only needed where `needs_lengths(spec)`.
    """
    if not isinstance(spec.maxlen, str):
        return Plan(int(spec.maxlen), "given", int(spec.maxlen))
    if lengths is None:
        raise SpecError(
            f"maxlen {spec.maxlen!r} must be found from lengths, and there are none.", options=["maxlen"]
        )
    percent = percentile_of(spec.maxlen)
    maxlen = lengths.longest if percent is None else lengths.percentile(percent)
    multiple = spec.pad_to_multiple_of or 1
    return Plan(-(-maxlen // multiple) * multiple, spec.maxlen, maxlen)
