"""Decode dictionaries that a format cannot store, at any depth of nested columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import to_arrow, to_numpy
from padmask.core.extension_types import dictionary_values
from padmask.core.foreign_metadata import field_metadata

# Accepts the value type of a dictionary type, and returns whether to replace the dictionary type.
Replaces = Callable[[pa.DataType], bool]


def of_views(values: pa.DataType) -> bool:
    """Return whether a type is a view or nested type. Parquet cannot store dictionaries of such values."""
    return bool(pat.is_string_view(values) or pat.is_binary_view(values)) or of_lists(values)


def of_lists(values: pa.DataType) -> bool:
    """Return whether a type is nested. Arrow cannot join dictionaries of such values."""
    return bool(pat.is_nested(values))


def plain_schema(schema: pa.Schema, replaces: Replaces) -> pa.Schema:
    """Replace the dictionary types that a format cannot store with the types of their values.

    >>> views = pa.dictionary(pa.int32(), pa.string_view())
    >>> plain_schema(pa.schema([("x", views)]), of_views).field("x").type
    DataType(string)
    """
    fields = [_plain_field(field, replaces) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _plain_field(field: pa.Field, replaces: Replaces) -> pa.Field:
    type_ = plain_type(field.type, replaces)
    if type_.equals(field.type):
        return field
    metadata = field_metadata(field, type_, changed=False)
    return pa.field(field.name, type_, field.nullable, metadata)


def plain_type(type_: pa.DataType, replaces: Replaces) -> pa.DataType:
    """Replace the dictionary types that `replaces` selects with the types of their values, at any depth."""
    if pat.is_dictionary(type_):
        return _value_type(type_.value_type) if replaces(type_.value_type) else type_
    if pat.is_struct(type_):
        return pa.struct([_plain_field(field, replaces) for field in type_])
    if pat.is_map(type_):
        key, item = (_plain_field(field, replaces) for field in (type_.key_field, type_.item_field))
        return pa.map_(key, item)
    if pat.is_fixed_size_list(type_):
        return pa.list_(_plain_field(type_.value_field, replaces), type_.list_size)
    if pat.is_list(type_):
        return pa.list_(_plain_field(type_.value_field, replaces))
    if pat.is_large_list(type_):
        return pa.large_list(_plain_field(type_.value_field, replaces))
    return type_


def _value_type(type_: pa.DataType) -> pa.DataType:
    """Return the type that replaces a dictionary type whose values have the type `type_`."""
    if pat.is_string_view(type_):
        return pa.string()
    return pa.binary() if pat.is_binary_view(type_) else plain_type(type_, of_views)


def as_type(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Cast an array to the type that `plain_type` returns for the type of the array.

    >>> views = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["a"], pa.string_view()))
    >>> as_type(pa.ListArray.from_arrays([0, 1, 2], views), pa.list_(pa.string())).to_pylist()
    [['a'], ['a']]
    """
    have = array.type
    if pat.is_dictionary(have):
        # Dictionaries with nulls cannot be joined.
        holes = array.dictionary.null_count and pat.is_dictionary(type_)
        return _encoded(array) if holes else array if have.equals(type_) else _decoded(array, type_)
    if have.equals(type_):
        return array
    if have.id != type_.id or have.num_fields != type_.num_fields:
        return array.cast(type_)
    nulls = array.is_null() if array.null_count else None
    if pat.is_struct(have):
        parts = [as_type(array.field(i), field.type) for i, field in enumerate(type_)]
        return pa.StructArray.from_arrays(parts, fields=list(type_), mask=nulls)
    if pat.is_fixed_size_list(have):
        values = array.values.slice(array.offset * have.list_size, len(array) * have.list_size)
        return pa.FixedSizeListArray.from_arrays(as_type(values, type_.value_type), type=type_, mask=nulls)
    if pat.is_list(have) or pat.is_large_list(have):
        make = pa.ListArray if pat.is_list(have) else pa.LargeListArray
        values = as_type(array.values, type_.value_type)
        return make.from_arrays(_offsets(array), values, type=type_, mask=nulls)
    if pat.is_map(have):
        keys, items = as_type(array.keys, type_.key_type), as_type(array.items, type_.item_type)
        return pa.MapArray.from_arrays(_offsets(array), keys, items, type=type_, mask=nulls)
    # Cast only columns whose type differs, since Arrow's cast breaks lists of nulls.
    return array.cast(type_)


def _offsets(lists: pa.Array) -> pa.Array:
    """Return a copy of the offsets. Arrow does not accept sliced offsets together with a mask."""
    return to_arrow(np.array(to_numpy(lists.offsets)))


def _decoded(array: pa.DictionaryArray, type_: pa.DataType) -> pa.Array:
    values = dictionary_values(array)
    return as_type(values, type_) if pat.is_nested(type_) else values.cast(type_)


def _encoded(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """Encode a dictionary array again, so that nulls are null indices, not values of the dictionary."""
    return dictionary_values(array).dictionary_encode().cast(array.type)
