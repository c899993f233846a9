"""`unpad_table`: remove the padding of an Arrow table, pure.

This module chooses what says which places are padding (options, metadata, column names), and compares masks,
lengths and places: a row in which they disagree is not cut. Values in padded places are never read.
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

WITHOUT_METADATA = "Name the padded columns with -c and their mask with --mask-column, to do without."


@dataclass(frozen=True)
class UnpadJob:
    """What is padded and what says so, decided before the first row is cut.

    Args:
        columns: to cut; all have the same places.
        mask: name of the mask column, None where lengths alone tell.
        length: of the length column, None where there is none.
        padding: the side of the padding where there is no mask.
        dropped: the columns that are left out of the output.
    """

    columns: tuple[str, ...]
    mask: str | None
    length: str | None
    padding: Side
    dropped: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns that must be read to cut the rows."""
        told = [name for name in (self.mask, self.length) if name is not None]
        return tuple(dict.fromkeys([*self.columns, *told]))


def choose_unpad_job(schema: pa.Schema, columns: Columns, spec: UnpadSpec) -> UnpadJob:
    """Decide what is cut, and by what, from what was asked for, the metadata and the names there are.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("mask", pa.list_(pa.bool_()))])
    >>> choose_unpad_job(schema, None, UnpadSpec())
    UnpadJob(columns=('input_ids',), mask='mask', length=None, padding='post', dropped=('mask',))

    Raises:
        SpecError: a column is not there or not of its kind, or nothing tells what is padding.
        DataError: metadata that cannot be read, where they are needed.
    """
    said = _described(schema, needed=not needs_no_metadata(columns, spec))
    found = find_padding(schema, said, mask_column=spec.mask_column, length_column=spec.length_column)
    if found is None:
        raise SpecError(
            "Nothing says which places are padding: name the mask with --mask-column, or the column of the "
            f"rows' lengths with --length-column. {columns_there(schema.names)}"
        )
    mask, length = found.mask, found.length
    padding = spec.padding or (said.padding if said else None)
    if mask is None and padding is None:
        raise SpecError(
            f"Column {length!r} says how many tokens are real, and not on which side the padding is: say "
            "--padding post or --padding pre."
        )
    padded = _find_columns(schema, columns, said, mask)
    told = [name for name in (mask, length) if name is not None]
    if spec.keep_mask and mask is not None and mask not in padded:
        padded.append(mask)
    _check_types(schema, padded, mask, length)
    dropped = () if spec.keep_mask else tuple(name for name in told if name not in padded)
    return UnpadJob(tuple(padded), mask, length, padding or "post", dropped)


def needs_no_metadata(columns: Columns, spec: UnpadSpec) -> bool:
    """Tell whether all that metadata could say was asked for by name."""
    return bool(columns) and bool(spec.mask_column or (spec.length_column and spec.padding))


def _described(schema: pa.Schema, *, needed: bool) -> Described | None:
    try:
        return read_description(schema.metadata, remedy=WITHOUT_METADATA)
    except DataError:
        if needed:
            raise
        return None


def _find_columns(schema: pa.Schema, columns: Columns, said: Described | None, mask: str | None) -> list[str]:
    if columns:
        return [column.name for column in name_columns(schema, columns)]
    if said is None:
        return [default_column(pa.schema([field for field in schema if field.name != mask]))]
    for name in said.values:
        if name not in schema.names:
            raise SpecError(
                f"The padmask metadata name a padded column {name!r} that is not there: say with -c which "
                f"columns are padded. {columns_there(schema.names)}",
                options=["columns"],
            )
    return list(said.values)


def _check_types(schema: pa.Schema, columns: Sequence[str], mask: str | None, length: str | None) -> None:
    for name in columns:
        type_ = _type_of(schema, name)
        if not is_sequence(type_) and not may_be_mask(type_):
            raise SpecError(
                f"Column {name!r} cannot be unpadded: a column of type {type_} holds no sequences of tokens. "
                "Choose a list column with -c.",
                options=["columns"],
            )
    if mask is not None and not may_be_mask(_type_of(schema, mask, "mask_column")):
        raise SpecError(
            f"Column {mask!r} of type {_type_of(schema, mask)} is no mask. Choose a list of bools, or of 0 "
            "and 1, with --mask-column.",
            options=["mask_column"],
        )
    if length is not None and not _may_be_lengths(_type_of(schema, length, "length_column")):
        raise SpecError(
            f"Column {length!r} of type {_type_of(schema, length)} holds no lengths. Choose a column of "
            "whole numbers with --length-column.",
            options=["length_column"],
        )


def _type_of(schema: pa.Schema, name: str, option: str = "columns") -> pa.DataType:
    """Return the type of a column that is there, and there once; `option` names it."""
    places = schema.get_all_field_indices(name)
    if not places:
        raise unknown_column(name, schema.names, option)
    if len(places) > 1:
        raise SpecError(
            f"There are {len(places)} columns named {name!r}: rename all but "
            "one, nobody can tell them apart.",
            options=[option],
        )
    return schema.field(places[0]).type


def _may_be_lengths(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_null(type_))


