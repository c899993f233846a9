"""Small Keras models with known verdicts: some ignore padding, some do not.

Every verdict was measured independently. Each row without padding was compared with the same row in wider
batches. If the rows of a batch depend on each other, batches of several widths were compared. If the width is
fixed, the embedding of the padding was changed. The name of the function that
builds a model is the model's name, and its docstring explains the verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
K = keras.ops
L = keras.layers

VOCAB, DIM, UNITS, OUT = 50, 4, 6, 3
IDS = {"ids": "tokens"}
MASKED = {"ids": "tokens", "attention_mask": "mask"}
PAIR = {"source": "tokens", "target": "tokens"}
FRAMES = {"frames": f"features:{DIM}"}


@dataclass(frozen=True)
class ExampleModel:
    """A model and its known verdict.

    `culprits` are the acceptable names of the first layer or operation that drops the mask or lets padding
    change real positions. A nested layer has the name "outer/inner". If plain operations in the `call` of a
    subclassed model leak, the acceptable name is the name of the model. Most models have one acceptable name.

    `inputs` describes each input by name: "tokens" (if there are two, their lengths differ), "tokens:ids"
    (tokens with the lengths of `ids`), "features:F" (F floats per step) or "mask" (1 for real tokens and 0
    for padding, in the dtype of the input, or int32). The input shape of the model contains a fixed length or
    batch size.
    """

    name: str
    build: Callable[[], keras.Model] = field(repr=False)
    verdict: str  # "ignores", "leaks" or "inconclusive"
    culprits: frozenset[str] = frozenset()
    custom: bool = False  # loading requires the classes in this file
    unsafe: bool = False  # loading requires safe_mode=False
    graph: bool = False  # leaks only if compiled, as in predict
    inputs: dict[str, str] = field(default_factory=lambda: dict(IDS))
    value: int = 0  # the pad id
    padding: str = "post"
    why: str = ""


_models: list[ExampleModel] = []


def example(verdict: str, culprits: tuple[str, ...] = (), policy: str = "float32", **known):
    def enter(builder: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
        def build() -> keras.Model:
            before = keras.config.dtype_policy()
            keras.utils.clear_session(free_memory=False)  # resets the numbers in names such as "add_1"
            keras.utils.set_random_seed(7)
            keras.config.set_dtype_policy(policy)
            try:
                return builder()
            finally:
                keras.config.set_dtype_policy(before)

        name = builder.__name__.strip("_").replace("_", "-")
        why = (builder.__doc__ or "").strip()
        _models.append(ExampleModel(name, build, verdict, frozenset(culprits), why=why, **known))
        return builder

    return enter


def leaks(*culprits: str, **known):
    return example("leaks", culprits, **known)


def clean(**known):
    return example("ignores", **known)


def unsure(**known):
    return example("inconclusive", **known)


# Functions that the builders share. -----------------------------------------------------------------------


def scrambled(model: keras.Model, scale: float = 0.5) -> keras.Model:
    """Give every weight a random value, because new weights are too close to zero to show leaks."""
    random = np.random.default_rng(7)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0, scale, weight.shape))
    for weight in model.non_trainable_variables:
        if weight.name in ("moving_mean", "moving_variance"):
            weight.assign(random.uniform(0.2, 1, weight.shape))
    return model


def net(inputs, outputs) -> keras.Model:
    return scrambled(keras.Model(inputs, outputs, name="net"))


def chain(*layers, shape=(None,), dtype="int32", name="ids") -> keras.Model:
    return scrambled(keras.Sequential([L.Input(shape, dtype=dtype, name=name), *layers], name="net"))


def tokens(name: str = "ids", length: int | None = None):
    return L.Input((length,), dtype="int32", name=name)


def frames():
    return L.Input((None, DIM), name="frames")


def mask_input(dtype: str):
    return L.Input((None,), dtype=dtype, name="attention_mask")


def embedding(masked: bool = True, name: str = "embed"):
    return L.Embedding(VOCAB, DIM, mask_zero=masked, name=name)


def head(x):
    return L.Dense(OUT, name="head")(x)


def mean(name: str = "pool"):
    return L.GlobalAveragePooling1D(name=name)


def peak(name: str = "peak"):
    return L.GlobalMaxPooling1D(name=name)


def gru(name: str = "gru", **options):
    return L.GRU(UNITS, name=name, **options)


def lstm(name: str = "lstm", **options):
    return L.LSTM(UNITS, name=name, **options)


def attention(name: str = "attention"):
    return L.MultiHeadAttention(2, DIM, name=name)


def real(ids, value: int = 0):
    """Return 1.0 for real steps and 0.0 for padding, with an axis for the features."""
    return K.expand_dims(K.cast(K.not_equal(ids, value), "float32"), -1)


def weighted_mean(x, weights):
    return K.sum(x * weights, axis=1) / K.sum(weights, axis=1)


# Custom layers. -------------------------------------------------------------------------------------------

custom = keras.saving.register_keras_serializable("examples")


@custom
class Halve(L.Layer):
    """A layer that does not mix steps, but does not set supports_masking."""

    def call(self, x):
        return x * 0.5


@custom
class SumOfTwo(L.Layer):
    """A layer with two tensors. Keras passes `first_mask` and `second_mask`, but never `mask`."""

    def call(self, first, second, mask=None):
        both = first + second
        if mask is not None:
            both = both * K.expand_dims(K.cast(mask, both.dtype), -1)
        return K.sum(both, axis=1)


@custom
class WidthMean(L.Layer):
    """The sum over the real steps, divided by the width of the batch."""

    supports_masking = True

    def call(self, x, mask=None):
        x = x * K.expand_dims(K.cast(mask, x.dtype), -1)
        return K.sum(x, axis=1) / K.cast(K.shape(x)[1], x.dtype)

    def compute_mask(self, x, mask=None):
        return None


@custom
class MaskedMean(L.Layer):
    def call(self, x, mask=None):
        weights = K.expand_dims(K.cast(mask, x.dtype), -1)
        return K.sum(x * weights, axis=1) / K.sum(weights, axis=1)

    def compute_mask(self, x, mask=None):
        return None


@custom
class LastReal(L.Layer):
    """The last real step of rows that are padded on the right."""

    def call(self, x, mask=None):
        last = K.sum(K.cast(mask, "int32"), axis=1) - 1
        return K.squeeze(K.take_along_axis(x, last[:, None, None], axis=1), axis=1)

    def compute_mask(self, x, mask=None):
        return None


@custom
class Count(L.Layer):
    """The number of real steps."""

    def call(self, x, mask=None):
        return K.sum(K.cast(mask, "float32"), axis=1, keepdims=True)

    def compute_mask(self, x, mask=None):
        return None


@custom
class Positions(L.Layer):
    """Learned position embeddings, counted from the left or the right end of the batch."""

    def __init__(self, from_right=False, **options):
        super().__init__(**options)
        self.from_right = from_right
        self.supports_masking = True

    def build(self, shape):
        self.table = self.add_weight(shape=(128, shape[-1]), name="table")

    def call(self, x):
        places = K.arange(K.shape(x)[1])
        return x + K.take(self.table, places[::-1] if self.from_right else places, axis=0)

    def get_config(self):
        return {**super().get_config(), "from_right": self.from_right}


@custom
class Recent(L.Layer):
    """The last forty steps of the batch, with their mask."""

    def call(self, x):
        return x[:, -40:]

    def compute_mask(self, x, mask=None):
        return None if mask is None else mask[:, -40:]

    def compute_output_shape(self, shape):
        return shape


@custom
class FirstThree(L.Layer):
    """The mean of the first three steps, including padding."""

    def call(self, x):
        return K.mean(x[:, :3], axis=1)


@custom
class SplitAtFour(L.Layer):
    """A layer that splits the steps and the mask into two pieces."""

    def call(self, x):
        return x[:, :4], x[:, 4:]

    def compute_mask(self, x, mask=None):
        return [None, None] if mask is None else [mask[:, :4], mask[:, 4:]]

    def compute_output_shape(self, shape):
        return [(shape[0], None, shape[2])] * 2


@custom
class PadEmbedding(L.Layer):
    """An embedding with a configurable pad id."""

    def __init__(self, pad, **options):
        super().__init__(**options)
        self.pad = pad
        self.inner = L.Embedding(VOCAB, DIM, name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, ids):
        return self.inner(ids)

    def compute_mask(self, ids, mask=None):
        return K.not_equal(ids, self.pad)

    def compute_output_shape(self, shape):
        return (*shape, DIM)

    def get_config(self):
        return {**super().get_config(), "pad": self.pad}


@custom
class Block(L.Layer):
    """Attention with residual Adds. The attention removes the mask from its own input."""

    def __init__(self, depth=1, explicit=False, **options):
        super().__init__(**options)
        self.depth, self.explicit = depth, explicit
        self.supports_masking = True
        self.attentions = [attention(f"attention_{number + 1}") for number in range(depth)]
        self.adds = [L.Add(name=f"residual_{number + 1}") for number in range(depth)]

    def build(self, shape):
        for layer in self.attentions:
            layer.build(shape, shape)

    def call(self, x, mask=None):
        seen = mask[:, None, :] if self.explicit and mask is not None else None
        for attend, add in zip(self.attentions, self.adds, strict=True):
            x = add([x, attend(x, x, attention_mask=seen)])
        return x

    def get_config(self):
        return {**super().get_config(), "depth": self.depth, "explicit": self.explicit}


# Subclassed models. ---------------------------------------------------------------------------------------


class Own(keras.Model):
    """A subclassed model that keeps its name when it is saved."""

    def __init__(self, **options):
        super().__init__(**options)
        self.embed, self.head = embedding(), L.Dense(OUT, name="head")
        self.pool, self.gru = mean(), gru()
        self.attention, self.add = attention(), L.Add(name="residual")

    def get_config(self):
        return {"name": self.name}


@custom
class OwnReader(Own):
    def call(self, ids):
        return self.head(self.gru(self.embed(ids)))


@custom
class OwnOneBlock(Own):
    def call(self, ids):
        x = self.embed(ids)
        return self.head(self.pool(self.add([x, self.attention(x, x)])))


@custom
class OwnReuse(Own):
    def call(self, ids):
        x = self.embed(ids)
        seen = self.pool(self.attention(x, x))
        return self.head(K.concatenate([seen, self.gru(x)], axis=-1))


@custom
class OwnPlainMean(Own):
    def call(self, ids):
        return self.head(K.mean(self.embed(ids), axis=1))


@custom
class OwnMasked(Own):
    def call(self, inputs):
        x, mask = self.embed(inputs["ids"]), inputs["attention_mask"]
        x = self.add([x, self.attention(x, x, attention_mask=K.cast(mask, "bool")[:, None, :])])
        return self.head(self.gru(x, mask=K.cast(mask, "bool")))


def own(model: keras.Model) -> keras.Model:
    model(np.ones((2, 3), "int32"))
    return scrambled(model)


# Leaks: an operator, an operation or a merge drops the mask silently. -------------------------------------


@leaks("add")
def plus_then_lstm():
    """The operator + drops the mask, so the LSTM includes the padding."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(lstm()(x + L.Dense(DIM, name="mix")(x))))


