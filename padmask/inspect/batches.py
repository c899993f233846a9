"""The cost of batches with a token budget, as `pad --batch-tokens` makes them."""

from __future__ import annotations

import numpy as np

from padmask.core.batches import plan_batches
from padmask.inspect.costs import Cost, CostBasis
from padmask.spec.batches import BatchSpec

# Proposed token budget. If the longest row does not fit, the next power of two that fits is proposed.
TOKENS = 8192


def batches_cost(basis: CostBasis) -> Cost:
    """Return the cost of batches that truncate no rows. The name of the plan contains the token budget.

    If there are several sort windows (`--sort-window`), each window is assumed to have the same distribution
    of lengths as all rows.

    >>> from padmask.core.length_stats import LengthStats
    >>> cost = batches_cost(CostBasis(LengthStats({10: 3000, 9000: 1})))
    >>> cost.name, cost.places, cost.shapes
    ('batches-16384', 39000, 2)
    """
    stats, multiple = basis.stats, basis.multiple or 1
    longest = -(-max(stats.longest, 1) // multiple) * multiple
    tokens = max(TOKENS, 1 << (longest - 1).bit_length())
    spec = BatchSpec(tokens=tokens)
    lengths = np.array(sorted(stats.counts), dtype=np.int64)
    ends = np.cumsum([stats.counts[length] for length in lengths.tolist()])
    rows = min(stats.rows, spec.sort_window)
    # A sample of the size of one sort window, with the same distribution of lengths as all rows. The counts
    # are rounded down, so each differs from the exact number by less than one row.
    sample = np.repeat(lengths, np.diff(ends * rows // max(1, stats.rows), prepend=0))
    plan = plan_batches(sample, spec, basis.multiple)
    places = round(plan.places * stats.rows / max(1, rows))
    return basis.cost(f"batches-{tokens}", (longest,), places, len(np.unique(plan.widths)))
