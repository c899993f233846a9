"""Check whether a dataset is already packed. This module reads the data for `core/find_packing.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pyarrow as pa

from padmask.core.columns import asked_names
from padmask.core.find_packing import find_packing, may_be_packed
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.packed_head import ABSENT, NO_LIST, HeadRows, TableHead
from padmask.core.packed_layout import PackedLayout, refuse_packed
from padmask.formats.contract import Batch, Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.mask import Dialect, MaskSpec
from padmask.spec.pad import PadSpec
from padmask.stream.column_values import column_values
from padmask.stream.padding import known_schemas


def find_dataset_packing(
    dataset: Dataset, columns: Columns, mask: str | None = None, dialect: Dialect | None = None
) -> PackedLayout | None:
    """Return the `PackedLayout` of packed rows; None if the dataset is not packed.

    Args:
        dataset: the data.
        columns: requested columns; None for all packed columns.
        mask: name of the requested mask column. If None, the function finds the mask column.
        dialect: requested polarity and kind of the mask. If None, those in the metadata are used, else those
            that the name of the mask suggests.

    Raises:
        PaddedError: the files are not packed in the same way.
        SpecError: a packed column is missing.
    """
    schemas = known_schemas(dataset)
    if not any(map(may_be_packed, schemas.values())):
        return None
    with dataset.named_in_errors():
        names = asked_names(dataset.schema(), columns)
    return find_packing(schemas, names, partial(_read_head, dataset), mask, dialect)


def _read_head(dataset: Dataset) -> HeadRows:
    """Return the first rows of a dataset."""
    if dataset.format.is_text:
        return _JsonHead(dataset)
    schema = dataset.schema()
    return TableHead(batch.columns for batch in dataset.look(Wanted(schema, schema)))


@dataclass(frozen=True)
class _JsonHead:
    """The first rows of JSON Lines."""

    dataset: Dataset

    @cached_property
    def _parts(self) -> list[Batch]:
        parts, rows = [], 0
        for batch in self.dataset.look(Wanted(pa.schema([]))):
            parts.append(batch.slice(0, FIRST_ROWS - rows))
            rows += len(parts[-1])
            if rows >= FIRST_ROWS:
                break
        return parts

    def values(self, name: str, limit: int = FIRST_ROWS) -> pa.Array:
        parts = [part.slice(0, limit) for part in self._parts]
        rows = [value for part in parts for value in column_values(part, name)][:limit]
        kinds = {type(row[0]) for row in rows if isinstance(row, list) and row}
        kind = bool if kinds == {bool} else int
        fine = [isinstance(row, list) and all(type(its) is kind for its in row) for row in rows]
        lists = [row if ok else None for row, ok in zip(rows, fine, strict=True)]
        try:
            return pa.array(lists, pa.list_(pa.bool_() if kind is bool else pa.int64()))
        except (OverflowError, pa.ArrowException):
            # A number does not fit in 64 bits, so the column does not contain lengths or positions.
            return pa.nulls(len(rows), pa.list_(pa.int64()))

    def lengths(self) -> Mapping[str, Sequence[int]]:
        found: dict[str, list[int]] = {}
        rows = 0
        for part in self._parts:
            names = dict.fromkeys([*found, *(name for row in part.objects or () for name in row)])
            for name in names:
                before = found.setdefault(name, [ABSENT] * rows)
                before += map(_length_of, column_values(part, name))
            rows += len(part)
        return found


def _length_of(value: Any) -> int:
    if value is None:
        return ABSENT
    return len(value) if isinstance(value, list) else NO_LIST


def refuse_packed_dataset(dataset: Dataset, columns: Collection[str], spec: PadSpec, mask: MaskSpec) -> None:
    """Raise an error if columns are already packed, unless `mask.allow_padded` is set.

    Args:
        dataset: the data.
        columns: names of the columns to pad or pack.
        spec: how to pad or pack.
        mask: the mask to add.

    Raises:
        PaddedError: a column is already packed.
    """
    if not mask.allow_padded:
        found = find_dataset_packing(dataset, None)
        refuse_packed(dataset.name, found, columns, packs=spec.packing is not None)
