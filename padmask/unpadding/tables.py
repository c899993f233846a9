"""Arrow table in, Arrow table out, pure: the padding taken away again.

Holds masks, lengths and tokens against each other: a row in which they disagree is not cut.
What stands in padded places is not looked at. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.errors import Fault, RowError, SpecError
from padmask.kernel import Windows
from padmask.ragged import Ragged, count_places, cut_lists
from padmask.spec import Columns, UnpadSpec, given
from padmask.table import kept_metadata, replace_columns
from padmask.unpadding.claims import Unpadding, choose_unpadding

Positions = npt.NDArray[np.int64]


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
    job = choose_unpadding(table.schema, columns, given("spec", spec, UnpadSpec))
    schema = unpadded_schema(table.schema, job)
    cut: list[pa.RecordBatch] = []
    first = 0
    for batch in table.to_batches():
        lengths = None if job.length is None else batch.column(job.length).to_pylist()
        windows, faults = read_windows(batch, lengths, job)
        if faults:
            raise RowError(f"Row {first + faults[0].row}, {faults[0].reason}.")
        columns_cut = cut_columns(batch, windows, job).columns
        cut.append(pa.RecordBatch.from_arrays(columns_cut, schema=schema))
        first += batch.num_rows
    return pa.Table.from_batches(cut, schema=schema)


def read_windows(
    batch: pa.RecordBatch,
    lengths: Sequence[Any] | None,
    job: Unpadding,
    mask: tuple[Windows, list[Fault]] | None = None,
) -> tuple[Windows, list[Fault]]:
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
        found += name_column(name, nulls)
    if mask is None and job.mask is not None:
        mask = read_mask(batch.column(job.mask), job.mask)
    windows, faults = mask or (None, [])
    return settle(places, windows, lengths, [*found, *faults], job)


def read_mask(column: pa.Array, name: str) -> tuple[Windows, list[Fault]]:
    """Return the real places that a mask column tells of, and a fault for each row that has no mask."""
    rows, odd = Ragged.from_mask(column)
    windows, broken = Windows.of_mask(rows)
    return windows, name_column(name, odd + broken)


def name_column(name: str, faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults with the name of the column that has them."""
    return [Fault(fault.row, f"column {name!r}: {fault.reason}") for fault in faults]


def settle(
    places: Mapping[str, Positions],
    mask: Windows | None,
    lengths: Sequence[Any] | None,
    found: Iterable[Fault],
    job: Unpadding,
) -> tuple[Windows, list[Fault]]:
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
    windows = mask or Windows.of_lengths(known, widths, job.padding)
    faults = [*found, *odd, *_unequal(places, windows, job.mask or first)]
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
                f"{windows.lengths[row]}",
            )
            for row in np.flatnonzero(known != windows.lengths).tolist()
        ]
    by_row = {fault.row: fault for fault in reversed(faults)}
    return windows, [by_row[row] for row in sorted(by_row)]


def _unequal(places: Mapping[str, Positions], windows: Windows, first: str) -> list[Fault]:
    return [
        Fault(row, f"column {name!r} has {counts[row]} places where {first!r} has {windows.places[row]}")
        for name, counts in places.items()
        for row in np.flatnonzero(counts != windows.places).tolist()
    ]


def _read_lengths(values: Sequence[Any], name: str | None) -> tuple[Positions, list[Fault]]:
    """Return lengths as numbers, 0 where one is none, and a fault for each of those."""
    good = [type(value) is int and 0 <= value < 2**31 for value in values]
    lengths = [value if fine else 0 for value, fine in zip(values, good, strict=True)]
    faults = [
        Fault(row, f"column {name!r}: {'null' if values[row] is None else repr(values[row])} is no length")
        for row, fine in enumerate(good)
        if not fine
    ]
    return np.array(lengths, dtype=np.int64), faults


def cut_columns(batch: pa.RecordBatch, windows: Windows, job: Unpadding) -> pa.RecordBatch:
    """Return rows without faults with their padded columns cut, and without what told the padding."""
    arrays = {name: cut_lists(batch.column(name), windows.firsts, windows.lengths) for name in job.columns}
    return replace_columns(batch, arrays, without=job.dropped)


def unpadded_schema(schema: pa.Schema, job: Unpadding) -> pa.Schema:
    """Return the schema of the rows once they are cut; the metadata no longer speak of padding."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    none = np.zeros(0, dtype=np.int64)
    # No rows at all are cut: the types come out of the same code that makes the columns.
    types = cut_columns(empty, Windows(none, none, none), job).schema
    return types.with_metadata(kept_metadata(schema))
