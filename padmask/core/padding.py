"""Check whether files are already padded, and find their mask and length columns, for all commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, PadColumn, only_field
from padmask.core.dialects import ADDITIVE, dialect_in_words, dialect_options, usual_dialect
from padmask.core.first_rows import FirstRows
from padmask.core.metadata import METADATA_KEY, Described, read_descriptions
from padmask.errors import DataError, PaddedError, Place, SpecError
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect, MaskSpec
from padmask.spec.pad import Side


@dataclass(frozen=True)
class Padding:
    """The mask and length columns of padded input, and the pad values and sides from the metadata.

    Args:
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None if there is no length column. If both names are None, the
            metadata describes padding, but the mask and length columns are missing.
        values: pad values by column name, from the metadata.
        padding: side of the padding, from the metadata; None if there is no metadata.
        sides: side of the padding in each file, by file name, from the metadata.
        described: whether the metadata specifies the mask or the length column.
        seen: whether the first rows of the mask contain padding.
        additive: whether the first rows of the mask contain the values of an additive mask.
        dialect: how the mask marks real tokens and padding.
        made: names of the columns of positions and labels that an earlier run added, from the metadata.
    """

    mask: str | None
    length: str | None
    values: Mapping[str, Any] = field(default_factory=dict)
    padding: Side | None = None
    sides: Mapping[str, Side] = field(default_factory=dict)
    described: bool = False
    seen: bool = False
    additive: bool = False
    dialect: Dialect = TRUE_AT_TOKENS
    made: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the mask and length columns, in this order."""
        return tuple(name for name in (self.mask, self.length) if name is not None)


# Returns the first rows of a mask column and of the columns that it may apply to; None if there are no rows.
FirstRowsOf = Callable[[str], FirstRows | None]


def find_padding(  # noqa: PLR0913 - one keyword for each fact
    files: Mapping[str, pa.Schema],
    *,
    columns: Collection[str] = (),
    judged: Collection[str] = (),
    mask_column: str | None = None,
    length_column: str | None = None,
    names: Iterable[str] = MASK_NAMES,
    first_rows: FirstRowsOf | None = None,
    by_name: bool = False,
    read_metadata: bool = True,
    dialect: Dialect | None = None,
) -> Padding | None:
    """Return the mask and length columns of a padded dataset; None for a raw dataset.

    The function uses a requested column first, then a column in the metadata, then a column with the name and
    type of a mask.

    A column with the name of a mask may be a mask of ones, which tokenizers write for rows without padding.
    Therefore, if the first rows are available, this column must mark padding: a row of the mask contains
    padding (0 in most masks), and a column in `judged` has the same length in this row. There are two
    exceptions. A mask named `mask`, the default name of padmask, is also accepted if all its rows have the
    same length, or if any row contains padding. Any mask is accepted if `by_name` is True, or if `dialect` is
    given.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("attention_mask", pa.list_(pa.int8()))])
    >>> find_padding({"a.parquet": schema}).mask
    'attention_mask'
    >>> ones = FirstRows.of([pa.record_batch({"input_ids": [[7], [8, 9]], "attention_mask": [[1], [1, 1]]})])
    >>> find_padding({"a.parquet": schema}, first_rows=lambda name: ones) is None
    True

    Args:
        files: schema of each file, by file name.
        columns: names of the columns that must have the same mask in all files. If empty, all columns.
        judged: names of the columns that a mask may describe. If empty, `columns` is used. If both are empty,
            all list columns are used.
        mask_column: name of the requested mask column. If None, the mask column is found.
        length_column: name of the requested length column. If None, the length column is found.
        names: column names that indicate a mask.
        first_rows: function that returns the first rows of a mask column. If None, the first rows are not
            checked.
        by_name: whether a column with the name and type of a mask counts as a mask even if its first rows
            contain no padding.
        read_metadata: whether to use the metadata to find the columns.
        dialect: requested polarity and kind of the mask. If None, the polarity and kind come from the
            metadata, or else from the name of the mask.

    Returns:
        The columns; None for a raw dataset. `check_padding` checks their types.

    Raises:
        DataError: the metadata of a file is not valid.
        PaddedError: the files are not padded in the same way.
        SpecError: the columns have different masks, according to the metadata.
    """
    groups = read_groups(files) if read_metadata else {}
    _refuse_different_padding(files, groups, columns)
    described = {}
    for name, found_groups in groups.items():
        if (group := _choose_group(name, found_groups, columns, by_name)) is not None:
            described[name] = group
    first = next(iter(described.values()), None)
    all_names = {name for schema in files.values() for name in schema.names}
    mask, length = (None, None) if first is None else first.present(all_names)
    if mask_column or mask or length:
        found = Padding(mask_column or mask, length_column or length, described=bool(mask or length))
    else:
        # A mask that the metadata names for some columns does not mask other columns.
        taken = {group.mask for found_groups in groups.values() for group in found_groups}
        free = [name for name in names if name not in taken]
        trusted = by_name or dialect is not None
        by_name_found = _find_mask(files, free, first_rows, judged or columns, trusted)
        if by_name_found is None and length_column is None and first is None:
            return None
        found = replace(by_name_found or Padding(None, None), length=length_column)
    if found.mask is not None and found.mask != mask:
        _refuse_missing_mask(files, found.mask)
    if found.mask is not None:
        found = replace(found, dialect=dialect or _dialect_of(files, found.mask))
    if first is None:
        return found
    sides = {name: description.padding for name, description in described.items()}
    return replace(found, values=first.values, padding=first.padding, sides=sides, made=first.made)


