"""Count the sequences of packed rows, for `inspect`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from padmask.core.kernel import take_runs
from padmask.core.length_counter import LengthCounter
from padmask.core.length_stats import LengthStats
from padmask.core.packing import count_at_least
from padmask.core.ragged import Ragged
from padmask.errors import count, fine_share


@dataclass(frozen=True)
class PackedStats:
    """Statistics of packed rows.

    Args:
        rows: number of packed rows.
        sequences: number of sequences.
        most: largest number of sequences in a row.
        tokens: number of tokens.
        places: number of positions, including padding.
        maxlen: number of positions in a full row. Rows without padding may have fewer positions.
        rows_at_least: lower bound of the number of packed rows, however the sequences are packed.
        lengths: number of sequences of each length.
        per_row: number of rows for each number of sequences in a row.
    """

    rows: int
    sequences: int
    most: int
    tokens: int
    places: int
    maxlen: int
    rows_at_least: int
    lengths: LengthStats
    per_row: LengthStats

    @property
    def filled_share(self) -> float:
        """Share of the positions that tokens fill, from 0 to 1. Each row counts as maxlen positions."""
        places = self.rows * self.maxlen
        return self.tokens / places if places else 0.0

    def __str__(self) -> str:
        """Return the statistics as text."""
        least = (
            "fewer rows are not possible"
            if self.rows <= self.rows_at_least
            else f"any packing needs at least {count(self.rows_at_least, 'row')}"
        )
        return (
            f"{count(self.sequences, 'sequence')} in {count(self.rows, 'row')}, at most {self.most:,} per "
            f"row; tokens fill {fine_share(self.filled_share)} of maxlen {self.maxlen:,}; {least}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as a dict for JSON."""
        return {
            "sequences": self.sequences,
            "most_sequences": self.most,
            "filled_share": self.filled_share,
            "rows_at_least": self.rows_at_least,
        }


@dataclass
class PackedCounter:
    """Counts the sequences of packed rows, batch by batch.

    >>> import numpy as np
    >>> counter = PackedCounter()
    >>> counter.add(Ragged(np.array([3, 1, 2]), np.array([0, 2]), np.array([2, 1])), np.array([4, 4]))
    >>> print(counter.found(4))
    3 sequences in 2 rows, at most 2 per row; tokens fill 75.0% of maxlen 4; fewer rows are not possible

    Args:
        align: the number of positions of each sequence is rounded up to a multiple of this number.
    """

    align: int = 1
    _lengths: LengthCounter = field(default_factory=LengthCounter)
    _per_row: LengthCounter = field(default_factory=LengthCounter)
    _places: int = 0

    def add(self, sequences: Ragged, places: Any) -> None:
        """Add rows.

        Args:
            sequences: lengths of the sequences of each row.
            places: number of positions in each row: int64, shape (rows,).
        """
        self._lengths.add(take_runs(sequences.values, sequences.starts, sequences.lengths))
        self._per_row.add(sequences.lengths)
        self._places += int(places.sum())

    def found(self, maxlen: int, most: int | None = None) -> PackedStats:
        """Return the statistics of all rows.

        Args:
            maxlen: number of positions in a packed row.
            most: limit on the number of sequences in a row; None if there is no limit, or it is unknown.
        """
        stats = self._lengths.stats()
        aligned: dict[int, int] = {}
        for length, rows in stats.counts.items():
            up = -(-length // self.align) * self.align
            aligned[up] = aligned.get(up, 0) + rows
        longest = max(aligned, default=0)
        size = max(maxlen, longest)
        bound = count_at_least(LengthStats(aligned), size, most)
        per_row = self._per_row.stats()
        return PackedStats(
            rows=per_row.rows,
            sequences=stats.rows,
            most=per_row.longest,
            tokens=stats.tokens,
            places=self._places,
            maxlen=size,
            rows_at_least=bound,
            lengths=stats,
            per_row=per_row,
        )
