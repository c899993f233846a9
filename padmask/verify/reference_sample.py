"""Fit a sample of the data to the reference models: padded with 0, ids below the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from padmask.core.python_rows import flatten
from padmask.errors import DataError, SpecError
from padmask.spec.verify import ReferenceSpec
from padmask.verify.data.look import AuditedData
from padmask.verify.proof.sample import Input, Sample

# Places a row of the sample may have: longer ones prove nothing more, and take longer.
STEPS = 64

# Some rows are also taken without all but their first tokens: long rows forget what came before them.
SHORT_STEPS = 8

# A table of more rows than this is no reference model any more.
LARGEST_VOCABULARY = 1 << 22


def fit_to_references(
    data: AuditedData, column: str, spec: ReferenceSpec, kind: str
) -> tuple[ReferenceSpec, Sample]:
    """Return the sample as the reference models take it: padded with 0, ids below the vocabulary."""
    rows, value = data.sample[column], data.values[column]
    if kind not in "iuf":
        raise SpecError(
            f"{data.name}: column {column!r} holds strings, and models take ids or features. "
            "Name a column of ids with -c, or check the data alone with --no-model.",
            options=["columns"],
        )
    if kind == "f":
        flat = flatten([np.asarray(row, dtype="float32") for row in rows])
        return spec, _with_short_rows(Sample({"features": Input(flat, 0, "float32")}, data.padding))
    low, high = data.ids[column]
    if low < 0:
        raise DataError(
            f"{data.name}: column {column!r} holds the token {low}, and no Embedding has a row for it. "
            "Fix the ids, or check the data alone with --no-model."
        )
    needed = max(high, int(value)) + 1
    if value < 0:
        # 0 needs another id, since 0 will be the padding.
        needed, stand_in = needed + 1, needed
    else:
        stand_in = int(value)
    # With two ids beside the padding there is another one to put in a token's place.
    vocab = spec.vocab_size or max(needed, 3)
    if vocab < needed:
        raise SpecError(
            f"--vocab-size {vocab} is too small: {data.name} has the token {high}. "
            f"Give at least {needed}, or leave it out.",
            options=["vocab_size"],
        )
    if spec.vocab_size and vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"--vocab-size {vocab:,} is beyond a reference model. Leave it out, or give less.",
            options=["vocab_size"],
        )
    if vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"{data.name}: column {column!r} holds the token {high}; an Embedding of {vocab:,} rows is "
            "beyond a reference model. Check the data alone with --no-model."
        )
    # The routes that find the mask in the ids take 0 for padding: the pad value and 0 change places.
    swapped = [np.where(row == value, 0, np.where(row == 0, stand_in, row)) for row in rows]
    # Any id may be drawn where other tokens are wanted, so that a poor sample still shows something.
    sample = Sample(
        {"ids": Input(flatten(swapped), 0, "int32")},
        data.padding,
        {"ids": np.arange(min(1, vocab - 1), vocab)},
    )
    return replace(spec, vocab_size=vocab), _with_short_rows(sample)


def _with_short_rows(sample: Sample) -> Sample:
    sample = sample.cut(STEPS)
    few = sample.select(np.arange(min(len(sample), SHORT_STEPS)))
    return reduce(Sample.joined, [few.select([row]).cut(row + 1) for row in range(len(few))], sample)
