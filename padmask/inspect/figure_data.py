"""The numbers of the figure that `inspect --export` draws, computed from an `Inspection`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions
from padmask.inspect.costs import DYNAMIC
from padmask.inspect.inspection import Inspection
from padmask.spec.pad import Side

# The axis of lengths is logarithmic if it must reach more than this multiple of the 90th percentile.
LONG_TAIL = 3

# Largest number of bins on a linear axis, and number of bins between two powers of two on a logarithmic axis.
MOST_BINS = 40
BINS_PER_OCTAVE = 4

# Maximum numbers of evenly spaced points of a curve, and of bands of rows. A screen shows no more.
MOST_POINTS = 200
MOST_BANDS = 400

# Names of the tokens beyond maxlen in the figure, keyed by `overlong`, if the tokens are not truncated.
CUT_TOKENS = {"window": "windows", "drop": "dropped"}

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Numbers of rows by length.

    Args:
        edges: int64, shape (bins + 1,). Bin i has the lengths from `edges[i]` to `edges[i + 1] - 1`.
        rows: number of rows in each bin: int64, shape (bins,).
        is_log: whether the bins are for a logarithmic axis, on which length 0 has no bin.
        empty: number of rows with length 0 that are in no bin.
    """

    edges: Positions
    rows: Positions
    is_log: bool
    empty: int = 0


@dataclass(frozen=True)
class Curves:
    """The effect of maxlen, if rows longer than maxlen are truncated.

    Args:
        maxlens: int64, shape (points,), ascending.
        kept: share of the tokens that are kept: float64, shape (points,).
        whole: share of the rows that are not truncated: float64, shape (points,).
        padding: share of the positions that are padding: float64, shape (points,).
    """

    maxlens: Positions
    kept: Shares
    whole: Shares
    padding: Shares


@dataclass(frozen=True)
class Places:
    """The positions of all rows, sorted by length. Adjacent rows are combined into bands.

    Args:
        row_ends: number of rows up to the end of each band: int64, shape (bands,).
        real, padding, cut: half-open range of positions in the rows of each band: int64, shape (bands, 2).
            Cut tokens have positions beyond the output row, on the truncated side. The tokens of a dropped
            row keep their positions.
        cut_tokens: name of the cut tokens in the figure, such as "cut" or "dropped".
        maxlen: length of the output rows.
    """

    row_ends: Positions
    real: Positions
    padding: Positions
    cut: Positions
    cut_tokens: str
    maxlen: int


@dataclass(frozen=True)
class Mark:
    """A candidate for maxlen.

    Args:
        maxlen: the length.
        name: names of the plans with this length; empty if the only name is the length.
        is_best: whether `inspect` recommends the plan.
    """

    maxlen: int
    name: str
    is_best: bool


@dataclass(frozen=True)
class FigureData:
    """The numbers and names that the figure shows.

    Args:
        name: name of the input.
        summary: numbers of rows and tokens.
        lengths: lengths of the rows; of the sequences, if the rows are packed.
        marks: candidates for maxlen, ascending.
        curves: shares by maxlen; None for packed rows.
        sequences: rows by number of sequences; None for rows that are not packed.
        filled: share of the positions that are tokens, if all packed rows had maxlen positions; None for rows
            that are not packed.
        places: tokens and padding of all rows.
    """

    name: str
    summary: str
    lengths: Histogram
    marks: Sequence[Mark]
    curves: Curves | None
    sequences: Histogram | None
    filled: float | None
    places: Places


def make_figure_data(seen: Inspection) -> FigureData:
    """Return the numbers of the figure for a result of `inspect_file`."""
    marks = _marks(seen)
    if seen.packed is not None:
        packed = seen.packed
        places = make_places(seen.stats, packed.maxlen)
        if packed.maxlen * packed.rows != packed.places:
            # The packed rows have different numbers of positions, so they are not padded to maxlen.
            places = replace(places, padding=np.zeros_like(places.padding))
        return FigureData(
            seen.name,
            f"{seen.describe()}, {packed.sequences:,} sequences",
            make_histogram(packed.lengths),
            marks,
            None,
            make_histogram(packed.per_row),
            packed.filled_share,
            places,
        )
    plan, spec = seen.advice.plan, seen.advice.spec
    places = make_places(
        seen.stats,
        seen.stats.longest if plan is None else plan.maxlen,
        padding="post" if spec is None else spec.padding,
        truncating="post" if spec is None else spec.truncating,
        drops=plan is not None and plan.overlong == "drop",
        cut_tokens="cut" if plan is None else CUT_TOKENS.get(plan.overlong, "cut"),
    )
    curves = make_curves(seen.stats, [mark.maxlen for mark in marks])
    top = max((mark.maxlen for mark in marks), default=0)
    lengths = make_histogram(seen.stats, top)
    return FigureData(seen.name, seen.describe(), lengths, marks, curves, None, None, places)


def _marks(seen: Inspection) -> list[Mark]:
    """Return a mark at the maxlen of each plan that uses one length for all rows."""
    names: dict[int, list[str]] = {}
    for plan in seen.plans:
        is_single = plan.name not in DYNAMIC and not plan.name.startswith(("buckets-", "packed"))
        if is_single and plan.maxlen:
            names.setdefault(plan.maxlen, []).append(plan.name)
    best = seen.advice.plan
    return [
        Mark(maxlen, _join_names(named, maxlen), best is not None and best.name in named)
        for maxlen, named in sorted(names.items())
    ]


