"""Choose which sequences to pack into the same row, from their lengths alone.

All functions are deterministic. They use integers only, and break ties by input order or by the order in
which rows were opened.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions
from padmask.core.stable_order import stable_order

# Number of rows that `pack_in_order` fills at the same time.
OPEN_ROWS = 64

# The contents of equally filled rows: (length, number of sequences of this length, the earlier contents).
_Contents = tuple[int, int, "_Contents"] | None


# Rows with the same contents: the number of rows, the number of sequences in each row, and the contents. A
# window has thousands of groups, and a tuple takes a fifth of the time of a dataclass to create.
_Group = tuple[int, int, _Contents]


@dataclass
class _OpenRows:
    """The packed rows so far, in groups. All rows of a group have sequences of the same lengths.

    Args:
        most: maximum number of sequences in a row.
        groups: lists of groups whose rows are not full, keyed by the number of free positions in a row. The
            newest group of a list is the last.
        free: keys of `groups`, sorted.
        closed: groups whose rows are full or have the maximum number of sequences.
    """

    most: int
    groups: dict[int, list[_Group]] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    closed: list[_Group] = field(default_factory=list)

    def all(self) -> Iterator[_Group]:
        """Yield all groups, in a fixed order."""
        yield from self.closed
        for groups in self.groups.values():
            yield from groups


def pack_best_fit(lengths: Positions, maxlen: int, most: int | None = None) -> Positions:
    """Pack sequences with best-fit-decreasing: the longest first, each into the fullest row that has space.

    The function places all sequences of the same length in one step, which saves time. The result has as many
    rows as best-fit-decreasing that places sequences one by one.

    >>> pack_best_fit(np.array([2, 6, 4, 3]), 8)
    array([0, 0, 1, 1])

    Args:
        lengths: number of positions that each sequence needs, from 1 to `maxlen`: int64, shape (sequences,).
        maxlen: number of positions in a packed row.
        most: maximum number of sequences in a row; None if there is no maximum.

    Returns:
        The packed row of each sequence: int64, shape (sequences,). Rows are numbered in the order of their
        first sequence.

    Source: histogram packing of "Efficient Sequence Packing without Cross-contamination" (arXiv 2107.02027);
    best-fit-decreasing of "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830).
    """
    opened = _place_all(LengthStats.of(lengths), maxlen, maxlen if most is None else most)
    return number_by_first(_assign(list(opened.all()), lengths))


def count_best_fit(stats: LengthStats, maxlen: int) -> int:
    """Count the rows that `pack_best_fit` needs. The time depends only on the number of different lengths.

    >>> count_best_fit(LengthStats({6: 2, 4: 3, 2: 1, 0: 9}), 10)
    3

    Args:
        stats: number of sequences of each length. Sequences without tokens need no row.
        maxlen: number of positions in a packed row, at least the longest length.
    """
    filled = LengthStats({length: rows for length, rows in stats.counts.items() if length})
    return sum(rows for rows, _, _ in _place_all(filled, maxlen, maxlen).all())


def _place_all(stats: LengthStats, maxlen: int, most: int) -> _OpenRows:
    opened = _OpenRows(most)
    for length, count in sorted(stats.counts.items(), reverse=True):
        _place(opened, length, count, maxlen)
    return opened


def _place(opened: _OpenRows, length: int, count: int, maxlen: int) -> None:  # noqa: C901 - calls cost time
    """Put `count` sequences of the same length into rows, each into the fullest row that has space.

    Among equally full rows, the newest group is filled first.
    """
    # This loop takes most of the time of a plan, so the loop calls no functions of this module.
    most, spaces, opened_groups, closed = opened.most, opened.free, opened.groups, opened.closed
    while count:
        place = bisect_left(spaces, length)
        if place == len(spaces):
            free, rows, size, contents = maxlen, count, 0, None
        else:
            free = spaces[place]
            groups = opened_groups[free]
            rows, size, contents = groups.pop()
            if not groups:
                del opened_groups[free], spaces[place]
        each = free // length
        if each > most - size:
            each = most - size
        full = count // each
        if full > rows:
            full = rows
        changed = []
        if full:
            changed.append((free - each * length, (full, size + each, (length, each, contents))))
            count -= full * each
            rows -= full
        if count and rows:
            # The remaining sequences partly fill one row.
            changed.append((free - count * length, (1, size + count, (length, count, contents))))
            count, rows = 0, rows - 1
        if rows and contents is not None:
            changed.append((free, (rows, size, contents)))
        for left, group in changed:
            if not left or group[1] >= most:
                closed.append(group)
            elif left in opened_groups:
                opened_groups[left].append(group)
            else:
                opened_groups[left] = [group]
                insort(spaces, left)


def _assign(groups: Sequence[_Group], lengths: Positions) -> Positions:
    """Return the packed row of each sequence. Sequences of equal length fill the rows in input order."""
    # Four numbers for each length in each group: the length, the first row, the number of rows, and the
    # number of sequences of this length in a row.
    entries: list[int] = []
    first = 0
    for rows, _, contents in groups:
        while contents is not None:
            length, each, contents = contents
            entries += (length, first, rows, each)
        first += rows
    table = np.array(entries, dtype=np.int64).reshape(-1, 4)
    table = table[stable_order(table[:, 0])]
    slots = table[:, 2] * table[:, 3]
    number = np.arange(slots.sum()) - np.repeat(np.cumsum(slots) - slots, slots)
    placed = np.empty(len(lengths), dtype=np.int64)
    placed[stable_order(lengths)] = np.repeat(table[:, 1], slots) + number // np.repeat(table[:, 3], slots)
    return placed


def number_by_first(rows: Positions) -> Positions:
    """Renumber rows from 0 in the order in which they first occur.

    >>> number_by_first(np.array([7, 3, 7, 0]))
    array([0, 1, 0, 2])
    """
    firsts = np.full(int(rows.max(initial=-1)) + 1, len(rows))
    # If several assignments have the same index, the last one takes effect.
    firsts[rows[::-1]] = np.arange(len(rows))[::-1]
    rank = np.empty(len(firsts), dtype=np.int64)
    rank[np.argsort(firsts, kind="stable")] = np.arange(len(firsts))
    return rank[rows]


def pack_in_order(lengths: Positions, maxlen: int, most: int | None = None) -> Positions:
    """Pack sequences in input order, each into the fullest of 64 open rows that has space.

    If no open row has space, the sequence opens a new row. If 64 rows are already open, the fullest of them
    is closed first.

    >>> pack_in_order(np.array([5, 6, 3, 2]), 8)
    array([0, 1, 0, 1])

    The arguments and the result are those of `pack_best_fit`.
    """
    most = maxlen if most is None else most
    # Open rows as (free positions, row), sorted.
    opened: list[tuple[int, int]] = []
    sizes: list[int] = []
    rows = []
    for length in lengths.tolist():
        place = bisect_left(opened, (length, -1))
        if place < len(opened):
            free, row = opened.pop(place)
        else:
            free, row = maxlen, len(sizes)
            sizes.append(0)
            if len(opened) == OPEN_ROWS:
                del opened[0]
        rows.append(row)
        sizes[row] += 1
        if free > length and sizes[row] < most:
            insort(opened, (free - length, row))
    return np.array(rows, dtype=np.int64)


def count_at_least(stats: LengthStats, maxlen: int, most: int | None = None) -> int:
    """Return a lower bound for the number of packed rows: all algorithms need at least this many rows.

    >>> count_at_least(LengthStats({5: 4}), 8), count_at_least(LengthStats({4: 4}), 8)
    (4, 2)
    >>> count_at_least(LengthStats({1: 4}), 8, most=1)
    4

    Args:
        stats: number of sequences of each length. Sequences without tokens need no row.
        maxlen: number of positions in a packed row.
        most: maximum number of sequences in a row; None if there is no maximum.

    Source: the bound L2 of Martello and Toth, "Lower bounds and reduction procedures for the bin packing
    problem" (1990).
    """
    counts = np.zeros(maxlen + 2, dtype=np.int64)
    for length, rows in stats.counts.items():
        counts[length] += rows
    tokens = counts * np.arange(maxlen + 2)
    rows_to, tokens_to = np.concatenate([[0], np.cumsum(counts)]), np.concatenate([[0], np.cumsum(tokens)])

    def between(sums: Positions, first: Positions, stop: Positions) -> Positions:
        return sums[np.maximum(stop, first)] - sums[first]

    # A sequence longer than maxlen - k does not share a row with a sequence of length k or more (`large`).
    # Each other sequence longer than maxlen / 2 also needs a separate row (`medium`). Sequences of lengths k
    # to maxlen / 2 (`small`) first fill the free positions of the medium rows.
    k = np.arange(1, maxlen // 2 + 1)
    half, top = np.full_like(k, maxlen // 2 + 1), np.full_like(k, maxlen + 1)
    large = between(rows_to, maxlen - k + 1, top)
    medium = between(rows_to, half, maxlen - k + 1)
    space = medium * maxlen - between(tokens_to, half, maxlen - k + 1)
    small = between(tokens_to, k, half)
    needed = large + medium + np.maximum(0, -(-(small - space) // maxlen))
    sequences = stats.rows - stats.counts.get(0, 0)
    by_number = 0 if most is None else -(-sequences // most)
    return int(max(needed.max(initial=0), -(-stats.tokens // maxlen) if maxlen else 0, by_number))
