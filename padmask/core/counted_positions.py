"""Find columns whose rows are 0, 1, 2, ... Packing can replace such a column with new positions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import (
    Flags,
    is_list,
    is_vectors,
    null_flags,
    token_type,
    without_wrappers,
)
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import Fault
from padmask.spec.mask import POSITION_IDS


def are_counted(column: pa.Array) -> bool:
    """Return whether all rows of an integer column contain 0, 1, 2, ... Null rows are ignored.

    >>> are_counted(pa.array([[0, 1], [0, 1, 2], None])), are_counted(pa.array([[0, 1], [1, 2]]))
    (True, False)
    """
    if not is_list(column.type) or is_vectors(column.type) or not pat.is_integer(token_type(column.type)):
        return False
    rows, faults = Ragged.from_arrow(column)
    null = null_flags(without_wrappers(column))
    return all(null[fault.row] for fault in faults) and not _other_rows(rows).any()


def find_other_positions(column: pa.Array, lengths: Positions) -> list[Fault]:
    """Return a `Fault` for each row whose positions are not exactly the numbers 0, 1, ..., length - 1.

    Args:
        column: positions of the input, which are 0, 1, 2, ... in the first rows. Null rows are accepted.
        lengths: number of tokens in each row: shape (rows,).
    """
    rows, _ = Ragged.from_arrow(column)
    null = null_flags(without_wrappers(column))
    bad = ~null & (_other_rows(rows) | (rows.lengths != lengths))
    reason = (
        f"{POSITION_IDS!r} is 0, 1, 2, ... in the first rows, but not in this row, so packing cannot replace "
        "the positions"
    )
    return [Fault(row, reason, options=("emit",)) for row in np.flatnonzero(bad).tolist()]


def _other_rows(rows: Ragged) -> Flags:
    """Return, for each row, whether it has values other than 0, 1, 2, ...: bool, shape (rows,)."""
    owners = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    places = np.arange(len(owners)) - np.repeat(np.cumsum(rows.lengths) - rows.lengths, rows.lengths)
    flags = np.zeros(len(rows.lengths), dtype=bool)
    flags[owners[rows.values[rows.starts[owners] + places] != places]] = True
    return flags
