"""GPU paths of Keras with TensorFlow: cuDNN and generic kernels of recurrent layers, and attention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from check import SIZE, Array, Case, draw_batch, pad

keras = tf.keras
HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def describe_device() -> str:
    return f"{'GPU' if HAS_GPU else 'CPU'}, tensorflow {tf.__version__}, keras {keras.__version__}"


def cases() -> Iterator[Case]:
    """Yield the comparisons of Keras with TensorFlow."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for name in ("LSTM", "GRU"):
        for use_cudnn in (True, False) if HAS_GPU else (False,):
            path = f"{name}, {'cuDNN' if use_cudnn else 'generic'}"
            for padding in ("right", "left", "only padding"):
                yield Case(
                    path,
                    padding,
                    "float32",
                    lambda n=name, u=use_cudnn, p=padding: _alone(n, u, p, "float32"),
                    # cuDNN accepts only padding on the right, and rows with tokens.
                    supported=padding == "right" or not use_cudnn,
                )
        if HAS_GPU:
            yield Case(f"{name}, cuDNN and generic", "right", "float32", lambda n=name: _kernels(n))
        for dtype in ("float16", "bfloat16"):
            yield Case(
                f"{name}, mixed precision",
                "right",
                dtype,
                lambda n=name, d=dtype: _alone(n, "auto", "right", d),
            )
    for padding in ("right", "left"):
        yield Case("MultiHeadAttention", padding, "float32", lambda p=padding: _attention(p))


def _layer(name: str, use_cudnn: bool | str, dtype: str) -> keras.Layer:
    keras.utils.set_random_seed(0)
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    return getattr(keras.layers, name)(SIZE, return_sequences=True, use_cudnn=use_cudnn, dtype=policy)


def _rows(padding: str) -> tuple[Array, Array]:
    features, lengths = draw_batch()
    if padding == "only padding":
        lengths = np.where(np.arange(len(lengths)) % 2, lengths, 0)
    return pad(features, lengths, padding)


def _alone(name: str, use_cudnn: bool | str, padding: str, dtype: str) -> tuple[Array, Array]:
    """Compare padded rows with each row alone."""
    padded, mask = _rows(padding)
    layer = _layer(name, use_cudnn, dtype)
    run = tf.function(lambda x, real: layer(x, mask=real), reduce_retracing=True)
    outputs = run(tf.constant(padded), tf.constant(mask)).numpy()
    rows = [row for row in range(len(padded)) if mask[row].any()]
    alone = [layer(tf.constant(padded[row : row + 1, mask[row]])).numpy()[0] for row in rows]
    found = np.concatenate([outputs[row, mask[row]] for row in rows])
    return found.astype("float32"), np.concatenate(alone).astype("float32")


def _kernels(name: str) -> tuple[Array, Array]:
    """Compare the cuDNN kernel with the generic kernel at real positions."""
    padded, mask = _rows("right")
    results = [
        _layer(name, use_cudnn, "float32")(tf.constant(padded), mask=tf.constant(mask)).numpy()[mask]
        for use_cudnn in (True, False)
    ]
    return results[0], results[1]


def _attention(padding: str) -> tuple[Array, Array]:
    padded, mask = _rows(padding)
    keras.utils.set_random_seed(0)
    layer = keras.layers.MultiHeadAttention(4, 4)
    outputs = layer(padded, padded, attention_mask=mask[:, None, :]).numpy()
    alone = [layer(*[padded[row : row + 1, mask[row]]] * 2).numpy()[0] for row in range(len(padded))]
    return np.concatenate([outputs[row, mask[row]] for row in range(len(padded))]), np.concatenate(alone)
