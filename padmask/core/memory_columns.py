"""Read the columns of a dict or an Arrow table as lists and NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import to_numpy
from padmask.core.ragged import Ragged
from padmask.errors import DataError, SpecError


def is_columns(value: Any) -> bool:
    """Return whether a value is a dict of columns or an Arrow table, not a list of rows."""
    return type(value) is not list and isinstance(value, (Mapping, pa.Table, pa.RecordBatch))


def read_columns(columns: Any) -> dict[str, Sequence[Any]]:
    """Return the values of each column, with one value per row.

    >>> read_columns(pa.table({"id": [3, 4], "input_ids": [[7, 8], [9]]}))
    {'id': array([3, 4]), 'input_ids': [array([7, 8]), array([9])]}

    Args:
        columns: dict of columns, or an Arrow table or record batch. A column is a list, a NumPy array, a
            tensor, an Arrow array, or another iterable.

    Raises:
        DataError: the columns have different numbers of rows, or a column is not a sequence.
        SpecError: columns of a table have the same name.
    """
    if isinstance(columns, (pa.Table, pa.RecordBatch)):
        names = columns.schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SpecError(f"The table has several columns named {twice[0]!r}. Rename all but one.")
        columns = dict(zip(names, columns.columns, strict=True))
    found = {name: _read_column(name, values) for name, values in columns.items()}
    first = next(iter(found), "")
    for name, values in found.items():
        if len(values) != len(found[first]):
            raise DataError(
                f"the number of rows is {len(values)}, but column {first!r} has {len(found[first])}",
                column=name,
                remedy="Pass columns with one value per row.",
            )
    return found


def _read_column(name: str, values: Any) -> Sequence[Any]:
    if type(values) is list:
        return values
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        read: Sequence[Any] = _from_arrow(values)
        return read
    try:
        if isinstance(values, (str, bytes, Mapping, set, frozenset)):
            raise TypeError
        # The index of a pandas column may differ from the row numbers.
        is_rows = hasattr(values, "__len__") and not hasattr(values, "index")
        rows: Sequence[Any] = values if is_rows or isinstance(values, tuple) else list(values)
        len(rows)
        return rows
    except TypeError:
        raise DataError(
            f"expected a list, but found {type(values).__name__}",
            column=name,
            remedy="Pass columns with one value per row.",
        ) from None


def _from_arrow(values: pa.Array | pa.ChunkedArray) -> Any:
    """Return the rows of an Arrow column. Lists of numbers become arrays, and floats keep their width."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not array.null_count and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return to_numpy(array)
    try:
        rows, faults = Ragged.from_arrow(array)
    except SpecError:
        return array.to_pylist()
    if faults or rows.values.dtype.kind not in "iufb":
        return array.to_pylist()
    ends = rows.starts + rows.lengths
    return [
        np.asarray(rows.values[start:end])
        for start, end in zip(rows.starts.tolist(), ends.tolist(), strict=True)
    ]