def _join_names(names: Sequence[str], maxlen: int) -> str:
    """Join the names of plans, without the length, because the figure shows the length beside the names."""
    return ", ".join(name.removesuffix(f"-{maxlen}") for name in names if name != str(maxlen))


def _arrays(stats: LengthStats) -> tuple[Positions, Positions]:
    """Return the lengths, ascending, and the number of rows with each length."""
    lengths = np.array(sorted(stats.counts), dtype=np.int64)
    return lengths, np.array([stats.counts[length] for length in lengths.tolist()], dtype=np.int64)


def make_histogram(stats: LengthStats, top: int = 0) -> Histogram:
    """Return the number of rows in bins of equal width, or of growing width if the axis is logarithmic.

    >>> make_histogram(LengthStats({3: 2, 4: 1}))
    Histogram(edges=array([3, 4, 5]), rows=array([2, 1]), is_log=False, empty=0)

    Args:
        stats: number of rows of each length.
        top: length that the axis must include.
    """
    lengths, rows = _arrays(stats)
    end, low = stats.longest + 1, int(lengths[0]) if len(lengths) else 0
    is_log = max(stats.longest, top) > LONG_TAIL * max(stats.percentile(90), 1)
    if is_log:
        first = max(low, 1).bit_length() - 1
        octaves = 2 ** np.arange(first, end.bit_length() + 1)
        inner = octaves[:, None] * (BINS_PER_OCTAVE + np.arange(BINS_PER_OCTAVE)) // BINS_PER_OCTAVE
        edges = np.unique(inner)
        edges = edges[: int(np.searchsorted(edges, end)) + 1]
    else:
        width = -(-(end - low) // MOST_BINS)
        edges = np.arange(low, end + width, width)
    counts, _ = np.histogram(lengths, edges, weights=rows)
    return Histogram(edges, counts.astype(np.int64), is_log, stats.counts.get(0, 0) if is_log else 0)


def make_curves(stats: LengthStats, marks: Sequence[int] = ()) -> Curves:
    """Return the shares of kept tokens, of whole rows and of padding for values of maxlen.

    >>> curves = make_curves(LengthStats({1: 1, 3: 1}))
    >>> curves.maxlens, curves.kept, curves.whole, curves.padding.round(2)
    (array([1, 2, 3]), array([0.5 , 0.75, 1.  ]), array([0.5, 0.5, 1. ]), array([0.  , 0.25, 0.33]))

    Args:
        stats: number of rows of each length.
        marks: lengths that the values of maxlen must include.
    """
    lengths, rows = _arrays(stats)
    top = max(stats.longest, *marks, 1)
    even = np.linspace(1, top, min(top, MOST_POINTS // 2)), np.geomspace(1, top, min(top, MOST_POINTS // 2))
    maxlens = np.unique(np.concatenate([*even, list(marks)]).round().astype(np.int64))
    not_cut = np.searchsorted(lengths, maxlens, side="right")
    whole = np.concatenate([[0], rows.cumsum()])[not_cut]
    kept = np.concatenate([[0], (rows * lengths).cumsum()])[not_cut] + maxlens * (stats.rows - whole)
    return Curves(
        maxlens,
        kept / stats.tokens if stats.tokens else np.ones(len(maxlens)),
        whole / stats.rows if stats.rows else np.ones(len(maxlens)),
        1 - kept / (maxlens * stats.rows) if stats.rows else np.zeros(len(maxlens)),
    )


def make_places(
    stats: LengthStats,
    maxlen: int,
    *,
    padding: Side = "post",
    truncating: Side = "post",
    drops: bool = False,
    cut_tokens: str = "cut",
) -> Places:
    """Return the positions with tokens and with padding in all rows, sorted by length.

    >>> places = make_places(LengthStats({1: 5, 4: 2}), 3)
    >>> places.row_ends, places.real.tolist(), places.padding.tolist(), places.cut.tolist()
    (array([5, 7]), [[0, 1], [0, 3]], [[1, 3], [3, 3]], [[3, 3], [3, 4]])

    Args:
        stats: number of rows of each length.
        maxlen: length of the output rows.
        padding, truncating: sides on which rows are padded and truncated.
        drops: whether rows longer than `maxlen` are dropped. All their tokens are then cut.
        cut_tokens: name of the cut tokens, as in `Places`.
    """
    lengths, rows = _arrays(stats)
    row_ends = rows.cumsum()
    if len(lengths) > MOST_BANDS:
        row_ends = np.linspace(0, stats.rows, MOST_BANDS + 1).round().astype(np.int64)[1:]
        middles = (row_ends + np.concatenate([[0], row_ends[:-1]])) // 2
        lengths = lengths[np.searchsorted(rows.cumsum(), middles, side="right")]
    kept = np.minimum(lengths, maxlen)
    free, lost = maxlen - kept, lengths - kept
    if drops:
        kept, lost = np.where(lost, 0, kept), np.where(lost, lengths, 0)
    first = free if padding == "pre" else np.zeros_like(free)
    blank = first + kept if padding == "post" else np.zeros_like(free)
    beyond = -lost if truncating == "pre" else np.full_like(free, maxlen)
    return Places(
        row_ends,
        _spans(first, kept),
        _spans(blank, free),
        _spans(np.zeros_like(free) if drops else beyond, lost),
        cut_tokens,
        maxlen,
    )


def _spans(starts: Any, sizes: Any) -> Positions:
    return np.stack([starts, starts + sizes], axis=1).astype(np.int64)
