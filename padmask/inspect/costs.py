"""The costs of candidate plans: padding, lost tokens, bytes and shapes.

A plan is a choice of output row lengths. All costs are computed from the number of rows of each length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padmask.core.buckets import output_size, with_edges
from padmask.core.keep_ends import Ends
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Plan, make_plan
from padmask.core.windows import count_windows
from padmask.inspect.cuts import Cuts, Overlong
from padmask.inspect.dynamic import BATCH_ROWS, WINDOW_BATCHES, expected_padding
from padmask.inspect.packing_estimate import estimate_packing
from padmask.inspect.shared_end import SharedEnd
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec

BUCKETS = (2, 8)

PERCENTILES = ("p99", "p95")

# The plans with dynamic padding: number of rows that are sorted together, keyed by the name of the plan.
DYNAMIC = {f"random-{BATCH_ROWS}": BATCH_ROWS, f"sorted-{BATCH_ROWS}": BATCH_ROWS * WINDOW_BATCHES}

# Proposed lengths that are neither lengths of rows nor requested by the user are multiples of this number.
MULTIPLE = 8


@dataclass(frozen=True)
class Cost:
    """The cost of one plan.

    Args:
        name: name of the plan, such as `"longest"`, `"p99"`, `"128"`, `"buckets-8"`, `"packed"` or
            `"packed-split"`.
        edges: maxlen of the plan, or the maxlen of each bucket. For dynamic padding, the largest maxlen.
        rows: number of output rows.
        places: number of positions in the output, including padding.
        tokens: number of tokens in the output. Windows repeat tokens.
        rows_cut: number of rows that lose tokens. With `overlong` `"drop"`, number of dropped rows.
        tokens_lost: number of input tokens that are not in the output.
        bytes: size of the padded column in bytes, without the mask.
        shapes: number of distinct row lengths in the output. Compiled models are compiled once per shape.
        ends_lost: number of truncated rows that lose a token such as `[SEP]`, which most rows share at the
            truncated end.
        overlong: what happens to rows longer than maxlen, as in `--overlong`.
        rows_at_least: lower bound of the number of packed rows, however the rows are packed; None for other
            plans.
    """

    name: str
    edges: tuple[int, ...]
    rows: int
    places: int
    tokens: int
    rows_cut: int
    tokens_lost: int
    bytes: int
    shapes: int
    ends_lost: int = 0
    overlong: Overlong = "truncate"
    rows_at_least: int | None = None

    @property
    def maxlen(self) -> int:
        """The largest length of an output row."""
        return self.edges[-1]

    @property
    def padding_share(self) -> float:
        """Share of the positions that are padding, from 0 to 1."""
        return 1 - self.tokens / self.places if self.places else 0.0

    @property
    def lost_share(self) -> float:
        """Share of the input tokens that are not in the output, from 0 to 1."""
        total = self.tokens + self.tokens_lost
        return self.tokens_lost / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as a dict for `inspect --json`.

        A plan with buckets has the key `edges`, other plans have the key `maxlen`.
        """
        length = {"edges": list(self.edges)} if self.name.startswith("buckets") else {"maxlen": self.maxlen}
        return (
            {"name": self.name}
            | length
            | {
                "rows": self.rows,
                "padding_share": self.padding_share,
                "rows_cut": self.rows_cut,
                "tokens_lost": self.tokens_lost,
                "tokens_lost_share": self.lost_share,
                "ends_lost": self.ends_lost,
                "bytes": self.bytes,
                "shapes": self.shapes,
            }
            | ({} if self.rows_at_least is None else {"rows_at_least": self.rows_at_least})
        )