@leaks("multiply")
def scaled_embedding():
    """Multiplication by a number drops the mask."""
    ids = tokens()
    return net(ids, head(L.Bidirectional(gru(), name="both")(embedding()(ids) * 2.0)))


@leaks("tanh")
def tanh_operation():
    """keras.ops.tanh drops the mask, unlike Activation("tanh")."""
    ids = tokens()
    return net(ids, head(gru()(K.tanh(embedding()(ids)))))


@leaks("flip")
def flip_then_gru():
    """keras.ops.flip drops the mask and moves the padding to the start."""
    ids = tokens()
    return net(ids, head(gru()(K.flip(embedding()(ids), axis=1))))


@leaks("merge")
def add_unmasked_branch():
    """Add returns no mask if one branch has no mask."""
    ids = tokens()
    merged = L.Add(name="merge")([embedding()(ids), embedding(False, "plain")(ids)])
    return net(ids, head(lstm()(merged)))


@leaks("merge")
def concatenate_unmasked_branch():
    """Concatenate treats an unmasked branch as real, and returns a mask that is all True."""
    ids = tokens()
    merged = L.Concatenate(name="merge")([embedding()(ids), embedding(False, "plain")(ids)])
    return net(ids, head(mean()(merged)))


@leaks("mean")
def mean_operation():
    """keras.ops.mean over time includes the padding."""
    ids = tokens()
    return net(ids, head(K.mean(embedding()(ids), axis=1)))


@leaks("mean")
def masked_sum_over_width():
    """The padding is set to zero, but the sum is divided by the width."""
    ids = tokens()
    return net(ids, head(K.mean(embedding(False)(ids) * real(ids), axis=1)))


@leaks("share", custom=True)
def width_mean_layer():
    """A layer uses its mask, but divides by the width."""
    return chain(embedding(), WidthMean(name="share"), L.Dense(OUT, name="head"))


@leaks("get_item")
def last_step():
    """x[:, -1] is padding in every row except the longest."""
    ids = tokens()
    return net(ids, head(L.Dense(UNITS, name="mix")(embedding()(ids))[:, -1]))


@leaks("softmax")
def softmax_over_time():
    """Attention pooling with a softmax that includes the padding."""
    ids = tokens()
    x = embedding()(ids)
    weights = K.softmax(L.Dense(1, name="score")(x), axis=1)
    return net(ids, head(K.sum(x * weights, axis=1)))


@leaks("softmax")
def weak_mask_constant():
    """The score of padding is -6 instead of minus infinity, so padding has a small effect."""
    ids = tokens()
    x = embedding()(ids)
    scores = L.Dense(1, name="score")(x) - 6.0 * (1.0 - real(ids))
    return net(ids, head(K.sum(x * K.softmax(scores, axis=1), axis=1)))


@leaks("einsum", "softmax")
def attention_by_hand():
    """Self-attention in keras.ops. The scores have no mask, so the softmax includes the padding."""
    ids = tokens()
    x = embedding()(ids)
    query, key = L.Dense(DIM, name="query")(x), L.Dense(DIM, name="key")(x)
    weights = K.softmax(K.einsum("btf,bsf->bts", query, key), axis=-1)
    return net(ids, head(K.matmul(weights, x)))


