"""Count the rows that lose a token such as `[SEP]`, which most rows share at one end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from padmask.core.first_rows import FIRST_ROWS
from padmask.core.length_counter import LengthCounter
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import SharedEnds, Tokens, end_tokens
from padmask.spec.pad import Side


@dataclass(frozen=True)
class SharedEnd:
    """A token that most rows share at the truncated end.

    Args:
        token: the token, which more than half of the first rows have at this end.
        truncating: side on which rows are truncated.
        lengths: lengths of all rows that have the token at this end.
    """

    token: int
    truncating: Side
    lengths: LengthStats

    @property
    def end(self) -> str:
        """Which end of the rows has the token: `first` or `last`, as in `--keep-last`."""
        return "last" if self.truncating == "post" else "first"

    def rows_losing(self, maxlen: int) -> int:
        """Return the number of rows that lose their shared end token if truncated to `maxlen` tokens."""
        return sum(rows for length, rows in self.lengths.counts.items() if length > maxlen)

    def as_dict(self) -> dict[str, Any]:
        """Return the token, its end, and the number of rows that have it, as a dict for JSON."""
        return {"token": self.token, "end": self.end, "rows": self.lengths.rows}


class EndCounter:
    """Counts the rows that have the shared token, such as [SEP], at the end that truncation cuts.

    >>> counter = EndCounter("post")
    >>> counter.add(Ragged(np.array([101, 7, 101, 102, 101, 102]), np.array([0, 2, 4]), np.array([2, 2, 2])))
    >>> shared, lengths = counter.found()
    >>> shared, dict(lengths.counts)
    (SharedEnds(first=101, last=102), {2: 2})

    Args:
        truncating: side on which rows are truncated.
        shared: shared tokens; None if the first rows with tokens determine them.
    """

    def __init__(self, truncating: Side, shared: SharedEnds | None = None) -> None:
        self._truncating, self._shared = truncating, shared
        self._lengths = LengthCounter()
        # First tokens, last tokens and lengths of the rows that are not counted yet.
        self._waiting: list[tuple[Tokens, Tokens, Positions]] = []

    def add(self, rows: Ragged) -> None:
        """Count rows of integers. Other rows are ignored."""
        if rows.values.ndim != 1 or rows.values.dtype.kind not in "iu":
            return
        real = rows.select(rows.lengths > 0)
        self._waiting.append((*end_tokens(real), real.lengths))
        if self._shared is not None or sum(len(lengths) for _, _, lengths in self._waiting) >= FIRST_ROWS:
            self._count()

    def found(self) -> tuple[SharedEnds, LengthStats]:
        """Return the shared tokens, and the lengths of the rows that have the token at the truncated end."""
        return self._count(), self._lengths.stats()

    def _count(self) -> SharedEnds:
        """Include the rows added since the last call, and return the tokens that all rows share."""
        if self._shared is None:
            parts = [(firsts, lasts) for firsts, lasts, _ in self._waiting]
            ends = [np.concatenate(tokens)[:FIRST_ROWS] for tokens in zip(*parts, strict=True)]
            self._shared = SharedEnds.of_tokens(*ends) if ends else SharedEnds()
        token = self._shared.cut_at(self._truncating)
        for firsts, lasts, lengths in self._waiting if token is not None else ():
            self._lengths.add(lengths[(lasts if self._truncating == "post" else firsts) == token])
        self._waiting = []
        return self._shared
