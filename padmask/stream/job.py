"""Choose the columns to pad and their types, from the user's request and the columns of a dataset.

This module reads the first rows if the schema does not contain the types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from padmask.core.arrow_lists import Kind, list_of, with_floats
from padmask.core.columns import (
    PadColumn,
    asked_dtype,
    choose_columns,
    find_vector_sizes,
    kind_of_dtype,
    name_columns,
)
from padmask.core.padding import check_names
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Column, Columns
from padmask.spec.pad import FLOAT_DTYPES, MaskSpec, PadSpec, RowPolicy


@dataclass(frozen=True)
class PadRequest:
    """The columns and options that the user requested."""

    columns: Columns
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy


def make_job(dataset: Dataset, asked: PadRequest, *, keep_others: bool) -> Job:
    """Choose the columns to pad and their types.

    Args:
        dataset: the data.
        asked: columns and options that the user requested.
        keep_others: whether to also read the columns that are not padded.

    Raises:
        SpecError: a requested column is missing, or has a type that does not fit the request.
    """
    with dataset.named_in_errors():
        schema = _known_schema(dataset, asked)
        chosen = choose_columns(schema, asked.columns, asked.spec)
        check_names(schema, chosen, asked.mask)
    fields = [schema.field(column.name) for column in chosen]
    if dataset.format.is_text:
        fields = [_as_float_field(field, column) for field, column in zip(fields, chosen, strict=True)]
    wanted = Wanted(
        pa.schema(fields),
        schema if keep_others and not dataset.format.is_text else None,
        tuple(token_kinds(name_columns(schema, asked.columns), asked.spec)),
    )
    chosen = find_vector_sizes(
        chosen, (batch.columns for batch in dataset.look(replace(wanted, others=None)))
    )
    return Job(chosen, asked.spec, asked.mask, asked.policy, wanted)


def _known_schema(dataset: Dataset, asked: PadRequest) -> pa.Schema:
    """Return the schema of the dataset. For JSON Lines, detect the token types of the columns to pad."""
    schema = dataset.schema()
    if not dataset.format.is_text:
        return schema
    if not schema.names:
        return empty_schema(asked.columns, asked.spec)
    columns = name_columns(schema, asked.columns)
    kinds = token_kinds(columns, asked.spec)
    # JSON floats have no width, and the default dtype of floats without a width is float32.
    found = dataset.sequence_types([c.name for c in columns], kinds)
    sequences = {field.name: field.with_type(with_floats(field.type, pa.float32())) for field in found}
    return pa.schema([sequences.get(field.name, field) for field in schema])


def token_kinds(columns: Iterable[Column], spec: PadSpec) -> dict[str, Kind]:
    """Return the kind of token for each column with a requested dtype.

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


def _as_float_field(field: pa.Field, column: PadColumn) -> pa.Field:
    """Return a field with a float type if the column has a float dtype. JSON files may contain 1 for 1.0."""
    if column.dtype not in FLOAT_DTYPES:
        return field
    token = pa.from_numpy_dtype(column.dtype)
    return pa.field(field.name, pa.list_(token if column.inner is None else pa.list_(token)))


@dataclass(frozen=True)
class Job:
    """The columns and options of a run that pads, without the final maxlen.

    Args:
        columns: columns to pad. The lengths of the first column determine the mask.
        spec, mask, policy: options that the user requested.
        wanted: columns to read.
        fixed_size: whether to write fixed-size lists.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    wanted: Wanted
    fixed_size: bool = False
