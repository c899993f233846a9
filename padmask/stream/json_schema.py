"""Find the schema of a dataset, including the token types. For JSON Lines, the rows determine the types."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

from padmask.core.arrow_lists import Kind, list_of, with_floats
from padmask.core.columns import PadColumn, asked_dtype, kind_of_dtype, name_columns
from padmask.core.companions import list_names
from padmask.core.unpaddable_types import is_text, tokenize_first
from padmask.errors import DataError, Place
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Column, Columns, quote_names
from padmask.spec.pad import FLOAT_DTYPES, PadSpec

# Words for the values of JSON fields that are not lists, by their approximate type.
_SCALARS = {pa.string(): "strings", pa.int64(): "numbers", pa.float64(): "numbers", pa.bool_(): "bools"}


def known_schema(dataset: Dataset, asked: Columns, spec: PadSpec) -> pa.Schema:
    """Return the schema of a dataset. For JSON Lines, detect the token types of the columns to pad."""
    schema = dataset.schema()
    if not dataset.format.is_text:
        return schema
    if not schema.names:
        return empty_schema(asked, spec)
    columns = name_columns(schema, asked)
    kinds = token_kinds(columns, spec)
    # JSON floats have no width, and the default dtype of floats without a width is float32.
    found = dataset.sequence_types([c.name for c in columns], kinds)
    sequences = {field.name: field.with_type(with_floats(field.type, pa.float32())) for field in found}
    return pa.schema([sequences.get(field.name, field) for field in schema])


def refuse_scalars(dataset: Dataset, names: Iterable[str]) -> None:
    """Raise an error if a requested JSON field has no lists in the first rows.

    Args:
        dataset: JSON Lines.
        names: names of the requested fields.

    Raises:
        DataError: the values of a field are strings, numbers or bools.
    """
    schema = dataset.schema()
    for name in names:
        type_ = schema.field(name).type
        if type_ in _SCALARS:
            lists = list_names(schema)
            if lists:
                remedy = f"Choose a list column with -c: {quote_names(lists)}."
            elif is_text(type_):
                remedy = f"{tokenize_first(name)}."
            else:
                remedy = "No column has lists. Use a file whose rows have lists of tokens."
            raise DataError(
                f"the first rows contain {_SCALARS[type_]}, not lists of tokens",
                place=Place(dataset.name),
                column=name,
                remedy=remedy,
                options=["columns"],
            )


def token_kinds(columns: Iterable[Column], spec: PadSpec) -> dict[str, Kind]:
    """Return the kind of tokens of each column for which a dtype was requested, keyed by column name.

    >>> token_kinds([Column("ids"), Column("features", "float64")], PadSpec())
    {'features': 'float'}
    """
    dtypes = {column.name: asked_dtype(column, spec) for column in columns}
    return {name: kind_of_dtype(dtype) for name, dtype in dtypes.items() if dtype is not None}


def empty_schema(asked: Columns, spec: PadSpec) -> pa.Schema:
    """Return a schema with the requested columns, for JSON Lines without rows."""
    short = [column if isinstance(column, str) else column.name for column in asked or ()] or ["input_ids"]
    names = [re.split("[:=]", name, maxsplit=1)[0] or name for name in short]
    kinds = token_kinds(name_columns(pa.schema([(name, pa.null()) for name in names]), asked), spec)
    return pa.schema([(name, list_of(kinds.get(name, "int"))) for name in dict.fromkeys(names)])


def as_float_field(field: pa.Field, column: PadColumn) -> pa.Field:
    """Return the field, with a float type if the column has a float dtype. JSON may contain 1 for 1.0."""
    if column.dtype not in FLOAT_DTYPES:
        return field
    token = pa.from_numpy_dtype(column.dtype)
    return pa.field(field.name, pa.list_(token if column.inner is None else pa.list_(token)))
