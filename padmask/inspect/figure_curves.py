"""The effect of maxlen on the rows of a dataset, as curves: `Curves`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padmask.core.plan import Positions
from padmask.inspect.costs import CostBasis, windows_cost
from padmask.inspect.cuts import Overlong

# Maximum number of evenly spaced points of a curve. A screen shows no more.
MOST_POINTS = 200

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The effect of maxlen on the output.

    Args:
        maxlens: values of maxlen, ascending: int64, shape (points,).
        kept: share of the tokens that are kept: float64, shape (points,).
        whole: share of the rows that are not longer than maxlen: float64, shape (points,).
        padding: share of the positions that are padding: float64, shape (points,).
        repeated: share of the written tokens that are additional copies in other windows: float64, shape
            (points,). None if longer rows are not split into windows.
    """

    maxlens: Positions
    kept: Shares
    whole: Shares
    padding: Shares
    repeated: Shares | None = None


def make_curves(basis: CostBasis, marks: Sequence[int] = (), overlong: Overlong = "truncate") -> Curves:
    """Return the shares of kept tokens, of whole rows and of padding for values of maxlen.

    >>> from padmask.core.length_stats import LengthStats
    >>> curves = make_curves(CostBasis(LengthStats({1: 1, 3: 1})))
    >>> curves.maxlens, curves.kept, curves.whole, curves.padding.round(2)
    (array([1, 2, 3]), array([0.5 , 0.75, 1.  ]), array([0.5, 0.5, 1. ]), array([0.  , 0.25, 0.33]))

    Args:
        basis: number of rows of each length, and the tokens that windows repeat.
        marks: lengths that the values of maxlen must include.
        overlong: what happens to rows longer than maxlen. The curves of `"error"` are those of `"truncate"`.
    """
    stats = basis.stats
    top = max(stats.longest, *marks, 1)
    even = np.linspace(1, top, min(top, MOST_POINTS // 2)), np.geomspace(1, top, min(top, MOST_POINTS // 2))
    maxlens = np.unique(np.concatenate([*even, list(marks)]).round().astype(np.int64))
    if overlong == "window":
        fits = [length >= stats.longest or basis.cuts.can_window(length) for length in maxlens.tolist()]
        maxlens = maxlens[fits]
    lengths = np.array(sorted(stats.counts), dtype=np.int64)
    rows = np.array([stats.counts[length] for length in lengths.tolist()], dtype=np.int64)
    not_cut = np.searchsorted(lengths, maxlens, side="right")
    whole = np.concatenate([[0], rows.cumsum()])[not_cut]
    share_of_rows = _divide(whole, stats.rows, 1)
    if overlong == "window":
        costs = [windows_cost(basis, length) for length in maxlens.tolist()]
        repeated = [(cost.tokens - stats.tokens) / max(cost.tokens, 1) for cost in costs]
        padding = np.array([cost.padding_share for cost in costs])
        return Curves(maxlens, np.ones(len(maxlens)), share_of_rows, padding, np.array(repeated))
    kept = np.concatenate([[0], (rows * lengths).cumsum()])[not_cut]
    written = np.full(len(maxlens), stats.rows)
    if overlong == "drop":
        written = whole
    else:
        kept = kept + maxlens * (stats.rows - whole)
    return Curves(
        maxlens,
        _divide(kept, stats.tokens, 1),
        share_of_rows,
        1 - _divide(kept, maxlens * written, 1),
    )


def _divide(parts: Positions, whole: Positions | int, otherwise: float) -> Shares:
    """Divide `parts` by `whole`. The result is `otherwise` where `whole` is 0."""
    wholes = np.broadcast_to(np.asarray(whole, dtype=np.float64), parts.shape)
    shares = np.full(parts.shape, float(otherwise))
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares
