"""The fault of a row in which two columns have different lengths."""

from __future__ import annotations

from padmask.core.ragged import Ragged
from padmask.errors import Fault


def unequal_fault(row: int, first: str, rows: Ragged, other: str, others: Ragged) -> Fault:
    """Return the fault of a row in which two columns have different lengths."""
    lengths = f"column {other!r} has {others.lengths[row]} tokens, but {first!r} has {rows.lengths[row]}"
    alone, own = f"; to leave {other!r} unchanged, use ", f"; to pad {other!r} separately, use "
    return Fault(
        row,
        f"{lengths}{alone}-c {first}{own}--own-length {other}",
        options=("columns", "own_lengths"),
        in_memory=f"{lengths}{alone}columns=[{first!r}]{own}own_lengths={{{other!r}: 'longest'}}",
    )
