"""`FirstRows`: row lengths and masks of the first rows of an input.

These rows determine which columns are padded together, and whether a mask marks padding. The number of rows
is fixed, so the result is the same for every format and batch size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import (
    Flags,
    is_list,
    is_mask,
    list_lengths,
    null_flags,
    null_token_rows,
    token_type,
    without_wrappers,
)
from padmask.core.counted_positions import are_counted
from padmask.core.dialects import ADDITIVE, usual_dialect
from padmask.core.mask_segments import read_mask
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import SharedEnds
from padmask.spec.mask import POSITION_IDS, Dialect

# Number of rows that are read to choose the columns and the mask.
FIRST_ROWS = 1000

# Share of the first rows in which a companion must have the lengths of the ids. In the other rows, the length
# is probably an error. Labels of another sequence, such as a translation, have equal lengths in fewer rows.
MIN_EQUAL_SHARE = 0.9

# If at least this share of the lengths are equal, the other lengths are probably errors. If fewer lengths are
# equal, the two columns probably contain different sequences.
MIN_MISALIGNED_SHARE = 0.5


@dataclass(frozen=True)
class FirstRows:
    """Row lengths and masks of the first rows of an input.

    >>> rows = FirstRows.of([pa.record_batch({"ids": [[7, 8], [9, 0]], "mask": [[1, 1], [1, 0]]})])
    >>> rows.have_same_lengths("ids", "mask"), rows.show_padding("mask", "ids")
    (True, True)

    Args:
        lengths: row lengths of each list column, keyed by column name: int64, shape (rows,). A length is -1
            if the row is null or contains a null token.
        zeros: whether each row contains padding, for each column that may be a mask, keyed by column
            name: bool, shape (rows,). The polarity and the kind of the mask determine which values mark
            padding.
        ones: names of the columns that may be masks and contain only real tokens.
        empty: names of the columns whose rows are all null.
        real: start and number of the real tokens in each row, for each column that may be a mask, keyed by
            column name: int64, shape (rows, 2). A column is included only if all its values are valid in a
            mask, and no row has padding at both ends or between real tokens.
        ends: tokens that most rows of a list column start and end with, keyed by column name.
        additive: names of the columns that have the values of an additive mask: 0 at real tokens, and large
            negative numbers at padding. At least one value is negative.
        counted: names of the columns whose rows contain the positions 0, 1, 2, ...
    """

    lengths: Mapping[str, Positions]
    zeros: Mapping[str, Flags]
    ones: Collection[str] = ()
    empty: Collection[str] = ()
    real: Mapping[str, Positions] = field(default_factory=dict)
    ends: Mapping[str, SharedEnds] = field(default_factory=dict)
    additive: Collection[str] = ()
    counted: Collection[str] = ()

    @classmethod
    def of(
        cls, batches: Iterable[pa.RecordBatch], dialects: Mapping[str, Dialect] | None = None
    ) -> FirstRows:
        """Return the lengths and masks of the first `FIRST_ROWS` rows in the batches.

        Args:
            batches: batches of rows.
            dialects: polarity and kind of masks, keyed by column name. For masks that are not in this dict,
                the column name determines both. A column with the values of an additive mask is always read
                as an additive mask.
        """
        columns: dict[str, list[pa.Array]] = {}
        left = FIRST_ROWS
        for batch in batches:
            part = batch.slice(0, left)
            for name, column in zip(part.schema.names, part.columns, strict=True):
                if is_list(column.type):
                    columns.setdefault(name, []).append(column)
            left -= part.num_rows
            if left <= 0:
                break
        known = {name: (dialects or {}).get(name) or usual_dialect(name) for name in columns}
        masks = {name: rows for name, parts in columns.items() if (rows := _additive_rows(parts)) is not None}
        additive = frozenset(masks)
        masks |= {
            name: _MaskRows.of(parts, known[name])
            for name, parts in columns.items()
            if name not in additive and _may_be_mask(parts, known[name])
        }
        return cls(
            {name: np.concatenate(list(map(_valid_lengths, parts))) for name, parts in columns.items()},
            {name: mask.zeros for name, mask in masks.items()},
            {name for name, mask in masks.items() if mask.ones},
            {name for name, parts in columns.items() if all(map(_is_empty, parts))},
            {name: mask.real for name, mask in masks.items() if mask.real is not None},
            {name: SharedEnds.of(parts) for name, parts in columns.items()},
            additive,
            {
                name
                for name, parts in columns.items()
                if name == POSITION_IDS and all(map(are_counted, parts))
            },
        )

    def have_same_lengths(self, first: str, other: str) -> bool:
        """Return whether two columns have the same length in each row. Null rows are ignored."""
        equal = self._equal_lengths(first, other)
        return bool(len(equal) and equal.all())

    def have_similar_lengths(self, first: str, other: str) -> bool:
        """Return whether two columns have the same length in nearly all rows. Null rows are ignored.

        >>> lists = {"ids": [[7, 8]] * 10, "labels": [[0, 1]] * 9 + [[0]], "other": [[0, 1]] * 8 + [[0]] * 2}
        >>> rows = FirstRows.of([pa.record_batch(lists)])
        >>> rows.have_similar_lengths("ids", "labels"), rows.have_similar_lengths("ids", "other")
        (True, False)
        """
        equal = self._equal_lengths(first, other)
        return bool(len(equal) and equal.mean() >= MIN_EQUAL_SHARE)

    def are_misaligned(self, first: str, other: str) -> bool:
        """Return whether two columns have the same length in most rows, but not in nearly all rows.

        >>> lists = {"ids": [[7, 8]] * 10, "labels": [[0, 1]] * 8 + [[0]] * 2}
        >>> FirstRows.of([pa.record_batch(lists)]).are_misaligned("ids", "labels")
        True
        """
        equal = self._equal_lengths(first, other)
        return bool(len(equal) and MIN_MISALIGNED_SHARE <= equal.mean() < MIN_EQUAL_SHARE)

    def count_unequal(self, first: str, other: str) -> tuple[int, int]:
        """Return in how many rows two columns differ in length, and how many rows were compared."""
        equal = self._equal_lengths(first, other)
        return int((~equal).sum()), len(equal)

    def _equal_lengths(self, first: str, other: str) -> Flags:
        """Return whether the lengths are equal, for each row in which both columns are not null."""
        if first not in self.lengths or other not in self.lengths:
            return np.zeros(0, dtype=bool)
        lengths, others = self.lengths[first], self.lengths[other]
        both = (lengths >= 0) & (others >= 0)
        equal: Flags = lengths[both] == others[both]
        return equal

    def have_one_length(self, name: str) -> bool:
        """Return whether all rows of a column have the same length."""
        known = self.lengths[name][self.lengths[name] >= 0]
        return bool((known == known[:1]).all())

    def have_values(self, name: str) -> bool:
        """Return whether any row of a column is not null. An empty list is not null."""
        return name in self.lengths and name not in self.empty

    def have_tokens(self, name: str) -> bool:
        """Return whether any row of a column has a token."""
        return name in self.lengths and bool((self.lengths[name] > 0).any())

    def show_padding(self, mask: str, column: str) -> bool:
        """Return whether some row of a mask marks padding and is as long as the same row of `column`."""
        if mask not in self.zeros or column not in self.lengths:
            return False
        return bool((self.zeros[mask] & (self.lengths[mask] == self.lengths[column])).any())

    def mark_other_padding(self, other: str, mask: str | None) -> bool:
        """Return whether a column may be a mask whose padding differs from the padding in `mask`.

        Args:
            other: name of the column.
            mask: name of the mask; None if there is no mask to compare with.
        """
        if other not in self.real or not self.real[other][:, 1].any():
            return False
        if mask is None or mask not in self.real:
            return True
        both = (self.lengths[mask] >= 0) & (self.lengths[other] >= 0)
        return bool((self.real[mask] != self.real[other])[both].any())

    def are_ones(self, mask: str, column: str) -> bool:
        """Return whether a mask contains only ones, and is as long as `column` in nearly all rows."""
        return mask in self.ones and self.have_similar_lengths(column, mask)

    def are_counted(self, positions: str, column: str) -> bool:
        """Return whether `positions` are 0, 1, 2, ..., and are as long as `column` in nearly all rows."""
        return positions in self.counted and self.have_similar_lengths(column, positions)


def _may_be_mask(parts: Sequence[pa.Array], dialect: Dialect) -> bool:
    """Return whether a column may be a mask.

    Most float columns contain features, and checking all their rows takes long. A float column is therefore
    rejected if its first row is not a mask.
    """
    if not all(is_mask(part.type) for part in parts):
        return False
    row = next((part.slice(0, 1) for part in parts if len(part)), None)
    if row is None or row.null_count or not pat.is_floating(token_type(row.type)):
        return True
    return not Ragged.from_mask(row, dialect)[1]


def _additive_rows(parts: Sequence[pa.Array]) -> _MaskRows | None:
    """Read a column as an additive mask. Return None if the column has other values or no padding."""
    if not all(is_mask(part.type) and not pat.is_boolean(token_type(part.type)) for part in parts):
        return None
    row = next((part.slice(0, 1) for part in parts if len(part)), None)
    # Most columns contain tokens or features, so their first row is enough.
    if row is None or not (row.null_count or _MaskRows.of([row], ADDITIVE).valid):
        return None
    rows = _MaskRows.of(parts, ADDITIVE)
    return rows if rows.valid and rows.zeros.any() else None


def _valid_lengths(column: pa.Array) -> Positions:
    """Return the length of each row. The length is -1 if the row is null or contains a null token.

    The JSON Lines reader replaces a row that contains a null token with a null row. So that all formats have
    the same result, both kinds of rows have the length -1.
    """
    invalid = null_flags(without_wrappers(column)) | null_token_rows(column)
    lengths: Positions = np.where(invalid, -1, list_lengths(column)[0])
    return lengths


def _is_empty(column: pa.Array) -> bool:
    return bool(null_flags(without_wrappers(column)).all())


@dataclass(frozen=True)
class _MaskRows:
    """The properties of the rows of one column that may be a mask.

    Args:
        zeros: whether each row contains padding.
        valid: whether all values are allowed in a mask of the dialect with which the column is read.
        real: the start and the number of the real tokens in each row: int64, shape (rows, 2). None if a value
            is not valid, or a row has padding at both ends or between real tokens.
    """

    zeros: Flags
    valid: bool
    real: Positions | None

    @property
    def ones(self) -> bool:
        """Whether all rows are valid and contain only real tokens."""
        return self.valid and not self.zeros.any()

    @classmethod
    def of(cls, parts: Iterable[pa.Array], dialect: Dialect) -> _MaskRows:
        return reduce(cls._add, (cls._of_part(part, dialect) for part in parts))

    @classmethod
    def _of_part(cls, column: pa.Array, dialect: Dialect) -> _MaskRows:
        valid = _valid_lengths(column) >= 0
        mask, odd = Ragged.from_mask(column, dialect)
        segments, broken = read_mask(mask)
        seen = np.concatenate([[0], np.cumsum(mask.values == 0)])
        zeros: Flags = (seen[mask.starts + mask.lengths] > seen[mask.starts]) & valid
        is_valid = not any(valid[fault.row] for fault in odd)
        has_runs = is_valid and not any(valid[fault.row] for fault in broken)
        real = np.stack([segments.starts, segments.counts], axis=1) if has_runs else None
        return cls(zeros, is_valid, real)

    def _add(self, later: _MaskRows) -> _MaskRows:
        both = None if self.real is None or later.real is None else np.concatenate([self.real, later.real])
        return _MaskRows(np.concatenate([self.zeros, later.zeros]), self.valid and later.valid, both)
