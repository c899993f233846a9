"""Run a Keras model in float64, in place and back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Wide:
    """Makes a model's own layers and variables double, and back: a copy might not be the same model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._variables: list[tuple[Any, Any, Any, str]] | None = None
        self._possible: bool | None = None

    def possible(self, run: Callable[[], object]) -> bool:
        """Whether the model can be run this way; its own code may insist on another precision."""
        if self._possible is None:
            self._possible = False
            with suppress(Exception), self:
                run()
                self._possible = True
        return self._possible

    def __enter__(self) -> None:
        import tensorflow as tf

        layers = list(self._model._flatten_layers())
        if self._variables is None:
            floats = {
                id(v): v
                for layer in layers
                for v in layer.variables
                if v.dtype.startswith(("float", "bfloat"))
            }
            self._variables = [
                (v, v._value, tf.Variable(tf.cast(v.value, tf.float64)), v._dtype) for v in floats.values()
            ]
        self._policies = [(layer, layer.dtype_policy) for layer in layers]
        try:
            for layer, _ in self._policies:
                with suppress(AttributeError):
                    layer.dtype_policy = "float64"
            for variable, _, wide, _ in self._variables:
                variable._value, variable._dtype = wide, "float64"
        except Exception:
            # A layer may refuse: the others must not stay behind.
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for layer, policy in self._policies:
            with suppress(Exception):
                layer.dtype_policy = policy
        for variable, own, _, dtype in self._variables or ():
            variable._value, variable._dtype = own, dtype
