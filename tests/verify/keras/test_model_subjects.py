"""A Keras model and its control in the form that the checks require."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.python_rows import flatten
from padmask.verify.keras.backend import start_backend
from padmask.verify.proof.sample import Input, Sample

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")
keras = pytest.importorskip("keras", reason="models need Keras: pip install 'padmask[verify]'")

from padmask.verify.keras.model_subjects import make_subjects  # noqa: E402
from padmask.verify.keras.user_model import UserModel  # noqa: E402

pytestmark = pytest.mark.tf

SAMPLE = Sample({"ids": Input(flatten([[3, 4], [5, 6, 7]]))})


class Count(keras.layers.Layer):
    """A layer that counts its calls."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x + 1


@pytest.fixture
def counted():
    """The subject, the control and the layer of a model that runs eagerly."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    layer = Count()
    user = UserModel(keras.Model(ids, layer(ids)), start_backend("tensorflow", "cpu"))
    user.run_eagerly()
    subject, control = make_subjects(user, "model", SAMPLE, 0)
    layer.calls = 0
    return subject, control, layer


def test_equal_batches_run_once(counted):
    subject, control, layer = counted
    for one in (subject, control):
        first, second = one.predict(SAMPLE.padded(1)), one.predict(SAMPLE.padded(1))
        assert all(np.array_equal(output, second[name]) for name, output in first.items())
    assert layer.calls == 2
    subject.predict(SAMPLE.padded(2))
    assert layer.calls == 3


def test_changed_weights_run_again(counted):
    subject, _, layer = counted
    subject.predict(SAMPLE.padded(1))
    subject.predict_uncached(SAMPLE.padded(1))
    subject.jittered(SAMPLE.padded(1))
    assert layer.calls == 3