def _dialect_of(files: Mapping[str, pa.Schema], mask: str) -> Dialect:
    """Return the polarity and kind of a mask, from the metadata of the files, else from its name.

    Raises:
        PaddedError: the polarity or kind of the mask differs between the files.
    """
    found: dict[str, Dialect] = {}
    for name, schema in files.items():
        with suppress(DataError):
            for group in read_descriptions(schema.metadata):
                if group.mask == mask:
                    found[name] = group.dialect
    first = next(iter(found), None)
    if first is None:
        return usual_dialect(mask)
    other = next((name for name in found if found[name] != found[first]), None)
    if other is not None:
        raise PaddedError(
            f"{first} and {other} have different masks, according to their metadata: {mask!r} is "
            f"{dialect_in_words(found[first])} in {first}, but {dialect_in_words(found[other])} in {other}; "
            f"{_ONE_WAY}",
            remedy="Read the files separately.",
            options=["mask_column"],
        )
    return found[first]


def read_groups(files: Mapping[str, pa.Schema]) -> dict[str, list[Described]]:
    """Return the padding descriptions from the metadata of the files, by file name.

    Raises:
        DataError: the metadata of a file is not valid.
    """
    described = {}
    for name, schema in files.items():
        try:
            found = read_descriptions(schema.metadata)
        except DataError as error:
            raise DataError(
                f"{name}: {error}", remedy=f"To read the file without the metadata, {_NAME_ALL}."
            ) from None
        if found:
            described[name] = found
    return described


def _choose_group(
    file: str, groups: Sequence[Described], columns: Collection[str], by_name: bool
) -> Described | None:
    """Choose one of the descriptions of padding in the metadata of a file.

    - If a requested column has a description, return this description.
    - If no requested column has a description, return the first one if `by_name` is True, otherwise None.
    - If no column is requested, return the description of `input_ids` or `tokens`, otherwise the first one.

    Raises:
        SpecError: the columns have different masks.
    """
    wanted = columns or ("input_ids", "tokens")
    found = [group for group in groups if set(wanted) & set(group.values)]
    if columns and len(found) > 1:
        one, other = (next(name for name in columns if name in group.values) for group in found[:2])
        raise SpecError(
            f"{file}: the columns {one!r} and {other!r} have different masks. Choose one column with -c.",
            options=["columns"],
        )
    return found[0] if found else None if columns and not by_name else groups[0]


_NAME_ALL = "specify the padded columns with -c and their mask with --mask-column"

_ONE_WAY = "the files of a dataset must all be raw, or all be padded in the same way"

# A group of padded columns, with its mask column and its length column.
_Group = tuple[tuple[str, ...], str | None, str | None]