@leaks("scores", "weights")
def dot_attention():
    """Dot returns no mask, so the softmax over its scores includes the padding."""
    ids = tokens()
    x = embedding()(ids)
    weights = L.Activation("softmax", name="weights")(L.Dot((2, 2), name="scores")([x, x]))
    return net(ids, head(L.Dot((2, 1), name="mixed")([weights, x])))


@leaks("sum")
def width_alone():
    """The output depends on the width and not on the tokens."""
    ids = tokens()
    return net(ids, head(K.expand_dims(K.log(K.sum(K.ones_like(ids, dtype="float32"), axis=1)), -1)))


# Leaks: layers without masks, after a warning. ------------------------------------------------------------


@leaks("conv")
def conv_same():
    """A convolution at the last real step includes the padding."""
    return chain(embedding(), L.Conv1D(UNITS, 3, padding="same", name="conv"), L.Dense(OUT, name="head"))


@leaks("conv")
def separable_conv():
    """A separable convolution includes the padding, before a pooling layer that supports masks."""
    conv = L.SeparableConv1D(UNITS, 3, padding="same", name="conv")
    return chain(embedding(), conv, mean(), L.Dense(OUT, name="head"))


@leaks("conv")
def pointwise_conv_then_lstm():
    """A convolution with kernel size 1 mixes no steps, but drops the mask that the LSTM needs."""
    return chain(embedding(), L.Conv1D(UNITS, 1, name="conv"), lstm(), L.Dense(OUT, name="head"))


@leaks("conv", padding="pre")
def causal_conv_pre():
    """With padding on the left, a causal convolution includes padding instead of zeros."""
    return chain(embedding(), L.Conv1D(UNITS, 3, padding="causal", name="conv"), L.Dense(OUT, name="head"))


@leaks("flat")
def flatten_fixed():
    """After Flatten, every position has separate weights, including padding."""
    return chain(embedding(), L.Flatten(name="flat"), L.Dense(OUT, name="head"), shape=(12,))


@leaks("peak")
def global_max():
    """The maximum may be a value of the padding."""
    return chain(embedding(), peak(), L.Dense(OUT, name="head"))


@leaks("squeeze")
def max_pool_then_lstm():
    """Pooling halves the number of steps and drops the mask."""
    pool = L.MaxPooling1D(2, padding="same", name="squeeze")
    return chain(embedding(), pool, lstm(), L.Dense(OUT, name="head"))


@leaks("squeeze")
def average_pool_then_mean():
    """The mean after the layer receives no mask."""
    pool = L.AveragePooling1D(3, padding="same", name="squeeze")
    return chain(embedding(), pool, mean(), L.Dense(OUT, name="head"))


@leaks("norm")
def rms_normalization_then_gru():
    """RMSNormalization does not support masks, though LayerNormalization does."""
    return chain(embedding(), L.RMSNormalization(name="norm"), gru(), L.Dense(OUT, name="head"))


@leaks("project")
def einsum_dense_then_gru():
    """EinsumDense does not support masks, though Dense does."""
    project = L.EinsumDense("abc,cd->abd", (None, DIM), name="project")
    return chain(embedding(), project, gru(), L.Dense(OUT, name="head"))


@leaks("same")
def identity_reshape():
    """A Reshape to the same shape drops the mask."""
    return chain(embedding(), L.Reshape((-1, DIM), name="same"), gru(), L.Dense(OUT, name="head"))


@leaks("same")
def identity_permute():
    """A Permute to the same order drops the mask."""
    return chain(embedding(), L.Permute((1, 2), name="same"), lstm(), L.Dense(OUT, name="head"))


@leaks("twice")
def upsampling():
    """The steps are repeated, but the mask is dropped."""
    return chain(embedding(), L.UpSampling1D(2, name="twice"), gru(), L.Dense(OUT, name="head"))


@leaks("halve", custom=True)
def custom_without_masking():
    """A custom layer must set supports_masking."""
    return chain(embedding(), Halve(name="halve"), gru(), L.Dense(OUT, name="head"))


