"""Layers inside TimeDistributed run as compiled functions if this does not change the outputs."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.ragged import Ragged
from padmask.verify.keras.backend import start_backend
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.proof.subject import CannotRunError

tf = pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")
keras = pytest.importorskip("keras", reason="models need Keras: pip install 'padmask[verify]'")

from padmask.verify.keras.user_model import UserModel  # noqa: E402

pytestmark = pytest.mark.tf

# Two rows of 4 and 3 steps, each with 2 vectors of 3 numbers.
VALUES = np.random.default_rng(0).integers(1, 9, (7, 2, 3)).astype("float32")
ROWS = Ragged(VALUES, np.array([0, 4]), np.array([4, 3]))
SAMPLE = Sample({"steps": Input(ROWS, dtype="float32")})
BATCH = SAMPLE.padded()


class Inner(keras.layers.Layer):
    """The layer inside TimeDistributed. Its attribute `runs` counts the runs of its Python code."""

    runs = 0

    def call(self, x):
        self.runs += 1
        return self.compute(x)

    def compute(self, x):
        return x * 2 + 1

    def compute_output_shape(self, shape):
        return shape


class OnlyEager(Inner):
    def compute(self, x):
        return x * float(x[0, 0, 0])


class OtherResult(Inner):
    def compute(self, x):
        return x * (2.0 if tf.executing_eagerly() else 3.0)


def model_of(layer, dtype="float32", rows=None):
    steps = keras.Input((None, 2, 3), rows, dtype=dtype, name="steps")
    outputs = keras.layers.TimeDistributed(layer)(steps)
    user = UserModel(keras.Model(steps, outputs), start_backend("tensorflow", "cpu"))
    user.run_eagerly()
    return user


def outputs_of(run):
    [output] = run(BATCH).values()
    return output


def test_layer_is_compiled():
    layer = Inner()
    user = model_of(layer)
    expected = outputs_of(user.predict_eagerly)
    user.predict(BATCH)
    layer.runs = 0
    assert np.array_equal(outputs_of(user.predict), expected)
    assert layer.runs == 0
    assert "call" not in vars(layer)


@pytest.mark.parametrize("kind", [OnlyEager, OtherResult])
def test_layer_runs_as_before(kind):
    layer = kind()
    user = model_of(layer)
    expected = outputs_of(user.predict_eagerly)
    for _ in range(2):
        layer.runs = 0
        assert np.array_equal(outputs_of(user.predict), expected)
    assert layer.runs == BATCH["steps"].mask.shape[1]


def test_error_of_a_batch():
    """A batch that the model cannot run changes nothing for later batches."""

    class FewRows(Inner):
        def compute(self, x):
            if x.shape[0] > 2:
                raise ValueError("too many rows")
            return super().compute(x)

    layer = FewRows()
    user = model_of(layer)
    with pytest.raises(CannotRunError):
        user.predict(SAMPLE.select([0, 1, 0]).padded())
    user.predict(BATCH)
    layer.runs = 0
    user.predict(BATCH)
    assert layer.runs == 0


def test_state_is_reset():
    user = model_of(keras.layers.LSTM(2, stateful=True), rows=2)
    expected = outputs_of(user.predict_eagerly)
    for _ in range(2):
        assert np.allclose(outputs_of(user.predict), expected, atol=1e-6)


def test_float64_has_its_own_function():
    user = model_of(keras.layers.Embedding(10, 2), "int32")
    user.predict(BATCH)
    with user.float64:
        for run in (user.predict, user.predict_eagerly):
            assert outputs_of(run).dtype == np.float64
