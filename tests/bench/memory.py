"""Padding in memory, beside Keras and a copy of the result: `python memory.py ROWS REPEAT`.

Prints a JSON list of results. Every pair's outputs are compared before it is timed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from data import blocks
from measure import by_turns, call
from peers import MAXLEN

import padmask

Function = Callable[[], Any]
POST: dict[str, Any] = {"maxlen": MAXLEN, "padding": "post", "truncating": "post"}


def find_keras() -> Any:
    """Return Keras's `pad_sequences`, or None where Keras cannot be imported."""
    # Else TensorFlow greets at length.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        from keras.utils import pad_sequences
    except ImportError:
        return None
    return pad_sequences


def jobs(rows: list[Any], keras: Any) -> Iterator[tuple[str, str, Function, Function]]:
    """Yield each job, whom it is run against, and the two functions.

    Args:
        rows: NumPy arrays of int32, as Parquet and Arrow hold ids.
        keras: its `pad_sequences`, or None.
    """
    lists = [row.tolist() for row in rows]
    arrow = pa.array(rows, pa.list_(pa.int32()))
    spec = padmask.PadSpec(**POST)
    padded = padmask.pad(arrow, spec)
    if keras:
        yield (
            "`pad_sequences`, Python lists",
            "Keras",
            lambda: padmask.pad_sequences(lists, **POST),
            lambda: keras(lists, **POST),
        )
        yield (
            "`pad_sequences`, NumPy rows",
            "Keras",
            lambda: padmask.pad_sequences(rows, **POST),
            lambda: keras(rows, **POST),
        )
        yield (
            "`pad` with its mask, Arrow rows",
            "Keras, NumPy rows, no mask",
            lambda: padmask.pad(arrow, spec),
            lambda: keras(rows, **POST),
        )
    yield (
        "`pad` with its mask, Arrow rows",
        "a copy of the result",
        lambda: padmask.pad(arrow, spec),
        lambda: padmask.Padded(padded.values.copy(), padded.mask.copy(), padded.lengths.copy()),
    )


def check(job: str, ours: Any, theirs: Any, rows: list[Any]) -> None:
    """Stop where the two results differ, or the mask is not what the lengths say."""
    values = ours.values if isinstance(ours, padmask.Padded) else ours
    others = theirs.values if isinstance(theirs, padmask.Padded) else theirs
    if values.dtype != others.dtype or not np.array_equal(values, others):
        raise SystemExit(f"{job}: the results differ.")
    naive = [(row.tolist() + [0] * MAXLEN)[:MAXLEN] for row in rows[:1000]]
    if not np.array_equal(values[:1000], naive):
        raise SystemExit(f"{job}: the result is wrong.")
    if isinstance(ours, padmask.Padded):
        kept = np.minimum(np.fromiter(map(len, rows), np.int64, len(rows)), MAXLEN)
        if not np.array_equal(ours.mask, np.arange(MAXLEN) < kept[:, None]):
            raise SystemExit(f"{job}: the mask is wrong.")


def main(count: int, repeat: int) -> None:
    rows = [row for block in blocks(count) for row in block["input_ids"]]
    keras = find_keras()
    results = []
    for job, against, ours, theirs in jobs(rows, keras):
        check(job, ours(), theirs(), rows)
        pair = by_turns(lambda ours=ours: call(ours), lambda theirs=theirs: call(theirs), repeat)
        results.append({"job": job, "against": against, "pair": asdict(pair)})
    print(json.dumps({"keras": keras is not None, "results": results}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
