"""The Keras layers create, split, pass on and use masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from raised import raises_error
from tiers import represented

from padmask.errors import SpecError

tensorflow = pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed: pip install 'padmask[verify]'"
)
keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'padmask[verify]'")

from padmask.layers import CustomEmbedding, MaskedActivation, TemporalSoftmax, TemporalSplit  # noqa: E402

pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients here are TensorFlow's"),
]

IDS = np.array([[5, 7, 2, 0, 0], [3, 4, 8, 9, 1], [6, 0, 0, 0, 0]])
REAL = IDS != 0
HALF_PRECISION = ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float64"))


def mask_of(tensor):
    return keras.ops.convert_to_numpy(tensor._keras_mask)


def scores(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax_of_each_row(values, mask):
    """The reference for TemporalSoftmax: a softmax over the real steps, row by row."""
    weights = np.zeros(values.shape)
    for row, real in enumerate(mask):
        powers = np.exp(values[row, real].astype("float64"))
        weights[row, real] = powers / powers.sum(axis=0)
    return weights


def gradient(layer, values, mask, weigh):
    """The gradient of the weighted sum of a layer's outputs with respect to its inputs."""
    inputs = tensorflow.constant(values)
    with tensorflow.GradientTape() as tape:
        tape.watch(inputs)
        total = tensorflow.reduce_sum(layer(inputs, mask=mask) * weigh)
    return tape.gradient(total, inputs).numpy()


def attention_pooling():
    """A Functional model with all four layers, from (batch, time) ids to (batch, 4) numbers."""
    ids = keras.Input((None,), dtype="int32")
    vectors = MaskedActivation("tanh")(CustomEmbedding(10, 6, mask_zero=True)(ids))
    weights = TemporalSoftmax()(keras.layers.Dense(1)(vectors))
    first, second = TemporalSplit()(keras.layers.Multiply()([vectors, weights]))
    ends = [keras.layers.LSTM(2)(first), keras.layers.LSTM(2)(second)]
    return keras.Model(ids, keras.layers.Concatenate()(ends))


# TemporalSplit


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 6])
def test_split_halves_the_time_axis(steps):
    values = scores(2, steps, 3)
    first, second = TemporalSplit()(values)
    assert first.shape == (2, steps // 2, 3)
    assert np.array_equal(np.concatenate([first, second], axis=1), values)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (2, 5, 3, 4)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_split_keeps_axes_and_dtype(shape, dtype):
    values = np.ones(shape, dtype=dtype)
    inputs = keras.Input(shape[1:], dtype=dtype)
    for half, promised in zip(TemporalSplit()(values), TemporalSplit()(inputs), strict=True):
        assert half.shape[1:] == promised.shape[1:]
        assert half.dtype == promised.dtype == dtype


def test_split_halves_mask():
    embedded = keras.layers.Embedding(10, 2, mask_zero=True)(IDS)
    first, second = TemporalSplit()(embedded)
    assert mask_of(first).tolist() == REAL[:, :2].tolist()
    assert mask_of(second).tolist() == REAL[:, 2:].tolist()


def test_split_without_mask():
    assert TemporalSplit().compute_mask(scores(2, 5, 3)) is None
    assert [getattr(half, "_keras_mask", None) for half in TemporalSplit()(scores(2, 5, 3))] == [None, None]


@pytest.mark.parametrize(
    ("steps", "halves"), [(None, [None, None]), (5, [2, 3]), (0, [0, 0])], ids=["unknown", "odd", "none"]
)
def test_split_of_symbolic_input(steps, halves):
    embedded = keras.layers.Embedding(10, 2, mask_zero=True)(keras.Input((steps,)))
    found = TemporalSplit()(embedded)
    assert [half.shape for half in found] == [(None, length, 2) for length in halves]
    assert [half._keras_mask.shape for half in found] == [(None, length) for length in halves]
    assert TemporalSplit().compute_output_shape((4, steps, 2)) == [(4, length, 2) for length in halves]


@pytest.mark.slow
def test_split_inside_a_graph():
    ids = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(10, 2, mask_zero=True)(ids)
    ends = [keras.layers.LSTM(2)(half) for half in TemporalSplit()(embedded)]
    model = keras.Model(ids, ends)
    for rows in IDS, IDS[:, :4]:
        for graph, eager in zip(model.predict(rows, verbose=0), model(rows), strict=True):
            assert np.allclose(graph, eager, atol=1e-6)


# CustomEmbedding


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "float32", "float64"])
def test_embedding_takes_any_dtype(dtype):
    embedding = CustomEmbedding(10, 4, mask_zero=True)
    vectors = embedding(IDS.astype(dtype))
    assert np.array_equal(vectors, embedding.embeddings.numpy()[IDS])
    assert mask_of(vectors).tolist() == REAL.tolist()


