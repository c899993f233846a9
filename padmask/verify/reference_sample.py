"""Fit a sample of the data to the reference models: pad value 0, and ids below the vocabulary size."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from padmask.core.python_rows import flatten
from padmask.errors import DataError, SpecError
from padmask.spec.verify import ReferenceSpec
from padmask.verify.data.look import AuditedData
from padmask.verify.proof.sample import Input, Sample

# Maximum length of the rows of the sample. Longer rows prove nothing more and take more time.
STEPS = 64

# Number of rows that are also used cut to their first tokens, because an RNN forgets the start of a long row.
SHORT_STEPS = 8

# Maximum size of the embedding of a reference model.
LARGEST_VOCABULARY = 1 << 22


def fit_to_references(
    data: AuditedData, column: str, spec: ReferenceSpec, kind: str
) -> tuple[ReferenceSpec, Sample]:
    """Return the sample for the reference models, and their options with the vocabulary size.

    Args:
        data: the audited data with the sample.
        column: name of the column of tokens.
        spec: options of the reference models.
        kind: NumPy's letter for the tokens.

    Raises:
        SpecError: reference models cannot take these tokens.
        DataError: an id is negative.
    """
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
        # Real tokens 0 get a new id, because 0 becomes the pad value.
        needed, stand_in = needed + 1, needed
    else:
        stand_in = int(value)
    # A check replaces tokens by other ids, so at least two ids besides the pad value are necessary.
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
    # Some routes compute the mask from ids equal to 0, so the pad value and 0 are swapped.
    swapped = [np.where(row == value, 0, np.where(row == 0, stand_in, row)) for row in rows]
    # Replacement tokens are drawn from all ids, because a sample may contain only one id.
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