@leaks("both", custom=True)
def custom_with_two_tensors():
    """Keras does not pass `mask` to a layer with two tensors."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(SumOfTwo(name="both")(x, L.Dense(DIM, name="mix")(x))))


@leaks("last", unsafe=True)
def lambda_last_step():
    """A Lambda receives no mask unless its function has a mask argument."""
    last = L.Lambda(lambda x: x[:, -1], output_shape=(DIM,), name="last")
    return chain(embedding(), last, L.Dense(OUT, name="head"))


# Leaks: layers that pass the mask on but mix the steps. ---------------------------------------------------


@leaks("norm")
def group_normalization():
    """The layer computes its moments over time, including the padding."""
    return chain(embedding(), L.GroupNormalization(2, name="norm"), mean(), L.Dense(OUT, name="head"))


@leaks("norm")
def layer_normalization_over_time():
    """A LayerNormalization over time and features includes the padding."""
    norm = L.LayerNormalization([1, 2], center=False, scale=False, name="norm")
    return chain(embedding(), norm, lstm(), L.Dense(OUT, name="head"))


@leaks("norm")
def unit_normalization_over_time():
    """The norm of a feature over time includes the padding."""
    return chain(embedding(), L.UnitNormalization(1, name="norm"), gru(), L.Dense(OUT, name="head"))


@leaks("back")
def backwards_sequences_then_lstm():
    """go_backwards reverses the steps but not the mask."""
    back = lstm("back", go_backwards=True, return_sequences=True)
    return chain(embedding(), back, lstm("front"), L.Dense(OUT, name="head"))


@leaks("lstm")
def zero_output_for_mask():
    """With zero_output_for_mask, the final output is zero if the last step is padding."""
    return chain(embedding(), lstm(zero_output_for_mask=True), L.Dense(OUT, name="head"))


@leaks("again")
def masking_after_embedding():
    """Masking discards the incoming mask, and no step has its mask value."""
    return chain(embedding(), L.Masking(0.0, name="again"), gru(), L.Dense(OUT, name="head"))


@leaks("steps", graph=True)
def time_distributed():
    """In a graph with an unknown width, the layer loops over the batch and returns a wrong shape."""
    return chain(embedding(), L.TimeDistributed(L.Dense(OUT, name="head"), name="steps"))


# Leaks: Keras does not pass the mask to layers with an initial state. -------------------------------------


def decoder(cell, by_hand: bool = False):
    source, target = tokens("source"), tokens("target")
    _, *state = cell("encoder", return_state=True)(embedding(name="embed_source")(source))
    options = {"mask": K.not_equal(target, 0)} if by_hand else {}
    x = embedding(name="embed_target")(target)
    return net([source, target], head(cell("decoder")(x, initial_state=state, **options)))


@leaks("decoder", inputs=PAIR)
def lstm_initial_state():
    """Keras does not pass the mask to an LSTM with an initial state."""
    return decoder(lstm)


@leaks("decoder", inputs=PAIR)
def gru_initial_state():
    """Keras does not pass the mask to a GRU with an initial state."""
    return decoder(gru)


@leaks("decoder", inputs=PAIR)
def bidirectional_initial_state():
    """Keras does not pass the mask to a Bidirectional with an initial state. The model outputs every step."""
    source, target = tokens("source"), tokens("target")
    state = L.Bidirectional(gru("half"), name="encoder")(embedding(name="embed_source")(source))
    forth, back = L.Dense(UNITS, name="forth")(state), L.Dense(UNITS, name="back")(state)
    decode = L.Bidirectional(gru("half", return_sequences=True), name="decoder")
    y = decode(embedding(name="embed_target")(target), initial_state=[forth, back])
    return net([source, target], head(y))


@clean(inputs=PAIR)
def lstm_initial_state_and_mask():
    """The mask is passed explicitly."""
    return decoder(lstm, by_hand=True)


# Leaks: there is no mask, or it marks the wrong steps. ---------------------------------------------


@leaks("embed")
def unmasked_lstm():
    """Without mask_zero, the LSTM includes the padding."""
    return chain(embedding(False), lstm(), L.Dense(OUT, name="head"))


@leaks("embed")
def unmasked_mean():
    """Without mask_zero, the mean includes the padding."""
    return chain(embedding(False), mean(), L.Dense(OUT, name="head"))


@leaks("embed")
def unmasked_tagger():
    """The backward LSTM reads the padding first, which affects every step."""
    both = L.Bidirectional(lstm("half", return_sequences=True), name="both")
    return chain(embedding(False), both, L.Dense(OUT, name="head"))


@leaks("embed", padding="pre")
def unmasked_steps_pre():
    """With padding on the left, a forward LSTM reads the padding first."""
    return chain(embedding(False), lstm(return_sequences=True), L.Dense(OUT, name="head"))


@leaks("embed")
def unmasked_stateful():
    """A stateful model with a batch size of four and no mask."""
    ids = L.Input(batch_shape=(4, None), dtype="int32", name="ids")
    return net(ids, head(gru(stateful=True)(embedding(False)(ids))))


@leaks("embed")
def unmasked_fixed():
    """A model with a fixed width of twelve and no mask."""
    return chain(embedding(False), lstm(), L.Dense(OUT, name="head"), shape=(12,))


@leaks("embed", value=49)
def other_pad_id():
    """mask_zero masks id 0, but the pad value is 49."""
    return chain(embedding(), gru(), L.Dense(OUT, name="head"))


@leaks("lstm", inputs=FRAMES)
def frames_without_masking():
    """Features have no mask, because there is no Masking layer."""
    x = frames()
    return net(x, head(lstm()(x)))


@leaks("masking", "project", inputs=FRAMES)
def masking_too_late():
    """After a Dense layer with a bias, the padding is not zero."""
    x = frames()
    y = L.Masking(0.0, name="masking")(L.Dense(DIM, name="project")(x))
    return net(x, head(gru()(y)))


@leaks("conv", inputs=FRAMES)
def frames_conv():
    """A convolution pads rows with zeros. After a layer with a bias, the padding is not zero."""
    x = frames()
    y = L.Dense(DIM, name="project")(L.Masking(0.0, name="masking")(x))
    return net(x, head(L.Conv1D(UNITS, 3, padding="same", name="conv")(y)))


# Leaks: the mask is an input, but the model does not use it everywhere. -----------------------------------


@leaks("mean", inputs=MASKED)
def mask_input_ignored():
    """The mask is an input that no layer uses."""
    ids, mask = tokens(), mask_input("int32")
    return net([ids, mask], head(K.mean(embedding(False)(ids), axis=1)))


@leaks("attention", inputs=MASKED)
def mask_input_in_pooling_alone():
    """The pooling is masked, but the attention before it includes the padding."""
    ids, mask = tokens(), mask_input("float32")
    x = embedding(False)(ids)
    return net([ids, mask], head(weighted_mean(attention()(x, x), K.expand_dims(mask, -1))))


@leaks("attention", inputs=MASKED)
def mask_input_on_the_wrong_axis():
    """The model masks the queries, but every real query attends to all keys."""
    ids, mask = tokens(), mask_input("bool")
    x = embedding(False)(ids)
    return net([ids, mask], head(attention()(x, x, attention_mask=K.expand_dims(mask, -1))))


@leaks("softmax", inputs=MASKED)
def mask_input_inverted():
    """The mask is inverted, so only the padding is used."""
    ids, mask = tokens(), mask_input("float32")
    x = embedding(False)(ids)
    scores = L.Dense(1, name="score")(x) - 1e9 * K.expand_dims(mask, -1)
    return net([ids, mask], head(K.sum(x * K.softmax(scores, axis=1), axis=1)))


# Leaks: MultiHeadAttention removes the mask from its input, so a residual connection has no mask. ---------


def transformer(blocks: int, cell=attention, **options):
    def apply(x):
        for block in range(1, blocks + 1):
            x = L.Add(name=f"residual_{block}")([x, cell(f"attention_{block}")(x, x, **options)])
            x = L.LayerNormalization(name=f"norm_{block}")(x)
        return x

    return apply


@leaks("attention_1")
def two_blocks():
    """The second attention block attends to the padding."""
    ids = tokens()
    return net(ids, head(mean()(transformer(2)(embedding()(ids)))))


@leaks("attention_1")
def two_blocks_tagger():
    """The second attention block attends to the padding. The model outputs every step."""
    ids = tokens()
    return net(ids, head(transformer(2)(embedding()(ids))))


@leaks("attention", custom=True)
def subclassed_one_block():
    """In a subclassed model, one attention block is enough for a leak."""
    return own(OwnOneBlock(name="net"))


@leaks("attention", custom=True)
def subclassed_reuse():
    """Attention removes the mask of its input, which a GRU uses afterwards."""
    return own(OwnReuse(name="net"))


@leaks("block/attention_1", custom=True)
def custom_block():
    """A custom layer applies attention twice, and the second attention receives no mask."""
    return chain(embedding(), Block(2, name="block"), mean(), L.Dense(OUT, name="head"))


@leaks("encoder/attention_1")
def nested_encoder():
    """In a nested model, the second attention block attends to the padding."""
    inner = L.Input((None, DIM), name="steps")
    encoder = keras.Model(inner, transformer(2)(inner), name="encoder")
    ids = tokens()
    return net(ids, head(mean()(encoder(embedding()(ids)))))


# Leaks: nested models and subclassed ones. ----------------------------------------------------------------


@leaks("encoder/peak")
def nested_peak():
    """The layer that leaks is in a nested model."""
    inner = L.Input((None, DIM), name="steps")
    encoder = keras.Model(inner, peak()(L.Dense(UNITS, name="mix")(inner)), name="encoder")
    ids = tokens()
    return net(ids, head(encoder(embedding()(ids))))


@leaks("outer/inner/conv")
def nested_twice():
    """The layer that leaks is in a Sequential in another Sequential."""
    inner = keras.Sequential([L.Conv1D(DIM, 3, padding="same", name="conv")], name="inner")
    outer = keras.Sequential([L.Dense(DIM, name="mix"), inner], name="outer")
    return chain(embedding(), outer, lstm(), L.Dense(OUT, name="head"))


@leaks("add", inputs=PAIR)
def shared_encoder():
    """The encoder is correct, but its second input has lost the mask."""
    source, target = tokens("source"), tokens("target")
    embed, shift = embedding(), L.Dense(DIM, name="shift")
    encoder = keras.Sequential([L.Input((None, DIM)), gru()], name="encoder")
    x = embed(target)
    y = L.Concatenate(name="both")([encoder(embed(source)), encoder(x + shift(x))])
    return net([source, target], head(y))


@leaks("net", custom=True)
def subclassed_mean():
    """A plain operation in the call method of a model leaks. Only the model has a name."""
    return own(OwnPlainMean(name="net"))


# Leaks that are hard to detect: small, rare, on one side, in one input or one output. ---------------------


@leaks("peak")
def slight_leak():
    """A correct mean plus a thousandth of a maximum that includes the padding."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(mean()(x) + 1e-3 * peak()(x)))


