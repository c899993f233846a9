"""Find the inputs of a Keras model and their roles, such as tokens, features, a mask or lengths."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from padmask.errors import SpecError
from padmask.verify.proof.sample import MADE, ModelInput, find_masked_input


def find_model_inputs(model: Any, roles: Mapping[str, str] | None = None) -> list[ModelInput]:
    """Return the inputs of a model, each with its role, shape and dtype.

    Args:
        model: built Keras model.
        roles: role of each input, as in `ModelInput.kind`, keyed by input name. Required only for inputs
            whose names and dtypes do not show their role.

    Raises:
        SpecError: no input has a time axis, an input expects strings, or an input cannot have the role in
            `roles`.
    """
    tensors = inputs_of(model)
    strings = [name for name, _, dtype, _ in tensors if dtype == "string"]
    if strings:
        raise SpecError(
            f"The model's input {strings[0]!r} expects strings, which cannot be padded. Verify only the part "
            "of the model after its text layers, or use --predict to verify a function that calls the model."
        )
    slots = [_with_role(_describe_input(model, *tensor), (roles or {}).get(tensor[0])) for tensor in tensors]
    timed = [slot.name for slot in slots if slot.kind in ("tokens", "features")]
    if not timed:
        raise SpecError(
            "The model has no input with a time axis, so there is nothing to pad. Choose a model that "
            "accepts sequences."
        )
    return [
        replace(slot, mask_of=find_masked_input(slot.name, timed))
        if slot.kind in (*MADE, "segments")
        else slot
        for slot in slots
    ]


def _with_role(slot: ModelInput, role: str | None) -> ModelInput:
    """Return an input with the role that the user chose. If `role` is None, return the input unchanged."""
    if role is None:
        return slot
    per_row = slot.shape in ((), (1,))
    if role != "static" and per_row != (role == "lengths"):
        needs = f"{role} requires one number per {'row' if role == 'lengths' else 'time step'}"
        raise SpecError(
            f"--input {slot.name}={role}: the model's input {slot.name!r} has the shape "
            f"{(None, *slot.shape)}, but {needs}. Choose another input.",
            options=["model_inputs"],
        )
    return replace(slot, kind=role)


def inputs_of(model: Any) -> list[tuple[str, tuple[int | None, ...], str, Any]]:
    """Return the name, shape, dtype and symbolic tensor of each input.

    The tensors are None for subclassed models, which have no symbolic inputs.
    """
    inputs = getattr(graph_of(model), "inputs", None)
    if inputs:
        return [(t.name, tuple(t.shape), keras.backend.standardize_dtype(t.dtype), t) for t in inputs]
    shapes = _find_built_shapes(model)
    found = []
    for name, shape in shapes.items():
        dtype = "float32" if len(shape) > 2 else "int32"
        found.append((name, shape, dtype, None))
    return found


def graph_of(model: Any) -> Any:
    """Return the Functional model inside a Sequential model. Return any other model unchanged."""
    return getattr(model, "_functional", None) or model


def _find_built_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return the input shapes with which a subclassed model was built, keyed by argument name or dict key."""
    config = model.get_build_config() or {}
    given = config.get("shapes_dict") or config.get("input_shape")
    first = next(iter(parameters_of(model)), "inputs")
    if given is None:
        given = (None, None)
    if isinstance(given, Mapping):
        return {name.removesuffix("_shape"): _release_sizes(shape) for name, shape in given.items()}
    if given and isinstance(given[0], (list, tuple)):
        return {f"{first}_{number}": _release_sizes(shape) for number, shape in enumerate(given)}
    return {first: _release_sizes(given)}


