"""The lengths of the sequences and of all values in the first rows of input that may be packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import is_list, list_lengths
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
        """Return the lengths of rows. Return None if a value is not a list of lengths, or there is no token.

        Args:
            sequences: lengths of the sequences in each row, as read. Null rows are left out.
            lengths: lengths of the values in each row, keyed by column name.
        """
        known = np.array([row is not None for row in sequences], dtype=bool)
        rows = [row for row in sequences if row is not None]
        lists = [row for row in rows if isinstance(row, list)]
        if len(lists) < len(rows) or not all(type(n) is int and n >= 0 for row in lists for n in row):
            return None
        if not any(map(sum, lists)):
            return None
        arrays = {name: np.array(values, dtype=np.int64)[known] for name, values in lengths.items()}
        return cls(np.array(list(map(sum, lists))), np.array(list(map(len, lists))), arrays)

    def are_packed(self, name: str) -> bool:
        """Return whether each row of a column may have one value for each position."""
        lengths = self.lengths[name]
        known = lengths != ABSENT
        if not known.any() or (lengths < self.totals)[known].any():
            return False
        return name in COMPANIONS or name in USUAL_TOKENS or not self.are_fields(name)

    def are_fields(self, name: str) -> bool:
        """Return whether each row of a column has one value for each sequence."""
        lengths = self.lengths[name]
        return bool(((lengths == self.sizes) | (lengths == ABSENT)).all())

    def are_alike(self, one: str, other: str) -> bool:
        """Return whether two columns have the same length in each row."""
        ones, others = self.lengths[one], self.lengths[other]
        return bool(((ones == others) | (ones == ABSENT) | (others == ABSENT)).all())

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
