"""Pack sequences window by window, so that a stream of any length needs the memory of one window.

The windows depend only on the lengths of the sequences. Therefore, the packed rows do not depend on the
size of the batches in which the sequences were read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.packing import pack_best_fit, pack_in_order
from padmask.core.plan import Positions
from padmask.spec.pack import PackSpec

# Maximum number of sequences and of values in a window. The values are counted over all packed columns.
WINDOW_SEQUENCES = 1 << 16
WINDOW_VALUES = 1 << 26

# Rows with a smaller share of used positions, in percent, are packed again with the next window.
FULL_PERCENT = 97

# Maximum number of rows, and of their positions, that are packed again. Without this limit, all rows could be
# packed again, for example if no two sequences fit together, because all are longer than half of maxlen.
CARRIED_ROWS = 1 << 10
CARRIED_POSITIONS = 1 << 24


def pack_window(lengths: Positions, maxlen: int, spec: PackSpec, *, last: bool) -> tuple[Positions, Flags]:
    """Pack the sequences of one window.

    >>> rows, done = pack_window(np.array([6, 4, 2]), 8, PackSpec(), last=False)
    >>> rows.tolist(), done.tolist()
    ([0, -1, 0], [True, False, True])

    Args:
        lengths: number of positions that each sequence needs, from 1 to `maxlen`: int64, shape (sequences,).
            The first sequences may be left over from the previous window.
        maxlen: number of positions in a packed row.
        spec: how to pack. The algorithm is not `"wrap"`.
        last: whether there are no more sequences after this window.

    Returns:
        The packed row of each sequence: int64, shape (sequences,), -1 for sequences that are left for the
        next window; and whether each sequence is in a packed row: bool, shape (sequences,).
    """
    if not len(lengths):
        return lengths, np.zeros(0, dtype=bool)
    rows = _fewest_rows(lengths, maxlen, spec)
    used = np.bincount(rows, weights=lengths).astype(np.int64)
    left = np.zeros(0, np.int64) if last else np.flatnonzero(used * 100 < maxlen * FULL_PERCENT)
    most = max(1, min(CARRIED_ROWS, CARRIED_POSITIONS // maxlen))
    # The rows with the most free positions are packed again, because they can take the most sequences.
    left = left[np.argsort(used[left], kind="stable")[:most]]
    written = np.ones(len(used), dtype=bool)
    written[left] = False
    number = np.where(written, np.cumsum(written) - 1, -1)
    return number[rows], written[rows]


def _fewest_rows(lengths: Positions, maxlen: int, spec: PackSpec) -> Positions:
    most = spec.max_segments
    if spec.algorithm == "in-order":
        return pack_in_order(lengths, maxlen, most)
    rows = pack_best_fit(lengths, maxlen, most)
    if most is None or not len(rows) or np.bincount(rows).max() < most:
        return rows
    # Best-fit-decreasing puts many short sequences into few rows, so the maximum leaves these rows partly
    # empty. Input order mixes short and long sequences.
    other = pack_in_order(lengths, maxlen, most)
    return min(rows, other, key=lambda its: int(its.max()))


def cut_windows(sequences: Positions, values: Positions) -> Iterator[tuple[int, int]]:
    """Yield the first row and the stop (the index after the last row) of each packing window.

    >>> list(cut_windows(np.array([1, 1, 1]), np.array([1 << 25, 1 << 25, 1])))
    [(0, 2), (2, 3)]

    Args:
        sequences: number of sequences of each source row: int64, shape (rows,).
        values: number of values in each source row, summed over all packed columns: int64, shape (rows,).
    """
    ends, start = np.cumsum(np.stack([sequences, values]), axis=1), 0
    nothing = np.zeros(2, dtype=np.int64)
    while start < len(values):
        stop = max(start + 1, window_stop(ends, start, nothing, (WINDOW_SEQUENCES, WINDOW_VALUES)))
        yield start, stop
        start = stop


def window_stop(ends: Positions, start: int, used: Positions, limits: tuple[int, int]) -> int:
    """Return the index of the first row, from row `start` on, that does not fit in a window.

    If row `start` does not fit, the result is `start`. If all rows fit, the result is the number of rows.

    Args:
        ends: for each row, the total numbers of sequences and of values in this row and all earlier rows:
            int64, shape (2, rows).
        start: index of a row.
        used: numbers of sequences and values that are in the window already: int64, shape (2,).
        limits: maximum numbers of sequences and values in a window.
    """
    before = ends[:, start - 1] if start else np.zeros(2, dtype=np.int64)
    most = np.array(limits) - used + before
    return min(int(np.searchsorted(its, last, "right")) for its, last in zip(ends, most, strict=True))
