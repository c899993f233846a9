"""`pad_table`: pad an Arrow table in memory.

This module finds the rows that cannot be padded, and converts padded arrays to Arrow columns. It does not
read files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import mask_lists, to_arrow, to_lists
from padmask.core.columns import PadColumn, choose_columns, find_vector_sizes
from padmask.core.foreign_metadata import carry_metadata, field_metadata
from padmask.core.kernel import Padded, pad_batch
from padmask.core.metadata import METADATA_KEY, describe
from padmask.core.padding import check_names
from padmask.core.plan import LengthStats, Plan, Segments, make_plan, make_segments, needs_lengths
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import DataError, Fault, SpecError
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns
from padmask.spec.pad import MaskSpec, PadSpec


def pad_table(
    table: pa.Table,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
) -> pa.Table:
    """Pad the sequence columns of a table and add their mask.

    >>> table = pa.table({"input_ids": [[7, 8], [9]], "labels": [[1, 0], [1]]})
    >>> pad_table(table, columns={"input_ids": 0, "labels": -100}).to_pydict()["labels"]
    [[1, 0], [1, -100]]

    Args:
        table: table with one or more list columns. All other columns stay unchanged.
        columns: names, `Column`s, short forms such as `"labels:int64=-100"`, or a mapping from names to
            pad values. Default: `input_ids`, otherwise `tokens`, otherwise the only list column.
        spec: how to pad. Default: `PadSpec()`.
        mask: which mask to add. Default: `MaskSpec()`, a bool column `mask`.

    Returns:
        A table with the same rows. Each padded column is a `list` of maxlen values of the requested dtype
        per row. The mask is a `list<bool>` of maxlen values per row, True at real tokens.

    Raises:
        SpecError: a column is missing, or cannot be padded with this dtype or pad value.
        DataError: a row cannot be padded: it is null, its columns differ in length, or a value does not fit.

    Source: the Keras guide "Understanding masking & padding"; -100 for labels is Hugging Face's convention.
    """
    spec, mask = or_default("spec", spec, PadSpec), or_default("mask", mask, MaskSpec)
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    chosen = choose_columns(table.schema, columns, spec)
    check_names(table.schema, chosen, mask)
    # Vectors must have the same length in all chunks of the table.
    batches = table.to_batches()
    chosen = find_vector_sizes(chosen, batches)
    read: list[dict[str, Ragged]] = []
    first = 0
    for batch in batches:
        rows, faults = read_rows(batch, chosen)
        if faults:
            raise DataError(f"Row {first + faults[0].row}, {faults[0]}.")
        read.append(rows)
        first += batch.num_rows
    stats = None
    if needs_lengths(spec):
        stats = sum((LengthStats.of(row_lengths(rows)) for rows in read), LengthStats())
    plan = make_plan(spec, stats)
    padded = [
        pad_rows(batch, rows, chosen, make_segments(row_lengths(rows), plan, spec), mask)
        for batch, rows in zip(batches, read, strict=True)
    ]
    schema = padded_schema(table.schema, chosen, plan, spec, mask)
    batches = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in padded]
    return pa.Table.from_batches(batches, schema=schema)


def read_rows(batch: pa.RecordBatch, columns: Sequence[PadColumn]) -> tuple[dict[str, Ragged], list[Fault]]:
    """Flatten the columns to pad, and find the rows that cannot be padded.

    Returns:
        The rows of each column, and the first fault of each bad row in row order.
    """
    rows: dict[str, Ragged] = {}
    faults: dict[int, Fault] = {}
    first: str | None = None
    for column in columns:
        ragged, found = Ragged.from_arrow(batch.column(column.name), column.inner)
        for options, bad in (
            (("columns",), found),
            (("columns", "dtype"), find_misfits(ragged, column.dtype)),
        ):
            for fault in bad:
                faults.setdefault(fault.row, replace(fault, column=column.name, options=options))
        if first is not None:
            for row in np.flatnonzero(ragged.lengths != rows[first].lengths).tolist():
                faults.setdefault(row, _unequal(row, first, rows[first], column.name, ragged))
        rows[column.name] = ragged
        first = first or column.name
    return rows, [faults[row] for row in sorted(faults)]


def _unequal(row: int, first: str, rows: Ragged, other: str, others: Ragged) -> Fault:
    return Fault(
        row,
        f"column {other!r} has {others.lengths[row]} tokens, but {first!r} has {rows.lengths[row]}; fix the "
        "row, or pad the columns separately",
        options=("columns",),
    )


def row_lengths(rows: Mapping[str, Ragged]) -> npt.NDArray[np.int64]:
    """Return the number of tokens in each row, int64, shape (rows,). All columns have the same lengths."""
    return next(iter(rows.values())).lengths


def pad_rows(
    batch: pa.RecordBatch,
    rows: Mapping[str, Ragged],
    columns: Sequence[PadColumn],
    segments: Segments,
    mask: MaskSpec,
    fixed_size: bool = False,
) -> pa.RecordBatch:
    """Return the batch with its sequence columns padded and the mask and length columns added.

    Args:
        batch: all columns of the output rows.
        rows: source rows of each sequence column.
        columns: columns to pad.
        segments: positions of the tokens, the same for all columns.
        mask: which mask and length columns to add.
        fixed_size: whether to create fixed-size lists.
    """
    arrays: dict[str, pa.Array] = {}
    padded: Padded | None = None
    for column in columns:
        padded = pad_batch(rows[column.name], segments, value=column.value, dtype=column.numpy_dtype)
        arrays[column.name] = to_lists(padded.values, column.dtype, fixed_size)
    assert padded is not None
    if mask.column is not None:
        arrays[mask.column] = mask_lists(padded.mask, mask.dtype, fixed_size)
    if mask.length_column is not None:
        arrays[mask.length_column] = to_arrow(padded.lengths.astype(np.int32))
    return replace_columns(batch, arrays)


def replace_columns(
    batch: pa.RecordBatch, arrays: Mapping[str, pa.Array], without: Collection[str] = ()
) -> pa.RecordBatch:
    """Replace columns by name, append columns with new names, and leave out the columns in `without`."""
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
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    mask: MaskSpec,
    fixed_size: bool = False,
) -> pa.Schema:
    """Return the schema of the padded table, with a description of the padding in its metadata."""
    types = _empty_types(schema, columns, plan, spec, mask, fixed_size)
    description = {METADATA_KEY: json.dumps(describe(columns, plan, spec, mask)).encode()}
    changed = [*(column.name for column in columns), *mask.names]
    return carry_metadata(schema, types, changed, description)


def _empty_types(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    mask: MaskSpec,
    fixed_size: bool,
) -> pa.Schema:
    """Return the schema of the padded table without metadata. It is found by padding zero rows."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    inner: Callable[[PadColumn], tuple[int, ...]] = lambda c: () if c.inner is None else (c.inner,)  # noqa: E731
    none = np.zeros(0, dtype=np.int64)
    rows = {
        column.name: Ragged(np.empty((0, *inner(column)), dtype=column.numpy_dtype), none, none)
        for column in columns
    }
    return pad_rows(empty, rows, columns, make_segments(none, plan, spec), mask, fixed_size).schema
