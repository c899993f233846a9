"""What the costs of plans speak for, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from padmask.errors import share
from padmask.inspect.costs import Cost

# A smaller share of padding is not worth a change.
LITTLE_PADDING = 0.15

# Cutting pays where padding to the longest row takes this many times the places that p99 takes.
WORTH_CUTTING = 1.1


def plan_advice(plans: Sequence[Cost]) -> str:
    """Say in a sentence what the numbers speak for."""
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
