"""Check whether a dataset is packed. This module reads data, and `core/packed_layout.py` decides."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import pyarrow as pa

from padmask.core.columns import asked_names
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.packed_head import ABSENT, NO_LIST, PackedHead
from padmask.core.packed_layout import PackedLayout, find_packing, has_integer_lists, refuse_packed
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.mask import Dialect, MaskSpec
from padmask.spec.pack import SEQUENCE_LENGTHS
from padmask.spec.pad import PadSpec
from padmask.stream.column_values import column_values
from padmask.stream.padding import known_schemas


def find_dataset_packing(
    dataset: Dataset, columns: Columns, mask: str | None = None, dialect: Dialect | None = None
) -> PackedLayout | None:
    """Return the layout of packed rows; None if the dataset is not packed.

    Args:
        dataset: the data.
        columns: requested columns; None for all packed columns.
        mask: name of the requested mask column. If None, the mask column is found.
        dialect: requested dialect of the mask. If None, the metadata decide, else the name of the mask.

    Raises:
        PaddedError: the files are not packed in the same way.
        SpecError: a packed column is missing.
    """
    schemas = known_schemas(dataset)
    if not any(has_integer_lists(schema, SEQUENCE_LENGTHS) for schema in schemas.values()):
        return None
    with dataset.named_in_errors():
        names = asked_names(dataset.schema(), columns)
    return find_packing(schemas, names, partial(_read_head, dataset), mask, dialect)


def not_packed_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return a note if input that is not packed has a column with the name and type of sequence lengths."""
    if not has_integer_lists(dataset.schema(), SEQUENCE_LENGTHS):
        return ()
    note = (
        f"the rows are not unpacked, because the sums of {SEQUENCE_LENGTHS!r} do not fit in the lengths of "
        "their columns"
    )
    return (note,)


def _read_head(dataset: Dataset) -> PackedHead | None:
    """Return the lengths in the first rows; None if the rows are not packed."""
    schema = dataset.schema()
    if not dataset.format.is_text:
        return PackedHead.of_table(batch.columns for batch in dataset.look(Wanted(schema, schema)))
    sequences: list[object] = []
    lengths: dict[str, list[int]] = {}
    for batch in dataset.look(Wanted(pa.schema([]))):
        part = batch.slice(0, FIRST_ROWS - len(sequences))
        names = [*lengths, *(name for row in part.objects or () for name in row)]
        for name in dict.fromkeys(names):
            before = lengths.setdefault(name, [ABSENT] * len(sequences))
            before += map(_length_of, column_values(part, name))
        sequences += column_values(part, SEQUENCE_LENGTHS)
        if len(sequences) >= FIRST_ROWS:
            break
    return PackedHead.of(sequences, lengths)


def _length_of(value: Any) -> int:
    if value is None:
        return ABSENT
    return len(value) if isinstance(value, list) else NO_LIST


def refuse_packed_dataset(dataset: Dataset, columns: Collection[str], spec: PadSpec, mask: MaskSpec) -> None:
    """Raise an error if columns are packed already, unless `mask.allow_padded` is set.

    Args:
        dataset: the data.
        columns: names of the columns to pad or pack.
        spec: how to pad or pack.
        mask: the mask to add.

    Raises:
        PaddedError: a column is packed.
    """
    if not mask.allow_padded:
        found = find_dataset_packing(dataset, None)
        refuse_packed(dataset.name, found, columns, packs=spec.packing is not None)
