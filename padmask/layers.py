"""Keras layers that create, pass on, split and use masks.

These layers are improved versions of the four custom layers in TensorFlow's guide "Understanding masking &
padding". They run on every Keras 3 backend and on sequences of any length, and models with them can be saved
and loaded. The values at padded steps never affect the output at real steps, even if they are NaN. As in
Keras, **True in a mask means a real step**. Models with these layers depend only on Keras and
`padmask.errors`.

Keras does not import custom layers, so import this module before you load a saved model with these layers.
The module requires Keras.
"""

from __future__ import annotations

import operator
from typing import Any

from padmask.errors import SpecError

try:
    import keras
    from keras import ops
except ModuleNotFoundError as missing:
    raise ImportError(
        f"padmask.layers requires Keras ({missing}): pip install 'padmask[verify]'"
    ) from missing

__all__ = ["CustomEmbedding", "MaskedActivation", "TemporalSoftmax", "TemporalSplit"]

Shape = tuple[int | None, ...]

# Replaces the float32 scores of padded steps. Minus infinity would cause NaN, because inf - inf is NaN.
LOWEST = -3e38

_registered = keras.saving.register_keras_serializable(package="padmask")


@_registered
class TemporalSplit(keras.layers.Layer):  # type: ignore[misc]
    """A layer that splits a batch of sequences, and its mask, into two halves along the time axis.

    >>> import numpy as np
    >>> steps = np.arange(5, dtype="float32").reshape(1, 5, 1)
    >>> [half.shape[1] for half in TemporalSplit()(steps)]
    [2, 3]

    The first half has `time // 2` steps. If the number of steps is odd, the second half is one step longer.

    Args:
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Returns:
        A call returns a list of two tensors with the dtype of the input and shape (batch, steps, ...). Each
        tensor has its half of the mask.

    Raises:
        SpecError: the input has no time axis.

    The `TemporalSplit` in TensorFlow's masking guide requires even lengths. It fails in Functional models,
    because `tf.split` does not accept symbolic masks.
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
        # The default implementation would return the compute dtype, even for integers.
        return [keras.KerasTensor(shape, inputs.dtype) for shape in self.compute_output_shape(inputs.shape)]


@_registered
class SplitMask(keras.Operation):  # type: ignore[misc]
    """An operation that splits a symbolic mask for `TemporalSplit`.

    In a Functional model, masks are nodes of the graph, so a Keras operation must split them. Keras
    itself has no operation that splits an axis of unknown length in the middle.
    """

    def call(self, mask: Any) -> list[Any]:
        return _halves(mask)

    def compute_output_spec(self, mask: Any) -> list[Any]:
        return [keras.KerasTensor(shape, mask.dtype) for shape in _half_shapes(mask.shape)]


@_registered
class CustomEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """A layer that embeds token ids as vectors and creates a mask that is True for real tokens.

    >>> import numpy as np
    >>> embedding = CustomEmbedding(input_dim=10, output_dim=4, mask_zero=True)
    >>> ids = np.array([[7, 3, 0]])
    >>> tuple(embedding(ids).shape), keras.ops.convert_to_numpy(embedding.compute_mask(ids)).tolist()
    ((1, 3, 4), [[True, True, False]])

    Args:
        input_dim: number of ids. The ids are the integers from 0 to `input_dim - 1`.
        output_dim: length of a vector.
        mask_zero: whether id 0 is padding.
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Returns:
        A call returns a tensor of the compute dtype and shape (*ids.shape, output_dim). Float ids are rounded
        toward zero, as in `keras.layers.Embedding`.

    Raises:
        SpecError: `input_dim` or `output_dim` is not a whole number of at least 1.

    The `CustomEmbedding` in TensorFlow's masking guide fails in Functional models and does not accept float
    ids.
    """

    def __init__(self, input_dim: int, output_dim: int, mask_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim = _at_least_one("input_dim", input_dim)
        self.output_dim = _at_least_one("output_dim", output_dim)
        self.mask_zero = bool(mask_zero)
        # If mask_zero is False, the layer drops the mask of its input, and Keras prints a warning.
        self.supports_masking = self.mask_zero
        # With a half-precision policy, autocast would round float ids. The largest float16 is 65504.
        self.autocast = False

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim), initializer="uniform", name="embeddings"
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        vectors = ops.take(self.embeddings, _to_integers(inputs), axis=0)
        return ops.cast(vectors, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        # A float id such as 0.5 is rounded to 0, so it is padding too.
        return ops.not_equal(_to_integers(inputs), 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        own = {"input_dim": self.input_dim, "output_dim": self.output_dim, "mask_zero": self.mask_zero}
        return {**super().get_config(), **own}


@_registered
class MaskedActivation(keras.layers.Layer):  # type: ignore[misc]
    """A layer that applies an activation to every value and passes the mask on.

    >>> import numpy as np
    >>> keras.ops.convert_to_numpy(MaskedActivation("relu")(np.array([[-1.0, 2.0]]))).tolist()
    [[0.0, 2.0]]

    Args:
        activation: name of a function in `keras.activations`, or a function that preserves the shape of a
            tensor and does not mix its steps.
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Returns:
        A call returns a tensor with the shape and the mask of the input.

    Raises:
        ValueError: Keras has no activation with this name.

    The layer corresponds to `MyActivation` in TensorFlow's masking guide. Without `supports_masking`, which
    this layer sets, a custom layer drops the mask.
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
    """A layer that computes a softmax over the real steps of every sequence.

    >>> import numpy as np
    >>> scores = np.array([[[1.0], [1.0], [np.nan]]])
    >>> weights = TemporalSoftmax()(scores, mask=np.array([[True, True, False]]))
    >>> keras.ops.convert_to_numpy(weights).tolist()
    [[[0.5], [0.5], [0.0]]]

    For each feature, the weights of the real steps of a row sum to 1. The weights of padded steps are exactly
    0 for any content. In a row without real steps, all weights are 0. No gradient flows into padded steps.

    Args:
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Returns:
        A call accepts scores of shape (batch, time, features) and a mask of shape (batch, time). If there is
        no mask, all steps are real. The call returns a tensor with the shape of the scores and the compute
        dtype. With a half-precision policy, the layer computes in float32 and casts the result.

    Raises:
        SpecError: the scores do not have the shape (batch, time, features), or the mask does not match the
            scores.

    The `TemporalSoftmax` in TensorFlow's masking guide sums over the features instead of over time. With
    one feature, each weight is therefore 1, or NaN at a padded step.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        _check_scores(self, inputs.shape)
        scores = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        if mask is None:
            # Keras's own softmax would warn about batches of one step.
            mask = ops.ones_like(scores[..., 0], dtype="bool")
        _check_mask(self, inputs.shape, mask.shape)
        return ops.cast(_softmax_over_real(scores, mask), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        _check_scores(self, input_shape)
        return input_shape


def _softmax_over_real(scores: Any, mask: Any) -> Any:
    """Return the softmax over the steps of axis 1 where the mask is True, and 0 elsewhere."""
    real = ops.expand_dims(ops.cast(mask, "bool"), -1)
    # A constant that is subtracted from all scores does not change the softmax, so it needs no gradient. Some
    # backends require `initial` for the maximum of zero steps.
    highest = ops.max(ops.where(real, scores, LOWEST), axis=1, keepdims=True, initial=LOWEST)
    # Also set padding to 0 before `exp`. Otherwise, an overflow of `exp` would cause a NaN gradient, because
    # 0 times infinity is NaN.
    shifted = ops.where(real, scores - ops.stop_gradient(highest), 0.0)
    weights = ops.where(real, ops.exp(shifted), 0.0)
    total = ops.sum(weights, axis=1, keepdims=True)
    # The weight of the highest score is 1, so the total is 0 only for rows without real steps.
    return weights / ops.where(total == 0, 1.0, total)


def _halves(tensor: Any) -> list[Any]:
    """Split a tensor into two halves along axis 1. The length may be unknown until the graph runs."""
    half = ops.shape(tensor)[1] // 2
    return [tensor[:, :half], tensor[:, half:]]


def _half_shapes(shape: Shape) -> list[Shape]:
    batch, time, *inner = shape
    halves = (None, None) if time is None else (time // 2, time - time // 2)
    return [(batch, half, *inner) for half in halves]


def _to_integers(ids: Any) -> Any:
    is_integer = keras.backend.standardize_dtype(ids.dtype) in ("int32", "int64")
    return ids if is_integer else ops.cast(ids, "int32")


def _at_least_one(name: str, number: int) -> int:
    if isinstance(number, bool) or not hasattr(number, "__index__") or number < 1:
        raise SpecError(f"`{name}` must be a whole number of at least 1. Received: {number!r}.")
    return operator.index(number)


def _check_sequences(layer: Any, shape: Shape) -> None:
    if len(shape) < 2:
        raise SpecError(
            f"{layer.name} requires an input of shape (batch, time, ...). For a single sequence, add a batch "
            f"axis with `inputs[None]`. Received: shape {tuple(shape)}."
        )


def _check_scores(layer: Any, shape: Shape) -> None:
    if len(shape) != 3:
        raise SpecError(
            f"{layer.name} requires scores of shape (batch, time, features). For one score per time step, "
            f"add an axis with `scores[..., None]`. Received: shape {tuple(shape)}."
        )


def _check_mask(layer: Any, shape: Shape, mask_shape: Shape) -> None:
    known = [pair for pair in zip(shape, mask_shape, strict=False) if None not in pair]
    if len(mask_shape) != 2 or any(axis != mask_axis for axis, mask_axis in known):
        raise SpecError(
            f"{layer.name} requires a mask of shape (batch, time) for scores of shape {tuple(shape)}. "
            f"Received: a mask of shape {tuple(mask_shape)}."
        )
