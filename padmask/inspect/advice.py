"""Advice on how to pad a dataset with little padding and few lost tokens."""

from __future__ import annotations

from collections.abc import Sequence

from padmask.errors import share
from padmask.inspect.costs import Cost

# If a smaller share of the output is padding, other plans save too little.
LITTLE_PADDING = 0.15

# Recommend truncation only if padding to the longest row needs at least this many times as many positions.
WORTH_CUTTING = 1.1


def plan_advice(plans: Sequence[Cost]) -> str:
    """Return a recommendation: pad to the longest row, truncate, or use buckets of similar lengths.

    >>> from padmask.core.length_stats import LengthStats
    >>> from padmask.inspect.costs import candidate_costs
    >>> plan_advice(candidate_costs(LengthStats({7: 9, 8: 1})))
    'Pad to the longest row (8): only 11% of the positions are padding, and no tokens are lost.'
    """
    by_name = {cost.name: cost for cost in plans}
    if not by_name:
        return "The input has no rows."
    longest, p99 = by_name["longest"], by_name["p99"]
    if longest.padding_share <= LITTLE_PADDING:
        return (
            f"Pad to the longest row ({longest.edges[0]}): only {longest.padding_share:.0%} of the positions "
            "are padding, and no tokens are lost."
        )
    buckets = [by_name[name] for name in ("buckets-2", "buckets-4", "buckets-8")]
    chosen = next((cost for cost in buckets if cost.padding_share <= LITTLE_PADDING), None)
    chosen = chosen or min(buckets, key=lambda cost: cost.padding_share)
    lossless = (
        f"With {chosen.name} ({chosen.shapes} shapes), no tokens are lost and "
        f"{chosen.padding_share:.0%} of the positions are padding."
    )
    if longest.places < WORTH_CUTTING * p99.places:
        saved = 1 - p99.places / longest.places
        return (
            f"Truncation to p99 ({p99.edges[0]}) would save only {share(saved)} of the positions. {lossless}"
        )
    rows, factor = longest.places / longest.edges[0], longest.places / p99.places
    return (
        f"{share(p99.rows_cut / rows)} of rows are longer than p99 ({p99.edges[0]}), so truncation to p99 "
        f"would lose {share(p99.lost_share)} of the tokens. The output would be {factor:.1f} times smaller "
        f"than with padding to the longest row ({longest.edges[0]}). {lossless}"
    )
