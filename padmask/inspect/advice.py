"""`plan_advice`: a sentence that recommends a plan."""

from __future__ import annotations

from collections.abc import Sequence

from padmask.errors import share
from padmask.inspect.costs import Cost

# A plan with a smaller share of padding needs no improvement.
LITTLE_PADDING = 0.15

# Truncation is recommended if padding to the longest row takes this many times the places of p99.
WORTH_CUTTING = 1.1


def plan_advice(plans: Sequence[Cost]) -> str:
    """Return a sentence that recommends a plan."""
    by_name = {cost.name: cost for cost in plans}
    if not by_name:
        return "There are no rows to pad."
    longest, cut = by_name["longest"], by_name["p99"]
    if longest.padding_share <= LITTLE_PADDING:
        return (
            f"Pad to the longest row ({longest.edges[0]}): only {longest.padding_share:.0%} of the places "
            "are padding, and nothing is lost."
        )
    buckets = [by_name[name] for name in ("buckets-2", "buckets-4", "buckets-8")]
    chosen = next((cost for cost in buckets if cost.padding_share <= LITTLE_PADDING), None)
    chosen = chosen or min(buckets, key=lambda cost: cost.padding_share)
    lossless = (
        f"{chosen.name} loses nothing and leaves {chosen.padding_share:.0%} padding in {chosen.shapes} shapes"
    )
    if longest.places < WORTH_CUTTING * cut.places:
        return f"Long rows are no rarity here, so cutting does not pay; {lossless}."
    return (
        f"p99 (maxlen {cut.edges[0]}) is {longest.places / cut.places:.1f} times smaller than the longest "
        f"row ({longest.edges[0]}) and loses {share(cut.lost_share)} of the tokens; {lossless}."
    )
