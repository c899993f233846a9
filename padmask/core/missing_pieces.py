"""Find missing packed rows and missing pieces of rows, and describe them in warnings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from padmask.core.packed_counts import PackedCounts
from padmask.core.plan import Positions
from padmask.core.row_pieces import is_first_of
from padmask.errors import count
from padmask.spec.warning_names import Warned

NOT_JOINED = (
    "rows that start after the first token of their source row: {count:,}. With --no-restore-order, "
    "unpad does not join the pieces of split rows"
)

LATE_ROWS = (
    "rows that start after the first token of their source row: {count:,}. pack truncated these rows, or "
    "their first pieces are missing"
)


def count_late_rows(rows: Positions, starts: Positions) -> int:
    """Count the source rows with a single sequence that does not start at the first token of the row.

    >>> count_late_rows(np.array([7, 9, 9]), np.array([8, 0, 4]))
    1

    Args:
        rows: source row of each sequence, sorted: int64, shape (sequences,).
        starts: first token of each sequence in its source row: int64, shape (sequences,).
    """
    firsts = is_first_of(rows)
    alone = firsts & np.append(firsts[1:], True)[: len(firsts)]
    return int((alone & (starts > 0)).sum())


def missing_rows(files: Iterable[PackedCounts | None], rows: int) -> list[Warned]:
    """Return a list with a warning if the input has fewer packed rows than the metadata says, else [].

    Args:
        files: row counts in the metadata of each file; None for a file without row counts.
        rows: number of packed rows that were read.
    """
    found = list(files)
    written = sum(counts.rows_written for counts in found if counts is not None)
    if None in found or rows >= written:
        return []
    text = (
        f"pack wrote {count(written, 'packed row')}, but the input has only {rows:,}, so source rows, or the "
        "last tokens of split rows, may be missing"
    )
    return [Warned("packed-rows-missing", text)]
