"""Counts of rows and tokens read, written and lost; counts add up over batches, shards and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Ledger:
    """Counts of rows and tokens; two ledgers add up field by field.

    >>> (Ledger(rows_read=2, rows_written=2) + Ledger(rows_read=1, rows_dropped=1)).rows_read
    3

    Args:
        rows_read: rows of the input, up to `--limit`.
        rows_written: rows of the output.
        rows_dropped: left out as asked: overlong or empty rows.
        rows_rejected: left out because they could not be padded (`--on-error skip`).
        rows_truncated: written rows that lost tokens.
        rows_empty: written rows without a token, whose mask is False throughout.
        tokens_read: tokens of the rows that could be read.
        tokens_kept: real tokens in the output.
        labels_lost: labels other than -100 that were cut off.
        places: of the rows that were written, padded as they are or were: rows_written times maxlen.
    """

    rows_read: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    rows_rejected: int = 0
    rows_truncated: int = 0
    rows_empty: int = 0
    tokens_read: int = 0
    tokens_kept: int = 0
    labels_lost: int = 0
    places: int = 0

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def tokens_lost(self) -> int:
        """Tokens that were cut off or stood in dropped rows."""
        return self.tokens_read - self.tokens_kept

    @property
    def padding_share(self) -> float:
        """Share of the places that are padding, a fraction of 1."""
        return 1 - self.tokens_kept / self.places if self.places else 0.0

    @property
    def balanced(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.rows_read == self.rows_written + self.rows_dropped + self.rows_rejected

    def as_dict(self) -> dict[str, Any]:
        """Return all counts and shares, ready for JSON."""
        counts = asdict(self)
        places = counts.pop("places")
        return counts | {
            "tokens_lost": self.tokens_lost,
            "padding_share": self.padding_share,
            "places": places,
        }


@dataclass(frozen=True)
class PadResult:
    """What `pad_file` did.

    Args:
        ledger: the counts.
        maxlen: places in every row.
        maxlen_found: `"given"`, `"longest"` or a percentile such as `"p95"`.
        maxlen_exact: the length that was found, before it was rounded up to a multiple.
        padding: the side of the padding.
        columns: the padded columns.
        unpadded: columns that have the same lengths as the padded ones but were left as they
            are, with the command line's flags that would pad them too.
        notes: sentences about what else the user should know.
        shards: files of the output, where it is a folder.
        resumed: those of them that an earlier run had done.
        faults: of files that could not be read and were left out, as asked.
    """

    ledger: Ledger
    maxlen: int
    maxlen_found: str
    maxlen_exact: int
    padding: str
    columns: tuple[str, ...]
    unpadded: dict[str, str]
    notes: tuple[str, ...] = ()
    shards: int = 0
    resumed: int = 0
    faults: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report that `--report` writes."""
        rest = asdict(self)
        del rest["ledger"]
        return self.ledger.as_dict() | rest


@dataclass(frozen=True)
class UnpadResult:
    """What `unpad_file` did.

    Args:
        ledger: the counts; its places are those of the rows that were written, as they were padded.
        columns: from which the padding was taken.
        mask_column: that told it from the tokens, None where lengths alone did.
        length_column: of the rows' lengths, where there is one.
        still_padded: columns that have as many places as these in every row but were left as they are,
            with the command line's flags that would unpad them too.
        notes: sentences about what else the user should know.
    """

    ledger: Ledger
    columns: tuple[str, ...]
    mask_column: str | None
    length_column: str | None
    still_padded: dict[str, str]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report that `--report` writes."""
        counts = self.ledger.as_dict()
        names = ("rows_read", "rows_written", "rows_rejected", "rows_empty", "tokens_kept")
        rest = asdict(self)
        del rest["ledger"]
        return {name: counts[name] for name in (*names, "padding_share", "places")} | rest
