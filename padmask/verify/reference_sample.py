"""Prepare a sample of the data for the reference models."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from padmask.core.python_rows import flatten
from padmask.errors import DataError, SpecError
from padmask.spec.verify import ReferenceSpec
from padmask.verify.data.audit_data import AuditedData
from padmask.verify.proof.sample import Input, Sample

# Maximum row length in the sample. Longer rows take more time and do not reveal more leaks.
STEPS = 64

# Number of short rows to add, with one token, two tokens, and so on. In recurrent models, long rows can hide
# the effect of padding at the start.
SHORT_STEPS = 8

# Maximum number of rows in the embedding table of a reference model.
LARGEST_VOCABULARY = 1 << 22


def fit_to_references(
    data: AuditedData, column: str, spec: ReferenceSpec, kind: str
) -> tuple[ReferenceSpec, Sample]:
    """Convert the sampled rows to rows that the reference models accept.

    The pad value becomes 0. If the user requested no vocabulary size, the returned spec has a size that
    includes all ids.

    Args:
        data: checked and sampled data.
        column: name of the token column.
        spec: options of the reference models.
        kind: NumPy kind of the tokens, such as `"i"` for integers.

    Returns:
        The spec with the vocabulary size, and the converted rows.

    Raises:
        SpecError: the reference models do not support the column or the largest id, or the requested
            vocabulary is too small or too large.
        DataError: an id is negative.
    """
    rows, value = data.sample[column], data.values[column]
    if kind not in "iuf":
        raise SpecError(
            f"{data.name}: column {column!r} has strings, but models require ids or features. "
            "Choose a column of ids with -c, or use --no-model to check only the data.",
            options=["columns"],
        )
    if kind == "f":
        flat = flatten([np.asarray(row, dtype="float32") for row in rows])
        return spec, _with_short_rows(Sample({"features": Input(flat, 0, "float32")}, data.padding))
    low, high = data.ids[column]
    if low < 0:
        raise DataError(
            f"{data.name}: column {column!r} contains the id {low}, but an Embedding accepts no negative "
            "ids. Fix the ids, or use --no-model to check only the data."
        )
    needed = max(high, int(value)) + 1
    if value < 0:
        # The sample is padded with 0, so token 0 needs a new id.
        needed, stand_in = needed + 1, needed
    else:
        stand_in = int(value)
    # Some checks replace a token with another one, which requires at least two ids other than 0.
    vocab = spec.vocab_size or max(needed, 3)
    if vocab < needed:
        raise SpecError(
            f"--vocab-size {vocab} is too small: {data.name} contains the id {high}. "
            f"Choose at least {needed}, or omit the option.",
            options=["vocab_size"],
        )
    if spec.vocab_size and vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"--vocab-size {vocab:,} is too large for the reference models. Choose at most "
            f"{LARGEST_VOCABULARY:,}, or omit the option.",
            options=["vocab_size"],
        )
    if vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"{data.name}: column {column!r} contains the id {high}, but an Embedding of {vocab:,} rows is "
            "too large for the reference models. Use --no-model to check only the data."
        )
    # Some reference models treat id 0 as padding, so swap the pad value and 0.
    swapped = [np.where(row == value, 0, np.where(row == 0, stand_in, row)) for row in rows]
    # The pool has all ids, so that checks can replace tokens even if the sample has few distinct ids.
    sample = Sample(
        {"ids": Input(flatten(swapped), 0, "int32")},
        data.padding,
        {"ids": np.arange(min(1, vocab - 1), vocab)},
    )
    return replace(spec, vocab_size=vocab), _with_short_rows(sample)


def _with_short_rows(sample: Sample) -> Sample:
    sample = sample.cut(STEPS)
    first_rows = sample.select(np.arange(min(len(sample), SHORT_STEPS)))
    return reduce(
        Sample.joined, [first_rows.select([row]).cut(row + 1) for row in range(len(first_rows))], sample
    )
