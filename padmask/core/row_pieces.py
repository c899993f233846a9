"""Locate each packed sequence in its source row, so that the pieces of a row can be joined."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import list_windows
from padmask.core.join_windows import RowWindows, are_same
from padmask.core.plan import Positions
from padmask.core.window_places import WindowPlaces
from padmask.errors import Fault


@dataclass(frozen=True)
class RowPieces(RowWindows):
    """The pieces of rows, in order. A piece is a packed sequence. A row that was not split has one piece."""

    def name(self, window: int) -> str:
        """Return the name of a piece, for messages."""
        return f"piece {self.places.numbers[window]} of source row {self.rows[window]}"


def is_first_of(rows: Positions) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return, for each sequence, whether it is the first of its row. Sequences of a row are adjacent.

    >>> is_first_of(np.array([0, 0, 3])).tolist()
    [True, False, True]
    """
    return np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)]


def plan_pieces(
    rows: Positions,
    starts: Positions,
    counts: Positions,
    lasts: Positions,
    *,
    packed: Positions | None = None,
    unit: str = "row",
    splits: bool | None = None,
    lost: Collection[int] = (),
) -> tuple[RowPieces, list[Fault]]:
    """Return sequences as pieces of their source rows, and a `Fault` for each piece that cannot be joined.

    >>> rows, starts, counts = np.array([4, 4, 6]), np.array([0, 3, 0]), np.array([3, 2, 1])
    >>> pieces, _ = plan_pieces(rows, starts, counts, np.zeros(3, np.int64))
    >>> pieces.places.numbers.tolist(), pieces.places.stops.tolist()
    ([0, 1, 0], [3, 5, 1])

    Args:
        rows: source row of each sequence, sorted: int64, shape (sequences,).
        starts: first token of each sequence in its source row, sorted in each row: int64, shape (sequences,).
        counts: number of tokens of each sequence: int64, shape (sequences,).
        lasts: number of tokens kept at the end of each piece: int64, shape (sequences,).
        packed: number of the packed row of each sequence, for messages: int64, shape (sequences,).
        unit: `"line"` if `packed` has numbers of lines, else `"row"`.
        splits: whether a source row may have several pieces; None if unknown.
        lost: source rows with a piece that could not be read.
    """
    is_first = is_first_of(rows)
    firsts = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    sizes = np.bincount(group, minlength=len(firsts))[group] if len(rows) else group
    split = sizes > 1
    head = starts[firsts][group]
    numbers = np.arange(len(rows)) - firsts[group]
    begins = np.where(split, starts, 0)
    stops = np.where(split, starts + counts - head - lasts, counts)
    pieces = RowPieces(rows, WindowPlaces(numbers, begins, stops))
    before = np.maximum(np.arange(len(rows)) - 1, 0)
    same = split & ~is_first & (starts == starts[before])
    single = split & ~is_first if splits is False else np.zeros(len(rows), dtype=bool)
    # If source rows were not split, a sequence without the first tokens of its row was truncated, so no piece
    # is missing.
    lacks_first = ~split & (starts > 0) if splits else np.zeros(len(rows), dtype=bool)
    is_lost = np.isin(rows, list(lost)) if lost and splits is not False else np.zeros(len(rows), dtype=bool)
    reasons = {}
    for flags, reason, names_rows in (
        (is_lost & is_first, "another piece of the row could not be read", False),
        (lacks_first, "earlier pieces of the row are missing", False),
        (
            same,
            "and both start at the same token of the row, so the input may combine several packed files",
            True,
        ),
        (single, "but pack did not split rows", True),
    ):
        for row in np.flatnonzero(flags).tolist():
            both = _name_rows(packed, unit, row) if names_rows else ""
            reasons[row] = Fault(row, f"{pieces.name(row)} cannot be joined: {both}{reason}")
    return pieces, [reasons[row] for row in sorted(reasons)]


def _name_rows(packed: Positions | None, unit: str, piece: int) -> str:
    """Return the start of a message about a piece and the previous piece.

    >>> _name_rows(np.array([2, 3]), "line", 1)
    'lines 2 and 3 each have a sequence from this source row, '
    """
    if packed is None:
        return "two sequences come from this source row, "
    before, here = sorted(packed[piece - 1 : piece + 1].tolist())
    if before == here:
        return f"{unit} {here} has two sequences from this source row, "
    return f"{unit}s {before} and {here} each have a sequence from this source row, "


def find_other_tokens(column: pa.Array, pieces: RowWindows) -> list[Fault]:
    """Return a `Fault` for each piece whose repeated tokens differ from the tokens of the previous piece.

    Args:
        column: tokens of each piece: lists.
        pieces: the places of the pieces in their source rows.
    """
    later = pieces.later
    places = pieces.places
    overlaps = places.stops[later - 1] - places.starts[later]
    moves = places.starts[later] - places.starts[later - 1]
    usable = (overlaps > 0) & (moves > 0) & (places.stops[later] > places.stops[later - 1])
    if not usable.any():
        return []
    firsts, _, tokens = list_windows(column)
    # Each piece of a row starts with the kept first tokens of the row.
    heads = places.starts[later - places.numbers[later]]
    faults = []
    for row, head, move, size in zip(
        later[usable].tolist(),
        heads[usable].tolist(),
        moves[usable].tolist(),
        overlaps[usable].tolist(),
        strict=True,
    ):
        here = tokens.slice(int(firsts[row]) + head, size)
        before = tokens.slice(int(firsts[row - 1]) + head + move, size)
        if not are_same(here, before):
            reason = f"{pieces.name(row)} overlaps the previous piece, but the repeated tokens differ"
            faults.append(Fault(row, reason))
    return faults


def kept_lasts(keep_last: int | str, values: Sequence[Any], size: int) -> Positions:
    """Return the number of tokens kept at the end of each piece: int64, shape (pieces,).

    >>> kept_lasts(1, [], 2).tolist(), kept_lasts("suffix", [3, None], 2).tolist()
    ([1, 1], [3, 0])

    Args:
        keep_last: number of tokens to keep, or the name of the column with this number.
        values: values of this column. Not used if `keep_last` is a number.
        size: number of pieces.
    """
    if isinstance(keep_last, int):
        return np.full(size, keep_last)
    return np.array([value if type(value) is int else 0 for value in values], dtype=np.int64)


def piece_remedy(fault: Fault) -> str:
    """Return what to do about pieces that cannot be joined."""
    if fault.column is not None:
        name = shlex.quote(fault.column)
        return f"Remove the column {name}, or keep the pieces as rows with --no-join-windows."
    return (
        "Fix the rows, skip such rows with --on-error skip, or keep the pieces as rows with "
        "--no-join-windows."
    )
