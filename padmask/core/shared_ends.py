"""Find the token that most rows start or end with, such as `[CLS]`, `[SEP]` or an end-of-text token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import is_sequence, is_vectors, kind_of
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

# Tokens of one dtype, shape (rows,).
Tokens = npt.NDArray[Any]


@dataclass(frozen=True)
class SharedEnds:
    """The tokens that most rows share at the start and at the end.

    >>> rows = pa.array([[101, 7, 102], [101, 8, 9, 102], [101, 5]])
    >>> SharedEnds.of([rows])
    SharedEnds(first=101, last=102)

    Args:
        first: token that more than half of the rows start with; None if there is no such token.
        last: token that more than half of the rows end with; None if there is no such token.
    """

    first: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, parts: list[pa.Array]) -> SharedEnds:
        """Find the tokens that most rows share at their ends. Rows without tokens are ignored.

        Args:
            parts: lists of integers. Lists of other types are ignored.
        """
        rows = [Ragged.from_arrow(part)[0] for part in parts if _has_integers(part.type)]
        real = [ragged.select(ragged.lengths > 0) for ragged in rows]
        firsts, lasts = zip(*map(end_tokens, real), strict=True) if real else ((), ())
        return cls(_shared(firsts), _shared(lasts))

    @classmethod
    def of_tokens(cls, firsts: Tokens, lasts: Tokens) -> SharedEnds:
        """Return the shared tokens of rows, given the first and the last token of each row."""
        return cls(_shared([firsts]), _shared([lasts]))

    def cut_at(self, truncating: Side) -> int | None:
        """Return the shared token that truncation on this side cuts off first."""
        return self.last if truncating == "post" else self.first


def _has_integers(type_: pa.DataType) -> bool:
    return is_sequence(type_) and not is_vectors(type_) and kind_of(type_) == "int"


def end_tokens(rows: Ragged) -> tuple[Tokens, Tokens]:
    """Return the first and the last token of each row. All rows must have tokens."""
    return rows.values[rows.starts], rows.values[rows.starts + rows.lengths - 1]


def _shared(parts: Sequence[Tokens]) -> int | None:
    """Return the token that most rows share; None if there is no such token, or if there is only one row."""
    tokens = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    if len(tokens) < 2:
        return None
    values, counts = np.unique(tokens, return_counts=True)
    most = int(counts.argmax())
    return int(values[most]) if counts[most] * 2 > len(tokens) else None