def unpad_table(table: pa.Table, columns: Columns = None, spec: UnpadSpec | None = None) -> pa.Table:
    """Take the padding away from a padded table: what `pad_table` does, backwards.

    >>> from padmask import pad_table
    >>> padded = pad_table(pa.table({"id": [1, 2], "input_ids": [[7, 8], [9]]}))
    >>> unpad_table(padded).to_pydict()
    {'id': [1, 2], 'input_ids': [[7, 8], [9]]}

    Args:
        table: with a mask column, or a column of lengths; all other columns pass through untouched.
        columns: names of the padded columns. Default: those that the metadata of `pad_table` name,
            else `input_ids`, else `tokens`, else the only list column.
        spec: what tells padding from tokens; default `UnpadSpec()`.

    Returns:
        A table of the same rows. Padded columns are plain lists of the real tokens, in the dtype that
        they were padded in; the mask and the length are left out.

    Raises:
        SpecError: no such column, or nothing that tells what is padding.
        RowError: a row whose mask or length is not that of its tokens.
        DataError: metadata that cannot be read.
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
    """Find the real tokens of each row, and the rows that contradict themselves.

    Args:
        batch: with the padded columns and, unless it was read already, the mask.
        lengths: what stands in the length column, a row each; None where there is none.
        job: what tells padding from tokens.
        mask: what the mask says, and the rows that have none.
    """
    found: list[Fault] = []
    places = {}
    for name in job.columns:
        places[name], nulls = count_places(batch.column(name))
        found += with_column_name(name, nulls)
    if mask is None and job.mask is not None:
        mask = read_mask_column(batch.column(job.mask), job.mask)
    segments, faults = mask or (None, [])
    return compare_lengths(places, segments, lengths, [*found, *faults], job)


def read_mask_column(column: pa.Array, name: str) -> tuple[Segments, list[Fault]]:
    """Return the real places that a mask column tells of, and a fault for each row that has no mask."""
    rows, odd = Ragged.from_mask(column)
    segments, broken = read_mask(rows)
    return segments, with_column_name(name, odd + broken)


def with_column_name(name: str, faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults with the name of the column that has them."""
    return [replace(fault, column=name) for fault in faults]


def compare_lengths(
    places: Mapping[str, Positions],
    mask: Segments | None,
    lengths: Sequence[Any] | None,
    found: Iterable[Fault],
    job: UnpadJob,
) -> tuple[Segments, list[Fault]]:
    """Hold the mask, the lengths and the places of each row against each other.

    Args:
        places: of the padded columns, shape (rows,) each.
        mask: what the mask column says, None where there is none.
        lengths: what the length column says, None where there is none.
        found: faults that are known already; the first one of a row counts.
        job: what tells padding from tokens.

    Returns:
        Where the real tokens stand, and the first fault of each bad row, in order of rows.
    """
    first, widths = next(iter(places.items()))
    known, odd = _read_lengths(lengths, job.length) if lengths is not None else (widths, [])
    segments = mask or plan_unpad(known, widths, job.padding)
    faults = [*found, *odd, *_unequal(places, segments, job.mask or first)]
    if mask is None and lengths is None:
        faults += [Fault(row, "the row has neither a mask nor a length") for row in range(len(widths))]
    elif mask is None:
        faults += [
            Fault(row, f"column {job.length!r} says {known[row]} tokens, and there are {widths[row]} places")
            for row in np.flatnonzero(known > widths).tolist()
        ]
    elif lengths is not None:
        faults += [
            Fault(
                row,
                f"column {job.length!r} says {known[row]} tokens, and the mask {job.mask!r} has "
                f"{segments.counts[row]}",
            )
            for row in np.flatnonzero(known != segments.counts).tolist()
        ]
    by_row = {fault.row: fault for fault in reversed(faults)}
    return segments, [by_row[row] for row in sorted(by_row)]


def _unequal(places: Mapping[str, Positions], segments: Segments, first: str) -> list[Fault]:
    return [
        Fault(
            row,
            f"column {name!r} has {counts[row]} places where {first!r} has {segments.source_lengths[row]}",
        )
        for name, counts in places.items()
        for row in np.flatnonzero(counts != segments.source_lengths).tolist()
    ]


def _read_lengths(values: Sequence[Any], name: str | None) -> tuple[Positions, list[Fault]]:
    """Return lengths as numbers, 0 where one is none, and a fault for each of those."""
    good = [type(value) is int and 0 <= value < 2**31 for value in values]
    lengths = [value if fine else 0 for value, fine in zip(values, good, strict=True)]
    faults = [
        Fault(row, f"{'null' if values[row] is None else repr(values[row])} is no length", name)
        for row, fine in enumerate(good)
        if not fine
    ]
    return np.array(lengths, dtype=np.int64), faults


def cut_columns(batch: pa.RecordBatch, segments: Segments, job: UnpadJob) -> pa.RecordBatch:
    """Return rows without faults with their padded columns cut, and without what told the padding."""
    arrays = {name: cut_lists(batch.column(name), segments.starts, segments.counts) for name in job.columns}
    return replace_columns(batch, arrays, without=job.dropped)


def unpadded_schema(schema: pa.Schema, job: UnpadJob) -> pa.Schema:
    """Return the schema of the rows once they are cut; the metadata no longer speak of padding."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    none = np.zeros(0, dtype=np.int64)
    # No rows at all are cut: the types come out of the same code that makes the columns.
    types = cut_columns(empty, plan_unpad(none, none, job.padding), job).schema
    return types.with_metadata(metadata_to_keep(schema))
