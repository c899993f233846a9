"""Combine a request with the columns of a dataset: decide which columns are padded, and with which types.

This module reads the first rows if the schema does not decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import Kind, list_of
from padmask.core.columns import (
    PadColumn,
    asked_dtype,
    choose_columns,
    find_vector_sizes,
    kind_of_dtype,
    name_columns,
)
from padmask.core.companions import ColumnChoice, dropped_columns, own_groups
from padmask.core.metadata import groups_to_keep
from padmask.core.padding import check_names, mask_field
from padmask.core.table import ColumnGroup
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Column, Columns
from padmask.spec.pad import FLOAT_DTYPES, MaskSpec, PadSpec, RowPolicy
from padmask.stream.choice import Beside, Purpose, choose_for_dataset


@dataclass(frozen=True)
class PadRequest:
    """The request of the user, before the data is read."""

    columns: Columns
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy


def make_job(dataset: Dataset, asked: PadRequest, *, keep_others: bool, purpose: Purpose = "pad") -> Job:
    """Resolve a request against the columns of a dataset.

    Args:
        dataset: the data.
        asked: the request.
        keep_others: whether to read the columns that are not padded.
        purpose: what happens with the rows.

    Raises:
        SpecError: the dataset does not have the columns or types that the request needs.
        PaddedError: rows that are to be padded are padded already.
    """
    spec, mask = asked.spec, asked.mask
    choice, beside, own = ColumnChoice([], mask), Beside(), []
    with dataset.named_in_errors():
        if (known := dataset.schema()).names:
            choice, beside = choose_for_dataset(dataset, asked.columns, spec, mask, purpose)
            own = own_groups(known, asked.columns, spec, mask)
            asked = replace(
                asked, columns=[*choice.columns, *(column for column, _, _ in own)], mask=choice.mask
            )
        schema = _known_schema(dataset, asked)
        chosen = choose_columns(schema, asked.columns, spec)
        check_names(schema, chosen, asked.mask, choice.replaced)
    ones = None if mask.allow_padded else choice.replaced
    fields = [schema.field(column.name) for column in chosen]
    if dataset.format.is_text:
        fields = [_as_asked(field, column) for field, column in zip(fields, chosen, strict=True)]
    fields += [mask_field(schema, ones)] if ones is not None else []
    wanted = Wanted(
        pa.schema(fields),
        schema if keep_others and not dataset.format.is_text else None,
        tuple(token_kinds(name_columns(schema, asked.columns), spec)),
    )
    chosen = find_vector_sizes(
        chosen, (batch.columns for batch in dataset.look(replace(wanted, others=None)))
    )
    main = len(choice.columns) or len(chosen)
    groups = [
        ColumnGroup([column], alone, its) for column, (_, alone, its) in zip(chosen[main:], own, strict=True)
    ]
    changed = [*(column.name for column in chosen), *asked.mask.names, *choice.dropped]
    return Job(
        chosen[:main],
        spec,
        asked.mask,
        asked.policy,
        wanted,
        own=tuple(groups),
        replaced=choice.replaced,
        earlier=_earlier_groups(dataset, changed),
        beside=beside,
    )


def _earlier_groups(dataset: Dataset, changed: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Return the descriptions of earlier padding that stay valid for all files."""
    if dataset.format.is_text:
        return ()
    first, *others = (groups_to_keep(schema, changed) for schema in dataset.schemas().values())
    return tuple(group for group in first if all(group in other for other in others))


def _known_schema(dataset: Dataset, asked: PadRequest) -> pa.Schema:
    """Return the schema of the dataset, with the token types of the columns that will be padded."""
    schema = dataset.schema()
    if not dataset.format.is_text:
        return schema
    if not schema.names:
        return empty_schema(asked.columns, asked.spec)
    columns = name_columns(schema, asked.columns)
    kinds = token_kinds(columns, asked.spec)
    sequences = {field.name: field for field in dataset.sequence_types([c.name for c in columns], kinds)}
    return pa.schema([sequences.get(field.name, field) for field in schema])


def token_kinds(columns: Iterable[Column], spec: PadSpec) -> dict[str, Kind]:
    """Return the kind of tokens of each column with a requested dtype.

    >>> token_kinds([Column("ids"), Column("features", "float64")], PadSpec())
    {'features': 'float'}
    """
    dtypes = {column.name: asked_dtype(column, spec) for column in columns}
    return {name: kind_of_dtype(dtype) for name, dtype in dtypes.items() if dtype is not None}


def empty_schema(asked: Columns, spec: PadSpec) -> pa.Schema:
    """Return a schema for JSON Lines without rows, from the requested columns."""
    short = [column if isinstance(column, str) else column.name for column in asked or ()] or ["input_ids"]
    names = [re.split("[:=]", name, maxsplit=1)[0] or name for name in short]
    kinds = token_kinds(name_columns(pa.schema([(name, pa.null()) for name in names]), asked), spec)
    return pa.schema([(name, list_of(kinds.get(name, "int"))) for name in dict.fromkeys(names)])


def _as_asked(field: pa.Field, column: PadColumn) -> pa.Field:
    """Return a JSON field as floats if the column has a float dtype, because JSON may write 1.0 as 1."""
    if column.dtype not in FLOAT_DTYPES:
        return field
    token = pa.from_numpy_dtype(column.dtype)
    return pa.field(field.name, pa.list_(token if column.inner is None else pa.list_(token)))


@dataclass(frozen=True)
class Job:
    """All settings of a pad run except maxlen.

    Args:
        columns: columns to pad. The lengths of the first column determine the mask.
        spec, mask, policy: options of the request.
        wanted: columns to read.
        fixed_size: whether to write fixed-size lists.
        own: columns with lengths of their own.
        replaced: name of a mask of the input that the new mask replaces; None without such a mask.
        earlier: descriptions of columns that earlier runs padded, for the metadata.
        beside: what the summary says about columns that are not padded.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    wanted: Wanted
    fixed_size: bool = False
    own: tuple[ColumnGroup, ...] = ()
    replaced: str | None = None
    earlier: tuple[Mapping[str, Any], ...] = ()
    beside: Beside = field(default_factory=Beside)

    @property
    def groups(self) -> tuple[ColumnGroup, ...]:
        """The columns to pad together: the main columns first, then each column with a length of its own."""
        return (ColumnGroup(self.columns, self.spec, replace(self.mask, own=())), *self.own)

    @property
    def ones(self) -> str | None:
        """Name of a mask of the input that must contain only ones; None without such a mask."""
        return None if self.mask.allow_padded else self.replaced

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the columns of the input that are not written."""
        return dropped_columns(self.replaced, self.mask)
