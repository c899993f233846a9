"""Temporarily convert a Keras model to float64 in place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Float64Mode:
    """A context manager that converts a model to float64 and restores the model at the end.

    The context manager changes the model in place, because a copy might behave differently.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._variables: list[tuple[Any, Any, Any, str]] | None = None
        self._is_possible: bool | None = None

    def is_possible(self, run: Callable[[], object]) -> bool:
        """Return whether `run()` succeeds in float64. Custom code may require another dtype."""
        if self._is_possible is None:
            self._is_possible = False
            with suppress(Exception), self:
                run()
                self._is_possible = True
        return self._is_possible

    def casts_down(self, compiled: Any) -> bool:
        """Return whether a compiled model in float64 mode still computes some values in a lower precision.

        Some layers cast to float32, and a nested model casts its inputs to their declared dtype. Such a model
        has the rounding errors of float32.

        Args:
            compiled: compiled function of the model, which ran in float64 mode.
        """
        from tensorflow.core.framework import types_pb2 as types

        lower = {types.DT_FLOAT, types.DT_HALF, types.DT_BFLOAT16}
        definition = compiled.get_concrete_function().graph.as_graph_def()
        inner = (node for function in definition.library.function for node in function.node_def)
        return any(
            node.op == "Cast"
            and node.attr["SrcT"].type == types.DT_DOUBLE
            and node.attr["DstT"].type in lower
            for node in (*definition.node, *inner)
        )

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
            for variable, _, float64, _ in self._variables:
                variable._value, variable._dtype = float64, "float64"
        except Exception:
            # A layer may not support the change. Restore the layers that were changed so far.
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for layer, policy in self._policies:
            with suppress(Exception):
                layer.dtype_policy = policy
        for variable, original, _, dtype in self._variables or ():
            variable._value, variable._dtype = original, dtype
