"""Plan packed rows from lengths alone: `python plan_lengths.py MEAN MAXLEN ROWS REPEAT OPTIONS`.

Prints the CPU time and how full the rows are, as JSON. `OPTIONS` is a JSON object with fields of `PackSpec`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from data import SEED, lengths_of
from measure import call

from padmask import PackSpec, PadSpec
from padmask.core.length_stats import LengthStats
from padmask.core.pack_planner import plan_pack
from padmask.core.packing import count_at_least
from padmask.core.plan import make_plan


def main(mean: int, maxlen: int, rows: int, repeat: int, options: dict[str, Any]) -> None:
    lengths = lengths_of(np.random.default_rng(SEED), rows, mean, maxlen)
    spec = PadSpec(maxlen=maxlen, packing=PackSpec(**options))
    plan = make_plan(spec)
    # Other processes can only make a run slower.
    cpu = min(call(lambda: plan_pack(lengths, plan, spec, 1)).cpu for _ in range(repeat))
    sizes = np.bincount(plan_pack(lengths, plan, spec, 1).rows)
    bound = count_at_least(LengthStats.of(lengths), maxlen)
    print(
        json.dumps(
            {
                "cpu": cpu,
                "full": 100 * int(lengths.sum()) / (len(sizes) * maxlen),
                "over": 100 * (len(sizes) / bound - 1),
                "most": int(sizes.max()),
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), json.loads(sys.argv[5]))
