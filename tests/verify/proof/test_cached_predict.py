"""Equal batches run once, and different batches run separately."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from padmask.core.kernel import Padded
from padmask.verify.proof.cached_predict import cache_predictions

PADDED = Padded(
    np.array([[7, 8], [9, 0]], dtype="int32"), np.array([[True, True], [True, False]]), np.array([2, 1])
)


def batch_of(name="ids", **changed):
    return {name: replace(PADDED, **changed)}


def predictions(*batches) -> int:
    """Return how many times a model runs on a sequence of batches."""
    seen = []
    predict = cache_predictions(lambda batch: {"output": np.array([seen.append(batch)])})
    for batch in batches:
        predict(batch)
    return len(seen)


def test_equal_batches_predict_once():
    again = batch_of(values=PADDED.values.copy(), mask=PADDED.mask.copy())
    assert predictions(batch_of(), again, batch_of()) == 1


def test_cached_result_is_equal():
    predict = cache_predictions(lambda batch: {"output": batch["ids"].values * 2})
    first, again = predict(batch_of()), predict(batch_of())
    assert first["output"].tolist() == again["output"].tolist() == [[14, 16], [18, 0]]


@pytest.mark.parametrize(
    "other",
    [
        batch_of(values=PADDED.values + 1),
        batch_of(mask=~PADDED.mask),
        batch_of(values=PADDED.values.view("float32")),
        batch_of(values=PADDED.values.reshape(1, 4)),
        batch_of("features"),
        {**batch_of(), **batch_of("more")},
    ],
    ids=["values", "mask", "dtype", "shape", "name", "another-input"],
)
def test_other_batches_predict_again(other):
    assert predictions(batch_of(), other) == 2
