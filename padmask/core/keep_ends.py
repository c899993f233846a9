"""Truncate long rows, but keep given numbers of tokens at the start and at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.length_column import read_lengths
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.window_places import WindowPlaces
from padmask.errors import Fault, SpecError
from padmask.spec.columns import unknown_column
from padmask.spec.pad import PadSpec, Side
from padmask.spec.windows import describe_large_ends, needed_positions


@dataclass(frozen=True)
class Ends:
    """The numbers of tokens to keep at the start and at the end of each row longer than maxlen.

    Args:
        first, last: numbers of tokens to keep at the start and at the end: int64, shape (rows,).
    """

    first: Positions
    last: Positions

    @classmethod
    def constant(cls, first: int, last: int, rows: int) -> Ends:
        """Return `Ends` with the same two numbers for all rows."""
        return cls(np.full(rows, first, dtype=np.int64), np.full(rows, last, dtype=np.int64))

    def select(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Ends:
        """Return the numbers of tokens to keep in the selected rows."""
        return Ends(self.first[rows], self.last[rows])


def check_end_columns(schema: pa.Schema, spec: PadSpec) -> None:
    """Check the columns with the numbers of tokens to keep: each column must exist and contain integers.

    Raises:
        SpecError: a column is missing, or has another type.
    """
    for option, name in (("keep_first", spec.keep_first), ("keep_last", spec.keep_last)):
        if not isinstance(name, str):
            continue
        if name not in schema.names:
            raise unknown_column(name, schema.names, option)
        type_ = schema.field(name).type
        if not (pa.types.is_integer(type_) or pa.types.is_null(type_)):
            raise SpecError(
                f"Column {name!r} has the type {type_}, but the numbers of tokens to keep must be integers. "
                "Choose another column, or a number.",
                options=[option],
            )


def read_ends(
    spec: PadSpec, rows: int, values: Callable[[str], Sequence[Any]]
) -> tuple[Ends | None, list[Fault]]:
    """Read the columns that specify how many tokens to keep at the ends of each row.

    Args:
        spec: how to pad.
        rows: number of rows.
        values: function that returns the values of a column.

    Returns:
        The numbers of tokens to keep (None if `spec` names no column), and a `Fault` for each row without a
        valid number.
    """
    if not spec.end_columns:
        return None, []
    ends, faults = [], []
    for option, end in (("keep_first", spec.keep_first), ("keep_last", spec.keep_last)):
        if isinstance(end, str):
            numbers, found = read_lengths(values(end), end, option, noun="a valid number of tokens")
            faults += found
        else:
            numbers = np.full(rows, end, dtype=np.int64)
        ends.append(numbers)
    return Ends(*ends), faults


def find_large_ends(lengths: Positions, ends: Ends | None, plan: Plan, spec: PadSpec) -> list[Fault]:
    """Return a `Fault` for each row that is longer than maxlen and whose kept ends do not fit in maxlen."""
    if ends is None:
        return []
    overlap = None if spec.windows is None else spec.windows.overlap
    needed = needed_positions(ends.first, ends.last, overlap)
    return [
        Fault(
            row,
            describe_large_ends(plan.maxlen, int(ends.first[row]), int(ends.last[row]), overlap),
            options=("maxlen", "keep_first", "keep_last"),
        )
        for row in np.flatnonzero((lengths > plan.maxlen) & (needed > plan.maxlen)).tolist()
    ]


def plan_keep_ends(
    lengths: Positions, maxlen: int, ends: Ends, *, padding: Side, truncating: Side
) -> Segments:
    """Return `Segments` that pad each source row.

    If a row is too long, tokens between its kept ends are removed.

    >>> ends = Ends.constant(1, 1, 2)
    >>> segments = plan_keep_ends(np.array([5, 2]), 3, ends, padding="post", truncating="post")
    >>> segments.starts.tolist(), segments.counts.tolist()
    ([0, 4, 0], [2, 1, 2])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        maxlen: length of every output row, in tokens.
        ends: numbers of tokens to keep. For rows longer than `maxlen`, the sum of the two numbers is at most
            `maxlen`.
        padding: side of the padding.
        truncating: which tokens of a long row are removed: `"post"` removes the tokens before the kept end,
            and `"pre"` removes the tokens after the kept start.
    """
    cut = lengths > maxlen
    kept = np.minimum(lengths, maxlen)
    # A truncated row keeps two slices, and `tail` is the length of the second slice. With "post", the second
    # slice is the kept end. With "pre", the first slice is the kept start, and the second slice has all other
    # tokens that stay.
    tail = np.where(cut, ends.last, 0) if truncating == "post" else kept - np.where(cut, ends.first, 0)
    rows = np.arange(len(lengths))
    starts = np.stack([np.zeros_like(lengths), lengths - tail], axis=1)
    counts = np.stack([kept - tail, tail], axis=1)
    return join_pieces(lengths, rows, starts, counts, maxlen, padding)


def join_pieces(
    lengths: Positions,
    sources: Positions,
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    maxlen: int,
    padding: Side,
    windows: WindowPlaces | None = None,
) -> Segments:
    """Return `Segments` in which each output row joins slices of one source row to one sequence.

    Args:
        lengths: number of tokens in each source row: int64, shape (source rows,).
        sources: source row of each output row: int64, shape (rows,).
        starts, counts: first token and number of tokens of each slice: int64, shape (rows, slices). Slices
            without tokens are omitted.
        maxlen: length of every output row, in tokens.
        padding: side of the padding.
        windows: the part of the source row in each output row, if rows are split into windows.
    """
    used = counts > 0
    # A sequence without tokens has one slice.
    used[:, 0] |= ~used.any(axis=1)
    sequences = np.nonzero(used)[0]
    many = len(sequences) > len(sources)
    plain = len(sources) == len(lengths) and not many
    return Segments(
        lengths,
        starts[used],
        counts[used],
        maxlen,
        padding,
        sources=None if plain else sources[sequences],
        sequences=sequences if many else None,
        windows=windows,
    )
