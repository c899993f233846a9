"""What says that data are padded: write it into a schema's metadata, read it back, find it in any input."""

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
from padmask.errors import DataError, Place
from padmask.spec.pad import MaskSpec, PadSpec, Side

METADATA_KEY = b"padmask"

# Metadata that describes the input's types, and is a lie or a hard error once they change.
STALE_METADATA = (b"huggingface",)


def metadata_to_keep(schema: pa.Schema) -> dict[bytes, bytes]:
    """Return the metadata that still hold once the types of columns have changed."""
    known = schema.metadata or {}
    return {key: value for key, value in known.items() if key not in (*STALE_METADATA, METADATA_KEY)}


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Return what a reader of the file must know to take the padding for padding."""
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
    """What the metadata of a padded table say.

    Args:
        values: pad values by column.
        mask: name of the mask column, None where there is none.
        length: of the length column.
        padding: the side of the padding.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side

    def present(self, names: Iterable[str]) -> tuple[str | None, str | None]:
        """Return the mask and the length column that are still among these columns."""
        there = set(names)
        return (
            self.mask if self.mask in there else None,
            self.length if self.length in there else None,
        )


def read_description(
    metadata: Mapping[bytes, bytes] | None, *, place: Place | None = None, remedy: str = ""
) -> Described | None:
    """Read back what `describe` told; None where the metadata do not speak of padding.

    Args:
        metadata: of a schema.
        place: of the metadata, for the error.
        remedy: how to do without metadata that cannot be read, for the error.

    Raises:
        DataError: they describe it in a form that padmask cannot read.
    """
    said = (metadata or {}).get(METADATA_KEY)
    if said is None:
        return None
    try:
        meta = json.loads(said)
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
        raise DataError("padmask metadata cannot be read", place=place, remedy=remedy)
    return found


@dataclass(frozen=True)
class Padding:
    """What says which places of an input are padding.

    Args:
        mask: name of the mask column, None where lengths alone say it.
        length: name of the length column, None where there is none.
        described: whether metadata say so.
        seen: whether the first rows of the mask have a padded place.
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
    """Decide whether an input is padded, and what says which places are padding.

    The caller's columns come first, then those that the metadata name, then a column with a mask's name
    and type. Raw rows may have a mask too, all ones, as tokenizers make it. So where the first rows can
    be read, such a column says something only if it has a padded place there, its rows are equally long,
    or it has the name that padmask gives to masks.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("attention_mask", pa.list_(pa.int8()))])
    >>> find_padding(schema)
    Padding(mask='attention_mask', length=None, described=False, seen=False)
    >>> ones, _ = Ragged.from_mask(pa.array([[1], [1, 1]]))
    >>> find_padding(schema, first_mask=lambda name: ones) is None
    True

    Args:
        schema: of the input.
        described: what its metadata say, None where they say nothing.
        mask_column: the mask that was asked for.
        length_column: the lengths that were asked for.
        names: that a mask may have where nothing names it.
        first_mask: returns the first rows of a mask column; None to trust the names.

    Returns:
        None for raw input. A column is not checked here: it may be missing, of another type, or there twice.
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
    """Tell whether a column may be a mask: of bools or integers, or without a place that would tell."""
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
