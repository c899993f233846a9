"""Find the token that most rows share at one end, such as `[SEP]` at the end, and the rows that lose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from padmask.core.length_counter import LengthCounter
from padmask.core.plan import LengthStats, Positions
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

End = Literal["first", "last"]

# Number of rows with tokens, at the start of a file, that decide which tokens are counted.
DECIDING_ROWS = 1000


@dataclass(frozen=True)
class SharedEnd:
    """A token with which at least half of the rows start or end.

    Args:
        token: an integer or a string.
        end: end of the rows that has the token: `"first"` or `"last"`.
        lengths: lengths of the rows that have the token at this end.
    """

    token: int | str
    end: End
    lengths: LengthStats

    def rows_losing(self, maxlen: int) -> int:
        """Return the number of rows that lose the token if all rows are cut to `maxlen` tokens."""
        return sum(rows for length, rows in self.lengths.counts.items() if length > maxlen)

    def as_dict(self) -> dict[str, Any]:
        """Return the token, its end, and the number of rows that have it, as a dict for JSON."""
        return {"token": self.token, "end": self.end, "rows": self.lengths.rows}


@dataclass(frozen=True)
class EndCounts:
    """The lengths of the rows that have each common token at one end. Add two results to combine them.

    Args:
        end: end of the rows.
        rows: number of rows that have tokens.
        lengths: for each common token, the lengths of the rows that have it.
    """

    end: End = "last"
    rows: int = 0
    lengths: Mapping[int | str, LengthStats] = field(default_factory=dict)

    def __add__(self, other: EndCounts) -> EndCounts:
        lengths = dict(self.lengths)
        for token, stats in other.lengths.items():
            lengths[token] = lengths.get(token, LengthStats()) + stats
        return EndCounts(self.end, self.rows + other.rows, lengths)

    @property
    def shared(self) -> SharedEnd | None:
        """The token at this end of at least half of the rows that have tokens; None if there is none."""
        found = max(self.lengths.items(), key=lambda item: (item[1].rows, str(item[0])), default=None)
        if found is None or self.rows < 2 or 2 * found[1].rows < self.rows:
            return None
        return SharedEnd(found[0], self.end, found[1])


class EndCounter:
    """A counter for the tokens at the end that truncation removes.

    Only tokens that at least half of the first 1,000 rows have at this end are counted. Rows without tokens
    do not matter. The result does not depend on the sizes of the batches. A token does not count in rows
    that have the same token beside it, because truncation does not remove all of them.

    >>> counter = EndCounter("post")
    >>> counter.add(Ragged(np.array([1, 5, 2, 7, 2]), np.array([0, 3]), np.array([3, 2])))
    >>> shared = counter.counts().shared
    >>> shared.token, shared.rows_losing(2)
    (2, 1)

    Args:
        truncating: side on which rows are cut.
    """

    def __init__(self, truncating: Side) -> None:
        self._end: End = "last" if truncating == "post" else "first"
        self._first: list[tuple[npt.NDArray[Any], Positions]] = []
        self._rows = 0
        self._counters: dict[int | str, LengthCounter] | None = None

    def add(self, rows: Ragged) -> None:
        """Count the rows of a batch. Tokens that are not integers or strings are ignored."""
        if rows.values.ndim != 1 or rows.values.dtype.kind not in "iuUO":
            return
        tokens, lengths = self._tokens_at_end(rows)
        missing = DECIDING_ROWS - self._rows
        self._rows += len(tokens)
        if self._counters is None:
            self._first.append((tokens[:missing], lengths[:missing]))
            if self._rows < DECIDING_ROWS:
                return
            self._counters = self._decide()
            tokens, lengths = tokens[missing:], lengths[missing:]
        _count(self._counters, tokens, lengths)

    def counts(self) -> EndCounts:
        """Return the counts of all rows so far."""
        counters = self._decide() if self._counters is None else self._counters
        return EndCounts(self._end, self._rows, {token: one.stats() for token, one in counters.items()})

    def _tokens_at_end(self, rows: Ragged) -> tuple[npt.NDArray[Any], Positions]:
        """Return the token at the end of each row that has tokens, and the length of the row.

        The length is 0 if the token beside it is the same.
        """
        rows = rows.select(rows.lengths > 0)
        last = self._end == "last"
        at_end = rows.starts + rows.lengths - 1 if last else rows.starts
        beside = np.where(rows.lengths > 1, at_end + (-1 if last else 1), at_end)
        tokens = rows.values[at_end]
        same = (rows.values[beside] == tokens) & (rows.lengths > 1)
        return tokens, np.where(same, 0, rows.lengths)

    def _decide(self) -> dict[int | str, LengthCounter]:
        """Choose the tokens to count from the first rows, and count them in these rows."""
        if not self._rows:
            return {}
        tokens, lengths = (np.concatenate(parts) for parts in zip(*self._first, strict=True))
        found, rows = np.unique(tokens[lengths > 0], return_counts=True)
        counters = {token: LengthCounter() for token in found[2 * rows >= len(tokens)].tolist()}
        _count(counters, tokens, lengths)
        return counters


def _count(counters: Mapping[int | str, LengthCounter], tokens: npt.NDArray[Any], lengths: Positions) -> None:
    """Count the rows with each token. Rows with the length 0 do not count."""
    for token, counter in counters.items():
        counter.add(lengths[(tokens == token) & (lengths > 0)])
