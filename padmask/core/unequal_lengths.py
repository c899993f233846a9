"""The fault of a row in which two columns have different lengths."""

from __future__ import annotations

import shlex

from padmask.core.ragged import Ragged
from padmask.errors import Fault, column_flags, count


def unequal_fault(
    row: int, first: str, rows: Ragged, other: str, others: Ragged, *, packs: bool = False
) -> Fault:
    """Return the fault of a row in which two columns have different lengths.

    Args:
        row: index of the row.
        first: name of the first column.
        rows: rows of the first column.
        other: name of the other column.
        others: rows of the other column.
        packs: whether the columns will be packed. Packed columns cannot have their own maxlen.
    """
    lengths = (
        f"column {other!r} has {count(others.lengths[row], 'token')}, but {first!r} has {rows.lengths[row]}"
    )
    if packs:
        alone = f". To pack only {first!r}, use "
        return Fault(
            row,
            f"{lengths}{alone}{column_flags([first])}",
            options=("columns",),
            in_memory=f"{lengths}{alone}columns=[{first!r}]",
        )
    alone = f". To pad only {first!r}, use "
    own = f". To pad {other!r} to a different maxlen from {first!r}, use "
    return Fault(
        row,
        f"{lengths}{alone}{column_flags([first])}{own}--own-length {shlex.quote(other)}",
        options=("columns", "own_lengths"),
        in_memory=f"{lengths}{alone}columns=[{first!r}]{own}own_lengths={{{other!r}: 'longest'}}",
    )
