"""Read sequence lengths and row lengths from the first rows of input that may be packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags, is_list, list_lengths
from padmask.core.columns import COMPANIONS
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.packed_spans import Marker, NumberLists, find_spans
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.spec.pack import ID_NAMES

# Numbers that stand for the length of a value that is not a list, and of a value that is null or missing.
NO_LIST, ABSENT = -1, -2


class HeadRows(Protocol):
    """The first rows of input that may be packed."""

    def values(self, name: str, limit: int = FIRST_ROWS) -> pa.Array:
        """Return the first values of a column. Values other than lists of integers or bools become null."""

    def lengths(self) -> Mapping[str, Sequence[int]]:
        """Return the length of the value in each row, keyed by column name.

        The length is `NO_LIST` for a value that is not a list, and `ABSENT` for a value that is null or
        missing.
        """


@dataclass(frozen=True)
class TableHead:
    """The first rows of an input whose columns have types. The columns have unique names.

    >>> head = TableHead([pa.record_batch({"ids": [[7, 8]], "split": ["a"]})])
    >>> head.lengths()
    {'ids': [2], 'split': [-1]}

    Args:
        batches: rows with all columns.
    """

    batches: Iterable[pa.RecordBatch]

    @cached_property
    def _parts(self) -> list[pa.RecordBatch]:
        parts, rows = [], 0
        for batch in self.batches:
            parts.append(batch.slice(0, FIRST_ROWS - rows))
            rows += parts[-1].num_rows
            if rows >= FIRST_ROWS:
                break
        return parts

    def values(self, name: str, limit: int = FIRST_ROWS) -> pa.Array:
        """Return the first values of a column, or nulls if the column is missing. See `HeadRows`."""
        there = [part.column(name) for part in self._parts if name in part.schema.names]
        rows = sum(part.num_rows for part in self._parts)
        values = pa.concat_arrays(there) if there else pa.nulls(rows, pa.list_(pa.int64()))
        return values.slice(0, limit)

    def lengths(self) -> Mapping[str, Sequence[int]]:
        """Return the length of the value in each row. See `HeadRows`."""
        found: dict[str, list[int]] = {}
        for part in self._parts:
            for name, column in zip(part.schema.names, part.columns, strict=True):
                found.setdefault(name, []).extend(value_lengths(column))
        return found


@dataclass(frozen=True)
class PackedHead:
    """The lengths of the sequences, and the row lengths of all columns, in the first rows.

    >>> rows = pa.record_batch({"ids": [[5, 6, 7, 0]], "name": [["a", "b"]], "seq_lengths": [[2, 1]]})
    >>> head = PackedHead.of(TableHead([rows]), Marker("seq_lengths"))
    >>> head.are_packed("ids"), head.are_fields("name")
    (True, True)

    Args:
        totals: for each row, the smallest number of positions that its sequences need: int64, shape (rows,).
        sizes: number of sequences in each row: int64, shape (rows,).
        lengths: length of the value in each row, keyed by column name, as returned by `HeadRows.lengths`:
            int64, shape (rows,).
    """

    totals: Positions
    sizes: Positions
    lengths: Mapping[str, Positions] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: HeadRows, marker: Marker, mask: Ragged | None = None) -> PackedHead:
        """Return the lengths in the first rows. Rows that `marker` cannot divide into sequences are left out.

        Args:
            rows: the first rows.
            marker: column that separates the sequences.
            mask: 1 at real tokens; None if there is no mask.
        """
        lengths = {name: np.array(values, dtype=np.int64) for name, values in rows.lengths().items()}
        lists = NumberLists.of(rows.values(marker.column), signed=marker.is_signed)
        wrong = lists.invalid | lists.nulls
        if marker.kind == "lengths":
            totals, sizes = sums_by_row(lists.flat(), lists.sizes), lists.sizes
        else:
            spans = find_spans(marker, lists, mask=mask)
            totals, sizes, wrong = np.zeros_like(spans.sizes), spans.sizes, wrong | spans.wrong
            np.maximum.at(totals, spans.rows, spans.starts + spans.lengths)
        fine = np.flatnonzero(~wrong)
        return cls(totals[fine], sizes[fine], {name: its[fine] for name, its in lengths.items()})

    def are_packed(self, name: str) -> bool:
        """Return whether most rows of a column have at least one value for each token of the sequences.

        A column with exactly one value for each sequence in all rows counts as packed only if it has the name
        of ids or of a companion, such as `labels`.
        """
        lengths = self.lengths[name]
        if not _most((lengths >= self.totals)[lengths != ABSENT]):
            return False
        is_field = bool(((lengths == self.sizes) | (lengths == ABSENT)).all())
        return name in COMPANIONS or name in ID_NAMES or not is_field

    def are_fields(self, name: str) -> bool:
        """Return whether most rows of a column have one value for each sequence."""
        lengths = self.lengths[name]
        return _most((lengths == self.sizes)[lengths != ABSENT])

    def are_alike(self, one: str, other: str) -> bool:
        """Return whether two columns have equal lengths in most rows."""
        ones, others = self.lengths[one], self.lengths[other]
        return _most((ones == others)[(ones != ABSENT) & (others != ABSENT)])


def sums_by_row(values: Positions, counts: Positions) -> Positions:
    """Return the sum of the values of each row.

    >>> sums_by_row(np.array([3, 1, 2]), np.array([2, 0, 1])).tolist()
    [4, 0, 2]

    Args:
        values: values of all rows, one row after another: int64, shape (values,).
        counts: number of values of each row: int64, shape (rows,).
    """
    total = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(counts)
    sums: Positions = total[ends] - total[ends - counts]
    return sums


def _most(flags: Flags) -> bool:
    """Return whether at least half of the rows, and at least one row, are flagged.

    A few bad rows do not change how the other rows are read. Later checks report the bad rows.
    """
    return bool(flags.any()) and 2 * int(flags.sum()) >= len(flags)


def value_lengths(column: pa.Array) -> list[int]:
    """Return the length of the value in each row of a column. See `HeadRows.lengths`.

    >>> value_lengths(pa.array([[7, 8], None]))
    [2, -2]
    """
    if not is_list(column.type):
        return [NO_LIST] * len(column)
    lengths, nulls = list_lengths(column)
    found = np.array(lengths)
    found[[fault.row for fault in nulls]] = ABSENT
    return [int(length) for length in found]
