"""Pad `PlainRows` without `Segments`.

For few rows, creating and checking `Segments` would take longer than the padding itself. For many rows that
are not truncated, writing all tokens in order takes less time than copying one window of tokens for each row,
as `pad_batch` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from padmask.core.dtypes import integers_fit
from padmask.core.fill import fill_mask, fill_rows, is_wide
from padmask.core.masks import Mask, mask_of_rows
from padmask.core.plain_rows import PlainRows
from padmask.spec.pad import PadSpec

# Maximum number of rows to truncate one by one. For more rows, `pad_batch` is faster.
_FEW_ROWS = 1 << 10


class PlainColumns(NamedTuple):
    """Padded columns that share one mask.

    Args:
        values: padded values of each column: shape (rows, maxlen).
        mask: mask of all columns: bool, shape (rows, maxlen).
        lengths: number of tokens kept in each row: int64, shape (rows,).
    """

    values: list[npt.NDArray[Any]]
    mask: Mask
    lengths: npt.NDArray[np.int64]


def pad_plain_rows(
    columns: Sequence[tuple[PlainRows, np.dtype[Any], Any]], spec: PadSpec
) -> PlainColumns | None:
    """Pad columns of plain rows together, without `Segments`. Return None if this is impossible.

    >>> rows = PlainRows([np.array([7, 8, 9])], [2, 1])
    >>> pad_plain_rows([(rows, np.dtype("int32"), 0)], PadSpec()).values
    [array([[7, 8],
           [9, 0]], dtype=int32)]
    >>> pad_plain_rows([(rows, np.dtype("int32"), 0)], PadSpec(maxlen="p50"))

    Args:
        columns: rows, dtype and pad value of each column. There is at least one column, and the pad values
            fit the dtypes.
        spec: how to pad.

    Returns:
        The padded columns. None if maxlen is a percentile, the columns have different lengths, or it is not
        certain that all values fit the dtype. If a row is longer than maxlen, the result is also None if
        there are more than 1,024 rows, kept ends or windows.
    """
    lengths = columns[0][0].lengths
    longest = max(lengths)
    maxlen = spec.maxlen
    if isinstance(maxlen, str):
        if maxlen != "longest":
            return None
        maxlen = spec.round_up(longest)
    if maxlen < longest and (len(lengths) > _FEW_ROWS or spec.keep_first or spec.keep_last or spec.windows):
        return None
    # If the dtype differs, all tokens are checked in one step. Therefore, they are joined first.
    columns = [(rows if rows.dtype == dtype else rows.join(), dtype, value) for rows, dtype, value in columns]
    for rows, dtype, _ in columns:
        if rows.lengths != lengths or not _fits(rows, dtype):
            return None
    if maxlen < longest:
        columns = [(rows.truncate(maxlen, spec.truncating), dtype, value) for rows, dtype, value in columns]
        lengths = columns[0][0].lengths
    kept = np.array(lengths)
    mask = mask_of_rows(kept, maxlen, spec.padding)
    values = [
        fill_rows(rows.split(), lengths, mask.shape, spec.padding, value, dtype)
        if is_wide(maxlen, joined=len(rows.parts) == 1)
        else fill_mask(mask, rows.values, value, dtype)
        for rows, dtype, value in columns
    ]
    return PlainColumns(values, mask, kept)


def _fits(rows: PlainRows, dtype: np.dtype[Any]) -> bool:
    """Return whether all tokens certainly fit a dtype."""
    found = rows.dtype
    if found == dtype:
        return True
    return found.kind in "iu" and dtype.kind in "iu" and integers_fit(rows.values, dtype)
