"""The description of padding in a schema's metadata, and the detection of padding in any input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask._version import __version__
from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, PadColumn
from padmask.core.plan import Plan
from padmask.core.ragged import Ragged
from padmask.errors import DataError
from padmask.spec.pad import MaskSpec, PadSpec, Side

METADATA_KEY = b"padmask"

# Metadata of other tools that describe the column types. Readers fail on them once the types change.
STALE_METADATA = (b"huggingface",)


def metadata_to_keep(schema: pa.Schema) -> dict[bytes, bytes]:
    """Return the metadata that remain valid after the column types change."""
    known = schema.metadata or {}
    return {key: value for key, value in known.items() if key not in (*STALE_METADATA, METADATA_KEY)}


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Return the description of the padding for the metadata of a padded table."""
    return {
        "version": __version__,
        "maxlen": plan.maxlen,
        "maxlen_found": plan.found,
        "padding": spec.padding,
        "truncating": spec.truncating,
        "columns": {column.name: {"dtype": column.dtype, "value": column.value} for column in columns},
        "mask_column": mask.column,
        "mask_dtype": mask.dtype,
        "mask_true": "real token",
        "length_column": mask.length_column,
    }


@dataclass(frozen=True)
class Described:
    """Description of padding, as read from the metadata of a padded table.

    Args:
        values: pad values by column name.
        mask: name of the mask column; None without a mask.
        length: name of the length column; None without a length column.
        padding: side of the padding.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side

    def present(self, names: Iterable[str]) -> tuple[str | None, str | None]:
        """Return the names of the mask and the length column; None for a column that is not in `names`."""
        there = set(names)
        return (
            self.mask if self.mask in there else None,
            self.length if self.length in there else None,
        )


def read_description(metadata: Mapping[bytes, bytes] | None) -> Described | None:
    """Parse the description that `describe` wrote; None if the metadata describe no padding.

    Raises:
        DataError: the description is not valid.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        meta = json.loads(text)
        values = {name: column["value"] for name, column in meta["columns"].items()}
        found = Described(values, meta["mask_column"], meta["length_column"], meta["padding"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None or not (
        isinstance(found.mask, str | None)
        and isinstance(found.length, str | None)
        and found.padding in ("post", "pre")
        and found.values
        and all(isinstance(value, str | int | float | None) for value in found.values.values())
    ):
        raise DataError("the padmask metadata cannot be read")
    return found


@dataclass(frozen=True)
class Padding:
    """The columns of an input that mark its padding.

    Args:
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None without a length column.
        described: the metadata of the input describe padding.
        seen: the first rows of the mask contain padding.
    """

    mask: str | None
    length: str | None
    described: bool = False
    seen: bool = False


def find_padding(
    schema: pa.Schema,
    described: Described | None = None,
    *,
    mask_column: str | None = None,
    length_column: str | None = None,
    names: Iterable[str] = MASK_NAMES,
    first_mask: Callable[[str], Ragged | None] | None = None,
) -> Padding | None:
    """Return the columns that mark the padding of an input, or None for an input without padding.

    The function uses the given columns first, then the columns that the metadata name, then a column with
    the name and type of a mask. Rows without padding may have a mask of ones, as tokenizers make. If the
    first rows are available, a mask found by name counts only if it contains padding there, if its rows have
    equal lengths, or if it has padmask's default name.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("attention_mask", pa.list_(pa.int8()))])
    >>> find_padding(schema)
    Padding(mask='attention_mask', length=None, described=False, seen=False)
    >>> ones, _ = Ragged.from_mask(pa.array([[1], [1, 1]]))
    >>> find_padding(schema, first_mask=lambda name: ones) is None
    True

    Args:
        schema: schema of the input.
        described: description from the metadata; None without a description.
        mask_column: requested mask column.
        length_column: requested length column.
        names: names of columns that may be masks.
        first_mask: function that returns the first rows of a mask column. None trusts the names.

    Returns:
        The columns, or None for an input without padding. The columns are not checked: a column may be
        missing, have another type, or not be unique.
    """
    mask, length = (None, None) if described is None else described.present(schema.names)
    if mask_column or mask or length:
        return Padding(mask_column or mask, length_column or length, described is not None)
    found = None
    for name in dict.fromkeys(name for name in names if name in schema.names):
        if schema.names.count(name) > 1:
            return Padding(name, length_column)
        if not may_be_mask(schema.field(name).type):
            continue
        candidate = _judge_mask(name, first_mask)
        if candidate is not None and (found is None or candidate.seen > found.seen):
            found = candidate
    if found is None and length_column is None:
        return None
    found = found or Padding(None, None)
    return replace(found, length=length_column, described=described is not None)


def may_be_mask(type_: pa.DataType) -> bool:
    """Return whether a column of this type may be a mask: null, or a list of bools, integers or nulls."""
    return is_mask(type_) or type_ in (pa.list_(pa.null()), pa.null())


def _judge_mask(name: str, first_mask: Callable[[str], Ragged | None] | None) -> Padding | None:
    if first_mask is None:
        return Padding(name, None)
    rows = first_mask(name)
    if rows is None:
        return Padding(name, None) if name == MASK_NAMES[0] else None
    seen = bool((rows.values == 0).any())
    equal = bool((rows.lengths == rows.lengths[:1]).all())
    return Padding(name, None, seen=seen) if seen or equal or name == MASK_NAMES[0] else None
