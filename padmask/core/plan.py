"""Lengths in, a plan out: the maxlen of all rows, and where each token goes.

`LengthStats` adds up over batches, shards and machines and gives the `Plan`. A planner turns the lengths
of some rows into `Segments`, which the kernel follows. This module knows no values, files or columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from padmask.errors import SpecError
from padmask.spec.pad import PadSpec, Side, percentile_of

Positions = npt.NDArray[np.int64]


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


@dataclass(frozen=True)
class Segments:
    """Where tokens go: pieces of source rows form sequences, and sequences stand in output rows.

    A piece is a run of tokens of one source row. The pieces of a sequence stand side by side, and so do the
    sequences of a row. Plain padding has one piece a sequence and one sequence a row: the optional arrays
    are None then.

    >>> plan_pad(np.array([1, 4]), 3, padding="pre", truncating="post").first_places
    array([2, 0])

    Args:
        source_lengths: int64, shape (source rows,), tokens in each source row.
        starts: int64, shape (pieces,), the first token of each piece in its source row.
        counts: int64, shape (pieces,), tokens in each piece.
        maxlen: places in every output row; None for rows that are as long as their tokens.
        padding: the side of the padding where `firsts` is None.
        sources: int64, shape (pieces,), source row of each piece; None where piece i is of row i.
        sequences: int64, shape (pieces,), sequence of each piece, ascending; None where piece i is
            sequence i.
        rows: int64, shape (sequences,), output row of each sequence, ascending; None where sequence i is
            row i.
        firsts: int64, shape (sequences,), first place of each sequence in its row; None where each row has
            one sequence and `padding` says its place.
    """

    source_lengths: Positions
    starts: Positions
    counts: Positions
    maxlen: int | None
    padding: Side = "post"
    sources: Positions | None = None
    sequences: Positions | None = None
    rows: Positions | None = None
    firsts: Positions | None = None

    @property
    def is_plain(self) -> bool:
        """Whether output row i holds one piece of source row i, and nothing else."""
        return self.sources is None and self.sequences is None and self.rows is None and self.firsts is None

    @property
    def lengths(self) -> Positions:
        """The tokens of each sequence, shape (sequences,)."""
        return self.counts if self.sequences is None else _sum_by(self.sequences, self.counts)

    @property
    def row_lengths(self) -> Positions:
        """The tokens of each output row, shape (rows,)."""
        return self.lengths if self.rows is None else _sum_by(self.rows, self.lengths)

    @property
    def first_places(self) -> Positions:
        """The first place of each sequence in its row, shape (sequences,)."""
        if self.firsts is not None:
            return self.firsts
        lengths = self.lengths
        return (
            np.zeros_like(lengths) if self.padding == "post" or self.maxlen is None else self.maxlen - lengths
        )

    @property
    def row_sources(self) -> Positions:
        """The source row of the first piece of each output row, shape (rows,)."""
        sources = np.arange(len(self.counts)) if self.sources is None else self.sources
        if self.sequences is not None:
            sources = sources[np.unique(self.sequences, return_index=True)[1]]
        return sources if self.rows is None else sources[np.unique(self.rows, return_index=True)[1]]

    def kept_runs(self) -> tuple[Positions | None, Positions, Positions]:
        """Return the source tokens that are in the output, each of them once.

        Returns:
            For each run its source row (None where run i is of row i), its first token and its length.
        """
        if self.sources is None:
            return None, self.starts, self.counts
        order = np.lexsort((self.starts, self.sources))
        sources, starts = self.sources[order], self.starts[order]
        ends = starts + self.counts[order]
        # Rows lie one after another on one line, so that the tokens that earlier pieces of a row reach are
        # a running maximum.
        shift = sources * (int(self.source_lengths.max(initial=0)) + 1)
        reached = np.concatenate([[0], np.maximum.accumulate(ends + shift)[:-1]]) - shift
        firsts = np.maximum(starts, reached)
        return sources, firsts, np.maximum(ends - firsts, 0)

    def kept_tokens(self) -> Positions:
        """Return how many tokens of each source row are in the output, shape (source rows,)."""
        sources, _, counts = self.kept_runs()
        return counts if sources is None else _sum_by(sources, counts, len(self.source_lengths))

    def select(self, rows: Positions) -> Segments:
        """Return these output rows of a plain table."""
        return replace(
            self,
            source_lengths=self.source_lengths[rows],
            starts=self.starts[rows],
            counts=self.counts[rows],
        )


def _sum_by(groups: Positions, counts: Positions, size: int = 0) -> Positions:
    return np.bincount(groups, weights=counts, minlength=size).astype(np.int64)


def plan_pad(lengths: Positions, maxlen: int, *, padding: Side, truncating: Side) -> Segments:
    """Plan one output row for each source row, cut to `maxlen` tokens.

    >>> plan_pad(np.array([1, 4]), 3, padding="post", truncating="pre").starts
    array([0, 1])

    Args:
        lengths: int64, shape (rows,), in tokens.
        maxlen: places in every row.
        padding: the side of the padding.
        truncating: the side at which longer rows are cut.
    """
    counts = np.minimum(lengths, maxlen)
    starts = lengths - counts if truncating == "pre" else np.zeros_like(lengths)
    return Segments(lengths, starts, counts, maxlen, padding)


def plan_unpad(lengths: Positions, places: Positions, padding: Side) -> Segments:
    """Plan the rows that are left when padding is removed: `plan_pad` backwards.

    >>> plan_unpad(np.array([2, 3]), np.array([3, 3]), "pre").starts
    array([1, 0])

    Args:
        lengths: int64, shape (rows,), real tokens in each padded row.
        places: int64, shape (rows,), places in each padded row.
        padding: the side of the padding.
    """
    return Segments(places, np.zeros_like(lengths) if padding == "post" else places - lengths, lengths, None)


def make_segments(lengths: Positions, plan: Plan, spec: PadSpec) -> Segments:
    """Choose the planner that `spec` asks for, and plan rows of these lengths.

    Args:
        lengths: int64, shape (rows,), in tokens.
        plan: the maxlen of all rows.
        spec: what was asked for.
    """
    return plan_pad(lengths, plan.maxlen, padding=spec.padding, truncating=spec.truncating)
