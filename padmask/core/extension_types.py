"""Convert tensors to lists, and decode dictionary arrays of view types, which Arrow cannot decode."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from padmask.errors import SpecError

_NAME, _METADATA = b"ARROW:extension:name", b"ARROW:extension:metadata"


def tensor_list_type(type_: pa.FixedShapeTensorType) -> pa.DataType:
    """Return the list type that can store tensors, with one level of lists for each axis.

    >>> tensor_list_type(pa.fixed_shape_tensor(pa.float32(), [3, 2]))
    FixedSizeListType(fixed_size_list<item: fixed_size_list<item: float>[2]>[3])
    """
    if 0 in type_.shape:
        # Arrow cannot create nested arrays of lists of size 0, so keep the flat list.
        return type_.storage_type
    item = type_.value_type
    for size in reversed(type_.shape):
        item = pa.list_(item, size)
    return item


def tensor_lists(tensors: pa.FixedShapeTensorArray) -> pa.Array:
    """Convert tensors to nested lists, with one level of lists for each axis.

    >>> flat = pa.array([[1, 2, 3, 4]], pa.list_(pa.int32(), 4))
    >>> type_ = pa.fixed_shape_tensor(pa.int32(), [2, 2])
    >>> tensor_lists(pa.ExtensionArray.from_storage(type_, flat)).to_pylist()
    [[[1, 2], [3, 4]]]
    """
    flat, shape = tensors.storage, tensors.type.shape
    if 0 in shape:
        return flat
    count = flat.type.list_size
    # If `flat` is a slice, .values returns the values of the complete array.
    array = flat.values.slice(flat.offset * count, len(flat) * count)
    for size in reversed(shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return pa.FixedSizeListArray.from_arrays(
        array, shape[0], mask=flat.is_null() if flat.null_count else None
    )


def refuse_permuted(type_: pa.DataType) -> None:
    """Raise an error for tensors whose values are not in the order of their axes.

    Raises:
        SpecError: the tensors have permuted axes. The caller completes the message.
    """
    while not isinstance(type_, pa.FixedShapeTensorType):
        inner = getattr(type_, "storage_type", None) or getattr(type_, "value_type", None)
        if inner is None:
            return
        type_ = inner
    if type_.permutation not in (None, list(range(len(type_.shape)))):
        raise SpecError(
            f"the type {type_} has permuted axes, which padmask does not support; store the tensors without "
            "a permutation"
        )


def refuse_flat_shape(field: pa.Field) -> None:
    """Raise an error for an unknown extension type that has a shape but stores values as a flat list.

    Raises:
        SpecError: a value has more axes than its list has levels. The caller completes the message.
    """
    metadata, type_ = field.metadata or {}, field.type
    shape = _shape_in(metadata.get(_METADATA))
    if _NAME in metadata and len(shape) > _levels(type_):
        raise SpecError(
            f"the extension type {metadata[_NAME].decode(errors='replace')!r} has the shape {shape}, but the "
            f"values are stored as {type_}; write them as lists of lists"
        )
    if pat.is_nested(type_) and type_.num_fields == 1:
        refuse_flat_shape(type_.field(0))


def _shape_in(metadata: bytes | None) -> list[Any]:
    """Return the shape in the metadata of an extension type; an empty list if there is no shape.

    >>> _shape_in(b"[3, 2]"), _shape_in(b'[[3, 2], "float32"]'), _shape_in(b'{"shape": [4]}'), _shape_in(b"")
    ([3, 2], [3, 2], [4], [])
    """
    try:
        found = json.loads(metadata or b"null")
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict):
        found = found.get("shape")
    if isinstance(found, list) and found and isinstance(found[0], list):
        found = found[0]
    numbers = isinstance(found, list) and all(isinstance(size, int | None) for size in found)
    return found if numbers else []


def _levels(type_: pa.DataType) -> int:
    return 1 + _levels(type_.field(0).type) if pat.is_nested(type_) and type_.num_fields == 1 else 0


def dictionary_values(array: pa.DictionaryArray) -> pa.Array:
    """Return the values of a dictionary array, even if they have a view type, which Arrow cannot decode.

    >>> views = pa.array(["a", "b"], pa.string_view())
    >>> dictionary_values(pa.DictionaryArray.from_arrays(pa.array([1, None, 0]), views)).to_pylist()
    ['b', None, 'a']
    """
    values = array.dictionary
    if not (pat.is_string_view(values.type) or pat.is_binary_view(values.type)):
        return array.dictionary_decode()
    plain = pa.large_string() if pat.is_string_view(values.type) else pa.large_binary()
    decoded = pa.DictionaryArray.from_arrays(array.indices, values.cast(plain)).dictionary_decode()
    return decoded.cast(values.type)
