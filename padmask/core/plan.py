"""Compute the maxlen of all rows and the position of each token from the row lengths alone.

`make_plan` computes the `Plan` from `LengthStats`, which can be summed over batches, files and machines.
`make_segments` computes the token positions as `Segments`. This module does not use token values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from padmask.core.length_stats import LengthStats
from padmask.core.window_places import WindowPlaces
from padmask.errors import SpecError
from padmask.spec.maxlen import percentile_of
from padmask.spec.pad import PadSpec, Side

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The length of every output row, and how this length was determined.

    Args:
        maxlen: length of every output row, in tokens.
        found: how the length was determined: `"given"`, `"longest"`, or a percentile such as `"p95"`.
            `"batches"` means that each batch has its own length, and `maxlen` is the limit.
        exact: the length before rounding up to a multiple.
        own: plan of each column that has its own maxlen, keyed by column name.
        edges: maxlen of each bucket, ascending; empty without buckets. The last edge is `maxlen`.
    """

    maxlen: int
    found: str
    exact: int
    own: Mapping[str, Plan] = field(default_factory=dict)
    edges: tuple[int, ...] = ()


def needs_lengths(spec: PadSpec) -> bool:
    """Return whether `spec.maxlen` depends on the row lengths of the data."""
    return isinstance(spec.maxlen, str) and not spec.has_no_maxlen


def needs_survey(spec: PadSpec) -> bool:
    """Return whether maxlen, the maxlen of a column, or the edges of buckets depend on the row lengths."""
    own = any(isinstance(maxlen, str) for _, maxlen in spec.own_lengths)
    return needs_lengths(spec) or own or isinstance(spec.buckets, int)


def make_plan(spec: PadSpec, lengths: LengthStats | None = None) -> Plan:
    """Determine maxlen as a number, and return the `Plan`.

    >>> make_plan(PadSpec(maxlen="longest", pad_to_multiple_of=8), LengthStats.of([3, 9]))
    Plan(maxlen=16, found='longest', exact=9, own={}, edges=())

    Args:
        spec: how to pad.
        lengths: lengths of all rows. Required if `needs_lengths(spec)`.

    Raises:
        SpecError: the spec needs lengths and `lengths` is None, or the kept ends do not fit in the maxlen
            that was found.
    """
    if spec.batches is not None and spec.has_no_maxlen:
        widest = spec.batches.widest(spec.pad_to_multiple_of)
        return Plan(widest, "batches", widest)
    if not isinstance(spec.maxlen, str):
        return Plan(int(spec.maxlen), "given", int(spec.maxlen))
    if lengths is None:
        raise SpecError(
            f"`maxlen` {spec.maxlen!r} requires the lengths of all rows. Pass `lengths`.", options=["maxlen"]
        )
    percent = percentile_of(spec.maxlen)
    maxlen = lengths.longest if percent is None else lengths.percentile(percent)
    found = Plan(spec.round_up(maxlen), spec.maxlen, maxlen)
    if found.maxlen < lengths.longest:
        spec.refuse_large_ends(found.maxlen)
    return found


