"""The inputs of a Keras model, and what each is for: tokens, features, a mask, or no steps."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from padmask.errors import SpecError
from padmask.verify.proof.sample import ModelInput


def find_model_inputs(model: Any) -> list[ModelInput]:
    """Return the inputs of a model, and what each is for.

    Raises:
        SpecError: none of them has steps.
    """
    tensors = inputs_of(model)
    words = [name for name, _, dtype, _ in tensors if dtype == "string"]
    if words:
        raise SpecError(
            f"The input {words[0]!r} takes strings, which cannot be padded. Verify the part of the model "
            "after its text layers, or a function that calls it with --predict."
        )
    slots = [_slot(model, *tensor) for tensor in tensors]
    timed = [slot.name for slot in slots if slot.kind in ("tokens", "features")]
    if not timed:
        raise SpecError(
            "The model has no input of tokens or features with steps, so there is nothing to pad."
        )
    return [
        slot
        if slot.kind != "mask"
        else ModelInput(slot.name, "mask", slot.shape, slot.dtype, of=_owner(slot.name, timed))
        for slot in slots
    ]


def inputs_of(model: Any) -> list[tuple[str, tuple[int | None, ...], str, Any]]:
    """Return name, shape, dtype and symbolic tensor of each input."""
    inputs = getattr(graph_of(model), "inputs", None)
    if inputs:
        return [(t.name, tuple(t.shape), keras.backend.standardize_dtype(t.dtype), t) for t in inputs]
    shapes = _built_shapes(model)
    found = []
    for name, shape in shapes.items():
        dtype = "float32" if len(shape) > 2 else "int32"
        found.append((name, shape, dtype, None))
    return found


def graph_of(model: Any) -> Any:
    """Return what has the graph: of a Sequential model the Functional one inside."""
    return getattr(model, "_functional", None) or model


def _built_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes that a subclassed model was built with, by the argument or key they go to."""
    config = model.get_build_config() or {}
    given = config.get("shapes_dict") or config.get("input_shape")
    first = next(iter(parameters_of(model)), "inputs")
    if given is None:
        given = (None, None)
    if isinstance(given, Mapping):
        return {name.removesuffix("_shape"): _open(shape) for name, shape in given.items()}
    if given and isinstance(given[0], (list, tuple)):
        return {f"{first}_{place}": _open(shape) for place, shape in enumerate(given)}
    return {first: _open(given)}


def _open(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """A subclassed model is built on the first batch it sees, whose sizes bind it to nothing."""
    return (None, None, *shape[2:])


def parameters_of(model: Any) -> list[str]:

    names = inspect.signature(model.call).parameters
    return [name for name in names if name not in ("training", "args", "kwargs")]


def _slot(model: Any, name: str, shape: tuple[int | None, ...], dtype: str, tensor: Any) -> ModelInput:
    inner = shape[1:]
    if "mask" in re.split(r"[^a-z]+", name.lower()):
        return ModelInput(name, "mask", inner, dtype)
    floats = dtype.startswith(("float", "bfloat"))
    vocab = _vocabulary(model, tensor)
    if floats and len(inner) == 1 and _embedding_of(model, tensor) is None and tensor is not None:
        return ModelInput(name, "features" if inner[0] is None else "static", inner, dtype)
    if not inner or (inner == (1,) and tensor is not None):
        return ModelInput(name, "static", inner, dtype, vocab)
    if floats and len(inner) > 1:
        return ModelInput(name, "features", inner, dtype)
    return ModelInput(name, "tokens", inner, dtype, vocab, exact=_embedding_of(model, tensor) is not None)


def _owner(mask: str, timed: Sequence[str]) -> str:
    """Return the input that a mask belongs to: the one whose name shares most with it."""
    words = set(re.split(r"[^a-z0-9]+", mask.lower())) - {"mask"}
    return max(timed, key=lambda name: len(words & set(re.split(r"[^a-z0-9]+", name.lower()))))


def is_embedding(layer: Any) -> bool:
    return isinstance(getattr(layer, "input_dim", None), int) and "embed" in type(layer).__name__.lower()


def _vocabulary(model: Any, tensor: Any) -> int | None:
    """Return how many ids the embedding that a tensor goes to has rows for."""
    embedding = _embedding_of(model, tensor)
    if embedding is not None:
        return int(embedding.input_dim)
    sizes = [int(layer.input_dim) for layer in model._flatten_layers() if is_embedding(layer)]
    return min(sizes, default=None)


def _embedding_of(model: Any, tensor: Any) -> Any:
    """Follow an input through the graph to the embedding that it goes to."""
    reached = [(graph_of(model), tensor)] if tensor is not None else []
    for _ in range(64):
        if not reached:
            return None
        graph, wanted = reached.pop(0)
        for operation in getattr(graph, "operations", ()):
            for node in operation._inbound_nodes:
                if not any(given is wanted for given in node.input_tensors):
                    continue
                if is_embedding(operation):
                    return operation
                inner = getattr(graph_of(operation), "inputs", None) if _is_model(operation) else None
                if inner:
                    place = next(i for i, given in enumerate(node.input_tensors) if given is wanted)
                    reached += [(graph_of(operation), inner[min(place, len(inner) - 1)])]
                else:
                    reached += [(graph, output) for output in node.output_tensors]
    return None


def _is_model(operation: Any) -> bool:
    return isinstance(operation, keras.Model)
