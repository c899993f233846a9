"""Whether files are padded, and what says which places are padding: the one decision of every command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, only_field
from padmask.core.metadata import Described, read_description
from padmask.core.ragged import Ragged
from padmask.errors import DataError, PaddedError, SpecError
from padmask.spec.pad import Side


@dataclass(frozen=True)
class Padding:
    """What says which places of an input are padding.

    Args:
        mask: name of the mask column, None where lengths alone say it.
        length: name of the length column, None where there is none. Without a mask and a length, the
            metadata describe padding, and the columns that said where it is are gone.
        values: pad values by column, where metadata name them.
        padding: the side of the padding, where metadata name it.
        sides: the side that the metadata of each file name, by the file's name.
        described: whether the metadata name the mask or the length.
        seen: whether the first rows of the mask have a padded place.
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
        """Return the columns that say what is padding, the mask first."""
        return tuple(name for name in (self.mask, self.length) if name is not None)


# Returns the first rows of a mask column; None where there is no row, or none that holds a mask.
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
    """Decide whether the files of a dataset are padded, and what says which places are padding.

    The caller's columns come first, then those that the metadata name, then a column with a mask's name
    and type. Raw rows may have a mask too, all ones, as tokenizers make it. So where the first rows can
    be read, such a column says something only if it has a padded place there, its rows are equally long,
    or it has the name that padmask gives to masks.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("attention_mask", pa.list_(pa.int8()))])
    >>> find_padding({"a.parquet": schema}).mask
    'attention_mask'
    >>> ones, _ = Ragged.from_mask(pa.array([[1], [1, 1]]))
    >>> find_padding({"a.parquet": schema}, first_mask=lambda name: ones) is None
    True

    Args:
        files: the schema of each file, with its metadata, by the file's name.
        columns: whose padding matters; empty for all columns that the metadata name.
        mask_column: the mask that was asked for.
        length_column: the lengths that were asked for.
        names: that a mask may have where nothing names it.
        first_mask: reads the first rows of a mask column; None to trust the names.
        read_metadata: False decides without the metadata.

    Returns:
        None for raw input. The types of the columns are not checked here, see `check_padding`.

    Raises:
        DataError: metadata that cannot be read.
        PaddedError: the files do not say the same of their padding.
    """
    described = _read_descriptions(files) if read_metadata else {}
    _refuse_disagreement(files, described, columns)
    said = next(iter(described.values()), None)
    mask, length = (None, None) if said is None else said.present(_column_names(files))
    if mask_column or mask or length:
        found = Padding(mask_column or mask, length_column or length, described=bool(mask or length))
    else:
        by_name = _find_mask(files, names, first_mask)
        if by_name is None and length_column is None and said is None:
            return None
        found = replace(by_name or Padding(None, None), length=length_column)
    if found.mask is not None and found.mask != mask:
        _refuse_missing_mask(files, found.mask)
    if said is None:
        return found
    sides = {name: one.padding for name, one in described.items()}
    return replace(found, values=said.values, padding=said.padding, sides=sides)


def _read_descriptions(files: Mapping[str, pa.Schema]) -> dict[str, Described]:
    """Return what the metadata of each file say, of the files whose metadata speak of padding."""
    described = {}
    for name, schema in files.items():
        try:
            said = read_description(schema.metadata)
        except DataError as error:
            raise DataError(f"{name}: {error}", remedy=f"{_NAME_ALL}, to do without the metadata.") from None
        if said is not None:
            described[name] = said
    return described


_NAME_ALL = "Name the padded columns with -c and their mask with --mask-column"

_ONE_WAY = "one dataset is raw or padded in one way"

# What a file says of its padding: the padded columns, the mask, the lengths.
_Statement = tuple[tuple[str, ...], str | None, str | None]


def _refuse_disagreement(
    files: Mapping[str, pa.Schema], described: Mapping[str, Described], columns: Collection[str]
) -> None:
    """Refuse files that do not say the same of their padding: the first would stand for all.

    Pad values may differ, and sides too: a mask shows the side of each row.
    """
    if not described or (columns and not any(set(columns) & set(one.values) for one in described.values())):
        return
    statements = {
        name: _statement(described.get(name), schema.names, columns)
        for name, schema in files.items()
        if schema.names
    }
    padded = next((name for name, found in statements.items() if found is not None), None)
    for name, found in statements.items():
        if padded is not None and found != statements[padded]:
            raise PaddedError(
                f"{padded} and {name} do not say the same of their padding: {padded} names "
                f"{_in_words(statements[padded])}, and {name} names {_in_words(found)}; {_ONE_WAY}",
                remedy=f"Read the files apart. Or, if one mask serves all: {_NAME_ALL}.",
            )


def _statement(said: Described | None, names: Sequence[str], columns: Collection[str]) -> _Statement | None:
    """Return what says which places of a file are padding; None where nothing says so any more."""
    mask, length = (None, None) if said is None else said.present(names)
    if said is None or (mask is None and length is None):
        return None
    padded = set(said.values) & set(columns) if columns else said.values
    return tuple(sorted(padded)), mask, length


def _in_words(statement: _Statement | None) -> str:
    if statement is None:
        return "nothing"
    columns, mask, length = statement
    told = [f"the mask {mask!r}"] * (mask is not None) + [f"the lengths {length!r}"] * (length is not None)
    return f"{' and '.join(told)} of {', '.join(map(repr, columns)) or 'other columns'}"


def _find_mask(
    files: Mapping[str, pa.Schema], names: Iterable[str], first_mask: FirstMask | None
) -> Padding | None:
    """Return the column that is a mask by its name, its type and its first rows, if there is one."""
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
    """Tell whether a column may be a mask: of bools or integers, or without a place that would tell."""
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
    """Refuse files with a mask beside files without: one kind would hide the other."""
    there = {name: mask in schema.names for name, schema in files.items() if schema.names}
    padded, raw = (next((name for name, has in there.items() if has is kind), None) for kind in (True, False))
    if padded is not None and raw is not None:
        raise PaddedError(
            f"{padded} has a mask column {mask!r} and {raw} has none; {_ONE_WAY}",
            remedy="Read the files apart.",
            options=["mask_column"],
        )


def _column_names(files: Mapping[str, pa.Schema]) -> set[str]:
    return {name for schema in files.values() for name in schema.names}


def check_padding(schema: pa.Schema, found: Padding) -> None:
    """Check that the columns that say what is padding are there once, and are a mask and lengths by type.

    Raises:
        SpecError: a column is not.
    """
    if found.mask is not None:
        type_ = only_field(schema, found.mask, "mask_column").type
        if not may_be_mask(type_):
            raise SpecError(
                f"Column {found.mask!r} of type {type_} is no mask. Choose a list of bools, or of 0 and 1, "
                "with --mask-column.",
                options=["mask_column"],
            )
    if found.length is not None:
        type_ = only_field(schema, found.length, "length_column").type
        if not (pa.types.is_integer(type_) or pa.types.is_null(type_)):
            raise SpecError(
                f"Column {found.length!r} of type {type_} holds no lengths. Write whole numbers there, or "
                "name another column.",
                options=["length_column"],
            )


def mask_field(schema: pa.Schema, name: str) -> pa.Field:
    """Return the field that a mask is read as: rows without a place do not show what their lists hold."""
    type_ = schema.field(name).type
    return pa.field(name, type_ if is_mask(type_) else pa.list_(pa.bool_()))
