"""Compare padding in memory with another library: `python memory.py PEER DATA ROWS REPEAT`.

Prints the results as JSON, or why the package of the peer is missing. The outputs of every pair are compared
before they are timed. Each peer runs in a separate process, so that their threads do not interfere.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from data import BLOCKS
from measure import by_turns, call
from peers import MAXLEN

import padmask

POST: dict[str, Any] = {"maxlen": MAXLEN, "padding": "post", "truncating": "post"}
SPEC = padmask.PadSpec(**POST)
# Otherwise TensorFlow prints start-up messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@dataclass(frozen=True)
class Job:
    """A job, the tool that padmask is compared with, and the functions of padmask and of the tool."""

    job: str
    against: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def copy_jobs(rows: list[Any]) -> Iterator[Job]:
    """Compare padding with a copy of the padded result, which is the minimum cost."""
    arrow = arrow_of(rows)
    padded = padmask.pad(arrow, SPEC)
    yield Job(
        "`pad` with its mask, Arrow rows",
        "a copy of the result",
        lambda: padmask.pad(arrow, SPEC),
        lambda: padmask.Padded(padded.values.copy(), padded.mask.copy(), padded.lengths.copy()),
    )


def keras_jobs(rows: list[Any]) -> Iterator[Job]:
    """Compare with Keras's `pad_sequences`, which returns no mask."""
    from keras.utils import pad_sequences

    lists, arrow = [row.tolist() for row in rows], arrow_of(rows)
    yield Job(
        "`pad_sequences`, Python lists",
        "Keras",
        lambda: padmask.pad_sequences(lists, **POST),
        lambda: pad_sequences(lists, **POST),
    )
    yield Job(
        "`pad_sequences`, NumPy rows",
        "Keras",
        lambda: padmask.pad_sequences(rows, **POST),
        lambda: pad_sequences(rows, **POST),
    )
    yield Job(
        "`pad` with its mask, Arrow rows",
        "Keras, NumPy rows, no mask",
        lambda: padmask.pad(arrow, SPEC),
        lambda: pad_sequences(rows, **POST),
    )


def torch_jobs(rows: list[Any]) -> Iterator[Job]:
    """Compare with torch: `pad_sequence` on existing tensors, and a mask computed from their lengths."""
    import torch
    from torch.nn.functional import pad
    from torch.nn.utils.rnn import pad_sequence

    tensors = [torch.from_numpy(row) for row in rows]

    def theirs() -> tuple[Any, Any]:
        # pad_sequence does not truncate, and pads to the longest row. Truncating only long rows took 2/3
        # of the time of truncating all rows.
        lengths = [min(tensor.numel(), MAXLEN) for tensor in tensors]
        kept = [
            tensor if length < MAXLEN else tensor[:MAXLEN]
            for tensor, length in zip(tensors, lengths, strict=True)
        ]
        values = pad_sequence(kept, batch_first=True)
        if values.shape[1] < MAXLEN:
            values = pad(values, (0, MAXLEN - values.shape[1]))
        return values, torch.arange(MAXLEN) < torch.tensor(lengths)[:, None]

    yield Job(
        "`pad` with its mask, NumPy rows",
        "torch `pad_sequence` and mask, tensors",
        lambda: padmask.pad(rows, SPEC),
        theirs,
    )


def tensorflow_jobs(rows: list[Any]) -> Iterator[Job]:
    """Compare with TensorFlow's ragged tensors. Like Arrow, they store flat values and the ends of rows."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    arrow = arrow_of(rows)
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(rows), list(map(len, rows)))
    yield Job(
        "`pad` with its mask, Arrow rows",
        "`tf.RaggedTensor.to_tensor` and `tf.sequence_mask`",
        lambda: padmask.pad(arrow, SPEC),
        lambda: (
            ragged.to_tensor(shape=[None, MAXLEN]),
            # Longer rows are truncated to this length.
            tf.sequence_mask(ragged.row_lengths(), MAXLEN),
        ),
    )


# The packages to import and the jobs, by name.
PEERS = {
    "copy": ("numpy", copy_jobs),
    "keras": ("keras", keras_jobs),
    "torch": ("torch", torch_jobs),
    "tensorflow": ("tensorflow", tensorflow_jobs),
}


def arrow_of(rows: list[Any]) -> Any:
    return pa.array(rows, pa.list_(pa.int32()))


def parts(result: Any) -> tuple[Any, Any]:
    """Return the values and the mask of a result as NumPy arrays. Without a mask, the mask is None."""
    if isinstance(result, padmask.Padded):
        return result.values, result.mask
    values, mask = result if isinstance(result, tuple) else (result, None)
    return np.asarray(values), mask if mask is None else np.asarray(mask)


def check(job: Job, rows: list[Any]) -> None:
    """Raise an error if the two results differ, or do not match the rows."""
    (values, mask), (others, other_mask) = parts(job.ours()), parts(job.theirs())
    kept = np.minimum(np.fromiter(map(len, rows), np.int64, len(rows)), MAXLEN)
    real = np.arange(MAXLEN) < kept[:, None]
    naive = [(row.tolist() + [0] * MAXLEN)[:MAXLEN] for row in rows[:1000]]
    if values.dtype != others.dtype or not np.array_equal(values, others):
        raise SystemExit(f"{job.job}: the results differ.")
    if not np.array_equal(values[:1000], naive):
        raise SystemExit(f"{job.job}: the result is wrong.")
    made = [one for one in (mask, other_mask) if one is not None]
    if not all(one.dtype == bool and np.array_equal(one, real) for one in made):
        raise SystemExit(f"{job.job}: a mask is wrong.")


def main(peer: str, data: str, count: int, repeat: int) -> None:
    needed, jobs = PEERS[peer]
    try:
        importlib.import_module(needed)
    except ImportError as error:
        print(json.dumps({"missing": f"{needed} cannot be imported: {error}", "results": []}))
        return
    # int32 arrays, like ids in Parquet and Arrow.
    rows = [row for block in BLOCKS[data](count) for row in block["input_ids"]]
    results = []
    for job in jobs(rows):
        check(job, rows)
        pair = by_turns(lambda job=job: call(job.ours), lambda job=job: call(job.theirs), repeat)
        results.append({"job": job.job, "against": job.against, "pair": asdict(pair)})
    print(json.dumps({"missing": "", "results": results}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