def _refuse_different_padding(
    files: Mapping[str, pa.Schema], groups: Mapping[str, Sequence[Described]], columns: Collection[str]
) -> None:
    """Raise an error if files have different masks or columns, because all files are read in the same way.

    Pad values may differ. The sides of the padding may differ too, because a mask marks the padding in each
    row.
    """
    compared = set(columns)
    known = [group for found in groups.values() for group in found]
    if not known or (compared and not any(compared & set(group.values) for group in known)):
        return
    ways = {
        name: _way_of(groups.get(name, ()), schema.names, compared)
        for name, schema in files.items()
        if schema.names
    }
    padded = next((name for name, way in ways.items() if way), None)
    other = next((name for name, way in ways.items() if padded is not None and way != ways[padded]), None)
    if padded is not None and other is not None:
        raise PaddedError(
            f"{padded} and {other} are padded differently, according to their metadata: {padded} has "
            f"{_in_words(ways[padded])}, and {other} has {_in_words(ways[other])}; {_ONE_WAY}",
            remedy=f"Read the files separately. If all files have the same mask, {_NAME_ALL}.",
        )


def _way_of(groups: Sequence[Described], names: Sequence[str], columns: set[str]) -> tuple[_Group, ...]:
    """Return the groups of padded columns in a file, with the mask and length columns of each group."""
    found = []
    for group in groups:
        padded = set(group.values) & columns if columns else set(group.values)
        mask, length = group.present(names)
        if (mask is not None or length is not None) and (padded or len(groups) == 1):
            found.append((tuple(sorted(padded)), mask, length))
    return tuple(sorted(found, key=str))


def _in_words(way: Sequence[_Group]) -> str:
    return " and ".join(map(_group_in_words, way)) or "no padding"


def _group_in_words(group: _Group) -> str:
    columns, mask, length = group
    markers = [f"the mask column {mask!r}"] * (mask is not None)
    markers += [f"the length column {length!r}"] * (length is not None)
    return f"{' and '.join(markers)} for {', '.join(map(repr, columns)) or 'other columns'}"


def _find_mask(
    files: Mapping[str, pa.Schema],
    names: Iterable[str],
    first_rows: FirstRowsOf | None,
    columns: Collection[str],
    by_name: bool,
) -> Padding | None:
    """Find a mask column by its name, type and first rows. Return None if there is no mask column."""
    usual = None
    for name in dict.fromkeys(names):
        schema = next((schema for schema in files.values() if name in schema.names), None)
        if schema is None:
            continue
        if schema.names.count(name) > 1:
            return Padding(name, None)
        if not may_be_mask(schema.field(name).type):
            continue
        rows = None if first_rows is None else first_rows(name)
        if rows is not None and _shows_padding(rows, name, columns):
            return Padding(name, None, seen=True, additive=name in rows.additive)
        trusted = first_rows is None or by_name or (name == MASK_NAMES[0] and _is_likely(rows, name))
        usual = usual or (Padding(name, None) if trusted else None)
    return usual


def _shows_padding(rows: FirstRows, mask: str, columns: Collection[str]) -> bool:
    return any(rows.show_padding(mask, column) for column in columns or rows.lengths if column != mask)


def _is_likely(rows: FirstRows | None, name: str) -> bool:
    if rows is None or name not in rows.zeros:
        return True
    return rows.have_one_length(name) or bool(rows.zeros[name].any())


def may_be_mask(type_: pa.DataType) -> bool:
    """Return whether a column of this type may be a mask. A column of nulls may be a mask."""
    return is_mask(type_) or type_ in (pa.list_(pa.null()), pa.null())


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
        SpecError: a column is missing, not unique, or has an unsupported type.
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
                f"Column {found.length!r} has the type {type_}, but lengths must be integers. Choose another "
                "column with --length-column.",
                options=["length_column"],
            )