def test_embedding_without_mask_zero():
    assert CustomEmbedding(10, 4).compute_mask(IDS) is None
    assert getattr(CustomEmbedding(10, 4)(IDS), "_keras_mask", None) is None


def test_embedding_warns_of_lost_mask():
    ids = keras.layers.Masking(0)(IDS[..., None].astype("float32"))
    with pytest.warns(UserWarning, match="destroy the mask"):
        CustomEmbedding(10, 4)(ids)


def test_embedding_masks_looked_up_zero():
    assert mask_of(CustomEmbedding(10, 4, mask_zero=True)(np.array([[0.5, 1.5]]))).tolist() == [[False, True]]


@pytest.mark.parametrize("policy", HALF_PRECISION)
def test_embedding_of_large_ids(policy):
    embedding = CustomEmbedding(70_001, 2, mask_zero=True, dtype=policy)
    ids = np.array([[70_000.0, 2049.0, 0.0]], dtype="float32")
    vectors = embedding(ids)
    assert vectors.dtype == embedding.compute_dtype
    rows = embedding.embeddings.numpy()[[70_000, 2049, 0]]
    assert np.array_equal(to_numpy(vectors)[0], rows.astype(vectors.dtype.as_numpy_dtype).astype("float64"))
    assert mask_of(vectors).tolist() == [[True, True, False]]


def test_embedding_of_symbolic_input():
    vectors = CustomEmbedding(10, 4, mask_zero=True)(keras.Input((None,), dtype="int32"))
    assert vectors.shape == (None, None, 4)
    assert (vectors._keras_mask.shape, vectors._keras_mask.dtype) == ((None, None), "bool")


@pytest.mark.parametrize("number", [0, -1, 2.0, True, "3", None])
def test_embedding_sizes_are_checked(number):
    with raises_error(SpecError, "`input_dim`", repr(number)):
        CustomEmbedding(number, 2)
    with raises_error(SpecError, "`output_dim`", repr(number)):
        CustomEmbedding(2, number)


# MaskedActivation


def test_activation_keeps_the_mask():
    embedded = keras.layers.Embedding(10, 2, mask_zero=True)(IDS)
    active = MaskedActivation()(embedded)
    assert np.array_equal(active, np.maximum(embedded, 0))
    assert mask_of(active).tolist() == REAL.tolist()


@pytest.mark.parametrize("activation", ["tanh", "linear", None, keras.activations.gelu])
def test_activation_name_or_function(activation):
    values = scores(2, 5, 3)
    layer = MaskedActivation.from_config(MaskedActivation(activation).get_config())
    assert np.array_equal(layer(values), keras.activations.get(activation)(values))


def test_unknown_activation():
    with pytest.raises(ValueError, match="relux"):
        MaskedActivation("relux")


# TemporalSoftmax


def test_softmax_over_real_steps():
    values = scores(3, 5, 4)
    weights = TemporalSoftmax()(values, mask=REAL)
    assert np.allclose(weights, softmax_of_each_row(values, REAL), atol=1e-6)


def test_softmax_without_mask():
    values = scores(3, 5, 4)
    everything = np.ones((3, 5), dtype=bool)
    assert np.allclose(TemporalSoftmax()(values), softmax_of_each_row(values, everything), atol=1e-6)


MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 4), st.integers(0, 6)))
SCORES = st.floats(-1e4, 1e4, width=32) | st.sampled_from([-3e38, 3e38])
JUNK = st.sampled_from([0.0, 3e38, -3e38, np.inf, -np.inf, np.nan])


@settings(deadline=None, max_examples=50)
@given(data=st.data(), mask=MASKS, features=st.integers(1, 3))
def test_softmax_sums_to_one(data, mask, features):
    shape = (*mask.shape, features)
    real = data.draw(arrays.arrays("float32", shape, elements=SCORES))
    junk = data.draw(arrays.arrays("float32", shape, elements=JUNK))
    weights = to_numpy(TemporalSoftmax()(np.where(mask[..., None], real, junk), mask=mask))
    assert np.allclose(weights.sum(axis=1), mask.any(axis=1)[:, None], atol=1e-5)
    assert (weights[~mask] == 0).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, 3e38])
def test_softmax_ignores_padding(junk):
    layer, weigh = TemporalSoftmax(), scores(3, 5, 4, seed=2)
    clean = scores(3, 5, 4)
    dirty = np.where(REAL[..., None], clean, np.float32(junk))
    assert np.array_equal(layer(dirty, mask=REAL), layer(clean, mask=REAL))
    slope = gradient(layer, dirty, REAL, weigh)
    assert (slope[~REAL] == 0).all()
    assert np.array_equal(slope, gradient(layer, clean, REAL, weigh))