@leaks("recent", custom=True)
def wide_batches_alone():
    """The outputs are correct up to forty steps. In wider batches, the start of each row is cut off."""
    return chain(embedding(), Recent(name="recent"), lstm(), L.Dense(OUT, name="head"))


@leaks("first", custom=True)
def short_rows_alone():
    """The first three steps include padding only in rows shorter than three steps."""
    return chain(embedding(), FirstThree(name="first"), L.Dense(OUT, name="head"))


@leaks("positions", padding="pre", custom=True)
def positions_from_left_pre():
    """The mask is correct, but with padding on the left, positions depend on the width."""
    return chain(embedding(), Positions(name="positions"), lstm(), L.Dense(OUT, name="head"))


@leaks("positions", custom=True)
def positions_from_right_post():
    """Positions are counted from the right, so they depend on the width if padding is on the right."""
    return chain(embedding(), Positions(True, name="positions"), mean(), L.Dense(OUT, name="head"))


@leaks("get_item", padding="pre")
def first_step_pre():
    """x[:, 0] is padding if rows are padded on the left."""
    ids = tokens()
    return net(ids, head(embedding()(ids)[:, 0]))


@leaks("peak", inputs=PAIR)
def second_input_alone():
    """Only the padding of the second input changes the output."""
    source, target = tokens("source"), tokens("target")
    x = gru()(embedding(name="embed_source")(source))
    y = peak()(embedding(name="embed_target")(target))
    return net([source, target], head(L.Concatenate(name="both")([x, y])))


@leaks("conv", inputs=PAIR)
def cross_attention_after_conv():
    """A convolution over the source drops the mask that the attention needs."""
    source, target = tokens("source"), tokens("target")
    memory = L.Conv1D(DIM, 3, padding="same", name="conv")(embedding(name="embed_source")(source))
    x = embedding(name="embed_target")(target)
    return net([source, target], head(mean()(attention()(x, memory))))


@leaks("peak")
def one_output_of_two():
    """One output ignores padding, and the other does not."""
    ids = tokens()
    x = embedding()(ids)
    outputs = {"average": L.Dense(OUT, name="average")(mean()(x)), "highest": peak()(x)}
    return net(ids, outputs)


@leaks("embed")
def batch_centred_unmasked():
    """The rows of a batch depend on each other and on the padding."""
    ids = tokens()
    x = head(mean()(embedding(False)(ids)))
    return net(ids, x - K.mean(x, axis=0, keepdims=True))


@leaks("add", policy="mixed_float16")
def float16_plus():
    """A leak in float16."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(gru()(x + L.Dense(DIM, name="mix")(x))))


@leaks("embed", policy="mixed_bfloat16")
def bfloat16_unmasked():
    """A leak in bfloat16."""
    return chain(embedding(False), mean(), L.Dense(OUT, name="head"))


@leaks("peak", policy="float64")
def float64_peak():
    """A leak in float64."""
    return chain(embedding(), peak(), L.Dense(OUT, name="head"))


# Clean: the mask reaches every layer. ---------------------------------------------------------------------


@clean()
def masked_lstm():
    """An embedding with mask_zero and an LSTM."""
    return chain(embedding(), lstm(), L.Dense(OUT, name="head"))


@clean(padding="pre")
def masked_lstm_pre():
    """An embedding with mask_zero and an LSTM, with padding on the left."""
    return chain(embedding(), lstm(), L.Dense(OUT, name="head"))


@clean()
def masked_gru_in_depth():
    """Two GRUs with dropout and a normalization between them."""
    lower = gru("lower", return_sequences=True)
    norm = L.LayerNormalization(name="norm")
    return chain(embedding(), lower, L.Dropout(0.3), norm, gru(), L.Dense(OUT, name="head"))


@clean()
def masked_simple_rnn():
    """A SimpleRNN with go_backwards that returns only its last output."""
    return chain(embedding(), L.SimpleRNN(UNITS, go_backwards=True, name="rnn"), L.Dense(OUT, name="head"))


@clean()
def masked_cells():
    """Two cells in one RNN layer."""
    cells = [L.LSTMCell(UNITS, name="lower"), L.GRUCell(UNITS, name="upper")]
    return chain(embedding(), L.RNN(cells, name="rnn"), L.Dense(OUT, name="head"))


@clean()
def masked_bidirectional_tagger():
    """A Bidirectional layer that outputs every step."""
    both = L.Bidirectional(lstm("half", return_sequences=True), name="both")
    return chain(embedding(), both, L.Dense(OUT, activation="softmax", name="head"))


@clean()
def masked_stateful():
    """A stateful model with a batch size of four."""
    ids = L.Input(batch_shape=(4, None), dtype="int32", name="ids")
    return net(ids, head(lstm(stateful=True)(embedding()(ids))))


@clean()
def masked_fixed():
    """A model with a fixed width of twelve and a mask."""
    return chain(embedding(), lstm(), L.Dense(OUT, name="head"), shape=(12,))


@clean()
def masked_mean():
    """GlobalAveragePooling1D averages only the real steps."""
    return chain(embedding(), L.Dense(UNITS, "relu", name="mix"), mean(), L.Dense(OUT, name="head"))


@clean()
def masked_merge():
    """The Add layer keeps the mask of two masked branches, unlike the operator +."""
    ids = tokens()
    x = embedding()(ids)
    gate = L.Activation("sigmoid", name="gate")(L.Dense(DIM, name="mix")(x))
    x = L.Add(name="merge")([x, L.Multiply(name="gated")([x, gate])])
    return net(ids, head(lstm()(x)))


@clean()
def masked_batch_normalization():
    """At inference, the layer uses its learned moments, even with training=True."""
    ids = tokens()
    x = L.BatchNormalization(name="norm")(embedding()(ids), training=True)
    return net(ids, head(mean()(x)))


@clean()
def masked_spectral_dense():
    """SpectralNormalization warns that it destroys the mask, but keeps the mask."""
    mix = L.SpectralNormalization(L.Dense(UNITS, name="inner"), name="mix")
    return chain(embedding(), mix, gru(), L.Dense(OUT, name="head"))


@clean()
def masked_nested():
    """A nested model passes the mask on, although its symbolic output has no mask."""
    inner = L.Input((None, DIM), name="steps")
    encoder = keras.Model(inner, gru("lower", return_sequences=True)(inner), name="encoder")
    ids = tokens()
    return net(ids, head(mean()(encoder(embedding()(ids)))))


@clean()
def masked_tied_embedding():
    """One embedding table embeds the tokens and computes the output scores."""
    ids = tokens()
    table = L.ReversibleEmbedding(VOCAB, DIM, mask_zero=True, name="embed")
    half = L.GRU(DIM, return_sequences=True, name="half")
    x = L.Bidirectional(half, merge_mode="sum", name="both")(table(ids))
    return net(ids, table(x, reverse=True))


@clean()
def encoder_and_fixed_decoder():
    """The output always has five steps, independent of the input length."""
    decode = gru("decoder", return_sequences=True)
    return chain(embedding(), lstm(), L.RepeatVector(5, name="repeat"), decode, L.Dense(OUT, name="head"))


@clean()
def several_outputs():
    """The model has an output per row and an output per step."""
    ids = tokens()
    x = lstm(return_sequences=True)(embedding()(ids))
    return net(ids, [L.Dense(OUT, name="row")(mean()(x)), L.Dense(OUT, name="step")(x)])


@clean()
def two_streams():
    """The time axis of the output has two blocks of positions, so the real positions are not adjacent."""
    ids = tokens()
    x = lstm(return_sequences=True)(embedding()(ids))
    return net(ids, L.Concatenate(axis=1, name="streams")([x, L.Dense(UNITS, name="step")(x)]))


@clean(custom=True)
def subclassed_reader():
    """A correct subclassed model."""
    return own(OwnReader(name="net"))


# Clean: correct attention. --------------------------------------------------------------------------------


@clean()
def dot_product_attention():
    """Attention receives the mask of its values."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(mean()(L.Attention(name="attention")([x, x]))))


