"""Compare small batches in memory with the loops that people write: `python small.py PEER REPEAT`.

Prints the results as JSON, or why the package of the peer is missing, like `memory.py`. The outputs of every
pair are compared before they are timed. Each turn has many calls, because one call takes microseconds.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from data import SEED, SPREAD, VOCABULARY
from measure import Cost, by_turns, call

import padmask

ROWS = 32
CALLS = 50
MEANS = (70, 700)


def batch(mean: int, dtype: str = "int64") -> list[dict[str, Any]]:
    """Generate rows with the long-tailed lengths of real text."""
    rng = np.random.default_rng([SEED, mean])
    drawn = np.rint(rng.lognormal(np.log(mean) - SPREAD**2 / 2, SPREAD, ROWS))
    return [
        {
            "input_ids": rng.integers(0, VOCABULARY, length).astype(dtype),
            "labels": rng.integers(0, 9, length).astype(dtype),
        }
        for length in np.clip(drawn, 1, 15 * mean).astype(int)
    ]


def as_lists(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: its.tolist() for name, its in row.items()} for row in rows]


def loop(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The loop that people write instead of a collator. The loop checks nothing."""
    shape = len(rows), max(len(row["input_ids"]) for row in rows)
    ids, labels = np.full(shape, 0, dtype="int32"), np.full(shape, -100, dtype="int32")
    mask = np.full(shape, False)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[i, :length] = row["input_ids"]
        labels[i, :length] = row["labels"]
        mask[i, :length] = True
    return {"input_ids": ids, "labels": labels, "mask": mask}


def pad_loop(rows: list[Any]) -> dict[str, Any]:
    """The loop that people write for one column."""
    values = np.zeros((len(rows), max(map(len, rows))), dtype="int32")
    mask = np.zeros(values.shape, dtype=bool)
    for i, row in enumerate(rows):
        values[i, : len(row)], mask[i, : len(row)] = row, True
    return {"values": values, "mask": mask}


def loop_without_mask(rows: list[Any]) -> dict[str, Any]:
    """The shortest loop, which returns neither a mask nor lengths."""
    values = np.zeros((len(rows), max(map(len, rows))), dtype="int32")
    for i, row in enumerate(rows):
        values[i, : len(row)] = row
    return {"values": values}


Job = tuple[str, str, Callable[[], Any], Callable[[], Any]]


def loop_jobs() -> Iterator[Job]:
    collate = padmask.Collator()
    for mean in MEANS:
        arrays = batch(mean)
        for kind, rows in (("lists", as_lists(arrays)), ("arrays", arrays)):
            what = f"{kind}, mean {mean}"
            yield f"`Collator`, {what}", "NumPy loop", lambda r=rows: collate(r), lambda r=rows: loop(r)
            ids = [row["input_ids"] for row in rows]
            for against, theirs in (("NumPy loop", pad_loop), ("NumPy loop, no mask", loop_without_mask)):
                ours = lambda r=ids: vars(padmask.pad(r))  # noqa: E731
                yield f"`pad`, {what}", against, ours, lambda r=ids, f=theirs: f(r)


def transformers_jobs() -> Iterator[Job]:
    """`DataCollatorWithPadding`, which pads the ids and adds the mask."""
    from tokenizers import Tokenizer, models
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

    vocabulary = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, pad_token="[PAD]")
    theirs = DataCollatorWithPadding(tokenizer, return_tensors="np")
    collate = padmask.Collator(preset="hf")
    for mean in MEANS:
        arrays = batch(mean)
        for kind, rows in (("lists", as_lists(arrays)), ("arrays", arrays)):
            ids = [{"input_ids": row["input_ids"]} for row in rows]
            yield (
                f"`Collator`, {kind} of ids, mean {mean}",
                "`DataCollatorWithPadding`",
                lambda r=ids: collate(r),
                lambda r=ids: dict(theirs(r)),
            )


# The packages to import and the jobs, by name.
PEERS = {"loop": ("numpy", loop_jobs), "transformers": ("transformers", transformers_jobs)}


def check(job: Job) -> None:
    """Raise an error if an array of the other tool differs from the array of padmask."""
    name, against, ours, theirs = job
    found = ours()
    for key, expected in theirs().items():
        if found[key].dtype != expected.dtype or not np.array_equal(found[key], expected):
            raise SystemExit(f"{name}, {against}: {key} differs.")


def many(function: Callable[[], Any]) -> Cost:
    """Return the mean cost of a call."""
    cost = call(lambda: [function() and None for _ in range(CALLS)])
    return Cost(cost.wall / CALLS, cost.cpu / CALLS)


def main(peer: str, repeat: int) -> None:
    needed, jobs = PEERS[peer]
    try:
        importlib.import_module(needed)
    except ImportError as error:
        print(json.dumps({"missing": f"{needed} cannot be imported: {error}", "results": []}))
        return
    results = []
    for job in jobs():
        check(job)
        name, against, ours, theirs = job
        pair = by_turns(lambda f=ours: many(f), lambda f=theirs: many(f), repeat)
        results.append({"job": name, "against": against, "pair": asdict(pair)})
    print(json.dumps({"missing": "", "results": results}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