def check_names(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    mask: MaskSpec,
    replaced: str | None = None,
    *,
    packs: bool = False,
) -> None:
    """Raise an error if a new mask or length column would replace a column of the input.

    Args:
        schema: columns of the input.
        columns: columns to pad.
        mask: the new mask and length columns.
        replaced: name of the input mask that the new mask replaces; None if no mask is replaced.
        packs: whether the rows will be packed; if False, they will be padded.

    Raises:
        SpecError: a column to pad has the name of a new column, or another column of the input has this name
            and `mask.overwrite` is False.
        PaddedError: as for `SpecError`, but the other column is a mask, so the input may already be padded.
    """
    for name in (name for name in mask.names if name not in mask.made):
        if name in [column.name for column in columns]:
            raise SpecError(
                f"Column {name!r} is a column to {'pack' if packs else 'pad'}, and cannot also be the mask "
                f"or length column. {mask.name_remedy(name)}.",
                options=[mask.option_for(name)],
            )
        in_place = name == mask.column == replaced
        if name in schema.names and not in_place and not mask.overwrite:
            # Only a mask with a default name suggests that the input is already padded.
            usual = name == mask.column and name in MASK_NAMES
            padded = usual and is_mask(schema.field(schema.get_all_field_indices(name)[0]).type)
            raise (PaddedError if padded else SpecError)(
                f"The input already has a column {name!r}. {mask.replace_remedy(name, packs=packs)} If the "
                "input already contains padding, first remove the padding with padmask unpad, because "
                "padding would count as real tokens.",
                options=[mask.option_for(name)],
            )


def mask_field(schema: pa.Schema, name: str) -> pa.Field:
    """Return the field of a mask column. A type that no mask can have is replaced by a list of bools."""
    type_ = schema.field(name).type
    return pa.field(name, type_ if is_mask(type_) else pa.list_(pa.bool_()))


def refuse_padded(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    mask: MaskSpec,
    first_rows: FirstRowsOf,
    *,
    packs: bool = False,
) -> str | None:
    """Raise an error if columns are already padded, unless `mask.allow_padded` is set.

    Args:
        files: schema of each file, by file name.
        columns: names of the columns to pad.
        mask: the mask to add.
        first_rows: function that returns the first rows of a mask column and of the columns in `columns`.
        packs: whether the rows will be packed; if False, they will be padded.

    Returns:
        Name of the mask of the first column; None if the first column is not padded.

    Raises:
        PaddedError: a column is already padded.
    """
    names = dict.fromkeys([*MASK_NAMES, *([mask.column] if mask.column else [])])
    old = None
    for file, schema in files.items():
        if METADATA_KEY not in (schema.metadata or {}) and not names.keys() & set(schema.names):
            continue
        # Each file is checked separately, because a mix of padded and raw files is not an error here.
        for column in columns:
            try:
                found = find_padding({file: schema}, columns=[column], names=names, first_rows=first_rows)
            except DataError:
                # padmask writes this metadata only to padded files, so this file is already padded.
                found = Padding(None, None, described=True)
            if found is None:
                continue
            if not (found.seen or found.described or column in found.values):
                continue
            if not mask.allow_padded:
                raise _padded_error(file, column, found, mask, packs)
            if column == columns[0]:
                old = old or found.mask
    return old


def _padded_error(file: str, column: str, found: Padding, mask: MaskSpec, packs: bool) -> PaddedError:
    marks = [f"the mask {found.mask!r}"] * (found.mask is not None)
    marks += [f"the length column {found.length!r}"] * (found.length is not None)
    option = ""
    if found.mask and not found.described:
        # A mask with the name of the new mask is probably the result of the same command.
        dialect = mask.dialect if found.mask == mask.column else found.dialect
        if found.seen and found.additive != (dialect == ADDITIVE):
            dialect = ADDITIVE if found.additive else found.dialect
        words = ["--mask-column", found.mask, *dialect_options(found.mask, dialect)]
        option = f" {shlex.join(words)}"
    unpad = f"To pad only the tokens, first remove the padding with padmask unpad{option}."
    if not found.names and column in found.values:
        unpad = "No column marks the padding, so padmask unpad cannot remove it. Pad the original data."
    return PaddedError(
        f"the input is already padded, according to {marks[0] if marks else 'its metadata'}",
        place=Place(file),
        column=column,
        remedy=unpad
        if packs
        else f"{unpad} To count all positions as tokens and replace the mask, use --allow-padded.",
        options=["columns"] if packs else ["columns", "allow_padded"],
    )