@clean(inputs=PAIR)
def additive_attention():
    """The target attends to the source. Each has its own mask."""
    source, target = tokens("source"), tokens("target")
    x, memory = embedding(name="embed_target")(target), embedding(name="embed_source")(source)
    return net([source, target], head(mean()(L.AdditiveAttention(name="attention")([x, memory]))))


@clean()
def attention_scores():
    """The attention scores have two axes that grow with the width."""
    ids = tokens()
    x = embedding()(ids)
    y, scores = L.Attention(name="attention")([x, x], return_attention_scores=True)
    return net(ids, [head(y), scores])


@clean()
def one_block():
    """One attention block is correct: the pooling gets the mask before the attention removes the mask."""
    ids = tokens()
    return net(ids, head(mean()(transformer(1)(embedding()(ids)))))


@clean()
def three_blocks_with_explicit_mask():
    """Every block receives attention_mask explicitly, so the mask is not lost."""
    ids = tokens()
    seen = K.expand_dims(K.not_equal(ids, 0), 1)
    x = transformer(3, attention_mask=seen)(embedding()(ids))
    return net(ids, head(weighted_mean(x, real(ids))))


@clean()
def grouped_queries():
    """GroupQueryAttention does not remove the masks of its inputs."""
    ids = tokens()
    x = transformer(2, lambda name: L.GroupQueryAttention(DIM, 2, 1, name=name))(embedding()(ids))
    return net(ids, head(mean()(x)))


@clean(inputs=PAIR)
def cross_attention():
    """The target attends to the source with several heads. Each has its own mask."""
    source, target = tokens("source"), tokens("target")
    memory = gru("encoder", return_sequences=True)(embedding(name="embed_source")(source))
    x = embedding(name="embed_target")(target)
    return net([source, target], head(mean()(attention()(x, memory))))


@clean(custom=True)
def custom_blocks():
    """Two custom layers apply attention once each. Keras gives each output the incoming mask."""
    return chain(embedding(), Block(name="block_1"), Block(name="block_2"), mean(), L.Dense(OUT, name="head"))


@clean(custom=True)
def custom_block_with_explicit_mask():
    """A custom layer applies attention twice, and passes the mask explicitly."""
    return chain(embedding(), Block(2, True, name="block"), L.Dense(OUT, name="head"))


# Clean: the mask is an input. -----------------------------------------------------------------------------


@clean(inputs=MASKED)
def bool_mask_input():
    """The input mask is bool and is passed to the GRU."""
    ids, mask = tokens(), mask_input("bool")
    return net([ids, mask], head(gru()(embedding(False)(ids), mask=mask)))


@clean(inputs=MASKED)
def int_mask_input():
    """The input mask is int and is passed to two attention blocks and the mean."""
    ids, mask = tokens(), mask_input("int32")
    x = transformer(2, attention_mask=K.expand_dims(K.cast(mask, "bool"), 1))(embedding(False)(ids))
    return net([ids, mask], head(weighted_mean(x, K.expand_dims(K.cast(mask, "float32"), -1))))


@clean(inputs=MASKED)
def float_mask_input():
    """The input mask is float and weights the mean."""
    ids, mask = tokens(), mask_input("float32")
    return net([ids, mask], head(weighted_mean(embedding(False)(ids), K.expand_dims(mask, -1))))


@clean(inputs=MASKED, custom=True)
def subclassed_mask_input():
    """A subclassed model with a dict as input."""
    model = OwnMasked(name="net")
    model({"ids": np.ones((2, 3), "int32"), "attention_mask": np.ones((2, 3), "int32")})
    return scrambled(model)


@clean(inputs={"ids": "tokens", "segments": "tokens:ids"})
def segments():
    """Two inputs of the same lengths, added with their masks."""
    ids, parts = tokens(), tokens("segments")
    x = L.Add(name="merge")([embedding()(ids), embedding(name="embed_segments")(parts)])
    return net([ids, parts], head(lstm()(x)))


# Clean: several token inputs, features, and pad ids other than zero. --------------------------------------


@clean(inputs=PAIR)
def two_towers():
    """Each input has separate layers."""
    source, target = tokens("source"), tokens("target")
    x = lstm()(embedding(name="embed_source")(source))
    y = mean()(embedding(name="embed_target")(target))
    return net([source, target], head(L.Concatenate(name="both")([x, y])))


@clean(inputs=PAIR)
def one_after_the_other():
    """Two inputs are concatenated in time. The mask marks the padding between them."""
    source, target = tokens("source"), tokens("target")
    embed = embedding()
    x = L.Concatenate(axis=1, name="both")([embed(source), embed(target)])
    return net([source, target], head(mean()(L.Dense(UNITS, "tanh", name="mix")(x))))


@clean(inputs=FRAMES)
def masking_lstm():
    """Masking creates the mask from the features."""
    x = frames()
    return net(x, head(lstm()(L.Masking(0.0, name="masking")(x))))


@clean(inputs=FRAMES, value=-1)
def masking_minus_one():
    """Masking creates the mask for the pad value -1."""
    x = frames()
    return net(x, head(mean()(L.Dense(UNITS, "tanh", name="mix")(L.Masking(-1.0, name="masking")(x)))))


@clean(value=49)
def other_pad_id_masked():
    """The pad value is 49, and the mask marks this value."""
    ids = tokens()
    return net(ids, head(gru()(embedding(False)(ids), mask=K.not_equal(ids, 49))))


