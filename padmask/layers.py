"""Keras layers that make masks, pass them on, split them and use them.

The four layers of TensorFlow's guide "Understanding masking & padding", made whole: they
run on every backend of Keras 3 and on batches of any length, can be saved and loaded, and
keep out what stands in padded places, NaN included. Masks are Keras's: **True is a real
step**. Knows Keras and NumPy-like shapes; knows nothing of files, rows, specs or plans,
and nothing of padmask but its errors, so that a model which uses them needs no more.

Keras is no requirement of padmask: only who imports this module needs it. Import it too
before a saved model with these layers is loaded; Keras does not look for it by itself.
"""

from __future__ import annotations

import operator
from typing import Any

from padmask.errors import SpecError

try:
    import keras
    from keras import ops
except ModuleNotFoundError as missing:
    raise ImportError(f"padmask.layers needs Keras ({missing}): pip install 'padmask[verify]'") from missing

__all__ = ["CustomEmbedding", "MaskedActivation", "TemporalSoftmax", "TemporalSplit"]

Shape = tuple[int | None, ...]

# Stands for "no real step" among float32 scores; infinity less itself would be NaN.
LOWEST = -3e38

_registered = keras.saving.register_keras_serializable(package="padmask")


@_registered
class TemporalSplit(keras.layers.Layer):  # type: ignore[misc]
    """Split a batch of sequences, and its mask, into two halves along the time axis.

    >>> import numpy as np
    >>> steps = np.arange(5, dtype="float32").reshape(1, 5, 1)
    >>> [half.shape[1] for half in TemporalSplit()(steps)]
    [2, 3]

    Where the number of steps is odd, the first half is the shorter one, so that no step is
    lost and none is doubled.

    Args:
        **kwargs: what every Keras layer takes, such as `name` and `dtype`.

    Returns:
        From a call: a list of two tensors of the input's dtype and shape (batch, time, ...);
        the first has `time // 2` steps. Each carries its half of the mask.

    Raises:
        SpecError: an input without a time axis.

    After `TemporalSplit` in TensorFlow's guide to masking, which takes even lengths only and
    cannot be used in Functional models, where a mask is symbolic and `tf.split` refuses it.
    """

    def call(self, inputs: Any) -> list[Any]:
        _check_sequences(self, inputs.shape)
        return _halves(inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> list[Any] | None:
        if mask is None:
            return None
        if isinstance(mask, keras.KerasTensor):
            halves: list[Any] = SplitMask()(mask)
            return halves
        return _halves(mask)

    def compute_output_shape(self, input_shape: Shape) -> list[Shape]:
        _check_sequences(self, input_shape)
        return _half_shapes(input_shape)

    def compute_output_spec(self, inputs: Any) -> list[Any]:
        # Left to itself Keras would promise the compute dtype, also for whole numbers.
        return [keras.KerasTensor(shape, inputs.dtype) for shape in self.compute_output_shape(inputs.shape)]


@_registered
class SplitMask(keras.Operation):  # type: ignore[misc]
    """What `TemporalSplit` does to a symbolic mask.

    An operation, because a Functional model keeps masks as nodes of its graph, and a slice
    that ends in the middle of an unknown length cannot be written with Keras's own.
    """

    def call(self, mask: Any) -> list[Any]:
        return _halves(mask)

    def compute_output_spec(self, mask: Any) -> list[Any]:
        return [keras.KerasTensor(shape, mask.dtype) for shape in _half_shapes(mask.shape)]


@_registered
class CustomEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """Turn token ids into vectors, and say which ids are padding.

    >>> import numpy as np
    >>> embedding = CustomEmbedding(input_dim=10, output_dim=4, mask_zero=True)
    >>> ids = np.array([[7, 3, 0]])
    >>> tuple(embedding(ids).shape), keras.ops.convert_to_numpy(embedding.compute_mask(ids)).tolist()
    ((1, 3, 4), [[True, True, False]])

    Args:
        input_dim: how many ids there are; ids run from 0 to `input_dim - 1`.
        output_dim: length of a vector.
        mask_zero: whether id 0 is padding and no token.
        **kwargs: what every Keras layer takes, such as `name` and `dtype`.

    Returns:
        From a call: a tensor of the compute dtype and shape (*ids.shape, output_dim). Ids that
        are no whole numbers lose their fraction, as in `keras.layers.Embedding`.

    Raises:
        SpecError: an `input_dim` or `output_dim` that is no whole number of at least 1.

    After `CustomEmbedding` in TensorFlow's guide to masking, which cannot be used in
    Functional models and takes no ids that are floats.
    """

    def __init__(self, input_dim: int, output_dim: int, mask_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim = _at_least_one("input_dim", input_dim)
        self.output_dim = _at_least_one("output_dim", output_dim)
        self.mask_zero = bool(mask_zero)
        # Without a mask of its own it would drop one that comes in: Keras then warns.
        self.supports_masking = self.mask_zero
        # Under a half precision policy Keras would round ids that are floats: float16 ends at 65504.
        self.autocast = False

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim), initializer="uniform", name="embeddings"
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        vectors = ops.take(self.embeddings, _whole(inputs), axis=0)
        return ops.cast(vectors, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        # Of the ids that are looked up: 0.5 is looked up as 0, and is padding as 0 is.
        return ops.not_equal(_whole(inputs), 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        own = {"input_dim": self.input_dim, "output_dim": self.output_dim, "mask_zero": self.mask_zero}
        return {**super().get_config(), **own}


@_registered
class MaskedActivation(keras.layers.Layer):  # type: ignore[misc]
    """Apply an activation to every value, and pass the mask on unchanged.

    >>> import numpy as np
    >>> keras.ops.convert_to_numpy(MaskedActivation("relu")(np.array([[-1.0, 2.0]]))).tolist()
    [[0.0, 2.0]]

    Args:
        activation: a name from `keras.activations`, or a function of a tensor that keeps its
            shape and does not mix the steps of time.
        **kwargs: what every Keras layer takes, such as `name` and `dtype`.

    Returns:
        From a call: a tensor of the input's shape. It carries the input's mask.

    Raises:
        ValueError: an activation that Keras does not know.

    After `MyActivation` in TensorFlow's guide to masking: a layer that Keras does not know to
    be safe for masks drops them, unless it says so by `supports_masking`.
    """

    def __init__(self, activation: Any = "relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = keras.activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@_registered
class TemporalSoftmax(keras.layers.Layer):  # type: ignore[misc]
    """Weigh the real steps of every sequence against each other: a softmax over time.

    >>> import numpy as np
    >>> scores = np.array([[[1.0], [1.0], [np.nan]]])
    >>> weights = TemporalSoftmax()(scores, mask=np.array([[True, True, False]]))
    >>> keras.ops.convert_to_numpy(weights).tolist()
    [[[0.5], [0.5], [0.0]]]

    For each feature the weights of a row's real steps sum to one, and padded steps weigh
    exactly nothing, whatever stands there; a row without a real step is all zeros. No
    gradient flows into padded places.

    Args:
        **kwargs: what every Keras layer takes, such as `name` and `dtype`.

    Returns:
        From a call with scores of shape (batch, time, features) and a mask of shape
        (batch, time): a tensor of the scores' shape and the compute dtype. Half precision is
        computed in float32. Without a mask every step is real.

    Raises:
        SpecError: scores that are not (batch, time, features), or a mask that does not fit.

    After `TemporalSoftmax` in TensorFlow's guide to masking, which sums over the features in
    place of time, so that all its weights are 1, or NaN on padding.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        _check_scores(self, inputs.shape)
        scores = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        if mask is None:
            # Not Keras's own softmax, which warns where a batch happens to be one step long.
            mask = ops.ones_like(scores[..., 0], dtype="bool")
        _check_mask(self, inputs.shape, mask.shape)
        return ops.cast(_softmax_over_real(scores, mask), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        _check_scores(self, input_shape)
        return input_shape


def _softmax_over_real(scores: Any, mask: Any) -> Any:
    """Return the softmax over axis 1 where `mask`, shape (batch, time), is True; 0 elsewhere."""
    real = ops.expand_dims(ops.cast(mask, "bool"), -1)
    # The softmax is the same whatever is subtracted, so no gradient needs to know of it.
    # Some backends have no largest number of nothing, so `initial` is there for no steps.
    highest = ops.max(ops.where(real, scores, LOWEST), axis=1, keepdims=True, initial=LOWEST)
    # Padding is put out before `exp`, and again after it. Only after it, what overflows there
    # would come back in the gradient: 0 times infinity is NaN.
    shifted = ops.where(real, scores - ops.stop_gradient(highest), 0.0)
    weights = ops.where(real, ops.exp(shifted), 0.0)
    total = ops.sum(weights, axis=1, keepdims=True)
    # At least 1 where any step weighs something, because the highest of them weighs 1.
    return weights / ops.where(total == 0, 1.0, total)


def _halves(tensor: Any) -> list[Any]:
    """Split along axis 1, whose length may be known only when the graph runs."""
    half = ops.shape(tensor)[1] // 2
    return [tensor[:, :half], tensor[:, half:]]


def _half_shapes(shape: Shape) -> list[Shape]:
    batch, time, *inner = shape
    halves = (None, None) if time is None else (time // 2, time - time // 2)
    return [(batch, half, *inner) for half in halves]


def _whole(ids: Any) -> Any:
    whole = keras.backend.standardize_dtype(ids.dtype) in ("int32", "int64")
    return ids if whole else ops.cast(ids, "int32")


def _at_least_one(name: str, number: int) -> int:
    if isinstance(number, bool) or not hasattr(number, "__index__") or number < 1:
        raise SpecError(f"`{name}` must be a whole number of at least 1. Received: {number!r}.")
    return operator.index(number)


def _check_sequences(layer: Any, shape: Shape) -> None:
    if len(shape) < 2:
        raise SpecError(
            f"{layer.name} needs an input of shape (batch, time, ...); for one sequence alone add a "
            f"batch axis, `inputs[None]`. Received: shape {tuple(shape)}."
        )


def _check_scores(layer: Any, shape: Shape) -> None:
    if len(shape) != 3:
        raise SpecError(
            f"{layer.name} needs scores of shape (batch, time, features); for one score a step add an "
            f"axis, `scores[..., None]`. Received: shape {tuple(shape)}."
        )


def _check_mask(layer: Any, shape: Shape, mask_shape: Shape) -> None:
    known = [pair for pair in zip(shape, mask_shape, strict=False) if None not in pair]
    if len(mask_shape) != 2 or any(axis != mask_axis for axis, mask_axis in known):
        raise SpecError(
            f"{layer.name} needs a mask of shape (batch, time), one truth value a step, for scores of "
            f"shape {tuple(shape)}. Received: a mask of shape {tuple(mask_shape)}."
        )
