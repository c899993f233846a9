"""The kind of each input of a Keras model follows from its name, dtype, shape and use."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")

from verify.keras.example_models import DIM, VOCAB, K, L, TokenAndPosition, keras

from padmask.verify.keras.backend import start_backend

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def slots_of():
    start_backend()
    from padmask.verify.keras.model_inputs import find_model_inputs

    def found(*inputs, **options):
        outputs = [K.sum(K.cast(tensor, "float32")) for tensor in inputs]
        return find_model_inputs(keras.Model(list(inputs), outputs), **options)

    return found


def ids(shape=(None,), dtype="int32", name="ids"):
    return L.Input(shape, dtype=dtype, name=name)


@pytest.mark.parametrize(
    ("name", "dtype", "kind"),
    [
        ("attention_mask", "int32", "mask"),
        ("attention_masks", "float32", "mask"),
        ("input_mask", "int64", "mask"),
        ("valid", "bool", "mask"),
        ("mask_positions", "int32", "positions"),
        ("position_ids", "int32", "positions"),
        ("token_type_ids", "int32", "segments"),
        ("segment_ids", "int32", "segments"),
        ("masked_ids", "int32", "tokens"),
        ("series", "float32", "features"),
    ],
)
def test_kind_of_name(slots_of, name, dtype, kind):
    _, slot = slots_of(ids(), ids(name=name, dtype=dtype))
    assert slot.kind == kind
    assert slot.mask_of == ("ids" if kind in ("mask", "positions", "segments") else None)


@pytest.mark.parametrize(
    ("shape", "time_axis", "inner"),
    [
        ((None,), 0, ()),
        ((4, None), 1, (4,)),
        ((4, 20), 1, (4,)),
        ((None, None), 0, (None,)),
        ((20, 4), 0, (4,)),
    ],
)
def test_time_axis_of_ids(slots_of, shape, time_axis, inner):
    """Ids of shape (choices, time) have their time axis last."""
    [slot] = slots_of(ids(shape))
    assert (slot.time_axis, slot.inner) == (time_axis, inner)


def test_default_dtype_of_ids():
    """Input((20,)) has the dtype float32, but takes ids if a custom layer embeds its values."""
    from padmask.verify.keras.model_inputs import find_model_inputs

    tensor, other = L.Input((20,), name="ids"), L.Input((20,), name="numbers")
    model = keras.Model([tensor, other], [TokenAndPosition()(tensor), L.Dense(2)(other)])
    assert [(slot.kind, slot.places) for slot in find_model_inputs(model)] == [("tokens", 20), ("static", 20)]


@pytest.mark.parametrize("kind", ["tokens", "mask", "segments", "positions", "features", "static"])
def test_declared_kind(slots_of, kind):
    _, slot = slots_of(ids(), ids(name="other"), roles={"other": kind})
    assert slot.kind == kind


# --- models with such inputs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verdict_of():
    engine = start_backend()
    from padmask.spec.verify import ModelSpec
    from padmask.verify.keras.user_model import UserModel
    from padmask.verify.keras.verify_keras_model import verify_keras_model

    def verdict(inputs, outputs, rows=None):
        model = keras.Model(inputs, outputs)
        random = np.random.default_rng(0)
        for weight in model.trainable_variables:
            weight.assign(random.normal(0, 0.5, weight.shape))
        return verify_keras_model(UserModel(model, engine), ModelSpec(vocab_size=VOCAB), rows)[0].verdict

    return verdict


def mean_of_choices(*, masked):
    tokens, mask = ids((3, None)), ids((3, None), name="attention_mask")
    weights = K.expand_dims(K.cast(mask, "float32"), -1)
    x = L.Embedding(VOCAB, DIM)(tokens) * weights
    return [tokens, mask], K.sum(x, axis=2) / K.sum(weights, axis=2) if masked else K.mean(x, axis=2)


@pytest.mark.slow
@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
def test_ids_of_choices(verdict_of, masked, verdict):
    assert verdict_of(*mean_of_choices(masked=masked)) == verdict


@pytest.mark.slow
def test_segments_are_filled(verdict_of):
    """A model with segments runs on data that has only ids."""
    tokens, mask, segments = ids(), ids(name="attention_mask"), ids(name="token_type_ids")
    x = L.Embedding(VOCAB, DIM)(tokens) + L.Embedding(2, DIM)(segments)
    outputs = L.LSTM(3)(x, mask=K.cast(mask, "bool"))
    rows = {"ids": [np.array([5, 3, 9]), np.array([7]), np.array([1, 2])]}
    assert verdict_of([tokens, mask, segments], outputs, rows) == "ignores"
    assert verdict_of([tokens, mask, segments], outputs) == "ignores"


@pytest.mark.slow
@pytest.mark.parametrize("pooling", [L.GlobalMaxPooling1D, L.GlobalAveragePooling1D])
def test_short_rows_are_lengthened(verdict_of, pooling):
    """Two convolutions with strides need rows of at least 25 tokens."""
    tokens = ids()
    x = L.Embedding(VOCAB, DIM)(tokens)
    for _ in range(2):
        x = L.Conv1D(4, 7, strides=3)(x)
    assert verdict_of(tokens, pooling()(x)) == "leaks"
