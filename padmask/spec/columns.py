"""Columns to pad, as the user requests them: `Column`, or the short form `NAME[:DTYPE][=VALUE]`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from padmask.errors import SpecError, column_flags, did_you_mean
from padmask.spec.checks import check_fields, one_of, string
from padmask.spec.pad import COLUMN_DTYPES


@dataclass(frozen=True)
class Column:
    """A column to pad, with an optional dtype and pad value.

    >>> Column("labels", value=-100)
    Column(name='labels', dtype=None, value=-100)

    Args:
        name: name of the column.
        dtype: dtype of the padded values, one of `DTYPES`. If None, the dtype of `PadSpec` is used.
        value: pad value. If None, the value of `PadSpec` is used.
    """

    name: str
    dtype: str | None = None
    value: Any = None

    def __post_init__(self) -> None:
        check_fields(self, name=string)
        if self.dtype is not None:
            one_of(f"dtype of column {self.name!r}", self.dtype, COLUMN_DTYPES, "columns")


# Columns can be given as names, as short forms, as `Column`s, or as a mapping from names to pad values.
Columns = Iterable[str | Column] | Mapping[str, Any] | None


def as_list(columns: Columns) -> Columns:
    """Return the requested columns as a list or a mapping. Unlike an iterator, the result can be read twice.

    >>> as_list("labels"), as_list(iter(["ids", "labels"])), as_list({"ids": 0}), as_list(None)
    (['labels'], ['ids', 'labels'], {'ids': 0}, None)
    """
    if columns is None or isinstance(columns, Mapping):
        _check_columns(columns or (), str)
        return columns
    if isinstance(columns, (str, Column)):
        return [columns]
    try:
        names = list(columns)
    except TypeError:
        names = [columns]  # type: ignore[list-item]
    _check_columns(names, (str, Column))
    return names


def _check_columns(names: Iterable[Any], kinds: type | tuple[type, ...]) -> None:
    for name in names:
        if not isinstance(name, kinds):
            raise SpecError(f"`columns` must contain names or `Column` objects. Received: {name!r:.80}.")


def parse_column(text: str, known: Collection[str]) -> Column:
    """Parse the short form `NAME[:DTYPE][=VALUE]` of a column.

    A column name may contain `:` and `=`. If several names are possible, the longest name in `known` is used.

    >>> parse_column("labels:int64=-100", ["input_ids", "labels"])
    Column(name='labels', dtype='int64', value='-100')
    >>> parse_column("a=b", ["a=b"])
    Column(name='a=b', dtype=None, value=None)

    Raises:
        SpecError: there is no column of this name, or the dtype is unknown.
    """
    splits = sorted(_splits(text), key=lambda split: len(split[0]), reverse=True)
    for name, dtype, value in splits:
        if name in known:
            return Column(name, dtype, value)
    # No name exists. The user most likely meant the shortest one.
    raise unknown_column(splits[-1][0], known)


def _splits(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return all ways to split `text` into NAME, DTYPE and VALUE."""
    heads: list[tuple[str, str | None]] = [(text, None)]
    heads += [(text[:i], text[i + 1 :]) for i, character in enumerate(text) if character == "="]
    splits: list[tuple[str, str | None, str | None]] = []
    for head, value in heads:
        splits.append((head, None, value))
        name, colon, dtype = head.rpartition(":")
        if colon and "=" not in dtype:
            splits.append((name, dtype, value))
    return splits


def quote_names(names: Collection[str]) -> str:
    """Format column names for a message. Shorten long lists and long names.

    >>> quote_names(["ids", "labels"]), quote_names([])
    ("'ids', 'labels'", 'none')
    """
    few = ", ".join(f"{name!r:.40}" for name in list(names)[:20])
    return f"{few}, ..." if len(names) > 20 else few or "none"


def list_columns(names: Collection[str]) -> str:
    """Return a sentence that lists the columns of an input.

    >>> list_columns(["ids"]), list_columns([])
    ("The columns are: 'ids'.", 'The input has no columns. Check that the input has rows.')
    """
    return (
        f"The columns are: {quote_names(names)}."
        if names
        else "The input has no columns. Check that the input has rows."
    )


def unknown_column(name: str, known: Collection[str], option: str = "columns") -> SpecError:
    """Return the error for a missing column. `option` is the option that specified the column name."""
    there = f"Choose one of {quote_names(known)}." if known else list_columns(known)
    parts = re.split(r"[,;\s]+", name.strip())
    meant = did_you_mean(name, list(known))
    if option == "columns" and len(parts) > 1 and all(part in known for part in parts):
        meant, there = "", f"To choose several columns, repeat the option: {column_flags(parts)}."
    return SpecError(f"Column {name!r:.80} does not exist.{meant} {there}", options=[option])
