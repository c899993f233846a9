"""`unpad_table`: remove the padding of an Arrow table in memory.

This module chooses the columns that mark the padding (from options, metadata or column names). It compares
the masks and lengths with the row lengths, and rejects a row if they disagree. It never reads values at
padded positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import count_places, cut_lists, is_sequence
from padmask.core.columns import default_column, name_columns
from padmask.core.kernel import read_mask
from padmask.core.metadata import Described, find_padding, may_be_mask, metadata_to_keep, read_description
from padmask.core.plan import Positions, Segments, plan_unpad
from padmask.core.ragged import Ragged
from padmask.core.table import replace_columns
from padmask.errors import DataError, Fault, RowError, SpecError
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns, columns_there, unknown_column
from padmask.spec.pad import Side
from padmask.spec.unpad import UnpadSpec


@dataclass(frozen=True)
class UnpadJob:
    """The padded columns and the columns that mark their padding.

    Args:
        columns: names of the columns to unpad.
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None without a length column.
        padding: side of the padding. Used only without a mask.
        dropped: names of the columns to leave out of the output.
    """

    columns: tuple[str, ...]
    mask: str | None
    length: str | None
    padding: Side
    dropped: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that unpadding reads."""
        markers = [name for name in (self.mask, self.length) if name is not None]
        return tuple(dict.fromkeys([*self.columns, *markers]))


def choose_unpad_job(schema: pa.Schema, columns: Columns, spec: UnpadSpec) -> UnpadJob:
    """Choose the columns to unpad and the columns that mark the padding.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("mask", pa.list_(pa.bool_()))])
    >>> choose_unpad_job(schema, None, UnpadSpec())
    UnpadJob(columns=('input_ids',), mask='mask', length=None, padding='post', dropped=('mask',))

    Raises:
        SpecError: a column is missing or has the wrong type, or no column marks the padding.
        DataError: required metadata are not valid.
    """
    described = _described(schema, needed=not needs_no_metadata(columns, spec))
    found = find_padding(schema, described, mask_column=spec.mask_column, length_column=spec.length_column)
    if found is None:
        raise SpecError(
            "No column marks the padding. Name the mask column with --mask-column, or the column of row "
            f"lengths with --length-column. {columns_there(schema.names)}"
        )
    mask, length = found.mask, found.length
    padding = spec.padding or (described.padding if described else None)
    if mask is None and padding is None:
        raise SpecError(
            f"Column {length!r} has the row lengths, but not the side of the padding. Add --padding post or "
            "--padding pre."
        )
    padded = _find_columns(schema, columns, described, mask)
    markers = [name for name in (mask, length) if name is not None]
    if spec.keep_mask and mask is not None and mask not in padded:
        padded.append(mask)
    _check_types(schema, padded, mask, length)
    dropped = () if spec.keep_mask else tuple(name for name in markers if name not in padded)
    return UnpadJob(tuple(padded), mask, length, padding or "post", dropped)


def needs_no_metadata(columns: Columns, spec: UnpadSpec) -> bool:
    """Return whether the arguments name all columns, so that the metadata are not needed."""
    return bool(columns) and bool(spec.mask_column or (spec.length_column and spec.padding))


def _described(schema: pa.Schema, *, needed: bool) -> Described | None:
    try:
        return read_description(schema.metadata)
    except DataError as error:
        if not needed:
            return None
        raise DataError(
            f"{str(error).capitalize()}. To unpad without the metadata, name the padded columns with -c and "
            "their mask with --mask-column."
        ) from None


def _find_columns(
    schema: pa.Schema, columns: Columns, described: Described | None, mask: str | None
) -> list[str]:
    if columns:
        return [column.name for column in name_columns(schema, columns)]
    if described is None:
        return [default_column(pa.schema([field for field in schema if field.name != mask]))]
    for name in described.values:
        if name not in schema.names:
            raise SpecError(
                f"The padmask metadata name a padded column {name!r}, which the input does not have. "
                f"Name the padded columns with -c. {columns_there(schema.names)}",
                options=["columns"],
            )
    return list(described.values)


def _check_types(schema: pa.Schema, columns: Sequence[str], mask: str | None, length: str | None) -> None:
    for name in columns:
        type_ = _type_of(schema, name)
        if not is_sequence(type_) and not may_be_mask(type_):
            raise SpecError(
                f"Column {name!r} cannot be unpadded: the type {type_} is not a list of tokens. "
                "Choose a list column with -c.",
                options=["columns"],
            )
    if mask is not None and not may_be_mask(_type_of(schema, mask, "mask_column")):
        raise SpecError(
            f"Column {mask!r} of type {_type_of(schema, mask)} is not a mask. Choose a list column of bools, "
            "or of 0 and 1, with --mask-column.",
            options=["mask_column"],
        )
    if length is not None and not _may_be_lengths(_type_of(schema, length, "length_column")):
        raise SpecError(
            f"Column {length!r} of type {_type_of(schema, length)} does not hold lengths. Choose a column of "
            "integers with --length-column.",
            options=["length_column"],
        )


def _type_of(schema: pa.Schema, name: str, option: str = "columns") -> pa.DataType:
    """Return the type of a column. Raise an error if the column is missing or not unique."""
    places = schema.get_all_field_indices(name)
    if not places:
        raise unknown_column(name, schema.names, option)
    if len(places) > 1:
        raise SpecError(
            f"The input has {len(places)} columns named {name!r}. Rename all but one.",
            options=[option],
        )
    return schema.field(places[0]).type


def _may_be_lengths(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_null(type_))


