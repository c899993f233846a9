"""Count the raw rows that get padding if all rows are padded to the length of the longest row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from padmask.errors import Place

# The number of a row in the input, and the location of the row.
_Located = tuple[int, Place]


@dataclass
class ShortRows:
    """Counts the rows that are shorter than the longest row, even if the longest row comes last.

    >>> short = ShortRows(examples=2)
    >>> short.add(np.array([1, 2]), lambda row: Place("a", "row", row))
    >>> short.found()[0], [str(place) for place in short.found()[1]]
    (1, ['a, row 0'])
    >>> short.add(np.array([3]), lambda row: Place("a", "row", 2 + row))
    >>> short.found()[0], [str(place) for place in short.found()[1]]
    (2, ['a, row 0', 'a, row 1'])

    Args:
        examples: number of locations to store.
        multiple: the longest length is rounded up to a multiple of this number.
    """

    examples: int
    multiple: int = 1
    longest: int = 0
    _rows: int = 0
    _short_count: int = 0
    _short: list[_Located] = field(default_factory=list)
    # The first rows that are as long as the longest row. They are short as soon as a longer row follows.
    _full: list[_Located] = field(default_factory=list)

    def add(self, lengths: npt.NDArray[np.int64], place: Callable[[int], Place]) -> None:
        """Add the next rows.

        Args:
            lengths: number of tokens in each row, shape (rows,).
            place: function that returns the location of a row, given its index.
        """
        self._raise_to(int(lengths.max(initial=0)))
        short = lengths < self.longest
        self._short_count += int(short.sum())
        for flags, located in ((short, self._short), (~short, self._full)):
            rows = np.flatnonzero(flags)[: self.examples - len(located)].tolist()
            located += [(self._rows + row, place(row)) for row in rows]
        self._rows += len(lengths)

    def join(self, later: ShortRows) -> None:
        """Add the rows of another object, which follow the rows of this object."""
        later = later.copy()
        self._raise_to(later.longest)
        later._raise_to(self.longest)
        self._short_count += later._short_count
        for located, others in ((self._short, later._short), (self._full, later._full)):
            located += [(self._rows + row, place) for row, place in others]
            del located[self.examples :]
        self._rows += later._rows
        self.multiple = later.multiple

    def copy(self) -> ShortRows:
        """Return an independent copy."""
        same = ShortRows(self.examples, self.multiple, self.longest, self._rows, self._short_count)
        same._short, same._full = list(self._short), list(self._full)
        return same

    def found(self, least: int = 0) -> tuple[int, list[Place]]:
        """Return the number of rows that get padding, and the locations of the first such rows.

        Args:
            least: minimum length of the padded rows. With 1, empty rows always count.
        """
        all_rows = self.copy()
        all_rows._raise_to(max(least, -(-self.longest // self.multiple) * self.multiple))
        return all_rows._short_count, [place for _, place in all_rows._short]

    def _raise_to(self, longest: int) -> None:
        """Set the length of the longest row if `longest` is larger, and count all rows so far as shorter."""
        if longest > self.longest:
            self.longest = longest
            self._short_count = self._rows
            self._short = sorted([*self._short, *self._full], key=lambda row: row[0])[: self.examples]
            self._full = []
