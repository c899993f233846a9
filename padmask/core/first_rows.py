"""`FirstRows`: row lengths and masks of the first rows of an input.

These rows determine which columns are padded together, and whether a mask marks padding. The number of rows
is fixed, so the result is the same for every format and batch size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import (
    Flags,
    is_list,
    is_mask,
    list_lengths,
    null_flags,
    null_token_rows,
    without_wrappers,
)
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import SharedEnds

# Number of rows that are read to choose the columns and the mask.
FIRST_ROWS = 1000


@dataclass(frozen=True)
class FirstRows:
    """Row lengths and masks of the first rows of an input.

    >>> rows = FirstRows.of([pa.record_batch({"ids": [[7, 8], [9, 0]], "mask": [[1, 1], [1, 0]]})])
    >>> rows.have_same_lengths("ids", "mask"), rows.show_padding("mask", "ids")
    (True, True)

    Args:
        lengths: by list column, the length of each row, int64, shape (rows,); -1 for null or for a row with
            a null token.
        zeros: by column that may be a mask, whether each row contains a 0, bool, shape (rows,).
        ones: names of the columns that may be masks and contain only 1.
        ends: by list column, the tokens that most rows start and end with.
    """

    lengths: Mapping[str, Positions]
    zeros: Mapping[str, Flags]
    ones: Collection[str] = ()
    ends: Mapping[str, SharedEnds] = field(default_factory=dict)

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> FirstRows:
        """Return the lengths and masks of the first `FIRST_ROWS` rows in the batches."""
        lengths: dict[str, list[Positions]] = {}
        zeros: dict[str, list[Flags]] = {}
        others: set[str] = set()
        columns: dict[str, list[pa.Array]] = {}
        left = FIRST_ROWS
        for batch in batches:
            part = batch.slice(0, left)
            for name, column in zip(part.schema.names, part.columns, strict=True):
                if not is_list(column.type):
                    continue
                rows = _known_lengths(column)
                lengths.setdefault(name, []).append(rows)
                columns.setdefault(name, []).append(column)
                if is_mask(column.type):
                    flags, only_ones = _judge(column, rows >= 0)
                    zeros.setdefault(name, []).append(flags)
                    others |= set() if only_ones else {name}
            left -= part.num_rows
            if left <= 0:
                break
        return cls(
            {name: np.concatenate(parts) for name, parts in lengths.items()},
            {name: np.concatenate(parts) for name, parts in zeros.items()},
            zeros.keys() - others,
            {name: SharedEnds.of(parts) for name, parts in columns.items()},
        )

    def have_same_lengths(self, first: str, other: str) -> bool:
        """Return whether two columns have the same length in each row where neither column is null."""
        if first not in self.lengths or other not in self.lengths:
            return False
        lengths, others = self.lengths[first], self.lengths[other]
        both = (lengths >= 0) & (others >= 0)
        return bool(both.any() and (lengths[both] == others[both]).all())

    def have_one_length(self, name: str) -> bool:
        """Return whether all rows of a column have the same length."""
        known = self.lengths[name][self.lengths[name] >= 0]
        return bool((known == known[:1]).all())

    def have_tokens(self, name: str) -> bool:
        """Return whether any row of a column has a token."""
        return name in self.lengths and bool((self.lengths[name] > 0).any())

    def show_padding(self, mask: str, column: str) -> bool:
        """Return whether a mask contains a 0 in a row where the mask is as long as the row of a column."""
        if mask not in self.zeros or column not in self.lengths:
            return False
        return bool((self.zeros[mask] & (self.lengths[mask] == self.lengths[column])).any())

    def are_ones(self, mask: str, column: str) -> bool:
        """Return whether a mask contains only ones, and is as long as a column in each row."""
        return mask in self.ones and self.have_same_lengths(column, mask)


def _known_lengths(column: pa.Array) -> Positions:
    """Return the length of each row, -1 for a row that is null or contains a null token.

    The reader of JSON Lines returns a null row for both, so all formats agree.
    """
    unknown = null_flags(without_wrappers(column)) | null_token_rows(column)
    known: Positions = np.where(unknown, -1, list_lengths(column)[0])
    return known


def _judge(column: pa.Array, known: Flags) -> tuple[Flags, bool]:
    """Return which of the known rows of a mask contain a 0, and whether all values of these rows are 1."""
    mask, faults = Ragged.from_mask(column)
    seen = np.concatenate([[0], np.cumsum(mask.values == 0)])
    flags: Flags = (seen[mask.starts + mask.lengths] > seen[mask.starts]) & known
    return flags, not flags.any() and not any(known[fault.row] for fault in faults)
