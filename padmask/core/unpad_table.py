"""`unpad_table`: remove the padding of an Arrow table in memory.

This module compares the masks and lengths with the row lengths, and rejects a row if they disagree. It never
reads values at padded positions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import cut_lists, join_batches, list_lengths, select_rows, to_arrow
from padmask.core.columns import asked_names, judged_columns
from padmask.core.companions import list_names
from padmask.core.first_rows import FirstRows
from padmask.core.foreign_metadata import carry_metadata
from padmask.core.inverted_mask import check_polarity
from padmask.core.join_windows import (
    JoinPlan,
    find_differences,
    join_remedy,
    join_rows,
    plan_join,
    read_windows,
)
from padmask.core.length_column import read_lengths
from padmask.core.mask_segments import read_mask
from padmask.core.metadata import describe_groups, groups_to_keep
from padmask.core.plan import Positions, Segments, plan_unpad
from padmask.core.ragged import Ragged
from padmask.core.still_padded import find_still_padded
from padmask.core.table import replace_columns
from padmask.core.unpack_table import find_table_packing, unpack_table
from padmask.core.unpad_job import UnpadJob, choose_unpad_jobs, find_padded_groups
from padmask.errors import Fault, RowError, SpecError, count, raise_first_fault, row_error
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns
from padmask.spec.mask import Dialect
from padmask.spec.unpad import UnpadSpec
from padmask.spec.windows import WINDOW_COLUMNS


def unpad_table(table: pa.Table, columns: Columns = None, spec: UnpadSpec | None = None) -> pa.Table:
    """Remove the padding of a padded table: the inverse of `pad_table`.

    >>> from padmask import pad_table
    >>> padded = pad_table(pa.table({"id": [1, 2], "input_ids": [[7, 8], [9]]}))
    >>> unpad_table(padded).to_pydict()
    {'id': [1, 2], 'input_ids': [[7, 8], [9]]}

    Args:
        table: table with a mask column or a column of row lengths. All other columns stay unchanged.
        columns: names of the padded columns. Default: the columns in the metadata that `pad_table` wrote,
            otherwise `input_ids`, otherwise `tokens`, otherwise the only list column.
        spec: how the input marks its padding. Default: `UnpadSpec()`.

    Returns:
        A table with the same rows; for packed rows, a table with the rows that were packed. Each unpadded
        column is a `list` of the real tokens, in the dtype of the padded column. The table has no mask
        and no length column, unless `spec.keep_mask` is True.

    Raises:
        SpecError: a column is missing, or no column marks the padding.
        RowError: the mask or the length of a row does not match its tokens.
        DataError: the metadata is not valid.

    Warns:
        UserWarning: other columns may still be padded, or the table lacks packed rows or the first pieces of
            rows.
    """
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    spec = or_default("spec", spec, UnpadSpec)
    schema, batches = table.schema, table.to_batches()
    names = asked_names(schema, columns)
    if (packing := find_table_packing(table, names, spec)) is not None:
        return unpack_table(table, packing, spec)
    first_rows = FirstRows.of(batch.select(list_names(schema)) for batch in batches)
    judged = judged_columns(schema, columns)
    groups = find_padded_groups({"the table": schema}, names, spec, lambda _: first_rows, judged)
    job = choose_unpad_jobs(schema, groups, spec, lambda: first_rows)
    check_polarity(schema, job, spec, batches)
    left = find_still_padded(schema, {"the table": schema}, job, bool(names), lambda: first_rows)
    for warning in left.warnings(job.columns[0]):
        warnings.warn(warning, stacklevel=2)
    schema = unpadded_schema(table.schema, job)
    if job.order and batches:
        batches = [_in_source_order(batches, job.order)]
    elif job.windows:
        # The windows of a row may be in several batches.
        batches = table.combine_chunks().to_batches()
    cut: list[pa.RecordBatch] = []
    first = 0
    for batch in batches:
        all_segments = []
        for part in (job, *job.also):
            lengths = None if part.length is None else batch.column(part.length).to_pylist()
            segments, faults = find_segments(batch, lengths, part)
            raise_first_fault(faults, first, RowError)
            all_segments.append(segments)
        if job.windows:
            values = {name: batch.column(name).to_pylist() for name in WINDOW_COLUMNS}
            windows, faults = read_windows(values.__getitem__)
            same = find_differences(batch, windows, job.may_differ)
            joined = plan_join(windows, all_segments[0].counts, same)
            raise_first_fault(faults, first, RowError)
            if joined.causes:
                cause = joined.causes[0]
                row = first + cause.row
                sentence = f"Row {row}, {cause}. {join_remedy(cause)}"
                raise row_error(row, sentence, cause.column, cause.options, RowError)
            whole = cut_and_join_columns(batch, all_segments, job, joined)
        else:
            whole = cut_columns(batch, all_segments, job)
        cut.append(pa.RecordBatch.from_arrays(whole.columns, schema=schema))
        first += batch.num_rows
    return pa.Table.from_batches(cut, schema=schema)


def _in_source_order(batches: Sequence[pa.RecordBatch], order: Sequence[str]) -> pa.RecordBatch:
    """Return all rows as one batch, sorted by the columns in `order`."""
    batch, keys = join_batches(batches), []
    for name in order:
        numbers, faults = read_lengths(
            batch.column(name).to_pylist(),
            name,
            "restore_order",
            bits=63,
            noun="a row or window number",
        )
        raise_first_fault(faults, 0, RowError)
        keys.append(numbers)
    return select_rows(batch, np.lexsort(keys[::-1]))


def find_segments(
    batch: pa.RecordBatch,
    lengths: Sequence[Any] | None,
    job: UnpadJob,
    mask: tuple[Segments, list[Fault]] | None = None,
) -> tuple[Segments, list[Fault]]:
    """Return the `Segments` of the real tokens, and a `Fault` for each row that cannot be unpadded.

    Args:
        batch: batch with the padded columns and, if `mask` is None, the mask column.
        lengths: values of the length column, one per row; None if there is no length column.
        job: the padded columns and the columns that mark their padding.
        mask: segments and faults that `read_mask_column` returned; if None, this function reads the mask
            column.
    """
    found: list[Fault] = []
    places = {}
    for name in job.columns:
        places[name], nulls = list_lengths(batch.column(name))
        found += blame_column(name, nulls, "columns")
    if mask is None and job.mask is not None:
        mask = read_mask_column(batch.column(job.mask), job.mask, job.dialect)
    segments, faults = mask or (None, [])
    return compare_lengths(places, segments, lengths, [*found, *faults], job)


def read_mask_column(column: pa.Array, name: str, dialect: Dialect) -> tuple[Segments, list[Fault]]:
    """Return the `Segments` of the real tokens of a mask, and a `Fault` for each row with a bad mask."""
    rows, odd = Ragged.from_mask(column, dialect)
    segments, broken = read_mask(rows)
    return segments, blame_column(name, odd + broken, "mask_column")


def blame_column(name: str, faults: Iterable[Fault], option: str) -> list[Fault]:
    """Return copies of the faults with a column name, and with the option that specified this column."""
    return [replace(fault, column=name, options=(option, *fault.options)) for fault in faults]


def compare_lengths(
    places: Mapping[str, Positions],
    mask: Segments | None,
    lengths: Sequence[Any] | None,
    found: Iterable[Fault],
    job: UnpadJob,
) -> tuple[Segments, list[Fault]]:
    """Compare the mask, the length column and the lengths of the padded rows.

    Args:
        places: lengths of the padded rows for each column: int64, shape (rows,).
        mask: segments from the mask column; None if there is no mask.
        lengths: values of the length column; None if there is no length column.
        found: faults that other checks found. Only the first `Fault` of each row is returned.
        job: the padded columns and the columns that mark their padding.

    Returns:
        The segments of the real tokens, and the first `Fault` of each bad row in row order.
    """
    first, widths = next(iter(places.items()))
    known, odd = read_lengths(lengths, job.length) if lengths is not None else (widths, [])
    segments = mask or plan_unpad(known, widths, job.padding)
    faults = [*found, *odd, *_unequal(places, segments, job.mask or first)]
    if mask is None and lengths is None:
        faults += [Fault(row, "the row has neither a mask nor a length") for row in range(len(widths))]
    elif mask is None:
        faults += [
            Fault(
                row,
                f"the length in column {job.length!r} is {known[row]}, but the row has only "
                f"{widths[row]} values",
                options=("columns", "length_column"),
            )
            for row in np.flatnonzero(known > widths).tolist()
        ]
    elif lengths is not None:
        faults += [
            Fault(
                row,
                f"the length in column {job.length!r} is {known[row]}, but the mask {job.mask!r} marks "
                f"{count(int(segments.counts[row]), 'real token')}",
                options=("mask_column", "length_column"),
            )
            for row in np.flatnonzero(known != segments.counts).tolist()
        ]
    by_row = {fault.row: fault for fault in reversed(faults)}
    return segments, [by_row[row] for row in sorted(by_row)]


def _unequal(places: Mapping[str, Positions], segments: Segments, first: str) -> list[Fault]:
    return [
        Fault(
            row,
            f"column {name!r} has {counts[row]} values, but {first!r} has {segments.source_lengths[row]}",
            options=("columns", "mask_column"),
        )
        for name, counts in places.items()
        for row in np.flatnonzero(counts != segments.source_lengths).tolist()
    ]


def cut_columns(batch: pa.RecordBatch, segments: Sequence[Segments], job: UnpadJob) -> pa.RecordBatch:
    """Return the batch without its padding and without the dropped columns. All rows must be valid.

    Args:
        batch: the padded rows.
        segments: positions of the tokens of `job`, then of each job in `job.also`.
        job: columns to unpad, and columns to leave out.
    """
    arrays = {
        name: cut_lists(batch.column(name), its.starts, its.counts)
        for part, its in zip((job, *job.also), segments, strict=True)
        for name in part.columns
    }
    return replace_columns(batch, arrays, without=job.all_dropped)


def cut_and_join_columns(
    batch: pa.RecordBatch, segments: Sequence[Segments], job: UnpadJob, joined: JoinPlan
) -> pa.RecordBatch:
    """Return the batch without its padding, without the dropped columns, and with joined windows.

    Args:
        batch, segments, job: as in `cut_columns`.
        joined: the tokens that each window adds to its row.
    """
    main, *also = segments
    new = replace(main, starts=main.starts + joined.starts, counts=joined.counts)
    # The columns that locate windows stay until the windows are joined.
    rows = join_rows(cut_columns(batch, [new, *also], job), job.columns, joined.firsts)
    length = job.kept_length
    if length is None or length not in rows.schema.names:
        return rows
    lengths = to_arrow(joined.row_lengths).cast(rows.schema.field(length).type)
    return replace_columns(rows, {length: lengths})


def unpadded_schema(schema: pa.Schema, job: UnpadJob) -> pa.Schema:
    """Return the schema of the unpadded table. Its metadata describes only padding that remains."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    none = np.zeros(0, dtype=np.int64)
    # Unpadding zero rows yields the column types.
    nothing = [plan_unpad(none, none, job.padding)] * (1 + len(job.also))
    types = cut_columns(empty, nothing, job).schema
    left = groups_to_keep(schema, [*job.all_columns, *job.all_dropped])
    return carry_metadata(schema, types, job.all_columns, describe_groups(left))
