"""Count the rows that lose a token such as `[SEP]`, which most rows share at one end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from padmask.core.length_stats import LengthStats
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
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
        """End of the rows that has the token: `first` or `last`, as in `--keep-last`."""
        return "last" if self.truncating == "post" else "first"

    def rows_losing(self, maxlen: int) -> int:
        """Return the number of rows that lose the shared token if rows are truncated to `maxlen` tokens."""
        return sum(rows for length, rows in self.lengths.counts.items() if length > maxlen)

    def as_dict(self) -> dict[str, Any]:
        """Return the token, its end, and the number of rows that have it, as a dict for JSON."""
        return {"token": self.token, "end": self.end, "rows": self.lengths.rows}


def lengths_with_token(rows: Ragged, token: int, truncating: Side) -> Positions:
    """Return the lengths of the rows that have a token at the truncated end.

    >>> import numpy as np
    >>> rows = Ragged(np.array([5, 2, 7, 7, 2]), np.array([0, 2, 3, 5]), np.array([2, 1, 2, 0]))
    >>> lengths_with_token(rows, 2, "post").tolist()
    [2, 2]
    """
    rows = rows.select(rows.lengths > 0)
    ends = rows.starts + rows.lengths - 1 if truncating == "post" else rows.starts
    lengths: Positions = rows.lengths[rows.values[ends] == token]
    return lengths
