"""Plan output rows from lengths alone: `python plan_lengths.py WAY MEAN MAXLEN ROWS REPEAT`.

Prints the CPU time and how full the rows are, as JSON. `WAY` is a key of `WAYS`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from data import SEED, lengths_of
from measure import call
from targets import BATCHES, BUCKETS, CAPPED, IN_ORDER, PACK, PAD

from padmask import BatchSpec, PackSpec, PadSpec
from padmask.core.batches import plan_batches
from padmask.core.buckets import output_size, with_edges
from padmask.core.length_stats import LengthStats
from padmask.core.pack_planner import plan_pack
from padmask.core.packing import count_at_least
from padmask.core.plan import make_plan


@dataclass(frozen=True)
class Shape:
    """The size of planned rows.

    Args:
        places: number of positions, both tokens and padding.
        rows: number of packed rows; 0 if the rows are not packed.
        most: maximum number of sequences in a packed row.
    """

    places: int
    rows: int = 0
    most: int = 0


def padded(lengths: Any, maxlen: int, buckets: int | None = None) -> Shape:
    """Plan rows of the same length, or of the length of their bucket."""
    spec, stats = PadSpec(maxlen=maxlen, buckets=buckets), LengthStats.of(lengths)
    return Shape(output_size(stats, with_edges(make_plan(spec), spec, stats), spec).places)


def batched(lengths: Any, _: int, tokens: int) -> Shape:
    """Plan batches in windows of the default size."""
    spec = BatchSpec(tokens=tokens)
    starts = range(0, len(lengths), spec.sort_window)
    return Shape(sum(plan_batches(lengths[i : i + spec.sort_window], spec).places for i in starts))


def packed(lengths: Any, maxlen: int, **options: Any) -> Shape:
    """Plan packed rows."""
    spec = PadSpec(maxlen=maxlen, packing=PackSpec(**options))
    sizes = np.bincount(plan_pack(lengths, make_plan(spec), spec, 1).rows)
    return Shape(len(sizes) * maxlen, len(sizes), int(sizes.max()))


WAYS: dict[str, Callable[[Any, int], Shape]] = {
    PAD: padded,
    BUCKETS: partial(padded, buckets=8),
    BATCHES: partial(batched, tokens=8_192),
    PACK: packed,
    CAPPED: partial(packed, max_segments=32),
    IN_ORDER: partial(packed, algorithm="in-order"),
}


def main(way: str, mean: int, maxlen: int, rows: int, repeat: int) -> None:
    lengths = lengths_of(np.random.default_rng(SEED), rows, mean, maxlen)
    plan = partial(WAYS[way], lengths, maxlen)
    # Take the fastest run, because other processes can only make a run slower.
    cpu = min(call(plan).cpu for _ in range(repeat))
    shape = plan()
    bound = count_at_least(LengthStats.of(lengths), maxlen)
    print(
        json.dumps(
            {
                "cpu": cpu,
                "full": 100 * int(lengths.sum()) / shape.places,
                "over": 100 * (shape.rows / bound - 1) if shape.rows else None,
                "most": shape.most or None,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]))
