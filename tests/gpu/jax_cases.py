"""GPU paths of JAX: the implementations of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from check import Array, Case, draw_batch, pad

HAS_GPU = jax.default_backend() == "gpu"


def describe_device() -> str:
    return f"{jax.devices()[0].device_kind}, jax {jax.__version__}"


def cases() -> Iterator[Case]:
    """Yield the comparisons of JAX."""
    jax.config.update("jax_default_matmul_precision", "highest")
    for padding in ("right", "left", "only padding"):
        for dtype in ("float32", "bfloat16"):
            yield Case("attention, XLA", padding, dtype, lambda p=padding, d=dtype: _attention(p, d, "xla"))
        if HAS_GPU:
            yield Case(
                "attention, cuDNN", padding, "bfloat16", lambda p=padding: _attention(p, "bfloat16", "cudnn")
            )


def _attention(padding: str, dtype: str, kernel: Literal["xla", "cudnn"]) -> tuple[Array, Array]:
    """Compare attention on padded rows, with a mask on the keys, to attention on the same rows alone."""
    features, lengths = draw_batch()
    if padding == "only padding":
        lengths = np.where(np.arange(len(lengths)) % 2, lengths, 0)
    padded, mask = pad(features, lengths, padding)
    x = jnp.asarray(padded, dtype=dtype)[:, :, None]
    keys = jnp.broadcast_to(mask[:, None, None, :], (len(x), 1, x.shape[1], x.shape[1]))
    outputs = jax.nn.dot_product_attention(x, x, x, mask=keys, implementation=kernel)
    rows = [row for row in range(len(x)) if mask[row].any()]
    alone = [
        jax.nn.dot_product_attention(*[x[row : row + 1, mask[row]]] * 3, implementation="xla")[0]
        for row in rows
    ]
    found = jnp.concatenate([outputs[row, mask[row]] for row in rows])
    return np.asarray(found, "float32"), np.asarray(jnp.concatenate(alone), "float32")
