"""The inputs of a Keras model get the arrays of a batch, in the shapes that the model expects."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.kernel import Padded
from padmask.verify.keras.model_arrays import make_model_arrays
from padmask.verify.proof.sample import ModelInput

MASK = np.array([[True, True, False], [True, False, False]])
IDS = ModelInput("ids")


def arrays_of(slot, values=MASK * 5, ids=IDS):
    """Return the array for the input `slot` of a model whose other input is `ids`."""
    batch = {"ids": Padded(values, MASK, MASK.sum(axis=1))}
    return make_model_arrays([ids, slot], batch)[1]


@pytest.mark.parametrize(
    ("name", "values"), [("attention_mask", MASK), ("padding_mask", MASK), ("key_padding_mask", ~MASK)]
)
def test_polarity_of_masks(name, values):
    mask = arrays_of(ModelInput(name, "mask", mask_of="ids"))
    assert mask.dtype == np.int32
    assert (mask == values).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None,), MASK),
        ((None, 1), MASK[:, :, None]),
        ((1, None), MASK[:, None, :]),
        ((None, None), MASK[:, None, :] & MASK[:, :, None]),
        ((1, 1, None), MASK[:, None, None, :]),
    ],
)
@pytest.mark.parametrize("name", ["attention_mask", "key_padding_mask"])
def test_shape_of_masks(shape, expected, name):
    mask = arrays_of(ModelInput(name, "mask", shape, mask_of="ids"))
    assert mask.shape == expected.shape
    assert (mask == (expected if name == "attention_mask" else ~expected)).all()


def test_positions_and_lengths():
    positions = arrays_of(ModelInput("position_ids", "positions", mask_of="ids"))
    assert positions.tolist() == [[0, 1, 0], [0, 0, 0]]
    lengths = arrays_of(ModelInput("lengths", "lengths", (1,), mask_of="ids"))
    assert lengths.tolist() == [[2], [1]]


def test_time_axis():
    """Rows have the time axis first, and the model has it last."""
    values = np.arange(12, dtype=np.int64).reshape(2, 3, 2)
    ids = ModelInput("ids", shape=(2, None), time_axis=1)
    batch = {"ids": Padded(values, MASK, MASK.sum(axis=1))}
    [found] = make_model_arrays([ids], batch)
    assert (found == values.transpose(0, 2, 1)).all()
