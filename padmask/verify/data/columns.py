"""Choose the columns that `verify` checks, and find their pad values, masks and labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, PadColumn, is_label
from padmask.core.padding import Padding, mask_field, may_be_mask
from padmask.formats.dataset import Dataset
from padmask.spec.pack import ID_NAMES
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.data.rules import AuditColumn

# Words in the names of columns in which 0 is a valid token: masks, token types, positions, tags, weights.
_VALID_ZEROS = {"mask", "masks", "type", "types", "segment", "segments", "position", "positions", "bbox"}
_VALID_ZEROS |= {"label", "labels", "tag", "tags", "pos", "ner", "offset", "offsets", "weight", "weights"}


def audit_columns(
    columns: Sequence[PadColumn], values: Mapping[str, Any], masked: MaskedValue | None = None
) -> list[AuditColumn]:
    """Return the columns to check, each with its pad value if the value is known.

    Args:
        columns: columns to check.
        values: known pad value of each column.
        masked: the value that the model masks in the first column without labels; None if unknown.
    """
    tokens = next((column.name for column in columns if not is_label(column)), None)
    return [
        AuditColumn(
            column.name,
            values[column.name],
            is_label(column),
            # After the first column, a column of floats contains weights or scores, which may be 0. Vectors
            # may be features, and a Masking layer may mask vectors of 0.
            accepts_pad_value(column.name) or (place > 0 and column.kind == "float" and column.inner is None),
            masked if column.name == tokens else None,
        )
        for place, column in enumerate(columns)
    ]


def known_pad_values(
    columns: Sequence[PadColumn], padding: Padding | None, *, requested: bool
) -> dict[str, Any]:
    """Return the pad value of each column; None if unknown.

    Args:
        columns: columns to check.
        padding: columns that mark the padding of padded rows; None for raw rows.
        requested: whether the user requested the columns.
    """
    if padding is None:
        return {column.name: column.value for column in columns}
    # Without metadata, only a pad value that the user chose is known. A value of 0 is the default. If the
    # user did not request the columns, all columns except the first also have default values.
    known = columns if requested else columns[:1]
    values = {column.name: column.value or None for column in known}
    return {column.name: padding.values.get(column.name, values.get(column.name)) for column in columns}


def accepts_pad_value(name: str) -> bool:
    """Return whether the pad value of a column with this name is also a valid token.

    >>> accepts_pad_value("token_type_ids"), accepts_pad_value("input_ids"), accepts_pad_value("lossMask")
    (True, False, True)
    """
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    return not _VALID_ZEROS.isdisjoint(words)


def other_mask_columns(dataset: Dataset, columns: Sequence[PadColumn], padding: Padding | None) -> list[str]:
    """Return the names of the mask columns of the tokens, except the mask that marks the padding.

    The tokens are in `input_ids`; without such a column, in `tokens`, else in the first checked column.
    """
    schema, can_be_mask = dataset.schema(), may_be_mask if dataset.format.is_text else is_mask
    owner = next((name for name in ID_NAMES if name in schema.names), columns[0].name)
    if columns[0].name != owner:
        return []
    taken = {column.name for column in columns} | set(() if padding is None else padding.names)
    return [
        name
        for name in MASK_NAMES
        if name not in taken and schema.names.count(name) == 1 and can_be_mask(schema.field(name).type)
    ]


def mask_fields(dataset: Dataset, names: Iterable[str]) -> list[pa.Field]:
    """Return an Arrow field for each mask column, with the type that is used to read the column."""
    schema = dataset.schema()
    return [mask_field(schema, name) if dataset.format.is_text else schema.field(name) for name in names]
