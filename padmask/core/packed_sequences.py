"""Find the columns that describe the sequences of packed rows, and the options that packed the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pyarrow as pa

from padmask.core.metadata import groups_to_keep
from padmask.core.packed_layout import has_integer_lists
from padmask.errors import SpecError
from padmask.spec.mask import LABELS
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
        derived: the name in `DERIVED` of each derived column, keyed by column name. With metadata, only
            columns that packing added.
    """

    spec: PadSpec | None
    columns: tuple[str, ...]
    packed: tuple[str, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)

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
    describing = (SEQUENCE_LENGTHS, *SOURCE_COLUMNS, *DERIVED)
    names = [name for name in describing if has_integer_lists(schema, name)]
    for group in groups_to_keep(schema, ()):
        if isinstance(group.get("packing"), dict):
            packed, spec = tuple(group["columns"]), _read_spec(group)
            derived = _find_derived(schema, group, spec)
            columns = tuple(dict.fromkeys([*(name for name in names if name not in packed), *derived]))
            return SequenceColumns(spec, columns, packed, derived)
    derived = {name: name for name in names if name in DERIVED}
    return SequenceColumns(None, tuple(names), derived=derived) if SEQUENCE_LENGTHS in names else None


def _find_derived(schema: pa.Schema, group: Mapping[str, Any], spec: PadSpec | None) -> dict[str, str]:
    """Return the name in `DERIVED` of each column that packing added, keyed by column name."""
    if spec is None or spec.packing is None:
        return {}
    made = LABELS if group.get("labels_from") is not None else None
    named = spec.packing.derived_for([name for name in group["columns"] if name != made])
    return {
        name: derived for derived, names in named.items() for name in names if has_integer_lists(schema, name)
    }


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
