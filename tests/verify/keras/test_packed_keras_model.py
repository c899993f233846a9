"""Keras models run on packed rows, with a block mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recipes import run_recipes

import padmask
from padmask.verify import verify_model
from padmask.verify.api import report_on_packed

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")
keras = pytest.importorskip("keras", reason="models need Keras: pip install 'padmask[verify]'")

from padmask.spec.verify import ModelSpec  # noqa: E402
from padmask.verify.packed_model import make_packed_sample, packed_rows_of  # noqa: E402
from padmask.verify.proof.packed_arguments import DataArguments  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.tf]

L = keras.layers
RANDOM = np.random.default_rng(0)
PACKED = padmask.pack([RANDOM.integers(1, 50, size=size) for size in RANDOM.integers(1, 9, 24)], maxlen=16)
DOCUMENT = Path(__file__).parents[3] / "docs" / "packing.md"


def attention(*, causal=False, positions=True):
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32", name="ids")
    places = keras.Input((None,), dtype="int32", name="position_ids")
    mask = keras.Input((None, None), dtype="bool", name="attention_mask")
    x = L.Embedding(50, 8)(ids) + L.Embedding(16, 8)(places)
    layer = L.MultiHeadAttention(2, 8)
    y = layer(x, x, use_causal_mask=True) if causal else layer(x, x, attention_mask=mask)
    return keras.Model([ids, places, mask], L.Dense(5)(y))


def recurrent():
    ids = keras.Input((None,), dtype="int32")
    return keras.Sequential([ids, L.Embedding(50, 8), L.LSTM(8, return_sequences=True, name="state")])


def subject_of(model):
    [subject] = verify_model(model, PACKED).subjects
    return subject


def test_block_mask():
    subject = subject_of(attention())
    assert (subject.verdict, subject.control.verdict) == ("ignores", "fails")


def test_causal_mask_leaks():
    assert subject_of(attention(causal=True)).verdict == "leaks"


def test_recurrent_layer_is_named():
    subject = subject_of(recurrent())
    assert subject.verdict == "leaks"
    assert "layers state " in subject.advice


def test_model_of_the_documentation():
    keras.utils.set_random_seed(0)
    model = run_recipes(DOCUMENT, "keras")["make_model"](50, 16)
    _, places, _ = (tensor.name for tensor in model.inputs)
    sample = make_packed_sample(packed_rows_of(PACKED), "int32", 0, 0)
    data = DataArguments(kinds={places: "positions"})
    report = report_on_packed(model, ModelSpec(), sample, data)
    assert report.verdict == "ignores"
