"""Record the inputs, outputs and masks of every layer and operation call while a Keras model runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras.src import backend as keras_backend
from keras.src.ops.operation import Operation

from padmask.verify.proof.tolerance import Array


@dataclass(eq=False)
class Event:
    """One call of a layer or operation, with its inputs, outputs and masks.

    Args:
        number: number of the call in the run. Calls are numbered when they start.
        operation: the layer or operation.
        name: path of the layer or operation, such as `encoder/lstm`.
        parent: call of the model or layer that contains this call; None for the outermost call.
        inputs: argument name and value of each input tensor.
        masks_in: mask of each input tensor before the call; None for a tensor without a mask.
        mask_arguments: arguments of the call whose names contain `mask`.
        masks_after: mask of each input tensor after the call.
        outputs: the output tensors.
        masks_out: mask of each output tensor.
        children: calls inside this call.
        has_fourier: whether a Fourier transform ran in this call, but not in one of its children.
    """

    number: int
    operation: Any
    name: str
    parent: Event | None
    inputs: list[tuple[str, Any]]
    masks_in: list[Array | None]
    mask_arguments: dict[str, Any] = field(default_factory=dict)
    masks_after: list[Array | None] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    masks_out: list[Array | None] = field(default_factory=list)
    children: list[Event] = field(default_factory=list)
    has_fourier: bool = False

    @property
    def kind(self) -> str:
        return type(self.operation).__name__

    @property
    def records_inner_calls(self) -> bool:
        """Whether calls inside this call are recorded: True for models and custom layers, else False."""
        if isinstance(self.operation, keras.Model):
            return True
        return isinstance(self.operation, keras.Layer) and not is_from_keras(self.operation)

    @property
    def takes_mask(self) -> bool:
        with suppress(ValueError, TypeError):
            return any("mask" in name for name in inspect.signature(self.operation.call).parameters)
        return False


def is_from_keras(operation: Any) -> bool:
    return type(operation).__module__.split(".")[0] == "keras"


def as_array(tensor: Any) -> Array:
    if "bfloat16" in str(tensor.dtype):
        tensor = keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def mask_of(tensor: Any) -> Array | None:
    """Return the mask that Keras stores with a tensor; None if there is none."""
    mask = keras_backend.get_keras_mask(tensor)
    return None if mask is None else as_array(mask)


def marks_padding(mask: Any) -> bool:
    """Return whether a mask marks padding.

    A mask with one value per step marks padding if it is False anywhere. An attention mask, with one value
    per query and key, marks padding if it is False for all queries of a key, or for all keys of a query. A
    causal mask marks no padding.

    >>> marks_padding(np.array([[True, False]])), marks_padding(np.tril(np.ones((1, 3, 3))))
    (True, False)
    """
    if mask is None:
        return False
    real = np.asarray(as_array(mask) if keras.ops.is_tensor(mask) else mask).astype(bool)
    is_of_pairs = real.ndim > 2 or (real.ndim == 2 and real.shape[0] == real.shape[1] > 1)
    if is_of_pairs and min(real.shape[-2:]) > 1:
        return not (real.any(axis=-1).all() and real.any(axis=-2).all())
    return not real.all()


# Fourier transforms of the Keras backends. If the tensors are not symbolic, Keras calls these functions
# directly, and not through an operation that could be recorded.
_FOURIER = ("fft", "fft2", "ifft", "ifft2", "rfft", "irfft", "stft", "istft")


class Recorder:
    """A recorder of the calls of layers and operations while a model runs.

    Args:
        injected: arrays that replace the output tensors of a call, keyed by the number of the call. A None
            instead of an array keeps the tensor.
        given: arrays that replace the input tensors of a call, in the same form.
    """

    def __init__(
        self,
        injected: Mapping[int, Sequence[Array | None]] | None = None,
        given: Mapping[int, Sequence[Array | None]] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self._injected = injected or {}
        self._given = given or {}
        self._stack: list[Event] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record all calls inside the context. To do so, replace the call methods of Keras's base classes."""
        layer_call, operation_call = keras.Layer.__call__, Operation.__call__
        recorder = self

        def call_layer(layer: Any, *arguments: Any, **named: Any) -> Any:
            if not recorder._is_recording():
                return layer_call(layer, *arguments, **named)
            return recorder._record(layer, layer_call, arguments, named)

        def call_operation(operation: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(operation, keras.Layer):
                # `call_layer` has already recorded this call. Since then, Keras has added the mask arguments
                # of the layer, so record them here.
                if recorder._stack and recorder._stack[-1].operation is operation:
                    recorder._stack[-1].mask_arguments = _masks(operation, arguments, named)
                return operation_call(operation, *arguments, **named)
            if not recorder._is_recording():
                return operation_call(operation, *arguments, **named)
            return recorder._record(operation, operation_call, arguments, named)

        keras.Layer.__call__, Operation.__call__ = call_layer, call_operation
        functions = {
            name: function
            for name in _FOURIER
            if (function := getattr(keras_backend.math, name, None)) is not None
        }
        for name, function in functions.items():
            setattr(keras_backend.math, name, self._noting(function))
        try:
            yield
        finally:
            keras.Layer.__call__, Operation.__call__ = layer_call, operation_call
            for name, function in functions.items():
                setattr(keras_backend.math, name, function)

    def _noting(self, function: Any) -> Any:
        """Wrap a Fourier transform so that its calls set `has_fourier` of the innermost event."""

        def transform(*arguments: Any, **named: Any) -> Any:
            if self._stack:
                self._stack[-1].has_fourier = True
            return function(*arguments, **named)

        return transform

    def _is_recording(self) -> bool:
        return not self._stack or self._stack[-1].records_inner_calls

    def _record(self, operation: Any, call: Any, arguments: Any, named: dict[str, Any]) -> Any:
        parent = self._stack[-1] if self._stack else None
        # The paths of layers do not include the name of the model.
        prefix = f"{parent.name}/" if parent is not None and parent.parent is not None else ""
        tensors = _tensors(operation, arguments, named)
        number = len(self.events)
        if number in self._given:
            arguments, named = _replace_inputs(arguments, named, tensors, self._given[number])
            tensors = _tensors(operation, arguments, named)
        event = Event(
            number,
            operation,
            prefix + operation.name,
            parent,
            tensors,
            [mask_of(tensor) for _, tensor in tensors],
        )
        if not isinstance(operation, keras.Layer):
            event.mask_arguments = _masks(operation, arguments, named)
        self.events.append(event)
        if parent is not None:
            parent.children.append(event)
        self._stack.append(event)
        try:
            outputs = call(operation, *arguments, **named)
        finally:
            self._stack.pop()
        if event.number in self._injected:
            outputs = _replace_tensors(outputs, self._injected[event.number])
        event.masks_after = [mask_of(tensor) for _, tensor in tensors]
        event.outputs = [output for output in keras.tree.flatten(outputs) if keras.ops.is_tensor(output)]
        event.masks_out = [mask_of(output) for output in event.outputs]
        return outputs


def _tensors(operation: Any, arguments: Any, named: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the tensors in the arguments of a call, each with its argument name. Masks are omitted."""
    found = []
    for name, value in _bind(operation, arguments, named).items():
        if "mask" in name:
            continue
        found += [(name, x) for x in keras.tree.flatten(value) if keras.ops.is_tensor(x)]
    return found


def _masks(operation: Any, arguments: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments whose names contain `mask`, also if they were passed by position."""
    return {name: value for name, value in _bind(operation, arguments, named).items() if "mask" in name}


def _bind(operation: Any, arguments: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call, keyed by name, or by position if the names are unknown."""
    with suppress(ValueError, TypeError):
        signature = inspect.signature(operation.call)
        bound = dict(signature.bind_partial(*arguments, **named).arguments)
        for parameter in signature.parameters.values():
            if parameter.kind == parameter.VAR_KEYWORD:
                bound.update(bound.pop(parameter.name, {}))
        return bound
    return {**{str(index): value for index, value in enumerate(arguments)}, **named}


def _replace_inputs(
    arguments: Any, named: dict[str, Any], tensors: Sequence[tuple[str, Any]], arrays: Sequence[Array | None]
) -> tuple[Any, dict[str, Any]]:
    """Return the arguments of a call after replacing some of their tensors.

    Args:
        arguments: positional arguments.
        named: keyword arguments.
        tensors: tensors in the arguments, each with its argument name.
        arrays: new value of each tensor in `tensors`, in the same order. None keeps the tensor.
    """
    found = [tensor for _, tensor in tensors]
    replaced = dict(zip(map(id, found), _replace_tensors(found, arrays), strict=True))
    changed: tuple[Any, dict[str, Any]] = keras.tree.map_structure(
        lambda value: replaced.get(id(value), value), (arguments, named)
    )
    return changed


def _replace_tensors(outputs: Any, arrays: Sequence[Array | None]) -> Any:
    """Return the outputs of a call after replacing some of their tensors. A new tensor keeps the old mask.

    Args:
        outputs: outputs, possibly nested.
        arrays: new value of each tensor in `outputs`, in the same order. None keeps the tensor.
    """
    remaining = iter(arrays)

    def replace(output: Any) -> Any:
        array = next(remaining) if keras.ops.is_tensor(output) else None
        if array is None:
            return output
        replaced = keras.ops.convert_to_tensor(array, dtype=output.dtype)
        keras_backend.set_keras_mask(replaced, keras_backend.get_keras_mask(output))
        return replaced

    return keras.tree.map_structure(replace, outputs)