def _release_sizes(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """Replace the sizes of the batch and time axes, which come from the first batch, with None."""
    return (None, None, *shape[2:])


def parameters_of(model: Any) -> list[str]:
    """Return the names of the parameters of a model's `call` method that are inputs of the model."""
    names = inspect.signature(model.call).parameters
    return [name for name in names if name not in ("training", "args", "kwargs")]


def _describe_input(
    model: Any, name: str, shape: tuple[int | None, ...], dtype: str, tensor: Any
) -> ModelInput:
    inner = shape[1:]
    time_axis = _find_time_axis(inner)
    per_row = inner in ((), (1,))
    if _is_named_mask(name) or (dtype == "bool" and not per_row):
        return ModelInput(name, "mask", inner, dtype, time_axis=time_axis)
    floats = dtype.startswith(("float", "bfloat"))
    vocab = _find_vocab_size(model, tensor)
    kind = "tokens" if floats or per_row else _kind_of_name(name)
    if kind == "positions":
        return ModelInput(name, kind, inner, dtype, time_axis=time_axis)
    if kind == "segments":
        own = None if _find_embedding(model, tensor) is None else vocab
        return ModelInput(name, kind, inner, dtype, own, time_axis=time_axis)
    if floats and len(inner) == 1 and _find_embedding(model, tensor) is None and tensor is not None:
        return ModelInput(name, "features" if inner[0] is None else "static", inner, dtype)
    if not inner or (inner == (1,) and tensor is not None):
        return ModelInput(name, "static", inner, dtype, vocab)
    if floats and len(inner) > 1:
        return ModelInput(name, "features", inner, dtype)
    embedding = _find_embedding(model, tensor)
    exact = embedding is not None and is_embedding(embedding)
    return ModelInput(name, "tokens", inner, dtype, vocab, exact=exact, time_axis=time_axis)


def _find_time_axis(shape: tuple[int | None, ...]) -> int:
    """Return the index of the time axis of an input.

    The time axis is the first axis, except in shapes such as (choices, time).

    Args:
        shape: shape of the input without the batch axis.
    """
    if len(shape) != 2 or shape[0] is None:
        return 0
    return int(shape[1] is None or shape[0] < shape[1])


def _is_named_mask(name: str) -> bool:
    """Return whether the last word of a name is "mask", as in `attention_mask`, not `mask_positions`."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word and word not in ("input", "inputs")]
    return bool(words) and words[-1] in ("mask", "masks")


def _kind_of_name(name: str) -> str:
    """Find the kind of an integer input from its name.

    >>> [_kind_of_name(name) for name in ("token_type_ids", "mask_positions", "input_ids")]
    ['segments', 'positions', 'tokens']
    """
    words = set(re.split(r"[^a-z]+", name.lower()))
    if words & {"segment", "segments"} or {"type", "ids"} <= words or {"token", "types"} <= words:
        return "segments"
    return "positions" if words & {"position", "positions"} else "tokens"


def is_embedding(layer: Any) -> bool:
    return isinstance(getattr(layer, "input_dim", None), int) and "embed" in type(layer).__name__.lower()


def _find_vocab_size(model: Any, tensor: Any) -> int | None:
    """Return the vocabulary size of the embedding that reads a tensor.

    If no embedding reads the tensor, return the smallest vocabulary size of all embeddings.
    """
    embedding = _find_embedding(model, tensor)
    if embedding is not None and is_embedding(embedding):
        return int(embedding.input_dim)
    sizes = [int(layer.input_dim) for layer in model._flatten_layers() if is_embedding(layer)]
    return min(sizes, default=None)


def _find_embedding(model: Any, tensor: Any) -> Any:
    """Return the layer that embeds an input tensor, or None.

    The layer is an embedding, or a custom layer that contains an embedding and whose output has one axis
    more than the ids.
    """
    reached = [(graph_of(model), tensor, True)] if tensor is not None else []
    for _ in range(64):
        if not reached:
            return None
        graph, wanted, given_input = reached.pop(0)
        for operation in getattr(graph, "operations", ()):
            for node in operation._inbound_nodes:
                if not any(given is wanted for given in node.input_tensors):
                    continue
                if is_embedding(operation) or (given_input and _embeds(operation, node)):
                    return operation
                inner = getattr(graph_of(operation), "inputs", None) if _is_model(operation) else None
                if inner:
                    index = next(i for i, given in enumerate(node.input_tensors) if given is wanted)
                    reached += [(graph_of(operation), inner[min(index, len(inner) - 1)], given_input)]
                else:
                    reached += [(graph, output, False) for output in node.output_tensors]
    return None


def _embeds(operation: Any, node: Any) -> bool:
    """Return whether a call of a custom layer turns ids into vectors with an inner embedding."""
    if _is_model(operation) or not isinstance(operation, keras.Layer):
        return False
    has_table = any(is_embedding(layer) for layer in operation._flatten_layers(include_self=False))
    ranks = [len(tensor.shape) for tensor in (*node.input_tensors, *node.output_tensors)]
    return has_table and len(node.input_tensors) == 1 and ranks[-1] == ranks[0] + 1


def _is_model(operation: Any) -> bool:
    return isinstance(operation, keras.Model)
