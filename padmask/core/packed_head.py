"""The lengths of the sequences and of all values in the first rows of input that may be packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags, is_list, list_lengths
from padmask.core.columns import COMPANIONS
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.plan import Positions
from padmask.spec.pack import SEQUENCE_LENGTHS

# Lengths of values that are not lists, and of values that are null or missing.
NO_LIST, ABSENT = -1, -2

# Usual names of columns of tokens.
USUAL_TOKENS = ("input_ids", "tokens")


@dataclass(frozen=True)
class PackedHead:
    """The lengths of the sequences and of all values in the first rows.

    >>> head = PackedHead.of([[2, 1]], {"ids": [4], "name": [2], "split": [NO_LIST]})
    >>> head.are_packed("ids"), head.are_fields("name"), head.are_fields("split")
    (True, True, False)

    Args:
        totals: sum of the lengths of the sequences in each row: int64, shape (rows,).
        sizes: number of sequences in each row: int64, shape (rows,).
        lengths: length of the value in each row, keyed by column name: int64, shape (rows,). `NO_LIST` for a
            value that is not a list, `ABSENT` for a value that is null or missing.
    """

    totals: Positions
    sizes: Positions
    lengths: Mapping[str, Positions] = field(default_factory=dict)

    @classmethod
    def of(cls, sequences: Sequence[object], lengths: Mapping[str, Sequence[int]]) -> PackedHead | None:
        """Return the lengths of rows. Return None if they are not lists of lengths, or have no token.

        Args:
            sequences: lengths of the sequences in each row, as read. Bad rows are left out. At most half of
                the rows may be bad.
            lengths: lengths of the values in each row, keyed by column name.
        """
        valid = np.array(list(map(_are_lengths, sequences)), dtype=bool)
        lists: list[Any] = [row for row, fine in zip(sequences, valid.tolist(), strict=True) if fine]
        if not _most(valid) or not any(map(sum, lists)):
            return None
        arrays = {name: np.array(values, dtype=np.int64)[valid] for name, values in lengths.items()}
        return cls(np.array(list(map(sum, lists))), np.array(list(map(len, lists))), arrays)

    def are_packed(self, name: str) -> bool:
        """Return whether most rows of a column have as many values as the sequences have tokens, or more."""
        lengths = self.lengths[name]
        if not _most((lengths >= self.totals)[lengths != ABSENT]):
            return False
        is_field = bool(((lengths == self.sizes) | (lengths == ABSENT)).all())
        return name in COMPANIONS or name in USUAL_TOKENS or not is_field

    def are_fields(self, name: str) -> bool:
        """Return whether most rows of a column have one value for each sequence."""
        lengths = self.lengths[name]
        return _most((lengths == self.sizes)[lengths != ABSENT])

    def are_alike(self, one: str, other: str) -> bool:
        """Return whether two columns have the same length in most rows."""
        ones, others = self.lengths[one], self.lengths[other]
        return _most((ones == others)[(ones != ABSENT) & (others != ABSENT)])

    @classmethod
    def of_table(cls, batches: Iterable[pa.RecordBatch]) -> PackedHead | None:
        """Return the lengths in the first rows of batches. The columns have unique names."""
        sequences: list[object] = []
        lengths: dict[str, list[int]] = {}
        for batch in batches:
            part = batch.slice(0, FIRST_ROWS - len(sequences))
            for name, column in zip(part.schema.names, part.columns, strict=True):
                lengths.setdefault(name, []).extend(value_lengths(column))
            sequences += part.column(SEQUENCE_LENGTHS).to_pylist()
            if len(sequences) >= FIRST_ROWS:
                break
        return cls.of(sequences, lengths)


def _are_lengths(row: object) -> bool:
    return isinstance(row, list) and all(type(length) is int and length >= 0 for length in row)


def _most(flags: Flags) -> bool:
    """Return whether at least half of the rows, and at least one row, have a property.

    A few bad rows do not change how the other rows are read. They are reported later.
    """
    return bool(flags.any()) and 2 * int(flags.sum()) >= len(flags)


def value_lengths(column: pa.Array) -> list[int]:
    """Return the length of the list in each row of a column, `NO_LIST` or `ABSENT`.

    >>> value_lengths(pa.array([[7, 8], None]))
    [2, -2]
    """
    if not is_list(column.type):
        return [NO_LIST] * len(column)
    lengths, nulls = list_lengths(column)
    found = np.array(lengths)
    found[[fault.row for fault in nulls]] = ABSENT
    return [int(length) for length in found]