@dataclass(frozen=True)
class Segments:
    """The output position of each token. Slices of source rows form sequences. Sequences form output rows.

    A slice is a contiguous run of tokens of one source row. A sequence is one or more adjacent slices. An
    output row consists of one or more sequences. In plain padding, each output row consists of one sequence
    of one slice, and the optional arrays are None.

    >>> plan_pad(np.array([1, 4]), 3, padding="pre", truncating="post").first_places
    array([2, 0])

    Args:
        source_lengths: number of tokens in each source row: int64, shape (source rows,).
        starts: index of the first token of each slice in its source row: int64, shape (slices,).
        counts: number of tokens in each slice: int64, shape (slices,).
        maxlen: length of every output row; None for output rows without padding.
        padding: side of the padding. Used only if `firsts` is None.
        sources: source row of each slice: int64, shape (slices,). None: slice i comes from source row i.
        sequences: sequence of each slice, ascending: int64, shape (slices,). None: slice i is sequence i.
        rows: output row of each sequence, ascending: int64, shape (sequences,). None: sequence i is row i.
        firsts: position of each sequence in its output row: int64, shape (sequences,). None: each row has
            one sequence, and `padding` determines the position.
        windows: the part of the source row in each output row; None if rows are not split into windows.
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
    windows: WindowPlaces | None = None

    @property
    def is_plain(self) -> bool:
        """Whether each output row i consists of exactly one slice, which comes from source row i."""
        return self.sources is None and self.has_one_sequence_a_row and self.sequences is None

    @property
    def has_one_sequence_a_row(self) -> bool:
        """Whether each output row i consists of sequence i, at the side opposite to the padding."""
        return self.rows is None and self.firsts is None

    @property
    def moves_rows(self) -> bool:
        """Whether output row i may come from a source row other than row i."""
        if self.is_plain:
            return False
        return not np.array_equal(self.row_sources, np.arange(len(self.source_lengths)))

    @property
    def lengths(self) -> Positions:
        """Number of tokens of each sequence: shape (sequences,)."""
        return self.counts if self.sequences is None else _sum_by(self.sequences, self.counts)

    @property
    def row_lengths(self) -> Positions:
        """Number of tokens of each output row: shape (rows,)."""
        return self.lengths if self.rows is None else _sum_by(self.rows, self.lengths)

    @property
    def first_places(self) -> Positions:
        """Position of the first token of each sequence in its output row: shape (sequences,)."""
        if self.firsts is not None:
            return self.firsts
        lengths = self.lengths
        return (
            np.zeros_like(lengths) if self.padding == "post" or self.maxlen is None else self.maxlen - lengths
        )

    @property
    def row_sources(self) -> Positions:
        """Source row of the first slice of each output row: shape (rows,)."""
        sources = np.arange(len(self.counts)) if self.sources is None else self.sources
        if self.sequences is not None:
            sources = sources[np.unique(self.sequences, return_index=True)[1]]
        return sources if self.rows is None else sources[np.unique(self.rows, return_index=True)[1]]

    def kept_runs(self) -> tuple[Positions | None, Positions, Positions]:
        """Return the runs of source tokens that are in the output. Each token is in one run only.

        Returns:
            The source row of each run (None: run i comes from row i), the index of its first token, and
            its length.
        """
        if self.sources is None:
            return None, self.starts, self.counts
        order = np.lexsort((self.starts, self.sources))
        sources, starts = self.sources[order], self.starts[order]
        ends = starts + self.counts[order]
        # Shift the indices of each source row, so that different rows have different indices. A running
        # maximum over all slices is then the end of all earlier slices of the same row.
        shift = sources * (int(self.source_lengths.max(initial=0)) + 1)
        reached = np.concatenate([[0], np.maximum.accumulate(ends + shift)[:-1]]) - shift
        firsts = np.maximum(starts, reached)
        return sources, firsts, np.maximum(ends - firsts, 0)

    def kept_tokens(self) -> Positions:
        """Return the number of tokens of each source row that are in the output: shape (source rows,)."""
        sources, _, counts = self.kept_runs()
        return counts if sources is None else _sum_by(sources, counts, len(self.source_lengths))

    def select(self, rows: Positions) -> Segments:
        """Return the segments of the given rows. `is_plain` must be True."""
        return replace(
            self,
            source_lengths=self.source_lengths[rows],
            starts=self.starts[rows],
            counts=self.counts[rows],
        )


def _sum_by(groups: Positions, counts: Positions, size: int = 0) -> Positions:
    return np.bincount(groups, weights=counts, minlength=size).astype(np.int64)


def plan_pad(lengths: Positions, maxlen: int, *, padding: Side, truncating: Side) -> Segments:
    """Return `Segments` that truncate or pad each source row to one output row of length `maxlen`.

    >>> plan_pad(np.array([1, 4]), 3, padding="post", truncating="pre").starts
    array([0, 1])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        maxlen: length of every output row, in tokens.
        padding: side of the padding.
        truncating: side on which longer rows are truncated.
    """
    counts = np.minimum(lengths, maxlen)
    starts = lengths - counts if truncating == "pre" else np.zeros_like(lengths)
    return Segments(lengths, starts, counts, maxlen, padding)


def plan_unpad(lengths: Positions, places: Positions, padding: Side) -> Segments:
    """Return `Segments` that remove the padding of rows: the inverse of `plan_pad`.

    >>> plan_unpad(np.array([2, 3]), np.array([3, 3]), "pre").starts
    array([1, 0])

    Args:
        lengths: number of real tokens in each padded row: int64, shape (rows,).
        places: length of each padded row: int64, shape (rows,).
        padding: side of the padding.
    """
    return Segments(places, np.zeros_like(lengths) if padding == "post" else places - lengths, lengths, None)
