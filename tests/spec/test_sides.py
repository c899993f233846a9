"""Sides have Keras's names, and Hugging Face's names mean the same."""

from __future__ import annotations

import numpy as np
import pytest
from raised import raises_error

from padmask import PadSpec, UnpadSpec, pad, sequence_mask
from padmask.errors import SpecError
from padmask.spec.sides import checked_side

PAIRS = [("left", "pre"), ("right", "post")]


@pytest.mark.parametrize(("name", "keras"), PAIRS)
def test_names_mean_the_same(name: str, keras: str) -> None:
    assert PadSpec(padding=name, truncating=name) == PadSpec(padding=keras, truncating=keras)
    assert UnpadSpec(padding=name) == UnpadSpec(padding=keras)
    assert (sequence_mask([1, 2], padding=name) == sequence_mask([1, 2], padding=keras)).all()


def test_left_padding_and_right_truncation() -> None:
    padded = pad([[1], [2, 3, 4]], PadSpec(maxlen=2, padding="left", truncating="right"))
    assert padded.values.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("value", ["Left", "", None, 1, True, np.array(["left"]), ["left"]], ids=repr)
def test_other_values_are_refused(value: object) -> None:
    with raises_error(SpecError, "post, pre", option="padding"):
        checked_side("padding", value)
