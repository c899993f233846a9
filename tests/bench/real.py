"""The real data for the benchmark: the entries of the Jargon File in sample_data.

The entries are repeated up to the requested number of rows, with new numbers in `id`. Everything
else in a row stays the same. This module does not import NumPy at the top.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "jargon.jsonl"
LISTS = ("input_ids", "labels")


def real_blocks(rows: int) -> Iterator[dict[str, Any]]:
    """Yield the columns in blocks of the entire file. The last block may be shorter."""
    import numpy as np

    with REAL.open(encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    for first in range(0, rows, len(entries)):
        here = list(islice(entries, rows - first))
        lengths = [len(entry["input_ids"]) for entry in here]
        # Each block has new arrays, because shared arrays would stay in the CPU caches.
        flat = {name: np.concatenate([np.array(e[name], np.int32) for e in here]) for name in LISTS}
        yield {
            "id": np.arange(first, first + len(here)),
            "headword": [entry["headword"] for entry in here],
            **{name: np.split(flat[name], np.cumsum(lengths)[:-1]) for name in LISTS},
        }