@clean(value=1, custom=True)
def custom_embedding():
    """A custom embedding creates the mask for another pad id."""
    return chain(PadEmbedding(1, name="embed"), gru(), L.Dense(OUT, name="head"))


# Clean: without masks, or with explicit masks. ------------------------------------------------------------


@clean()
def causal_conv():
    """A causal convolution with padding on the right."""
    conv = L.Conv1D(UNITS, 3, padding="causal", name="conv")
    return chain(embedding(False), conv, L.Dense(OUT, name="head"))


@clean()
def unmasked_steps():
    """A forward LSTM without a mask. With padding on the right, no real step follows padding."""
    return chain(embedding(False), lstm(return_sequences=True), L.Dense(OUT, name="head"))


@clean()
def causal_attention():
    """Causal attention with padding on the right."""
    ids = tokens()
    x = embedding(False)(ids)
    return net(ids, head(attention()(x, x, use_causal_mask=True)))


@clean()
def pointwise_conv():
    """A convolution with kernel size 1 drops the mask, but no later layer needs the mask."""
    return chain(embedding(), L.Conv1D(UNITS, 1, name="conv"), L.Dense(OUT, name="head"))


@clean()
def first_step():
    """x[:, 0] is real if padding is on the right."""
    ids = tokens()
    return net(ids, head(embedding()(ids)[:, 0]))


@clean(padding="pre")
def last_step_pre():
    """x[:, -1] is real if padding is on the left."""
    ids = tokens()
    return net(ids, head(lstm(return_sequences=True)(embedding()(ids))[:, -1]))


@clean()
def masked_softmax():
    """Attention pooling with a score of minus a billion for padding."""
    ids = tokens()
    x = embedding()(ids)
    scores = L.Dense(1, name="score")(x) - 1e9 * (1.0 - real(ids))
    return net(ids, head(K.sum(x * K.softmax(scores, axis=1), axis=1)))


@clean()
def masked_softmax_layer():
    """The Softmax layer with an explicit mask."""
    ids = tokens()
    x = embedding(False)(ids)
    seen = K.expand_dims(K.not_equal(ids, 0), -1)
    weights = L.Softmax(axis=1, name="weights")(L.Dense(1, name="score")(x), mask=seen)
    return net(ids, head(K.sum(x * weights, axis=1)))


@clean()
def masked_peak():
    """The maximum over the real steps."""
    ids = tokens()
    return net(ids, head(K.max(embedding(False)(ids) - 1e9 * (1.0 - real(ids)), axis=1)))


@clean()
def zero_pad_row():
    """There is no mask, but the embedding of the padding is zero and does not change a sum."""
    model = chain(embedding(False, "embed"), L.Dense(DIM, use_bias=False, name="mix"))
    total = keras.Model(model.inputs, head(K.sum(model.outputs[0], axis=1)), name="net")
    table = scrambled(total).get_layer("embed").embeddings
    table.assign(np.where(np.arange(VOCAB)[:, None] == 0, 0, table.numpy()))
    return total


# Clean: custom layers that use their masks. ---------------------------------------------------------------


@clean(custom=True)
def custom_masked_mean():
    """A mean that uses its mask."""
    return chain(embedding(), MaskedMean(name="average"), L.Dense(OUT, name="head"))


@clean(custom=True)
def custom_last_real():
    """The last real step, selected with the mask."""
    both = L.Bidirectional(gru("half", return_sequences=True), name="both")
    return chain(embedding(), both, LastReal(name="last"), L.Dense(OUT, name="head"))


@clean(custom=True)
def custom_split():
    """The steps and the mask are split at the fourth step and concatenated again."""
    ids = tokens()
    start, rest = SplitAtFour(name="split")(embedding()(ids))
    pieces = [L.Dense(UNITS, "tanh", name="start")(start), L.Dense(UNITS, "tanh", name="rest")(rest)]
    return net(ids, head(mean()(L.Concatenate(axis=1, name="both")(pieces))))