def unpad_table(table: pa.Table, columns: Columns = None, spec: UnpadSpec | None = None) -> pa.Table:
    """Remove the padding of a padded table: the inverse of `pad_table`.

    >>> from padmask import pad_table
    >>> padded = pad_table(pa.table({"id": [1, 2], "input_ids": [[7, 8], [9]]}))
    >>> unpad_table(padded).to_pydict()
    {'id': [1, 2], 'input_ids': [[7, 8], [9]]}

    Args:
        table: table with a mask column or a column of row lengths. All other columns stay unchanged.
        columns: names of the padded columns. Default: the columns that the metadata of `pad_table` name,
            otherwise `input_ids`, otherwise `tokens`, otherwise the only list column.
        spec: how the input marks its padding. Default: `UnpadSpec()`.

    Returns:
        A table with the same rows. Each unpadded column is a `list` of the real tokens, in the dtype of the
        padded column. The table has no mask and no length column, unless `spec.keep_mask` is True.

    Raises:
        SpecError: a column is missing, or no column marks the padding.
        RowError: the mask or the length of a row does not match its tokens.
        DataError: the metadata are not valid.
    """
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    job = choose_unpad_job(table.schema, columns, or_default("spec", spec, UnpadSpec))
    schema = unpadded_schema(table.schema, job)
    cut: list[pa.RecordBatch] = []
    first = 0
    for batch in table.to_batches():
        lengths = None if job.length is None else batch.column(job.length).to_pylist()
        segments, faults = find_segments(batch, lengths, job)
        if faults:
            raise RowError(f"Row {first + faults[0].row}, {faults[0]}.")
        columns_cut = cut_columns(batch, segments, job).columns
        cut.append(pa.RecordBatch.from_arrays(columns_cut, schema=schema))
        first += batch.num_rows
    return pa.Table.from_batches(cut, schema=schema)


def find_segments(
    batch: pa.RecordBatch,
    lengths: Sequence[Any] | None,
    job: UnpadJob,
    mask: tuple[Segments, list[Fault]] | None = None,
) -> tuple[Segments, list[Fault]]:
    """Return the segments of the real tokens, and a fault for each row whose columns disagree.

    Args:
        batch: batch with the padded columns and, if `mask` is None, the mask column.
        lengths: values of the length column, one per row; None without a length column.
        job: the padded columns and the columns that mark their padding.
        mask: segments and faults that `read_mask_column` returned, if already read.
    """
    found: list[Fault] = []
    places = {}
    for name in job.columns:
        places[name], nulls = count_places(batch.column(name))
        found += blame_column(name, nulls, "columns")
    if mask is None and job.mask is not None:
        mask = read_mask_column(batch.column(job.mask), job.mask)
    segments, faults = mask or (None, [])
    return compare_lengths(places, segments, lengths, [*found, *faults], job)


def read_mask_column(column: pa.Array, name: str) -> tuple[Segments, list[Fault]]:
    """Return the segments that a mask column marks as real, and a fault for each row without a valid mask."""
    rows, odd = Ragged.from_mask(column)
    segments, broken = read_mask(rows)
    return segments, blame_column(name, odd + broken, "mask_column")


def blame_column(name: str, faults: Iterable[Fault], option: str) -> list[Fault]:
    """Return the faults with the name of their column and the option that chooses the column."""
    return [replace(fault, column=name, options=(option,)) for fault in faults]


def compare_lengths(
    places: Mapping[str, Positions],
    mask: Segments | None,
    lengths: Sequence[Any] | None,
    found: Iterable[Fault],
    job: UnpadJob,
) -> tuple[Segments, list[Fault]]:
    """Compare the mask, the length column and the lengths of the padded rows.

    Args:
        places: lengths of the padded rows by column, shape (rows,) each.
        mask: segments from the mask column; None without a mask.
        lengths: values of the length column; None without a length column.
        found: faults found earlier. The first fault of each row counts.
        job: the padded columns and the columns that mark their padding.

    Returns:
        The segments of the real tokens, and the first fault of each bad row in row order.
    """
    first, widths = next(iter(places.items()))
    known, odd = _read_lengths(lengths, job.length) if lengths is not None else (widths, [])
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
                f"the length in column {job.length!r} is {known[row]}, but the mask {job.mask!r} has "
                f"{segments.counts[row]} real tokens",
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


def _read_lengths(values: Sequence[Any], name: str | None) -> tuple[Positions, list[Fault]]:
    """Return the lengths as integers, with 0 and a fault for each invalid length."""
    good = [type(value) is int and 0 <= value < 2**31 for value in values]
    lengths = [value if fine else 0 for value, fine in zip(values, good, strict=True)]
    faults = [
        Fault(
            row,
            f"{'null' if values[row] is None else repr(values[row])} is not a length",
            name,
            ("length_column",),
        )
        for row, fine in enumerate(good)
        if not fine
    ]
    return np.array(lengths, dtype=np.int64), faults


def cut_columns(batch: pa.RecordBatch, segments: Segments, job: UnpadJob) -> pa.RecordBatch:
    """Return the batch without its padding and without the dropped columns. All rows must be valid."""
    arrays = {name: cut_lists(batch.column(name), segments.starts, segments.counts) for name in job.columns}
    return replace_columns(batch, arrays, without=job.dropped)


def unpadded_schema(schema: pa.Schema, job: UnpadJob) -> pa.Schema:
    """Return the schema of the unpadded table. Its metadata describe no padding."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    none = np.zeros(0, dtype=np.int64)
    # Unpadding zero rows yields the column types.
    types = cut_columns(empty, plan_unpad(none, none, job.padding), job).schema
    return types.with_metadata(metadata_to_keep(schema))
