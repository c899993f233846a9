"""The benchmark's real data: the entries of the Jargon File, which lie beside the project.

They are few, so they are repeated up to the rows asked for, numbered on in `id`; everything
else of a row stays as it is. Importing this costs no NumPy.
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
    """Yield the columns, the whole file at a time; the last block is as long as is left."""
    import numpy as np

    with REAL.open(encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    for first in range(0, rows, len(entries)):
        here = list(islice(entries, rows - first))
        lengths = [len(entry["input_ids"]) for entry in here]
        # Arrays of each block's own: rows that shared their memory would lie in the caches.
        flat = {name: np.concatenate([np.array(e[name], np.int32) for e in here]) for name in LISTS}
        yield {
            "id": np.arange(first, first + len(here)),
            "headword": [entry["headword"] for entry in here],
            **{name: np.split(flat[name], np.cumsum(lengths)[:-1]) for name in LISTS},
        }
