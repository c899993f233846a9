"""Find out whether files are padded, and which columns mark the padding. All commands use `find_padding`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, PadColumn, only_field
from padmask.core.metadata import Described, read_description
from padmask.core.ragged import Ragged
from padmask.errors import DataError, PaddedError, SpecError
from padmask.spec.pad import MaskSpec, Side


@dataclass(frozen=True)
class Padding:
    """The columns that mark the padding of an input, and the description of the padding in the metadata.

    Args:
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None if there is no length column. If both names are None, the
            metadata describe padding, but the columns that marked the padding are missing.
        values: pad values by column name, from the metadata.
        padding: side of the padding, from the metadata; None if there are no metadata.
        sides: side of the padding in each file, by file name, from the metadata.
        described: whether the mask or the length column is specified by the metadata.
        seen: whether the first rows of the mask contain padding.
    """

    mask: str | None
    length: str | None
    values: Mapping[str, Any] = field(default_factory=dict)
    padding: Side | None = None
    sides: Mapping[str, Side] = field(default_factory=dict)
    described: bool = False
    seen: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that mark the padding, the mask first."""
        return tuple(name for name in (self.mask, self.length) if name is not None)


# Returns the first rows of a mask column, or None if no row is available or the column cannot be a mask.
FirstMask = Callable[[str], Ragged | None]


def find_padding(
    files: Mapping[str, pa.Schema],
    *,
    columns: Collection[str] = (),
    mask_column: str | None = None,
    length_column: str | None = None,
    names: Iterable[str] = MASK_NAMES,
    first_mask: FirstMask | None = None,
    read_metadata: bool = True,
) -> Padding | None:
    """Return the columns that mark the padding of a dataset, or None for a dataset without padding.

    The function uses the requested columns first, then the columns in the metadata, then a column with the
    name and type of a mask. Tokenizers also write masks of ones for rows without padding. If the first rows
    are available, a mask found by its name is therefore used only if these rows contain padding, if they have
    equal lengths, or if the mask has padmask's default name.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("attention_mask", pa.list_(pa.int8()))])
    >>> find_padding({"a.parquet": schema}).mask
    'attention_mask'
    >>> ones, _ = Ragged.from_mask(pa.array([[1], [1, 1]]))
    >>> find_padding({"a.parquet": schema}, first_mask=lambda name: ones) is None
    True

    Args:
        files: schema of each file, by file name.
        columns: names of the columns whose padding must be the same in all files; empty for all columns.
        mask_column: name of the requested mask column, if any.
        length_column: name of the requested length column, if any.
        names: column names that indicate a mask.
        first_mask: function that returns the first rows of a mask column; None does not check these rows.
        read_metadata: whether to use the metadata.

    Returns:
        The columns, or None for a dataset without padding. `check_padding` checks their types.

    Raises:
        DataError: the metadata of a file are not valid.
        PaddedError: the files are not padded in the same way.
    """
    described = _read_descriptions(files) if read_metadata else {}
    _refuse_different_padding(files, described, columns)
    first = next(iter(described.values()), None)
    all_names = {name for schema in files.values() for name in schema.names}
    mask, length = (None, None) if first is None else first.present(all_names)
    if mask_column or mask or length:
        found = Padding(mask_column or mask, length_column or length, described=bool(mask or length))
    else:
        by_name = _find_mask(files, names, first_mask)
        if by_name is None and length_column is None and first is None:
            return None
        found = replace(by_name or Padding(None, None), length=length_column)
    if found.mask is not None and found.mask != mask:
        _refuse_missing_mask(files, found.mask)
    if first is None:
        return found
    sides = {name: description.padding for name, description in described.items()}
    return replace(found, values=first.values, padding=first.padding, sides=sides)


def _read_descriptions(files: Mapping[str, pa.Schema]) -> dict[str, Described]:
    """Return the description in the metadata of each file that has one."""
    described = {}
    for name, schema in files.items():
        try:
            found = read_description(schema.metadata)
        except DataError as error:
            raise DataError(
                f"{name}: {error}", remedy=f"To read the file without the metadata, {_NAME_ALL}."
            ) from None
        if found is not None:
            described[name] = found
    return described


_NAME_ALL = "specify the padded columns with -c and their mask with --mask-column"

_ONE_WAY = "all files of a dataset must be unpadded, or padded in the same way"

# How a file is padded: the padded columns, the mask column and the length column.
_Way = tuple[tuple[str, ...], str | None, str | None]


def _refuse_different_padding(
    files: Mapping[str, pa.Schema], described: Mapping[str, Described], columns: Collection[str]
) -> None:
    """Raise an error if files are padded differently, because padmask reads all files in the same way.

    Pad values may differ. Sides may differ too, because a mask shows the side in each row.
    """
    compared = set(columns)
    if not described or (compared and not any(compared & set(file.values) for file in described.values())):
        return
    ways = {
        name: _way_of(described.get(name), schema.names, compared)
        for name, schema in files.items()
        if schema.names
    }
    padded = next((name for name, way in ways.items() if way is not None), None)
    other = next((name for name, way in ways.items() if padded is not None and way != ways[padded]), None)
    if padded is not None and other is not None:
        raise PaddedError(
            f"{padded} and {other} are padded differently, according to their metadata: {padded} has "
            f"{_in_words(ways[padded])}, and {other} has {_in_words(ways[other])}; {_ONE_WAY}",
            remedy=f"Read the files separately. If all files have the same mask, {_NAME_ALL}.",
        )


