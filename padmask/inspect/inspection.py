"""`Inspection`, the result of `inspect_file`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.length_stats import LengthStats
from padmask.errors import count
from padmask.inspect.advice import Advice, Adviser
from padmask.inspect.costs import Cost
from padmask.inspect.packed import PackedStats
from padmask.inspect.shared_end import SharedEnd
from padmask.notebook import ShownInNotebooks
from padmask.spec.pad import Side
from padmask.spec.warning_names import warnings_in
from padmask.stream.ledger import BucketRows
from padmask.verify.data.findings import Finding

LENGTH_PERCENTILES = ("90", "95", "99")


@dataclass(frozen=True)
class ShownRow:
    """A row to show. Rows of raw input are padded first.

    Args:
        row: number of the row in the input, from 0.
        length: number of real tokens.
        values: tokens and pad values, shape (maxlen, ...).
        mask: bool, shape (maxlen,), True at real tokens.
        cut: number of tokens that truncation removes.
        cut_first: whether truncation is at the start of the row.
        cut_at: number of kept tokens before the removed tokens.
        segments: for a packed row, the number of the sequence at each position, from 1, and 0 at padding:
            int64, shape (maxlen,). None for other rows.
    """

    row: int
    length: int
    values: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_]
    cut: int = 0
    cut_first: bool = False
    cut_at: int = 0
    segments: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Inspection(ShownInNotebooks):
    """The result of `inspect_file`.

    Args:
        name: name of the input.
        column: name of the inspected column.
        padded: whether the input is already padded.
        stats: number of rows of each length.
        shown: requested rows, with their masks.
        plans: cost of each candidate plan.
        health: violations of the data rules.
        advice: recommended plan, with the reasons and the command.
        shared: token that most raw rows share at the truncated end; None if there is none.
        sampled: whether the shown rows are a random sample of all rows.
        notes: facts about the files, such as files that were not read.
        packed: statistics of packed rows; None for other rows, or if no column separates their sequences.
        buckets: rows and tokens of each bucket; empty if the rows are not in buckets.
        widths: rows and tokens of each length of padded rows; empty for raw input.
        padding: side of the padding of padded rows; None if it is unknown.
        adviser: finds the cost and the command of another maxlen; None if the rows must be restored first.
        is_packed: whether the rows are packed.
        unit: name of an element of a sequence: `"token"`, or `"step"` for floats and vectors.
        bad_rows: number of rows that cannot be read or padded. The statistics and plans leave them out.
    """

    name: str
    column: str
    padded: bool
    stats: LengthStats
    shown: Sequence[ShownRow]
    plans: Sequence[Cost]
    health: Sequence[Finding]
    advice: Advice
    shared: SharedEnd | None = None
    sampled: bool = False
    notes: Sequence[str] = ()
    packed: PackedStats | None = None
    buckets: Sequence[BucketRows] = ()
    widths: Sequence[BucketRows] = ()
    padding: Side | None = None
    adviser: Adviser | None = field(default=None, repr=False)
    is_packed: bool = False
    unit: str = "token"
    bad_rows: int = 0

    def describe(self) -> str:
        """Return a text with the numbers of rows and tokens, the column, and `raw`, `padded` or `packed`."""
        state = "packed" if self.is_packed else "padded" if self.padded else "raw"
        rows, tokens = count(self.stats.rows, "row"), count(self.stats.tokens, self.unit)
        bad = f", without {count(self.bad_rows, 'bad row')}" if self.bad_rows else ""
        return f"{rows}, {tokens} in {self.column!r} ({state}){bad}"

    def lengths(self) -> dict[str, int | float]:
        """Return statistics of the row lengths in tokens: extremes, mean, percentiles, and empty rows."""
        stats = self.stats
        percentiles = {f"p{percent}": stats.percentile(percent) for percent in LENGTH_PERCENTILES}
        return {
            "min": min(stats.counts, default=0),
            "median": stats.percentile("50"),
            "mean": stats.tokens / stats.rows if stats.rows else 0.0,
            **percentiles,
            "max": stats.longest,
            "empty": stats.counts.get(0, 0),
        }

    def histogram(self) -> list[dict[str, int]]:
        """Return a histogram of the row lengths. Each bin is twice as wide as the previous bin."""
        bins: dict[tuple[int, int], int] = {}
        top = self.stats.longest.bit_length() if self.stats.rows else -1
        for bit in range(top + 1):
            bins[(1 << bit) >> 1, (1 << bit) - 1] = 0
        for length, rows in self.stats.counts.items():
            bit = length.bit_length()
            bins[(1 << bit) >> 1, (1 << bit) - 1] += rows
        return [{"low": low, "high": high, "rows": rows} for (low, high), rows in bins.items()]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a dict with the structure that `inspect --json` prints."""
        return {
            "rows": self.stats.rows,
            "tokens": self.stats.tokens,
            "bad_rows": self.bad_rows,
            "column": self.column,
            "padded": self.padded,
            "packed": None if self.packed is None else self.packed.as_dict(),
            "buckets": [bucket.as_dict() for bucket in self.buckets],
            "lengths": self.lengths(),
            "histogram": self.histogram(),
            "masks": [
                {"row": shown.row, "length": shown.length, "cut": shown.cut, "mask": shown.mask.tolist()}
                for shown in self.shown
            ],
            "plans": [cost.as_dict() for cost in self.plans],
            "health": [finding.as_dict() for finding in self.health],
            "shared_end": None if self.shared is None else self.shared.as_dict(),
            "recommended": self.advice.as_dict(),
            "advice": str(self.advice),
            "notes": list(self.notes),
            "warnings": warnings_in(self.notes),
        }
