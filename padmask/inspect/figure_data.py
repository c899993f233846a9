"""The numbers of the figure that `inspect --export` draws, computed from an `Inspection`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions
from padmask.errors import fine_share, share
from padmask.inspect.costs import DYNAMIC, Cost, CostBasis
from padmask.inspect.cuts import Overlong
from padmask.inspect.figure_curves import Curves, make_curves
from padmask.inspect.inspection import Inspection
from padmask.inspect.packed import PackedStats
from padmask.spec.pad import Side

# The axis of lengths is logarithmic if its end is larger than the 90th percentile times this number.
LONG_TAIL = 3

# Largest number of bins on a linear axis, and number of bins between two powers of two on a logarithmic axis.
MOST_BINS = 40
BINS_PER_OCTAVE = 4

# Maximum number of bands of rows. A screen shows no more.
MOST_BANDS = 400


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
class Places:
    """The positions of all rows, sorted by length. Adjacent rows are combined into bands.

    Args:
        row_ends: number of rows up to the end of each band: int64, shape (bands,).
        real, padding, cut: half-open range of positions in the rows of each band: int64, shape (bands, 2).
            Cut tokens are beyond the output row, on the truncated side. Tokens of dropped rows start at
            position 0.
        maxlen: length of the output rows.
        rows_cut: number of rows that have cut tokens.
        longest: number of tokens in the longest row.
        widths: number of different lengths of the output rows.
    """

    row_ends: Positions
    real: Positions
    padding: Positions
    cut: Positions
    maxlen: int
    rows_cut: int = 0
    longest: int = 0
    widths: int = 1


@dataclass(frozen=True)
class Mark:
    """A candidate for maxlen.

    Args:
        maxlen: the length.
        name: names of the plans with this length, such as `"p95"`; empty if the plans are named
            after the length only.
        is_best: whether `inspect` recommends the plan.
    """

    maxlen: int
    name: str
    is_best: bool


@dataclass(frozen=True)
class FigureData:
    """The numbers and names that the figure shows.

    Args:
        name: name of the input, without its folder.
        title: the most important result, such as the padding of the recommended plan; empty if there is
            none.
        summary: numbers of rows and tokens.
        unit: name of an element of a sequence: `"token"`, or `"step"` for floats and vectors.
        lengths: histogram of the row lengths. For packed rows, histogram of the sequence lengths.
        marks: candidates for maxlen, ascending.
        plans: costs of the candidates, in ascending order of maxlen; empty for packed rows.
        best: recommended plan; None if no plan is recommended.
        curves: shares of tokens, rows and padding by maxlen; None for packed rows.
        packed: statistics of packed rows; None for rows that are not packed.
        sequences: histogram of the number of sequences in a packed row; None for rows that are not packed.
        places: positions of tokens and padding in all rows. For packed rows, full rows are left out.
    """

    name: str
    title: str
    summary: str
    unit: str
    lengths: Histogram
    marks: Sequence[Mark]
    plans: Sequence[Cost]
    best: Cost | None
    curves: Curves | None
    packed: PackedStats | None
    sequences: Histogram | None
    places: Places

    @property
    def overlong(self) -> Overlong:
        """What happens to rows longer than maxlen, as in `--overlong`."""
        return "truncate" if self.best is None else self.best.overlong

    def shown_plans(self, most: int) -> list[Cost]:
        """Return at most `most` plans. The recommended plan is one of them."""
        extra = len(self.plans) - most
        others = [plan for plan in self.plans if self.best is None or plan.name != self.best.name]
        left_out = others[len(others) - extra :] if extra > 0 else []
        return [plan for plan in self.plans if plan not in left_out]


def make_figure_data(seen: Inspection, title: str | None = None) -> FigureData:
    """Return the numbers of the figure for a result of `inspect_file`.

    Args:
        seen: result to show.
        title: title of the figure; by default the most important result.
    """
    if seen.packed is not None:
        return _packed_data(seen, seen.packed, title)
    marks, unit = _marks(seen), seen.unit
    plan, spec = seen.advice.plan, seen.advice.spec
    overlong = "truncate" if plan is None else plan.overlong
    if plan is None:
        widths = {group.maxlen: group.rows for group in seen.widths}
        places = make_places_of_padded(seen.stats, widths, seen.padding or "post")
    else:
        places = make_places(
            seen.stats,
            plan.maxlen,
            padding="post" if spec is None else spec.padding,
            truncating="post" if spec is None else spec.truncating,
            drops=overlong == "drop",
        )
    basis = CostBasis(seen.stats) if seen.adviser is None else seen.adviser.basis
    return FigureData(
        name=base_name(seen.name),
        title=title or (describe_padded(seen) if plan is None else describe_plan(plan, unit)),
        summary=seen.describe(),
        unit=unit,
        lengths=make_histogram(seen.stats, max((mark.maxlen for mark in marks), default=0)),
        marks=marks,
        plans=sorted((cost for cost in seen.plans if _has_one_length(cost)), key=lambda cost: cost.maxlen),
        best=plan,
        curves=make_curves(basis, [mark.maxlen for mark in marks], overlong),
        packed=None,
        sequences=None,
        places=places,
    )


def _packed_data(seen: Inspection, packed: PackedStats, title: str | None) -> FigureData:
    """Return the numbers of the figure for packed rows."""
    not_full = {n: rows for n, rows in seen.stats.counts.items() if n < packed.maxlen}
    places = make_places(LengthStats(not_full), packed.maxlen)
    if packed.maxlen * packed.rows != packed.places:
        # The packed rows have different numbers of positions, so they are not padded to maxlen.
        places = replace(places, padding=np.zeros_like(places.padding))
    fill = f"maxlen {packed.maxlen:,}: {seen.unit}s fill {fine_share(packed.filled_share)} of the packed rows"
    return FigureData(
        name=base_name(seen.name),
        title=title or fill,
        summary=f"{seen.describe()}, {packed.sequences:,} sequences",
        unit=seen.unit,
        lengths=make_histogram(packed.lengths),
        marks=[],
        plans=[],
        best=None,
        curves=None,
        packed=packed,
        sequences=make_histogram(packed.per_row),
        places=places,
    )


def base_name(name: str) -> str:
    """Return the name of a file or folder without the folders that contain it.

    >>> base_name("../data/train.jsonl"), base_name("s3://bucket/train/"), base_name("a/b.npz and 2 more")
    ('train.jsonl', 'train/', 'b.npz and 2 more')
    """
    return name[name.rstrip("/").rfind("/") + 1 :]


def describe_plan(plan: Cost, unit: str = "token") -> str:
    """Return a text about the padding and the lost tokens of a plan with one length for all rows.

    Args:
        plan: the cost of the plan.
        unit: name of an element of a sequence.
    """
    name = "" if plan.name in (str(plan.maxlen), f"windows-{plan.maxlen}") else f" ({plan.name})"
    length = f"maxlen {plan.maxlen:,}{name}"
    if plan.overlong == "window":
        length = f"Windows of {plan.maxlen:,} {unit}s{name}"
    lost = f"{share(plan.lost_share)} of {unit}s" if plan.tokens_lost else f"no {unit}s"
    how = " in dropped rows" if plan.tokens_lost and plan.overlong == "drop" else ""
    return f"{length}: {share(plan.padding_share)} padding, {lost} lost{how}"


def describe_padded(seen: Inspection) -> str:
    """Return a text about the lengths and the padding of padded rows; empty for raw rows."""
    places = sum(group.maxlen * group.rows for group in seen.widths)
    if not places:
        return ""
    longest = max(group.maxlen for group in seen.widths)
    length = (
        f"maxlen {longest:,}" if len(seen.widths) == 1 else f"{len(seen.widths):,} lengths up to {longest:,}"
    )
    return f"{length}: {share(1 - seen.stats.tokens / places)} padding"


def _has_one_length(plan: Cost) -> bool:
    """Return whether a plan has one length for all rows."""
    is_single = plan.name not in DYNAMIC and not plan.name.startswith(("buckets-", "packed"))
    return is_single and plan.maxlen > 0


def _marks(seen: Inspection) -> list[Mark]:
    """Return a mark at the maxlen of each plan that uses one length for all rows."""
    names: dict[int, list[str]] = {}
    for plan in filter(_has_one_length, seen.plans):
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
    """Return the number of rows in each bin. Bins have equal widths, or growing widths on a logarithmic axis.

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
        low = next((length for length in lengths.tolist() if length), 1)
        octaves = 2 ** np.arange(low.bit_length() - 1, end.bit_length() + 1)
        inner = octaves[:, None] * (BINS_PER_OCTAVE + np.arange(BINS_PER_OCTAVE)) // BINS_PER_OCTAVE
        edges = np.unique(inner)
        first = int(np.searchsorted(edges, low, side="right")) - 1
        edges = edges[first : int(np.searchsorted(edges, end)) + 1]
    else:
        width = -(-(end - low) // MOST_BINS)
        edges = np.arange(low, end + width, width)
    counts, _ = np.histogram(lengths, edges, weights=rows)
    return Histogram(edges, counts.astype(np.int64), is_log, stats.counts.get(0, 0) if is_log else 0)


def make_places(
    stats: LengthStats,
    maxlen: int,
    *,
    padding: Side = "post",
    truncating: Side = "post",
    drops: bool = False,
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
        maxlen,
        sum(rows for length, rows in stats.counts.items() if length > maxlen),
        stats.longest,
    )


def make_places_of_padded(stats: LengthStats, widths: Mapping[int, int], padding: Side = "post") -> Places:
    """Return the positions with tokens and with padding in padded rows, which may have several widths.

    The sorted rows are combined with the sorted widths. In buckets, each row gets its own width. In batches,
    a row may get the width of another row, but the total number of padding positions is correct.

    >>> places = make_places_of_padded(LengthStats({1: 5, 4: 2}), {2: 5, 6: 2})
    >>> places.row_ends, places.real.tolist(), places.padding.tolist()
    (array([5, 7]), [[0, 1], [0, 4]], [[1, 2], [4, 6]])

    Args:
        stats: number of rows of each length.
        widths: number of rows of each width. If empty, all rows are as wide as the longest row.
        padding: side of the padding.
    """
    if len(widths) < 2:
        return make_places(stats, next(iter(widths), stats.longest), padding=padding)
    edges = np.array(sorted(widths), dtype=np.int64)
    edge_ends = np.array([widths[edge] for edge in edges.tolist()], dtype=np.int64).cumsum()
    lengths, rows = _arrays(stats)
    row_ends = np.union1d(rows.cumsum(), edge_ends)
    if len(row_ends) > MOST_BANDS:
        row_ends = np.linspace(0, stats.rows, MOST_BANDS + 1).round().astype(np.int64)[1:]
    middles = (row_ends + np.concatenate([[0], row_ends[:-1]])) // 2
    real = lengths[np.searchsorted(rows.cumsum(), middles, side="right")]
    width = np.maximum(edges[np.searchsorted(edge_ends, middles, side="right")], real)
    nothing, free = np.zeros_like(real), width - real
    return Places(
        row_ends,
        _spans(free if padding == "pre" else nothing, real),
        _spans(nothing if padding == "pre" else real, free),
        _spans(width, nothing),
        int(edges[-1]),
        longest=stats.longest,
        widths=len(edges),
    )


def _spans(starts: Any, sizes: Any) -> Positions:
    return np.stack([starts, starts + sizes], axis=1).astype(np.int64)
