"""Find the columns that describe the sequences of packed rows, and the options that packed the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_list, storage_type
from padmask.core.metadata import groups_to_keep
from padmask.errors import SpecError
from padmask.spec.pack import DERIVED, SEQUENCE_LENGTHS, SOURCE_COLUMNS, PackSpec
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec


@dataclass(frozen=True)
class SequenceColumns:
    """The columns that describe the sequences of packed rows, and how the rows are packed.

    Args:
        spec: options that packed the rows, from the metadata; None if there are no metadata.
        columns: names of the list columns that describe the sequences and their sources.
        packed: names of the packed columns, from the metadata; empty if there are no metadata.
    """

    spec: PadSpec | None
    columns: tuple[str, ...]
    packed: tuple[str, ...] = ()

    @property
    def packing(self) -> PackSpec | None:
        """The options for packing; None if there are no metadata."""
        return None if self.spec is None else self.spec.packing

    @property
    def has_lengths(self) -> bool:
        """Whether a column contains the lengths of the sequences."""
        return SEQUENCE_LENGTHS in self.columns

    @property
    def has_sources(self) -> bool:
        """Whether columns contain the source row and the first token of each sequence."""
        return set(SOURCE_COLUMNS) <= set(self.columns)

    @property
    def align(self) -> int:
        """Each sequence starts at a position that is a multiple of this number."""
        return 1 if self.packing is None else self.packing.align


def find_sequence_columns(schemas: Iterable[pa.Schema]) -> SequenceColumns | None:
    """Return the columns that describe the sequences of packed rows; None if the rows are not packed.

    The metadata decide. Without metadata, rows are packed if they have a column `seq_lengths` of lists of
    integers.

    >>> find_sequence_columns([pa.schema([("seq_lengths", pa.list_(pa.int32()))])]).has_lengths
    True
    >>> find_sequence_columns([pa.schema([("input_ids", pa.list_(pa.int32()))])]) is None
    True

    Args:
        schemas: schema of each file. The first schema decides.
    """
    schema = next(iter(schemas), None)
    if schema is None:
        return None
    names = [name for name in (SEQUENCE_LENGTHS, *SOURCE_COLUMNS, *DERIVED) if _has_integers(schema, name)]
    for group in groups_to_keep(schema, ()):
        if isinstance(group.get("packing"), dict):
            packed = tuple(group["columns"])
            columns = tuple(name for name in names if name not in packed)
            return SequenceColumns(_read_spec(group), columns, packed)
    return SequenceColumns(None, tuple(names)) if SEQUENCE_LENGTHS in names else None


def _has_integers(schema: pa.Schema, name: str) -> bool:
    """Return whether a schema has exactly one column of this name, and the column has lists of integers."""
    if schema.names.count(name) != 1:
        return False
    type_ = storage_type(schema.field(name).type)
    return is_list(type_) and pa.types.is_integer(storage_type(type_.value_type))


def _read_spec(group: Mapping[str, Any]) -> PadSpec | None:
    """Return the options in a description; None if this version does not know them."""
    known = {field.name for field in fields(PackSpec)}
    packing, windows = group["packing"], group.get("windows")
    try:
        return PadSpec(
            maxlen=group["maxlen"],
            truncating=group["truncating"],
            keep_first=group.get("keep_first") or 0,
            keep_last=group.get("keep_last") or 0,
            windows=None if windows is None else WindowSpec(**windows),
            packing=PackSpec(**{name: value for name, value in packing.items() if name in known}),
        )
    except (SpecError, KeyError, TypeError):
        return None
