"""Find the rows of Arrow columns that cannot be padded, and convert padded arrays to Arrow columns.

This module does not read files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import empty_batch, to_arrow, to_lists
from padmask.core.columns import PadColumn, is_label
from padmask.core.foreign_metadata import carry_metadata, field_metadata
from padmask.core.kernel import pad_batch
from padmask.core.made_columns import made_values
from padmask.core.masks import Mask
from padmask.core.metadata import describe, describe_groups
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import make_segments
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.source_columns import source_columns
from padmask.core.unequal_lengths import unequal_fault
from padmask.core.windows import repeated_mask
from padmask.errors import Fault
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that are padded together. They have the same lengths, the same maxlen and one mask.

    Args:
        columns: columns to pad. The lengths of the first column determine the mask.
        spec: how to pad.
        mask: mask, length column, positions and labels to add.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec


def read_rows(batch: pa.RecordBatch, groups: Sequence[ColumnGroup]) -> tuple[dict[str, Ragged], list[Fault]]:
    """Flatten the columns to pad, and find the rows that cannot be padded.

    Returns:
        The rows of each column, and the first `Fault` of each bad row in row order.
    """
    rows: dict[str, Ragged] = {}
    faults: dict[int, Fault] = {}
    for group in groups:
        first, packs = group.columns[0].name, group.spec.packing is not None
        for column in group.columns:
            ragged, found = Ragged.from_arrow(batch.column(column.name), column.inner)
            for options, bad in (
                (("columns",), found),
                (("columns", "dtype"), find_misfits(ragged, column.dtype)),
            ):
                for fault in bad:
                    faults.setdefault(fault.row, replace(fault, column=column.name, options=options))
            rows[column.name] = ragged
            for row in np.flatnonzero(ragged.lengths != rows[first].lengths).tolist():
                fault = unequal_fault(row, first, rows[first], column.name, ragged, packs=packs)
                faults.setdefault(row, fault)
    return rows, [faults[row] for row in sorted(faults)]


def row_lengths(rows: Mapping[str, Ragged]) -> npt.NDArray[np.int64]:
    """Return the number of tokens in each row: int64, shape (rows,). All columns have the same lengths."""
    return next(iter(rows.values())).lengths


def pad_rows(
    batch: pa.RecordBatch,
    rows: Mapping[str, Ragged],
    groups: Sequence[tuple[ColumnGroup, Segments]],
    fixed_size: bool = False,
    without: Collection[str] = (),
    numbers: Positions | None = None,
) -> pa.RecordBatch:
    """Pad the sequence columns of a batch, and add the mask and length columns.

    Args:
        batch: all columns of the output rows.
        rows: source rows of each sequence column.
        groups: columns to pad together, with the positions of their tokens.
        fixed_size: whether to create fixed-size lists.
        without: names of columns to leave out.
        numbers: number of each source row in the input: int64, shape (source rows,).
    """
    return replace_columns(batch, padded_arrays(rows, groups, fixed_size, numbers), without)


def padded_arrays(
    rows: Mapping[str, Ragged],
    groups: Sequence[tuple[ColumnGroup, Segments]],
    fixed_size: bool = False,
    numbers: Positions | None = None,
    batch: int = 0,
) -> dict[str, pa.Array]:
    """Return the columns that padding changes or adds, by name. `batch` is the batch number of the rows."""
    arrays: dict[str, pa.Array] = {}
    for group, segments in groups:
        known: Mask | None = None
        windows = group.spec.windows
        repeated = repeated_mask(segments) if windows is not None and windows.labels == "new" else None
        for column in group.columns:
            padded = pad_batch(
                rows[column.name], segments, value=column.value, dtype=column.numpy_dtype, mask=known
            )
            known = padded.mask
            if repeated is not None and is_label(column):
                padded.values[repeated] = column.value
            arrays[column.name] = to_lists(padded.values, column.dtype, fixed_size)
        assert known is not None
        made = made_values(group.columns, group.mask, segments, rows, known, repeated)
        for name, values in made.items():
            is_list = values.ndim > 1
            arrays[name] = to_lists(values, str(values.dtype), fixed_size) if is_list else to_arrow(values)
        if numbers is not None:
            arrays |= source_columns(segments, group.spec, numbers, batch)
    return arrays


def replace_columns(
    batch: pa.RecordBatch, arrays: Mapping[str, pa.Array], without: Collection[str] = ()
) -> pa.RecordBatch:
    """Replace columns by name, append columns with new names, and omit the columns in `without`."""
    schema = batch.schema
    names = schema.names
    # A mapping by name would lose one of two columns with the same name.
    twice = {name for name, times in Counter(names).items() if times > 1}
    out = [
        (name, column if name in twice else arrays.get(name, column))
        for name, column in zip(names, batch.columns, strict=True)
        if name not in without
    ]
    out += [(name, array) for name, array in arrays.items() if name not in names]
    fields = [_field(schema, name, array.type, changed=name in arrays) for name, array in out]
    return pa.RecordBatch.from_arrays([array for _, array in out], schema=pa.schema(fields))


def _field(schema: pa.Schema, name: str, type_: pa.DataType, *, changed: bool) -> pa.Field:
    place = schema.get_field_index(name)
    old = schema.field(place) if place >= 0 else None
    return pa.field(name, type_, metadata=field_metadata(old, type_, changed=changed))


def padded_schema(
    schema: pa.Schema,
    groups: Sequence[tuple[ColumnGroup, Plan]],
    fixed_size: bool = False,
    without: Collection[str] = (),
    earlier: Sequence[Mapping[str, Any]] = (),
) -> pa.Schema:
    """Return the schema of the padded table, with a description of the padding in its metadata.

    Args:
        schema: schema of the input.
        groups: columns to pad together, with their plans.
        fixed_size: whether to create fixed-size lists.
        without: names of columns to leave out.
        earlier: descriptions of columns that earlier runs padded.
    """
    types = _empty_types(schema, groups, fixed_size, without)
    found = [describe(group.columns, plan, group.spec, group.mask) for group, plan in groups]
    changed = [name for group, _ in groups for name in group.mask.names]
    changed += [column.name for group, _ in groups for column in group.columns]
    return carry_metadata(schema, types, changed, describe_groups([*found, *earlier]))


def _empty_types(
    schema: pa.Schema,
    groups: Sequence[tuple[ColumnGroup, Plan]],
    fixed_size: bool,
    without: Collection[str],
) -> pa.Schema:
    """Pad a table without rows, and return its schema without metadata."""
    none = np.zeros(0, dtype=np.int64)
    rows = no_tokens([column for group, _ in groups for column in group.columns])
    shaped = [(group, make_segments(none, plan, group.spec)) for group, plan in groups]
    return pad_rows(empty_batch(schema), rows, shaped, fixed_size, without, none).schema


def no_tokens(columns: Sequence[PadColumn]) -> dict[str, Ragged]:
    """Return columns without rows, in the dtype of the output, keyed by column name."""
    none = np.zeros(0, dtype=np.int64)
    return {
        column.name: Ragged(
            np.empty((0, *(() if column.inner is None else (column.inner,))), column.numpy_dtype), none, none
        )
        for column in columns
    }