def _way_of(description: Described | None, names: Sequence[str], columns: set[str]) -> _Way | None:
    """Return how a file is padded, or None if no column of the file marks its padding."""
    mask, length = (None, None) if description is None else description.present(names)
    if description is None or (mask is None and length is None):
        return None
    padded = set(description.values)
    return tuple(sorted(padded & columns if columns else padded)), mask, length


def _in_words(way: _Way | None) -> str:
    if way is None:
        return "no padding"
    columns, mask, length = way
    markers = [f"the mask {mask!r}"] * (mask is not None) + [f"the lengths {length!r}"] * (length is not None)
    return f"{' and '.join(markers)} for {', '.join(map(repr, columns)) or 'other columns'}"


def _find_mask(
    files: Mapping[str, pa.Schema], names: Iterable[str], first_mask: FirstMask | None
) -> Padding | None:
    """Find a mask column by its name, its type and its first rows. Return None if there is no such column."""
    found = None
    for name in dict.fromkeys(names):
        schema = next((schema for schema in files.values() if name in schema.names), None)
        if schema is None:
            continue
        if schema.names.count(name) > 1:
            return Padding(name, None)
        candidate = _judge_mask(name, first_mask) if may_be_mask(schema.field(name).type) else None
        if candidate is not None and (found is None or candidate.seen > found.seen):
            found = candidate
    return found


def may_be_mask(type_: pa.DataType) -> bool:
    """Return whether a column of this type may be a mask. A column that contains only nulls may be a mask."""
    return is_mask(type_) or type_ in (pa.list_(pa.null()), pa.null())


def _judge_mask(name: str, first_mask: FirstMask | None) -> Padding | None:
    if first_mask is None:
        return Padding(name, None)
    rows = first_mask(name)
    if rows is None:
        return Padding(name, None) if name == MASK_NAMES[0] else None
    seen = bool((rows.values == 0).any())
    equal = bool((rows.lengths == rows.lengths[:1]).all())
    return Padding(name, None, seen=seen) if seen or equal or name == MASK_NAMES[0] else None


def _refuse_missing_mask(files: Mapping[str, pa.Schema], mask: str) -> None:
    """Raise an error if some files of a dataset have the mask column and others do not."""
    has_mask = {name: mask in schema.names for name, schema in files.items() if schema.names}
    padded = next((name for name, has in has_mask.items() if has), None)
    raw = next((name for name, has in has_mask.items() if not has), None)
    if padded is not None and raw is not None:
        raise PaddedError(
            f"{padded} has a mask column {mask!r}, but {raw} does not; {_ONE_WAY}",
            remedy="Read the files separately.",
            options=["mask_column"],
        )


def check_padding(schema: pa.Schema, found: Padding) -> None:
    """Check that the mask and length columns exist, are unique, and have valid types.

    Raises:
        SpecError: a column is missing, not unique, or of another type.
    """
    if found.mask is not None:
        type_ = only_field(schema, found.mask, "mask_column").type
        if not may_be_mask(type_):
            raise SpecError(
                f"Column {found.mask!r} of type {type_} is not a mask. Choose a list column of bools, or of "
                "0 and 1, with --mask-column.",
                options=["mask_column"],
            )
    if found.length is not None:
        type_ = only_field(schema, found.length, "length_column").type
        if not (pa.types.is_integer(type_) or pa.types.is_null(type_)):
            raise SpecError(
                f"Column {found.length!r} of type {type_} is not a column of lengths, which are integers. "
                "Choose another column with --length-column.",
                options=["length_column"],
            )


def check_names(schema: pa.Schema, columns: Sequence[PadColumn], mask: MaskSpec) -> None:
    """Raise an error if a new mask or length column would replace a column of the input.

    Raises:
        SpecError: the input has a column with the same name and `mask.overwrite` is False, or a column to
            pad has the same name.
        PaddedError: the existing column is a mask.
    """
    for name in mask.names:
        if name in [column.name for column in columns]:
            raise SpecError(
                f"Column {name!r} is a column to pad, and cannot also be the mask or length column. Choose "
                "another name with --mask-column or --length-column.",
                options=[mask.option_for(name)],
            )
        if name in schema.names and not mask.overwrite:
            # Only a mask with a default name shows that the input is padded.
            usual = name == mask.column and name in MASK_NAMES
            padded = usual and is_mask(schema.field(schema.get_all_field_indices(name)[0]).type)
            raise (PaddedError if padded else SpecError)(
                f"The input already has a column {name!r}. If the input is padded, first remove the padding "
                "with padmask unpad, because padding would count as real tokens. Otherwise choose another "
                "name with --mask-column or --length-column, or replace the column with --overwrite-mask.",
                options=[mask.option_for(name)],
            )


def mask_field(schema: pa.Schema, name: str) -> pa.Field:
    """Return the field for reading a mask column. If the column type is not a mask type, read bool lists."""
    type_ = schema.field(name).type
    return pa.field(name, type_ if is_mask(type_) else pa.list_(pa.bool_()))
