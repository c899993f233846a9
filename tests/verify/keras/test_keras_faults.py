"""Mask bugs in Keras: `verify` finds and explains each of them, and the advice fixes the model.

For every fault, there is a function that builds a faulty model, and functions that follow the advice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from tiers import represented

from padmask.verify import assert_ignores_padding, verify_model

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")
keras = pytest.importorskip("keras", reason="models need Keras: pip install 'padmask[verify]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tf,
    # Warnings of Keras and NumPy while models are built and read.
    pytest.mark.filterwarnings("ignore:.*destroy the mask"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

L = keras.layers
VOCAB, DIM, UNITS = 20, 4, 3


def embedding(masked=True, name="embed"):
    return L.Embedding(VOCAB, DIM, mask_zero=masked, name=name)


def tokens(length=None):
    return keras.Input((length,), dtype="int32", name="ids")


def chain(*layers, length=None):
    return keras.Sequential([tokens(length), embedding(), *layers], name="net")


def mean():
    return L.GlobalAveragePooling1D(name="pool")


def multi_head(name):
    return L.MultiHeadAttention(2, 2, name=name)


def grouped(name):
    return L.GroupQueryAttention(2, 2, 1, name=name)


def pairs(ids):
    """A mask of shape (batch, 1, key steps)."""
    return keras.ops.expand_dims(keras.ops.not_equal(ids, 0), 1)


# --- the faults and their fixes -----------------------------------------------------------------------


def two_blocks(attention=multi_head, explicit=False):
    """Attention with residual Adds. The first attention removes the mask from the input of the Add."""
    ids = tokens()
    x = embedding()(ids)
    handed = {"attention_mask": pairs(ids)} if explicit else {}
    for number in (1, 2):
        attended = attention(f"attention_{number}")(x, x, **handed)
        x = L.Add(name=f"residual_{number}")([x, attended])
    return keras.Model(ids, mean()(x), name="net")


class OneBlock(keras.Model):
    """A subclassed model. It has no graph that stores masks, so one attention block is enough for a leak."""

    def __init__(self, attention=multi_head, explicit=False, pooled_with_mask=False):
        super().__init__(name="net")
        self.embed, self.pool = embedding(), mean()
        self.attention, self.residual = attention("attention"), L.Add(name="residual")
        self.explicit, self.pooled_with_mask = explicit, pooled_with_mask

    def call(self, ids):
        x = self.embed(ids)
        handed = {"attention_mask": pairs(ids)} if self.explicit else {}
        x = self.residual([x, self.attention(x, x, **handed)])
        return self.pool(x, mask=self.embed.compute_mask(ids) if self.pooled_with_mask else None)


class Arithmetic(keras.Model):
    """A model whose `call` multiplies, which silently drops the mask."""

    def __init__(self, handed=False):
        super().__init__(name="net")
        self.embed, self.pool, self.handed = embedding(), mean(), handed

    def call(self, ids):
        mask = self.embed.compute_mask(ids) if self.handed else None
        return self.pool(self.embed(ids) * 2, mask=mask)


def decoder(layer, states=1, handed=False):
    """A recurrent layer with an initial state. Keras does not pass a mask to calls with two tensors."""
    ids = tokens()
    embed = embedding()
    x = embed(ids)
    state = L.Dense(UNITS, name="start")(L.GlobalAveragePooling1D(name="gist")(x))
    options = {"mask": embed.compute_mask(ids)} if handed else {}
    outputs = layer(x, initial_state=[state] * states if states > 1 else state, **options)
    return keras.Model(ids, outputs, name="net")


def joined(masked=False, handed=False):
    """Concatenate of a masked and an unmasked branch."""
    ids = tokens()
    embed = embedding()
    both = L.Concatenate(name="both")([embed(ids), embedding(masked, "other")(ids)])
    options = {"mask": embed.compute_mask(ids)} if handed else {}
    return keras.Model(ids, L.SimpleRNN(UNITS, name="rnn")(both, **options), name="net")


@dataclass(frozen=True)
class Fault:
    """A mask bug in Keras.

    Args:
        build: function that builds a model with the bug.
        culprit: name of the layer that the report must contain.
        says: words in the advice.
        marks: labels in the path.
        cures: functions that build the model as the advice says.
    """

    build: Callable[[], keras.Model]
    culprit: str
    says: tuple[str, ...]
    marks: str
    cures: tuple[Callable[[], keras.Model], ...]


HANDED = ("a single tensor argument", "initial_state", "mask=...")
FAULTS = {
    "attention-strips-a-mask-in-a-graph": Fault(
        two_blocks,
        "attention_1",
        ("deletes the mask of its input tensors", "attention_mask=...", "GroupQueryAttention"),
        "attention_1 (deletes the mask of its input tensors) -> ",
        (lambda: two_blocks(explicit=True), lambda: two_blocks(grouped)),
    ),
    "attention-strips-a-mask-in-a-subclass": Fault(
        OneBlock,
        "attention",
        ("deletes the mask of its input tensors", "GroupQueryAttention"),
        "attention (deletes the mask of its input tensors) -> pool (output depends on padding)",
        (lambda: OneBlock(grouped), lambda: OneBlock(explicit=True, pooled_with_mask=True)),
    ),
    "lstm-with-initial-state": Fault(
        lambda: decoder(L.LSTM(UNITS, name="lstm"), states=2),
        "lstm",
        HANDED,
        "embed -> lstm (receives no mask)",
        (lambda: decoder(L.LSTM(UNITS, name="lstm"), states=2, handed=True),),
    ),
    "simple-rnn-with-initial-state": Fault(
        lambda: decoder(L.SimpleRNN(UNITS, name="rnn")),
        "rnn",
        HANDED,
        "embed -> rnn (receives no mask)",
        (lambda: decoder(L.SimpleRNN(UNITS, name="rnn"), handed=True),),
    ),
    "bidirectional-with-initial-state": Fault(
        lambda: decoder(L.Bidirectional(L.SimpleRNN(UNITS), name="ways"), states=2),
        "ways",
        HANDED,
        "embed -> ways (receives no mask)",
        (lambda: decoder(L.Bidirectional(L.SimpleRNN(UNITS), name="ways"), states=2, handed=True),),
    ),
    "backwards-with-sequences": Fault(
        lambda: chain(L.SimpleRNN(UNITS, go_backwards=True, return_sequences=True, name="rnn"), mean()),
        "rnn",
        ("go_backwards and return_sequences", "does not reverse the mask", "Bidirectional"),
        "embed -> rnn (output depends on padding despite the mask)",
        (
            lambda: chain(L.Bidirectional(L.SimpleRNN(UNITS, return_sequences=True), name="rnn"), mean()),
            lambda: chain(L.SimpleRNN(UNITS, go_backwards=True, name="rnn")),
        ),
    ),
    "concatenate-makes-a-mask-all-true": Fault(
        joined,
        "both",
        ("a mask that is all True", "Mask all its inputs", "mask=..."),
        "both (the mask is all True from this layer on) -> rnn (output depends on padding)",
        (lambda: joined(masked=True), lambda: joined(handed=True)),
    ),
    "group-normalization-over-time": Fault(
        lambda: chain(L.GroupNormalization(2, name="norm"), mean()),
        "norm",
        ("normalises over the steps", "LayerNormalization", "axis=-1"),
        "embed -> norm (output depends on padding)",
        (lambda: chain(L.LayerNormalization(axis=-1, name="norm"), mean()),),
    ),
    "unit-normalization-over-time": Fault(
        lambda: chain(L.UnitNormalization(axis=1, name="norm"), mean()),
        "norm",
        ("over the time axis includes padding", "axis=-1"),
        "embed -> norm (output depends on padding)",
        (lambda: chain(L.UnitNormalization(axis=-1, name="norm"), mean()),),
    ),
    "zero-output-for-mask": Fault(
        lambda: chain(L.SimpleRNN(UNITS, zero_output_for_mask=True, name="rnn")),
        "rnn",
        ("zero_output_for_mask", "Unset these options"),
        "embed -> rnn (output depends on padding despite the mask)",
        (lambda: chain(L.SimpleRNN(UNITS, name="rnn")),),
    ),
}
CURES = {
    f"{name}-{number}": cure
    for name, fault in FAULTS.items()
    for number, cure in enumerate(fault.cures, start=1)
}


def ready(build):
    """Build a model with weights that show the fault."""
    model = build()
    if not model.built:
        model(np.array([[1, 2, 0], [3, 0, 0]]))
    random = np.random.default_rng(7)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


def proven(build, **options):
    [subject] = verify_model(ready(build), **options).subjects
    return subject


# Other types of recurrent layers with an initial state take the same path.
OTHER_STATES = {"simple-rnn-with-initial-state", "bidirectional-with-initial-state"}


@represented("fault", FAULTS, by=FAULTS.keys() - OTHER_STATES)
def test_fault_is_explained(fault):
    subject = proven(fault.build)
    assert subject.verdict == "leaks"
    assert subject.culprit == fault.culprit
    assert fault.marks in subject.path
    for words in fault.says:
        assert words in subject.advice


@represented(
    "cure",
    CURES,
    by={
        "attention-strips-a-mask-in-a-subclass-2",
        "lstm-with-initial-state-1",
        "backwards-with-sequences-2",
        "concatenate-makes-a-mask-all-true-1",
        "unit-normalization-over-time-1",
    },
)
def test_advice_cures_fault(cure):
    assert_ignores_padding(ready(cure))


def test_mask_baked_into_a_graph():
    """Attention without a fault must not be blamed."""
    ids = tokens()
    x = embedding()(ids)
    x = L.Add(name="residual")([x, multi_head("attention")(x, x)])
    assert_ignores_padding(ready(lambda: keras.Model(ids, mean()(x), name="net")))


def test_zeros_for_padding_are_harmless():
    assert_ignores_padding(
        ready(
            lambda: chain(
                L.SimpleRNN(UNITS, zero_output_for_mask=True, return_sequences=True, name="rnn"), mean()
            )
        )
    )


def test_attention_advice():
    """A mask for the attention alone does not fix the model, because the later pooling has no mask."""
    assert proven(lambda: OneBlock(explicit=True)).verdict == "leaks"
    advice = proven(OneBlock).advice
    assert "attend to padding" not in advice
    assert "attention_mask=..." not in advice or " mask=..." in advice


def test_arithmetic_cure():
    assert proven(Arithmetic).verdict == "leaks"
    assert_ignores_padding(ready(lambda: Arithmetic(handed=True)))


def test_arithmetic_advice():
    advice = proven(Arithmetic).advice
    assert "mask=..." in advice
    assert "supports_masking" not in advice


# --- TimeDistributed, whose outputs have the wrong shape where it is compiled -------------------------


def each_step(*after, length=None):
    return chain(L.TimeDistributed(L.Dense(2), name="each"), *after, length=length)


def checks_of(subject):
    return {check.name: check.verdict for check in subject.checks}


def test_wrong_output_shape():
    report = verify_model(ready(each_step))
    [subject] = report.subjects
    assert not report.ok
    assert checks_of(subject)["output-shape"] == "fails"
    assert checks_of(subject)["row-alone"] == checks_of(subject)["more-padding"] == "holds"
    [shape] = [check for check in subject.checks if check.name == "output-shape"]
    assert "in the eager model" in shape.detail
    assert subject.culprit == "each"
    assert "give the input a fixed length" in subject.advice


@pytest.mark.parametrize(
    "cure",
    [lambda: each_step(length=6), lambda: chain(L.Dense(2, name="each"))],
    ids=["fixed-length", "do-without"],
)
def test_advice_cures_output_shape(cure):
    subject = proven(cure)
    assert (subject.verdict, checks_of(subject)["output-shape"]) == ("ignores", "holds")


def test_wrong_shape_in_graph_mode():
    subject = proven(lambda: each_step(mean()))
    assert checks_of(subject)["output-shape"] == "fails"
    assert checks_of(subject)["row-alone"] == "holds"
    assert subject.culprit == "each"
    # The report hides the lines of the graph.
    [shape] = [check for check in subject.checks if check.name == "output-shape"]
    assert "File " not in shape.detail


@pytest.mark.exhaustive(by="test_wrong_shape_in_graph_mode")
def test_wrong_shape_before_pooling():
    subject = proven(lambda: each_step(L.GlobalMaxPooling1D(name="peak")))
    assert checks_of(subject)["output-shape"] == "fails"
    assert checks_of(subject)["row-alone"] == "fails"
    assert subject.verdict == "leaks"


@represented(
    "name,unmasked",
    [("attention-strips-a-mask-in-a-graph", "residual_1"), ("concatenate-makes-a-mask-all-true", "both")],
    by=1,
)
def test_layers_are_explained(name, unmasked):
    """The first deviation occurs after the layer that drops the mask."""
    layers = {layer.name: layer for layer in proven(FAULTS[name].build, explain=True).layers}
    assert layers["embed"].mask_out
    assert not layers[unmasked].mask_out
    assert layers[unmasked].max_abs_diff < 1e-5
    assert layers["pool" if "pool" in layers else "rnn"].max_abs_diff > 1e-3


class PoolByScore(L.Layer):
    """A custom layer with the name of a Keras layer. It drops the mask, as pooling does."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True
        self.score = L.Dense(1)

    def call(self, x):
        return keras.ops.sum(keras.ops.softmax(self.score(x), axis=1) * x, axis=1)

    def compute_mask(self, inputs, previous_mask):
        return None


class MaskedPoolByScore(PoolByScore):
    """`PoolByScore` with the argument `mask`, which the advice asks for."""

    def call(self, x, mask=None):
        scores = self.score(x)
        if mask is not None:
            scores = keras.ops.where(mask[..., None], scores, -1e9)
        return keras.ops.sum(keras.ops.softmax(scores, axis=1) * x, axis=1)


def test_names_of_custom_layers():
    subject = proven(lambda: chain(PoolByScore(name="pool")))
    assert subject.culprit == "pool"
    assert "Add a mask argument to its call method" in subject.advice
    assert proven(lambda: chain(MaskedPoolByScore(name="pool"))).verdict == "ignores"
