"""What claims to be padded, and what claims to say so: metadata, names and types, before a row is read.

What was asked for comes first, then what the metadata say, then the names that columns
commonly have. Whether the rows bear it out is for `unpadded` to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from padmask.errors import DataError, SpecError
from padmask.ragged import is_mask, is_sequence
from padmask.spec import Columns, Side, UnpadSpec, columns_there, unknown_column
from padmask.table import MASK_NAMES, Described, default_column, name_columns, read_description


@dataclass(frozen=True)
class Unpadding:
    """What is padded and what says so, decided before the first row is cut.

    Args:
        columns: to cut; all have the same places.
        mask: name of the mask column, None where lengths alone tell.
        length: of the length column, None where there is none.
        padding: the side of the padding where there is no mask.
        dropped: the columns that are left out of the output.
    """

    columns: tuple[str, ...]
    mask: str | None
    length: str | None
    padding: Side
    dropped: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns that must be read to cut the rows."""
        told = [name for name in (self.mask, self.length) if name is not None]
        return tuple(dict.fromkeys([*self.columns, *told]))


def choose_unpadding(schema: pa.Schema, columns: Columns, spec: UnpadSpec) -> Unpadding:
    """Decide what is cut, and by what, from what was asked for, the metadata and the names there are.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("mask", pa.list_(pa.bool_()))])
    >>> choose_unpadding(schema, None, UnpadSpec())
    Unpadding(columns=('input_ids',), mask='mask', length=None, padding='post', dropped=('mask',))

    Raises:
        SpecError: a column is not there or not of its kind, or nothing tells what is padding.
        DataError: metadata that cannot be read, where they are needed.
    """
    said = _described(schema, needed=not needs_no_metadata(columns, spec))
    mask, length = _find_mask(schema, spec, said), _find_length(schema, spec, said)
    if mask is None and length is None:
        raise SpecError(
            "Nothing says which places are padding: name the mask with --mask-column, or the column of the "
            f"rows' lengths with --length-column. {columns_there(schema.names)}"
        )
    padding = spec.padding or (said.padding if said else None)
    if mask is None and padding is None:
        raise SpecError(
            f"Column {length!r} says how many tokens are real, and not on which side the padding is: say "
            "--padding post or --padding pre."
        )
    padded = _find_columns(schema, columns, said, mask)
    told = [name for name in (mask, length) if name is not None]
    if spec.keep_mask and mask is not None and mask not in padded:
        padded.append(mask)
    _check_types(schema, padded, mask, length)
    dropped = () if spec.keep_mask else tuple(name for name in told if name not in padded)
    return Unpadding(tuple(padded), mask, length, padding or "post", dropped)


def needs_no_metadata(columns: Columns, spec: UnpadSpec) -> bool:
    """Tell whether all that metadata could say was asked for by name."""
    return bool(columns) and bool(spec.mask_column or (spec.length_column and spec.padding))


def _described(schema: pa.Schema, *, needed: bool) -> Described | None:
    try:
        return read_description(schema.metadata)
    except DataError as error:
        if not needed:
            return None
        raise DataError(
            f"{str(error).capitalize()}. Name the padded columns with -c and their mask with --mask-column, "
            "to do without."
        ) from None


def _find_columns(schema: pa.Schema, columns: Columns, said: Described | None, mask: str | None) -> list[str]:
    if columns:
        return [column.name for column in name_columns(schema, columns)]
    if said is None:
        return [default_column(pa.schema([field for field in schema if field.name != mask]))]
    for name in said.values:
        if name not in schema.names:
            raise SpecError(
                f"The padmask metadata name a padded column {name!r} that is not there: say with -c which "
                f"columns are padded. {columns_there(schema.names)}",
                options=["columns"],
            )
    return list(said.values)


def _find_mask(schema: pa.Schema, spec: UnpadSpec, said: Described | None) -> str | None:
    if spec.mask_column is not None:
        return spec.mask_column
    if said is not None and said.mask in schema.names:
        return said.mask
    if said is not None and said.length in schema.names:
        return None
    known = (name for name in MASK_NAMES if name in schema.names)
    return next((name for name in known if _may_be_mask(_type_of(schema, name))), None)


def _find_length(schema: pa.Schema, spec: UnpadSpec, said: Described | None) -> str | None:
    if spec.length_column is not None:
        return spec.length_column
    return said.length if said is not None and said.length in schema.names else None


def _check_types(schema: pa.Schema, columns: Sequence[str], mask: str | None, length: str | None) -> None:
    for name in columns:
        type_ = _type_of(schema, name)
        if not is_sequence(type_) and not _may_be_mask(type_):
            raise SpecError(
                f"Column {name!r} cannot be unpadded: a column of type {type_} holds no sequences of tokens. "
                "Choose a list column with -c.",
                options=["columns"],
            )
    if mask is not None and not _may_be_mask(_type_of(schema, mask, "mask_column")):
        raise SpecError(
            f"Column {mask!r} of type {_type_of(schema, mask)} is no mask. Choose a list of bools, or of 0 "
            "and 1, with --mask-column.",
            options=["mask_column"],
        )
    if length is not None and not _may_be_lengths(_type_of(schema, length, "length_column")):
        raise SpecError(
            f"Column {length!r} of type {_type_of(schema, length)} holds no lengths. Choose a column of "
            "whole numbers with --length-column.",
            options=["length_column"],
        )


def _type_of(schema: pa.Schema, name: str, option: str = "columns") -> pa.DataType:
    """Return the type of a column that is there, and there once; `option` names it."""
    places = schema.get_all_field_indices(name)
    if not places:
        raise unknown_column(name, schema.names, option)
    if len(places) > 1:
        raise SpecError(
            f"There are {len(places)} columns named {name!r}: rename all but "
            "one, nobody can tell them apart.",
            options=[option],
        )
    return schema.field(places[0]).type


def _may_be_mask(type_: pa.DataType) -> bool:
    """Tell whether a column may be a mask: of bools or integers, or without a place that would tell."""
    return is_mask(type_) or type_ in (pa.list_(pa.null()), pa.null())


def _may_be_lengths(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_null(type_))
