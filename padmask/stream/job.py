"""Combine a request with the data: which columns are padded, to which types, by which rules.

This module knows columns and types, and reads first rows where those do not decide; it pads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from padmask.core.arrow_lists import Kind
from padmask.core.columns import (
    PadColumn,
    asked_dtype,
    check_names,
    choose_columns,
    find_vector_sizes,
    kind_of_dtype,
    name_columns,
)
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.kinds import list_of
from padmask.spec.columns import Column, Columns
from padmask.spec.pad import FLOAT_DTYPES, MaskSpec, PadSpec, RowPolicy


@dataclass(frozen=True)
class PadRequest:
    """What the user asked for, before anything is known of the data."""

    columns: Columns
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy


def make_job(dataset: Dataset, asked: PadRequest, *, keep_others: bool) -> Job:
    """Resolve what was asked for against the columns there are.

    Args:
        dataset: the data.
        asked: what was asked for.
        keep_others: whether the columns that are not padded are read too.

    Raises:
        SpecError: what was asked for does not go with the data.
    """
    with dataset.named_in_errors():
        schema = _known_schema(dataset, asked)
        chosen = choose_columns(schema, asked.columns, asked.spec)
        check_names(schema, chosen, asked.mask)
    fields = [_as_asked(schema.field(column.name), column, dataset.format) for column in chosen]
    wanted = Wanted(
        pa.schema(fields),
        schema if keep_others and dataset.format != "jsonl" else None,
        tuple(token_kinds(name_columns(schema, asked.columns), asked.spec)),
    )
    chosen = find_vector_sizes(
        chosen, (batch.columns for batch in dataset.look(replace(wanted, others=None)))
    )
    return Job(chosen, asked.spec, asked.mask, asked.policy, wanted)


def _known_schema(dataset: Dataset, asked: PadRequest) -> pa.Schema:
    """Return the columns there are, with the types of those that will be padded."""
    schema = dataset.schema()
    if dataset.format != "jsonl":
        return schema
    if not schema.names:
        return empty_schema(asked.columns, asked.spec)
    columns = name_columns(schema, asked.columns)
    kinds = token_kinds(columns, asked.spec)
    sequences = {field.name: field for field in dataset.sequence_types([c.name for c in columns], kinds)}
    return pa.schema([sequences.get(field.name, field) for field in schema])


def token_kinds(columns: Iterable[Column], spec: PadSpec) -> dict[str, Kind]:
    """Return what the tokens of columns shall be, of those whose dtype was asked for.

    >>> token_kinds([Column("ids"), Column("features", "float64")], PadSpec())
    {'features': 'float'}
    """
    dtypes = {column.name: asked_dtype(column, spec) for column in columns}
    return {name: kind_of_dtype(dtype) for name, dtype in dtypes.items() if dtype is not None}


def empty_schema(asked: Columns, spec: PadSpec) -> pa.Schema:
    """JSON Lines without a row have no columns; those asked for get no tokens, which is no error."""
    short = [column if isinstance(column, str) else column.name for column in asked or ()] or ["input_ids"]
    names = [re.split("[:=]", name, maxsplit=1)[0] or name for name in short]
    kinds = token_kinds(name_columns(pa.schema([(name, pa.null()) for name in names]), asked), spec)
    return pa.schema([(name, list_of(kinds.get(name, "int"))) for name in dict.fromkeys(names)])


def _as_asked(field: pa.Field, column: PadColumn, format_: str) -> pa.Field:
    """JSON has numbers only: where floats are asked for, a whole one is a float too."""
    if format_ != "jsonl" or column.dtype not in FLOAT_DTYPES:
        return field
    token = pa.from_numpy_dtype(column.dtype)
    return pa.field(field.name, pa.list_(token if column.inner is None else pa.list_(token)))


@dataclass(frozen=True)
class Job:
    """Everything decided before the first row is padded, but for the length.

    Args:
        columns: to pad; the first one's lengths make the mask.
        spec, mask, policy: what was asked for.
        wanted: which columns are read.
        fixed_size: write fixed-size lists.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    wanted: Wanted
    fixed_size: bool = False
