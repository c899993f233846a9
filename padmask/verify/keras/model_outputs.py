"""Convert the outputs of a Keras model to NumPy arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from padmask.verify.proof.tolerance import Array


def outputs_as_arrays(model: Any, outputs: Any) -> dict[str, Array]:
    """Return the outputs of a model as NumPy arrays, keyed by name."""
    flat = keras.tree.flatten_with_path(outputs)
    known = getattr(model, "output_names", None) or []
    named = {}
    for place, (path, output) in enumerate(flat):
        keys = [str(key) for key in path if isinstance(key, str)]
        if keys:
            name = "/".join(keys)
        elif len(known) == len(flat):
            name = str(known[place])
        else:
            name = "output" if len(flat) == 1 else f"output_{place}"
        if name in named:
            name = f"{name}_{place}"
        named[name] = np.asarray(keras.ops.convert_to_numpy(_cast_bfloat16(output)))
    return named


def _cast_bfloat16(output: Any) -> Any:
    """Cast bfloat16 to float32, because NumPy has no bfloat16."""
    if "bfloat16" in str(getattr(output, "dtype", "")):
        return keras.ops.cast(output, "float32")
    return output
