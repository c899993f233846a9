"""The rows that show a leak best are chosen."""

from __future__ import annotations

import numpy as np

from padmask.core.python_rows import flatten
from padmask.verify.proof.leaking_rows import choose_equal_lengths, choose_fixed_row, choose_leaking_row
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.proof.subject import CannotRunError

ROWS = [[5], [3, 4], [7, 8, 9, 10]]


def sample_of(**options) -> Sample:
    return Sample({"ids": Input(flatten(ROWS), **options)})


def leak_at_two(batch):
    """Return outputs that depend on the padding of rows of two tokens."""
    ids = batch["ids"]
    few = int(ids.mask.sum())
    return {"out": np.ones((1, 1)) + (ids.values.shape[1] - few) * (few == 2)}


def refuse_padding(batch):
    if not batch["ids"].mask.all():
        raise CannotRunError("no padding")
    return {"out": np.ones((1, 1))}


def test_largest_deviation():
    worst = choose_leaking_row(leak_at_two, sample_of(), (1, 4))
    assert worst is not None
    assert (worst.row.lengths()["ids"].tolist(), worst.more, worst.deviation) == ([2], 4, 4.0)


def test_first_row_without_leak():
    worst = choose_leaking_row(lambda batch: {"out": np.ones((1, 1))}, sample_of(), (1, 4))
    assert worst is not None
    assert (worst.row.lengths()["ids"].tolist(), worst.more, worst.deviation) == ([1], 1, 0.0)


def test_clear_row_is_preferred():
    """A shorter row or less padding is chosen only if the deviation is much larger."""

    def leak(batch, share=0.5):
        tokens, places = int(batch["ids"].mask.sum()), batch["ids"].values.shape[1]
        padding = places - tokens
        return {"out": np.ones((1, 1)) + (padding > 0) * (1.0 if padding == 1 else share)}

    def choose(predict):
        found = choose_leaking_row(predict, sample_of(), (1, 64))
        return found.row.lengths()["ids"].tolist(), found.more

    assert choose(leak) == ([4], 64)
    assert choose(lambda batch: leak(batch, share=0.01)) == ([1], 1)


def test_no_row_with_padding():
    assert choose_leaking_row(refuse_padding, sample_of(), (1, 4)) is None


def test_longest_padded_row():
    assert choose_fixed_row(sample_of(places=6)).length == 4
    # The longest row has no padding.
    fixed = choose_fixed_row(sample_of(places=4))
    assert (fixed.length, fixed.places) == (2, {4})


def test_equal_lengths():
    assert choose_equal_lengths(sample_of()).lengths()["ids"].tolist() == [2, 2, 2, 2]
