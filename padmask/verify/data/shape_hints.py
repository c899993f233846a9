"""Find the options with which rows without metadata were padded, from the rows and their input."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import PadColumn
from padmask.core.plan import Positions
from padmask.errors import SpecError, count
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec
from padmask.stream.run import Reading
from padmask.verify.data.hashed_columns import ValueTypes
from padmask.verify.data.planned_input import InputPlanner

# Maximum numbers of output rows and input rows that are compared to find how rows were truncated.
_OUTPUT_ROWS, _INPUT_ROWS = 128, 256

# If several ways of truncation fit equally well, at most this number of ways are compared with the input.
_SPECS = 16


@dataclass
class ShapeHints:
    """Hints at how overlong rows were truncated or split, for padded rows without metadata."""

    _width: int = 0
    _narrowest: int | None = None
    # Number of input rows that show how rows were truncated.
    votes: int = 0
    _full: list[npt.NDArray[Any]] = field(default_factory=list)
    _windows: list[tuple[Positions, ...]] = field(default_factory=list)

    def add(
        self,
        tokens_of: Callable[[int], npt.NDArray[Any]],
        lengths: Positions,
        widths: Positions,
        windows: tuple[Positions, ...] | None,
    ) -> None:
        """Add some rows.

        Args:
            tokens_of: function that returns the real tokens of a row, given its index.
            lengths: number of real tokens in each row: int64, shape (rows,).
            widths: number of positions in each row: int64, shape (rows,).
            windows: values of each column in `WINDOW_COLUMNS`; None if the rows are not windows.
        """
        if windows is not None:
            self._windows.append((*windows, lengths))
        if len(widths):
            narrowest = int(widths.min())
            self._narrowest = narrowest if self._narrowest is None else min(self._narrowest, narrowest)
        widest = int(widths.max(initial=0))
        if widest > self._width:
            self._width, self._full = widest, []
        elif len(self._full) >= _OUTPUT_ROWS:
            return
        # Truncated rows have no padding.
        full = np.flatnonzero(lengths == self._width)[: _OUTPUT_ROWS - len(self._full)]
        self._full += [tokens_of(row).copy() for row in full.tolist()]

    def spec_of_windows(self) -> PadSpec | None:
        """Return the options with which rows were split into windows; None if no row was split."""
        if not self._windows:
            return None
        sources, numbers, starts, stops, lengths = map(np.concatenate, zip(*self._windows, strict=True))
        order = np.lexsort((numbers, sources))
        sources, numbers, starts, stops, lengths = (
            its[order] for its in (sources, numbers, starts, stops, lengths)
        )
        follows = np.flatnonzero(
            (np.diff(sources, prepend=-1) == 0) & (np.diff(numbers, prepend=-1) == 1) & (numbers > 0)
        )
        if not len(follows):
            return None
        begins = follows[numbers[follows] == 1] - 1
        # The first window starts after the tokens that all windows keep at their start.
        kept = int(np.max(lengths - (stops - starts)))
        first = min(int(starts[begins].min(initial=kept)), kept)
        # If windows are aligned to the end of the row, only the first window may have padding.
        pre = bool((lengths[begins] < self._width).any())
        overlap = int(np.max(stops[follows - 1] - starts[follows]))
        try:
            return PadSpec(
                maxlen=self._width,
                truncating="pre" if pre else "post",
                keep_first=first,
                keep_last=kept - first,
                windows=WindowSpec(overlap=max(0, overlap)),
            )
        except SpecError:
            return None

    def specs_of_cut(self, long_rows: Iterator[npt.NDArray[Any]]) -> list[PadSpec]:
        """Return the options with which the rows may have been truncated, the most probable first.

        A truncated row consists of the first and the last tokens of its source row, and the number of last
        tokens is the same in all rows.

        Args:
            long_rows: tokens of the input rows that have more than `width` tokens, in the dtype of the rows
                that were added.
        """
        width = self._width
        if self._narrowest is None:
            # Without rows, nothing was truncated.
            return [PadSpec()]
        if not self._full or not width:
            return [PadSpec(maxlen=width)]
        rows = np.stack(self._full)
        # For each number of last tokens, the number of input rows that may be the source of an output row.
        votes = np.zeros(width + 1, dtype=np.int64)
        for tokens, _ in zip(long_rows, range(_INPUT_ROWS), strict=False):
            heads = _count_equal(rows, tokens[:width])
            tails = _count_equal(rows[:, ::-1], tokens[len(tokens) - width :][::-1])
            numbers = np.arange(width + 1)
            fits = (numbers >= (width - heads)[:, None]) & (numbers <= tails[:, None])
            votes += fits.any(axis=0)
        if not votes.any():
            return [PadSpec(maxlen=width)]
        # If several numbers fit all rows, prefer truncation at one side.
        self.votes = int(votes.max())
        order = [0, width, *range(1, width)]
        lasts = [number for number in dict.fromkeys(order) if votes[number] == votes.max()][:_SPECS]
        return [
            PadSpec(maxlen=width, truncating="pre")
            if last == width
            else PadSpec(maxlen=width, keep_last=last)
            for last in lasts
        ]

    @property
    def width(self) -> int:
        """Number of positions in the longest padded row."""
        return self._width

    @property
    def has_widths(self) -> bool:
        """Whether rows have different widths, which is usual in batches and buckets."""
        return self._narrowest not in (None, self._width)


def find_specs(
    hints: ShapeHints, planner: InputPlanner, reading: Reading, column: PadColumn, types: ValueTypes
) -> list[PadSpec]:
    """Return the options with which the rows may have been padded, the most probable first.

    Args:
        hints: facts about the padded rows.
        planner: planner that has not read any rows.
        reading: the input of the rows.
        column: column of the tokens.
        types: dtypes in which the tokens are compared.
    """
    found = hints.spec_of_windows()
    if found is not None:
        return [found]

    def long_rows() -> Generator[npt.NDArray[Any]]:
        with closing(planner.read(reading)) as batches:
            for rows in batches:
                ids = rows.ragged[column.name]
                for row in np.flatnonzero(ids.lengths > hints.width).tolist():
                    tokens = ids.values[ids.starts[row] : ids.starts[row] + ids.lengths[row]]
                    yield types.cast(column, tokens)

    with closing(long_rows()) as tokens:
        return hints.specs_of_cut(tokens)


def describe_assumption(spec: PadSpec, votes: int) -> str:
    """Return a text about the options with which rows were probably truncated.

    >>> describe_assumption(PadSpec(maxlen=3, truncating="pre"), 1)
    '--truncating pre is assumed, because 1 row of the input was truncated this way'

    Args:
        spec: the options.
        votes: number of rows of the input that show the options.
    """
    option = f"--keep-last {spec.keep_last}" if spec.keep_last else f"--truncating {spec.truncating}"
    rows, verb = count(votes, "row"), "was" if votes == 1 else "were"
    return f"{option} is assumed, because {rows} of the input {verb} truncated this way"


def _count_equal(rows: npt.NDArray[Any], tokens: npt.NDArray[Any]) -> Positions:
    """Return the number of tokens of each row before the first token that differs: int64, shape (rows,)."""
    same = np.asarray(rows == tokens).reshape(*rows.shape[:2], -1).all(axis=2)
    ends = np.concatenate([same, np.zeros((len(rows), 1), dtype=bool)], axis=1)
    return np.asarray(np.argmin(ends, axis=1), dtype=np.int64)