@dataclass(frozen=True)
class CostBasis:
    """The data from which the costs of all plans are computed.

    Args:
        stats: number of rows of each length.
        multiple: value of `pad_to_multiple_of`. If None, `longest`, percentiles and the edges of buckets are
            not rounded, and the other proposed lengths are multiples of 8.
        token_bytes: size of a token in the output, in bytes.
        shared: token that most rows share at the truncated end; None if there is no such token, or if the
            user requested to keep tokens at this end.
        cuts: how plans with one length handle rows longer than this length.
        files: number of rows of each length in each file, if each file is packed separately. Empty if all
            rows are packed together, or if the lengths in each file are unknown.
        unit: name of an element of a sequence: `"token"`, or `"step"` for floats and vectors.
    """

    stats: LengthStats
    multiple: int | None = None
    token_bytes: int = 4
    shared: SharedEnd | None = None
    cuts: Cuts = field(default_factory=Cuts)
    files: Sequence[LengthStats] = ()
    unit: str = "token"

    def packed_maxlen(self, limit: int | None) -> int:
        """Return the maxlen of packed rows: `limit` or, if it is None, the longest length, rounded up."""
        return self.round_up(self.stats.longest) if limit is None else limit

    def round_up(self, length: int) -> int:
        """Round a proposed length up to a multiple of `self.multiple`, or of 8 if `self.multiple` is None.

        The result is at least the multiple itself.

        >>> CostBasis(LengthStats()).round_up(9), CostBasis(LengthStats(), multiple=5).round_up(0)
        (16, 5)
        """
        multiple = self.multiple or MULTIPLE
        return -(-max(length, 1) // multiple) * multiple

    def cost(
        self, name: str, edges: tuple[int, ...], places: int, shapes: int = 1, limit: int | None = None
    ) -> Cost:
        """Return the cost of a plan that truncates rows to `limit` tokens.

        If `limit` is None, no row is truncated.
        """
        cut = {} if limit is None else {n: rows for n, rows in self.stats.counts.items() if n > limit}
        lost = sum((length - (limit or 0)) * rows for length, rows in cut.items())
        ends = 0 if limit is None or self.shared is None else self.shared.rows_losing(limit)
        size, kept = places * self.token_bytes, self.stats.tokens - lost
        return Cost(name, edges, self.stats.rows, places, kept, sum(cut.values()), lost, size, shapes, ends)


def candidate_costs(basis: CostBasis, asked: Sequence[int | str] = ()) -> list[Cost]:
    """Return the costs of all candidate plans: fixed lengths, percentiles, buckets, batches and packing.

    >>> [(cost.name, cost.edges) for cost in candidate_costs(CostBasis(LengthStats({2: 9, 10: 1})), [9])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('longest', (10,)), ('p99', (10,)), ('p95', (10,)), ('9', (9,)), ('buckets-2', (2, 9)),
     ('buckets-8', (2, 9)), ('random-32', (9,)), ('sorted-32', (9,)), ('packed', (9,)),
     ('packed-split', (9,))]

    Args:
        basis: data from which the costs are computed.
        asked: values of maxlen that the user requested. The largest value is also the maximum length of the
            rows in buckets, in dynamic padding and in packed rows.
    """
    if not basis.stats.rows:
        return []
    names = dict.fromkeys(["longest", *PERCENTILES, *asked])
    costs = [cost_of(basis, name) for name in names if name in asked or _fits(basis, name)]
    limit = max((cost_of(basis, name).maxlen for name in asked), default=None)
    # Buckets and batches cannot have rows without positions.
    if limit == 0:
        return costs
    costs += [_bucketed(basis, count, limit) for count in BUCKETS]
    costs += [_dynamic(basis, name, limit) for name in DYNAMIC]
    return [*costs, _packed(basis, limit), *_split(basis, limit)]


def cost_of(basis: CostBasis, maxlen: int | str) -> Cost:
    """Return the cost of one maxlen for all rows. `basis.cuts` says how rows longer than maxlen are cut.

    Args:
        basis: data from which the cost is computed.
        maxlen: a number, `"longest"`, or a percentile such as `"p95"`.

    Raises:
        SpecError: rows are split into windows, and the tokens to keep do not fit in a window.
    """
    found = _length_of(basis, maxlen)
    if basis.cuts.overlong == "window":
        return windows_cost(basis, found, str(maxlen))
    if basis.cuts.overlong == "drop":
        return _dropping_cost(basis, found, str(maxlen))
    cost = basis.cost(str(maxlen), (found,), basis.stats.rows * found, limit=found)
    return replace(cost, overlong=basis.cuts.overlong)


def _length_of(basis: CostBasis, maxlen: int | str) -> int:
    multiple = basis.multiple if isinstance(maxlen, str) else None
    return make_plan(PadSpec(maxlen=maxlen, pad_to_multiple_of=multiple), basis.stats).maxlen


def _fits(basis: CostBasis, maxlen: int | str) -> bool:
    """Return whether a maxlen cuts no row, or is large enough for the tokens to keep."""
    found = _length_of(basis, maxlen)
    return found >= basis.stats.longest or basis.cuts.fit(found, basis.cuts.overlong)


def windows_cost(basis: CostBasis, maxlen: int, name: str = "") -> Cost:
    """Return the cost of splitting rows longer than `maxlen` into windows of `maxlen` tokens.

    >>> windows_cost(CostBasis(LengthStats({10: 1, 3: 1}), cuts=Cuts(overlap=2)), 4).rows
    5

    Args:
        basis: data from which the cost is computed.
        maxlen: length of every output row.
        name: name of the plan; by default `"windows-"` and the length.

    Raises:
        SpecError: the tokens to keep do not fit in a window.
    """
    counts = basis.stats.counts
    rows, repeated = basis.stats.rows, 0
    if maxlen < basis.stats.longest:
        size = basis.cuts.window_size(maxlen)
        lengths = np.array(list(counts), dtype=np.int64)
        windows = count_windows(
            lengths, maxlen, Ends.constant(size.first, size.last, len(lengths)), size.overlap
        )
        rows, repeated = int(windows @ np.array(list(counts.values()))), size.repeated
    tokens = basis.stats.tokens + (rows - basis.stats.rows) * repeated
    places = rows * maxlen
    return Cost(
        name or f"windows-{maxlen}",
        (maxlen,),
        rows,
        places,
        tokens,
        rows_cut=0,
        tokens_lost=0,
        bytes=places * basis.token_bytes,
        shapes=1,
        overlong="window",
    )


def _dropping_cost(basis: CostBasis, maxlen: int, name: str) -> Cost:
    """Return the cost of dropping rows longer than `maxlen`."""
    dropped = _longer(basis.stats, maxlen)
    rows = basis.stats.rows - dropped.rows
    return Cost(
        name,
        (maxlen,),
        rows,
        rows * maxlen,
        basis.stats.tokens - dropped.tokens,
        dropped.rows,
        dropped.tokens,
        bytes=rows * maxlen * basis.token_bytes,
        shapes=1,
        overlong="drop",
    )


def _longer(stats: LengthStats, limit: int) -> LengthStats:
    """Return the lengths of the rows that are longer than `limit`."""
    return LengthStats({n: rows for n, rows in stats.counts.items() if n > limit})


def _clipped(stats: LengthStats, limit: int | None) -> dict[int, int]:
    """Return the number of rows of each length if rows are truncated to `limit` tokens."""
    clipped: dict[int, int] = {}
    for length, rows in stats.counts.items():
        short = length if limit is None else min(length, limit)
        clipped[short] = clipped.get(short, 0) + rows
    return clipped


def _bucketed(basis: CostBasis, count: int, limit: int | None) -> Cost:
    """Return the cost of `count` buckets with the edges that `pad --buckets` chooses."""
    stats, cuts, top = basis.stats, basis.cuts, max(basis.stats.longest, 1)
    if limit is None:
        multiple = basis.multiple or 1
        top = -(-top // multiple) * multiple
    else:
        top = limit
    spec = PadSpec(buckets=count, pad_to_multiple_of=basis.multiple)
    if cuts.overlong == "window" and top < stats.longest:
        size = cuts.window_size(top)
        windows = WindowSpec(overlap=size.overlap)
        spec = replace(spec, windows=windows, keep_first=size.first, keep_last=size.last)
    drops, name = cuts.overlong == "drop", f"buckets-{count}"
    plan = with_edges(Plan(top, "given", top), spec, stats, drops=drops)
    dropped = _longer(stats, top) if drops else LengthStats()
    kept = LengthStats({n: rows for n, rows in stats.counts.items() if n not in dropped.counts})
    output = output_size(kept, plan, spec)
    if cuts.overlong not in ("window", "drop"):
        return basis.cost(name, plan.edges, output.places, len(plan.edges), limit)
    return Cost(
        name,
        plan.edges,
        output.rows,
        output.places,
        output.tokens,
        dropped.rows,
        dropped.tokens,
        bytes=output.places * basis.token_bytes,
        shapes=len(plan.edges),
        overlong=cuts.overlong,
    )


def _dynamic(basis: CostBasis, name: str, limit: int | None) -> Cost:
    """Return the expected cost of batches of 32 rows that are padded to their longest row."""
    rounded: dict[int, int] = {}
    for length, rows in _clipped(basis.stats, limit).items():
        up = basis.round_up(length) if basis.multiple and length else length
        rounded[up] = rounded.get(up, 0) + rows
    expected = expected_padding(rounded, DYNAMIC[name])
    return basis.cost(name, (max(rounded),), round(expected.places), max(1, round(expected.shapes)), limit)


def _packed(basis: CostBasis, limit: int | None) -> Cost:
    """Return the cost of packing several rows into each output row, as `pack --algorithm best-fit` does."""
    size, cuts, stats = basis.packed_maxlen(limit), basis.cuts, basis.stats
    spec = PadSpec()
    if cuts.overlong == "window" and size < stats.longest:
        window = cuts.window_size(size)
        windows = WindowSpec(overlap=window.overlap)
        spec = replace(spec, windows=windows, keep_first=window.first, keep_last=window.last)
    drops = cuts.overlong == "drop"
    cost = basis.cost("packed", (size,), 0, limit=None if spec.windows is not None else size)
    cost = replace(cost, overlong=cuts.overlong)
    if drops:
        cost = replace(cost, tokens_lost=_longer(stats, size).tokens)
    return _with_packed_rows(cost, basis, spec, drops=drops)


def _split(basis: CostBasis, limit: int | None) -> list[Cost]:
    """Return the cost of `pack --overlong split`; an empty list if no row would be truncated."""
    size = basis.packed_maxlen(limit)
    if size >= basis.stats.longest or basis.cuts.overlong not in ("truncate", "error"):
        return []
    cost = replace(basis.cost("packed-split", (size,), 0), overlong="split")
    return [_with_packed_rows(cost, basis, PadSpec(windows=WindowSpec()))]


def _with_packed_rows(cost: Cost, basis: CostBasis, spec: PadSpec, *, drops: bool = False) -> Cost:
    found = estimate_packing(basis.files or [basis.stats], cost.maxlen, spec, drops=drops)
    places = max(found.rows, 1) * cost.maxlen
    return replace(
        cost,
        rows=max(found.rows, 1),
        rows_at_least=found.rows_at_least,
        places=places,
        bytes=places * basis.token_bytes,
        tokens=found.tokens,
    )
