"""Choose the columns to pad, and determine their dtypes and pad values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind, float_dtype, has_null_tokens, is_sequence, kind_of, vector_size
from padmask.core.dialects import PADDING_MASK_NAMES
from padmask.core.extension_types import refuse_flat_shape
from padmask.core.pad_values import fill_value
from padmask.core.ragged import Ragged
from padmask.core.unpaddable_types import describe_other_types, refuse_struct_field, what_to_choose
from padmask.errors import SpecError, column_flags
from padmask.spec.columns import (
    Column,
    Columns,
    as_list,
    list_columns,
    parse_column,
    quote_names,
    unknown_column,
)
from padmask.spec.pack import ID_NAMES
from padmask.spec.pad import DEFAULT_DTYPE, FLOAT_DTYPES, INTEGER_DTYPES, PadSpec

IGNORED_LABEL = -100

LABEL_NAMES = ("labels", "label_ids")

# Columns that tokenizers and trainers write in addition to the ids, with their pad values.
COMPANIONS: Mapping[str, int] = {
    **dict.fromkeys(LABEL_NAMES, IGNORED_LABEL),
    "special_tokens_mask": 1,
    **dict.fromkeys(("token_type_ids", "completion_mask", "assistant_masks", "loss_mask", "position_ids"), 0),
    **dict.fromkeys(("global_attention_mask", "bbox", "offset_mapping"), 0),
}


def is_label(column: PadColumn) -> bool:
    """Return whether an integer column contains labels, according to its name or its pad value."""
    return column.dtype in INTEGER_DTYPES and (column.name in LABEL_NAMES or column.value == IGNORED_LABEL)


# Dtype of the padded values for each kind of token.
NATURAL_DTYPES: Mapping[Kind, str] = {"int": "int32", "float": "float32", "string": "string", "bool": "bool"}

# Default names of mask columns.
MASK_NAMES = ("mask", "attention_mask", "padding_mask", *PADDING_MASK_NAMES)


@dataclass(frozen=True)
class PadColumn:
    """A column to pad, with its dtype and pad value.

    Args:
        name: name of the column.
        kind: kind of token: int, float, string or bool.
        dtype: dtype of the padded values, one of `DTYPES`.
        value: pad value.
        inner: length of each vector; 0 if unknown, None if the tokens are not vectors.
    """

    name: str
    kind: Kind
    dtype: str
    value: int | float | str
    inner: int | None = None

    @property
    def numpy_dtype(self) -> npt.DTypeLike:
        return object if self.dtype == "string" else self.dtype


def choose_columns(schema: pa.Schema, asked: Columns, spec: PadSpec) -> list[PadColumn]:
    """Return the columns to pad. If a dtype is not requested, the input schema determines the dtype.

    >>> choose_columns(pa.schema([("tokens", pa.list_(pa.string()))]), None, PadSpec())
    [PadColumn(name='tokens', kind='string', dtype='string', value='', inner=None)]

    Raises:
        SpecError: a column is missing, not unique, or does not support the requested dtype or pad value.
    """
    return [_resolve(column, schema, spec) for column in name_columns(schema, asked)]


def name_columns(schema: pa.Schema, asked: Columns) -> list[Column]:
    """Return the requested columns. If no column is requested, return the default column.

    Raises:
        SpecError: a column is missing or requested twice.
    """
    asked = as_list(asked)
    if isinstance(asked, Mapping):
        asked = [Column(name, value=value) for name, value in asked.items()]
    for column in asked or ():
        refuse_struct_field(schema, column if isinstance(column, str) else column.name)
    columns = [
        parse_column(column, schema.names) if isinstance(column, str) else column for column in asked or ()
    ] or [Column(default_column(schema))]
    names = [column.name for column in columns]
    for name in names:
        if name not in schema.names:
            raise unknown_column(name, schema.names)
        if names.count(name) > 1:
            raise SpecError(f"Column {name!r} is specified twice. Specify it only once.", options=["columns"])
    return columns


def asked_names(schema: pa.Schema, asked: Columns) -> list[str]:
    """Return the names of the requested columns; an empty list if no column is requested.

    >>> asked_names(pa.schema([("ids", pa.null()), ("labels", pa.null())]), ["labels=-100"])
    ['labels']
    """
    return [column.name for column in name_columns(schema, asked)] if asked else []


def judged_columns(schema: pa.Schema, columns: Columns) -> list[str]:
    """Return the names of the columns that a mask may describe: the requested or the default columns.

    The list is empty if there is no default column.
    """
    try:
        return [column.name for column in name_columns(schema, columns)] if schema.names else []
    except SpecError:
        if columns:
            raise
        return []


def default_column(schema: pa.Schema) -> str:
    """Return the default column: `input_ids`, else `tokens`, else the only list column.

    A list column of bools is used only if there is no other list column.
    """
    for name in ID_NAMES:
        if name in schema.names:
            return name
    lists: list[str] = [field.name for field in schema if is_sequence(field.type)]
    bools = {field.name for field in schema if field.name in lists and kind_of(field.type) == "bool"}
    lists = [name for name in lists if name not in bools] or lists
    if len(lists) == 1:
        return lists[0]
    if lists:
        raise SpecError(
            f"The input has {len(lists)} list columns: {quote_names(lists)}. Choose the columns of tokens "
            f"with -c, for example {column_flags([min(lists, key=len)])}."
        )
    raise SpecError(
        f"The input has no list column of tokens. {list_columns(schema.names)}{describe_other_types(schema)}"
    )


def only_field(schema: pa.Schema, name: str, option: str = "columns") -> pa.Field:
    """Return the field of a column. `option` is the option that specified the column name.

    Raises:
        SpecError: the column is missing or not unique.
    """
    places = schema.get_all_field_indices(name)
    if not places:
        raise unknown_column(name, schema.names, option)
    if len(places) > 1:
        raise SpecError(
            f"The input has {len(places)} columns named {name!r}. Rename all but one.",
            options=[option],
        )
    return schema.field(places[0])


def _resolve(column: Column, schema: pa.Schema, spec: PadSpec) -> PadColumn:
    field = only_field(schema, column.name)
    type_ = field.type
    try:
        kind = kind_of(type_)
        refuse_flat_shape(field)
    except SpecError as error:
        raise SpecError(
            f"Column {column.name!r} cannot be padded: {error}. {what_to_choose(schema, column.name)}.",
            options=["columns"],
        ) from None
    # `spec.dtype` does not apply to columns of bools.
    asked = column.dtype if kind == "bool" else asked_dtype(column, spec)
    if asked is not None and has_null_tokens(type_):
        kind = kind_of_dtype(asked)
    natural = {"float": float_dtype(type_), "int": spec.int_dtype}.get(kind, NATURAL_DTYPES[kind])
    dtype = asked or natural
    if any((kind == other) != (dtype == other) for other in ("string", "bool")):
        raise SpecError(
            f"Column {column.name!r} contains {kind}s, which cannot be converted to {dtype}. Use dtype "
            f"{natural}, for example {column_flags([f'{column.name}:{natural}'])}.",
            options=["columns" if column.dtype else "dtype"],
        )
    default = spec.value
    if spec.label_value is not None and column.name in LABEL_NAMES and kind == "int":
        default = spec.label_value
    value, option = (default, "value") if column.value is None else (column.value, "columns")
    return PadColumn(
        column.name,
        kind,
        dtype,
        fill_value(value, dtype, f"Column {column.name!r}", option),
        vector_size(type_),
    )


def asked_dtype(column: Column | None, spec: PadSpec) -> str | None:
    """Return the requested dtype of a column; None if the tokens determine the dtype.

    >>> asked_dtype(Column("x"), PadSpec()), asked_dtype(Column("x"), PadSpec(dtype="int64"))
    (None, 'int64')
    """
    given = spec.dtype != DEFAULT_DTYPE or spec.dtype_for_all
    own = None if column is None else column.dtype
    return own or (spec.dtype if given else None)


def kind_of_dtype(dtype: str) -> Kind:
    """Return the kind of token for a dtype.

    >>> kind_of_dtype("uint16"), kind_of_dtype("float64")
    ('int', 'float')
    """
    if dtype in FLOAT_DTYPES:
        return "float"
    return "string" if dtype == "string" else "bool" if dtype == "bool" else "int"


def find_vector_sizes(columns: Sequence[PadColumn], batches: Iterable[pa.RecordBatch]) -> list[PadColumn]:
    """Return the columns with their vector lengths, each found from the first non-empty vector.

    Args:
        columns: columns to pad. Columns without vectors are returned unchanged.
        batches: batches from the start of the input. The function stops when it knows all vector lengths.
    """
    settled = {column.name: column for column in columns}
    unknown = {column.name for column in columns if column.inner == 0}
    for batch in batches if unknown else ():
        for name in sorted(unknown):
            rows, _ = Ragged.from_arrow(batch.column(name))
            if rows.values.shape[1]:
                settled[name] = replace(settled[name], inner=int(rows.values.shape[1]))
                unknown.discard(name)
        if not unknown:
            break
    return list(settled.values())