def test_softmax_gradients():
    layer, values, weigh = TemporalSoftmax(), scores(3, 5, 4), scores(3, 5, 4, seed=2)
    slope = gradient(layer, values, REAL, weigh)
    for row, real in enumerate(REAL):
        alone = gradient(layer, values[row : row + 1, real], None, weigh[row : row + 1, real])
        assert np.allclose(slope[row, real], alone[0], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_softmax_of_empty_row(dtype):
    mask = np.array([[False] * 4, [True, False, False, False]])
    values = np.full((2, 4, 3), np.nan, dtype="float32")
    values[1, 0] = 1e4
    layer = TemporalSoftmax(dtype=dtype)
    assert (
        to_numpy(layer(values, mask=mask)).tolist()
        == np.where(mask[..., None], np.ones((2, 4, 3)), 0).tolist()
    )
    assert (gradient(layer, values.astype(dtype), mask, 1.0) == 0).all()


@pytest.mark.parametrize("policy", HALF_PRECISION)
def test_softmax_in_half_precision(policy):
    layer = TemporalSoftmax(dtype=policy)
    values = keras.ops.cast(scores(3, 5, 40), layer.compute_dtype)
    weights = layer(values, mask=REAL)
    assert weights.dtype == layer.compute_dtype
    exact = TemporalSoftmax(dtype="float32")(values, mask=REAL)
    assert np.array_equal(to_numpy(weights), to_numpy(keras.ops.cast(exact, layer.compute_dtype)))


def test_softmax_in_float64():
    values = scores(3, 5, 4).astype("float64")
    weights = TemporalSoftmax(dtype="float64")(values, mask=REAL)
    assert np.allclose(weights, softmax_of_each_row(values, REAL), rtol=1e-14, atol=0)


@pytest.mark.parametrize("mask", [REAL.astype("int32"), REAL.astype("float32"), REAL.tolist()])
def test_softmax_takes_integer_masks(mask):
    values = scores(3, 5, 4)
    weights = TemporalSoftmax()(values, mask=keras.ops.convert_to_tensor(mask))
    assert np.array_equal(weights, TemporalSoftmax()(values, mask=REAL))


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("mask", [None, False, True])
def test_softmax_of_few_steps(steps, mask):
    values = scores(2, steps, 3)
    weights = TemporalSoftmax()(values, mask=None if mask is None else np.full((2, steps), mask))
    assert to_numpy(weights).tolist() == np.full((2, steps, 3), 0.0 if mask is False else 1.0).tolist()


@pytest.mark.parametrize("shape", [(2,), (2, 5), (2, 5, 3, 4)])
def test_softmax_checks_the_rank(shape):
    with raises_error(SpecError, "(batch, time, features)"):
        TemporalSoftmax().compute_output_shape(shape)
    with raises_error(SpecError, "`scores[..., None]`"):
        TemporalSoftmax()(np.ones(shape))
    with raises_error(SpecError, "(batch, time, features)"):
        TemporalSoftmax()(keras.Input(shape[1:]))


def test_split_needs_a_batch_axis():
    with raises_error(SpecError, "`inputs[None]`"):
        TemporalSplit()(np.ones(5))


@pytest.mark.parametrize("mask", [REAL[:, :4], REAL[:2], REAL[..., None]])
def test_softmax_checks_the_mask(mask):
    with raises_error(SpecError, "mask", "(batch, time)"):
        TemporalSoftmax()(scores(3, 5, 4), mask=mask)


# In models


def test_mask_reaches_the_lstm():
    model = keras.Sequential(
        [
            CustomEmbedding(10, 6, mask_zero=True),
            MaskedActivation("tanh"),
            TemporalSoftmax(),
            keras.layers.LSTM(3),
        ]
    )
    padded = to_numpy(model(IDS))
    for row, real in enumerate(REAL):
        assert np.allclose(padded[row], model(IDS[row : row + 1, real])[0], atol=1e-6)


def test_symbolic_tensors_keep_masks():
    ids = keras.Input((None,), dtype="int32")
    vectors = CustomEmbedding(10, 6, mask_zero=True)(ids)
    for tensor in MaskedActivation()(vectors), TemporalSoftmax()(vectors), *TemporalSplit()(vectors):
        assert tensor._keras_mask.shape == (None, None)


class Halves(keras.Model):
    """A subclassed model with layers of padmask."""

    def __init__(self):
        super().__init__()
        self.embedding = CustomEmbedding(10, 6, mask_zero=True)
        self.softmax = TemporalSoftmax()
        self.split = TemporalSplit()
        self.lstm = keras.layers.LSTM(3)

    def call(self, ids):
        first, second = self.split(self.softmax(self.embedding(ids)))
        return self.lstm(first) + self.lstm(second)


@represented("make_model", {"attention_pooling": attention_pooling, "Halves": Halves}, by={"Halves"})
def test_models_ignore_padding(make_model):
    model = make_model()
    before = to_numpy(model(IDS))
    table = model.layers[1 if make_model is attention_pooling else 0].embeddings
    table.assign(np.where(np.arange(10)[:, None] == 0, 1e4, table.numpy()))
    assert np.array_equal(model(IDS), before)
    assert np.allclose(model.predict(IDS, verbose=0), before, atol=1e-6)
    table.assign(np.where(np.arange(10)[:, None] == 5, 1e4, table.numpy()))
    assert not np.array_equal(model(IDS), before)


EMBEDDING = {"input_dim": 10, "output_dim": 4, "mask_zero": True}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (TemporalSplit, {}),
        (CustomEmbedding, EMBEDDING),
        (MaskedActivation, {"activation": "gelu"}),
        (TemporalSoftmax, {}),
    ],
)
def test_layers_from_config(kind, own):
    layer = kind(**own, name="mine", dtype="mixed_float16", trainable=False)
    described = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is kind
    assert described["registered_name"] == f"padmask>{kind.__name__}"
    assert own.items() <= described["config"].items()
    assert (again.name, again.dtype_policy.name, again.trainable) == ("mine", "mixed_float16", False)
    assert again.get_config() == layer.get_config()


# Keras uses NumPy 1's array protocol when it saves variables.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@represented("policy", ["mixed_float16", "float32", "mixed_bfloat16"], by=1)
def test_saved_model_is_equal(policy, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = attention_pooling()
    finally:
        keras.config.set_dtype_policy(before)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(to_numpy(loaded(IDS)), to_numpy(model(IDS)))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]


@pytest.mark.slow
def test_model_trains_with_padding():
    model = attention_pooling()
    model.compile("sgd", "mse")
    losses = model.fit(IDS, np.ones((3, 4)), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
