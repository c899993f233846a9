"""Compile the layers inside TimeDistributed, which calls its layer in Python for each time step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


class CompiledSteps:
    """The layers inside the TimeDistributed layers of a model, each with a compiled `call`.

    A recurrent layer inside TimeDistributed takes several milliseconds for each time step if its code runs in
    Python. Without compiled functions, the checks would spend most of their time there.

    Args:
        model: built Keras model on TensorFlow.
    """

    def __init__(self, model: Any) -> None:
        loops = [
            layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.TimeDistributed)
        ]
        self._layers = list({id(loop.layer): loop.layer for loop in loops}.values())
        # Compiled functions, keyed by the id and the compute dtype of the layer. Each dtype needs its own
        # function, because a compiled function keeps its variables, and `Float64Mode` replaces the variables.
        self._functions: dict[tuple[int, str], Callable[..., Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._layers)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside the context, the layers run as compiled functions."""
        originals = [vars(layer).get("call") for layer in self._layers]
        for layer in self._layers:
            # `vars` avoids the tracking of attributes by Keras.
            vars(layer)["call"] = self._compiled(layer)
        try:
            yield
        finally:
            for layer, original in zip(self._layers, originals, strict=True):
                del vars(layer)["call"]
                if original is not None:
                    vars(layer)["call"] = original

    def _compiled(self, layer: Any) -> Callable[..., Any]:
        import tensorflow as tf

        key = id(layer), layer.compute_dtype
        if key not in self._functions:
            self._functions[key] = tf.function(layer.call, autograph=False)
        return self._functions[key]