@clean(custom=True)
def custom_count():
    """The number of real tokens, computed from the mask, is a feature."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(L.Concatenate(name="both")([mean()(x), Count(name="count")(x)])))


@clean(custom=True)
def positions_from_left():
    """Positions are counted from the left, so padding on the right does not change them."""
    return chain(embedding(), Positions(name="positions"), lstm(), L.Dense(OUT, name="head"))


@clean(padding="pre", custom=True)
def positions_from_right_pre():
    """Positions are counted from the right, so padding on the left does not change them."""
    return chain(embedding(), Positions(True, name="positions"), gru(), L.Dense(OUT, name="head"))


# Clean, but hard to recognize. ----------------------------------------------------------------------------


@clean()
def noisy_head():
    """The output is a difference of large numbers. In float32, the noise is 0.1%, which is not a leak."""
    ids = tokens()
    x = mean()(lstm(return_sequences=True)(embedding()(ids)))
    large, other = L.Dense(OUT, name="large"), L.Dense(OUT, name="other")
    model = net(ids, L.Subtract(name="difference")([large(x), other(x)]))
    large.kernel.assign(5e4 * large.kernel)
    other.kernel.assign(large.kernel + other.kernel)
    return model


@clean()
def batch_centred_mean():
    """The rows of a batch depend on each other, but not on the padding."""
    ids = tokens()
    x = head(mean()(embedding()(ids)))
    return net(ids, x - K.mean(x, axis=0, keepdims=True))


@clean(policy="mixed_float16")
def float16_attention():
    """In float16, the noise after three blocks is 0.1%, which is not a leak."""
    ids = tokens()
    seen = K.expand_dims(K.not_equal(ids, 0), 1)
    return net(ids, head(transformer(3, attention_mask=seen)(embedding()(ids))))


@clean(policy="mixed_bfloat16")
def bfloat16_attention():
    """In bfloat16, the noise depends on the processor."""
    ids = tokens()
    x = embedding()(ids)
    return net(ids, head(mean()(L.Attention(name="attention")([x, x]))))


@clean(policy="mixed_bfloat16")
def bfloat16_gru():
    """Recurrent layers in bfloat16."""
    return chain(embedding(), gru(), L.Dense(OUT, name="head"))


@clean(policy="float64")
def float64_lstm():
    """A model in float64."""
    return chain(embedding(), lstm(), L.Dense(OUT, name="head"))


# Models with a fixed length, and small numbers beside large ones. ----------------------------------------


@custom
class TokenAndPosition(L.Layer):
    """Token embeddings plus position embeddings, as in many examples of keras.io."""

    def __init__(self, **options):
        super().__init__(**options)
        self.token_table = L.Embedding(VOCAB, DIM, name="token_table")
        self.position_table = L.Embedding(128, DIM, name="position_table")

    def call(self, ids):
        return self.token_table(ids) + self.position_table(K.arange(K.shape(ids)[-1]))


@clean(custom=True)
def causal_fixed():
    """A causal model with a fixed length. Its position embedding has a row 0, which is not padding."""
    ids = tokens(length=12)
    x = TokenAndPosition(name="embed")(ids)
    return net(ids, head(x + attention()(x, x, use_causal_mask=True)))


@leaks("token_and_position/token_table", custom=True)
def attention_fixed():
    """A model with a fixed length with position embeddings, whose attention gets no mask."""
    ids = tokens(length=12)
    x = TokenAndPosition(name="embed")(ids)
    return net(ids, head(x + attention()(x, x)))


FIXED_FRAMES = {"frames": f"features:{DIM}", "attention_mask": "mask"}


@clean(inputs=FIXED_FRAMES)
def frames_fixed():
    """Features of the same length, with a mask as an input."""
    x, mask = L.Input((12, DIM), name="frames"), L.Input((12,), dtype="bool", name="attention_mask")
    return net([x, mask], head(gru()(x, mask=mask)))


@leaks("peak", inputs=FIXED_FRAMES)
def frames_fixed_peak():
    """Features of the same length, with a mask as an input that the pooling does not use."""
    x, mask = L.Input((12, DIM), name="frames"), L.Input((12,), dtype="bool", name="attention_mask")
    return net([x, mask], head(peak()(gru(return_sequences=True)(x, mask=mask) + x[..., :1])))


@leaks("gru", inputs=FRAMES)
def frames_fixed_unmasked():
    """Features of the same length without any mask."""
    x = L.Input((12, DIM), name="frames")
    return net(x, head(gru()(x)))


@unsure(inputs=FRAMES)
def frames_fixed_masked_by_value():
    """The model computes its mask from the values, so the padding cannot have other values."""
    x = L.Input((12, DIM), name="frames")
    return net(x, head(weighted_mean(x, K.cast(K.any(x != 0, axis=-1, keepdims=True), "float32"))))


@leaks("mean", inputs=MASKED)
def probability_beside_price():
    """The price is large and ignores padding; the probability beside the price does not."""
    ids, mask = tokens(), mask_input("int32")
    x = embedding(False)(ids)
    price = 1e6 * weighted_mean(x, K.expand_dims(K.cast(mask, "float32"), -1))
    return net([ids, mask], K.concatenate([price, K.sigmoid(K.mean(x, axis=1))], axis=-1))


@custom
class SwappedMask(L.Layer):
    """A mask for attention. The reshape should be a transpose, so the rows of a batch are mixed."""

    def call(self, flags):
        swapped = K.reshape(flags, (-1, K.shape(flags)[0]))
        return K.transpose(K.expand_dims(swapped, 0), (2, 0, 1))

    def compute_output_shape(self, shape):
        return (shape[0], 1, shape[1])


@leaks("swap", inputs=MASKED, custom=True)
def mask_with_swapped_axes():
    """The mask is wrong in batches of several rows."""
    ids, mask = tokens(), mask_input("int32")
    x = embedding(False)(ids)
    seen = SwappedMask(name="swap")(mask)
    x = attention()(x, x, attention_mask=K.cast(seen, "bool"))
    return net([ids, mask], head(weighted_mean(x, K.expand_dims(K.cast(mask, "float32"), -1))))


@custom
class QueriesMask(L.Layer):
    """Attention with rotary positions. The mask is on the axis of the queries."""

    # Without a `get_config` method, Keras saves the name of a layer only if this argument is called `kwargs`.
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rotary, self.dense = Rotary(name="rotary"), L.Dense(DIM, name="dense")

    def call(self, x, mask):
        turned = self.rotary(x)
        scores = K.matmul(turned, K.transpose(turned, (0, 2, 1)))
        scores = K.where(K.cast(mask, "bool")[:, :, None], scores, -1e9)
        return self.dense(K.matmul(K.softmax(scores), x))


@custom
class Rotary(L.Layer):
    """Rotate pairs of features by the position. Only differences of positions matter to attention."""

    def call(self, x):
        angles = K.arange(K.shape(x)[1], dtype="float32")[:, None] * 0.3
        one, two = x[..., : DIM // 2], x[..., DIM // 2 :]
        cosines, sines = K.cos(angles), K.sin(angles)
        return K.concatenate([one * cosines - two * sines, one * sines + two * cosines], axis=-1)


@leaks("queries", inputs=MASKED, padding="pre", custom=True)
def rotary_with_mask_on_queries():
    """The rotated vectors depend on the padding too, but this has no effect on the outputs."""
    ids, mask = tokens(), mask_input("int32")
    x = QueriesMask(name="queries")(embedding(False)(ids), mask)
    return net([ids, mask], x)


@custom
class FourierMix(L.Layer):
    """A Fourier transform over the steps."""

    def call(self, x):
        return K.fft2((x, K.zeros_like(x)))[0]


@leaks("fourier", custom=True)
def fourier_in_layer():
    """The layer mixes all steps, and no mask can exclude the padding."""
    return chain(embedding(), FourierMix(name="fourier"), L.Dense(OUT, name="head"))


@custom
class PriceAndProbability(L.Layer):
    """One layer returns a large price that ignores padding, and a probability that does not."""

    def call(self, x, mask):
        price = 1e8 * weighted_mean(x, K.expand_dims(K.cast(mask, "float32"), -1))
        return K.concatenate([price, K.sigmoid(K.mean(x, axis=1))], axis=-1)


@leaks("both", inputs=MASKED, custom=True)
def probability_beside_price_in_layer():
    """The difference is small beside the price, but not in its own channel."""
    ids, mask = tokens(), mask_input("int32")
    both = PriceAndProbability(name="both")(embedding(False)(ids), mask)
    return net([ids, mask], both)


@leaks("conv", custom=True)
def conv_with_large_steps():
    """The convolution reads steps that are far away. In short rows, these are only padding."""
    conv = L.Conv1D(UNITS, 3, padding="same", dilation_rate=16, name="conv")
    return chain(embedding(), conv, L.Dense(OUT, name="head"))


@leaks("conv")
def two_streams_of_a_convolution():
    """The time axis of the output has two blocks of positions. Padding changes only the second block."""
    ids = tokens()
    x = lstm(return_sequences=True)(embedding()(ids))
    y = L.Conv1D(UNITS, 3, padding="same", name="conv")(x)
    return net(ids, L.Concatenate(axis=1, name="streams")([x, y]))


# Inconclusive: the output does not depend on the tokens. --------------------------------------------------


@unsure()
def constant():
    """The output is the same for every input."""
    ids = tokens()
    return net(ids, head(0.0 * gru()(embedding()(ids))))


@unsure()
def dead_relu():
    """A ReLU whose output is always zero."""
    ids = tokens()
    dead = L.Dense(UNITS, "relu", name="dead")
    model = net(ids, head(dead(mean()(embedding()(ids)))))
    dead.bias.assign(dead.bias - 100.0)
    return model


@unsure()
def dead_relu_unmasked():
    """A ReLU whose output is always zero, after a maximum that includes the padding."""
    ids = tokens()
    dead = L.Dense(UNITS, "relu", name="dead")
    model = net(ids, head(dead(peak()(embedding()(ids)))))
    dead.bias.assign(dead.bias - 100.0)
    return model


@unsure(custom=True)
def count_alone():
    """The output is the number of tokens, and does not depend on their values."""
    return chain(embedding(), Count(name="count"), L.Dense(OUT, name="head"))


EXAMPLES: tuple[ExampleModel, ...] = tuple(_models)
