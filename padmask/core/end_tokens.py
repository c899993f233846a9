"""Add an end token to rows that do not end with this token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.dtypes import integer_dtype, integer_limits
from padmask.core.kernel import take_runs
from padmask.core.plan import Positions, Segments
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.spec.pad import INTEGER_DTYPES, Side


def check_end_token(columns: Sequence[PadColumn], token: int) -> None:
    """Raise an error if an end token cannot be added to the rows of these columns.

    >>> try:
    ...     check_end_token([PadColumn("ids", "int", "int16", 0)], 40_000)
    ... except SpecError as error:
    ...     error.options
    ('eos', 'dtype')

    Args:
        columns: columns that are packed together. The first column contains the tokens.
        token: the end token.

    Raises:
        SpecError: the tokens are not integers, or the token does not fit the dtype of the tokens or labels.
    """
    ids = columns[0]
    if ids.dtype not in INTEGER_DTYPES or ids.inner is not None:
        tokens = "vectors" if ids.inner is not None else f"tokens of dtype {ids.dtype}"
        raise SpecError(
            f"An end token is an integer, but column {ids.name!r} contains {tokens}. Remove `eos`.",
            options=["eos"],
        )
    for column in columns:
        if (column is ids or is_label(column)) and token > integer_limits(column.dtype)[1]:
            raise SpecError(
                f"The end token {token} does not fit {column.dtype}, the dtype of column {column.name!r}. "
                f"Use another token, or the dtype {integer_dtype(token)}.",
                options=["eos", "dtype"],
            )


def add_end_tokens(
    rows: Mapping[str, Ragged], columns: Sequence[PadColumn], token: int
) -> tuple[dict[str, Ragged], Flags]:
    """Append the end token to rows that do not end with this token. Append values to the other columns.

    >>> ids = Ragged(np.array([5, 2, 6]), np.array([0, 2]), np.array([2, 1]))
    >>> rows, added = add_end_tokens({"ids": ids}, [PadColumn("ids", "int", "int32", 0)], 2)
    >>> rows["ids"].values.tolist(), rows["ids"].lengths.tolist(), added.tolist()
    ([5, 2, 6, 2], [2, 2], [False, True])

    Args:
        rows: rows of each column. All columns have the same lengths.
        columns: the columns. The first column contains the tokens.
        token: the end token.

    Returns:
        The rows of each column, and whether each row got the token: bool, shape (rows,). Rows without
        tokens stay empty.

    The label of the added token is the token itself, or -100 if the previous label is -100. A
    `special_tokens_mask` gets a 1, and `position_ids` continue. Other columns repeat their last value.
    """
    ids = rows[columns[0].name]
    filled = ids.lengths > 0
    lasts = np.where(filled, ids.starts + ids.lengths - 1, 0)
    lacking = filled.copy()
    lacking[filled] = ids.values[lasts[filled]] != token
    if not lacking.any():
        return dict(rows), lacking
    extended = {
        column.name: _extend(rows[column.name], lacking, _end_value(column, column is columns[0], token))
        for column in columns
    }
    return extended, lacking


def rows_without_end(segments: Segments, truncating: Side) -> Positions:
    """Return the source rows whose last token was truncated.

    If `truncating` is `"pre"`, return the source rows whose first token was truncated. Rows without tokens
    are never returned.

    Returns:
        Indices of source rows: int64, shape (rows,).
    """
    sources = np.arange(len(segments.counts)) if segments.sources is None else segments.sources
    lengths = segments.source_lengths
    reached = segments.starts + segments.counts == lengths[sources]
    kept = np.zeros(len(lengths), dtype=bool)
    kept[sources[(reached if truncating == "post" else segments.starts == 0) & (segments.counts > 0)]] = True
    return np.flatnonzero(~kept & (lengths > 0))


# Returns the values of a column at the added tokens, given the last value of each row.
_EndValue = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def _end_value(column: PadColumn, is_ids: bool, token: int) -> _EndValue:
    """Return the function that computes the values of a column at the added tokens."""
    if is_ids:
        return lambda last: np.full(last.shape, token, dtype=_type_with(last.dtype, token))
    if is_label(column):
        return lambda last: np.where(
            last == IGNORED_LABEL, last, np.array(token, dtype=_type_with(last.dtype, token))
        )
    if column.name == "special_tokens_mask":
        return np.ones_like
    if column.name == "position_ids":
        return lambda last: last + 1
    return lambda last: last


def _type_with(dtype: np.dtype[Any], token: int) -> np.dtype[Any]:
    """Return an integer dtype that holds the values of `dtype` and the token."""
    least = np.min_scalar_type(token if dtype.kind == "u" else -token - 1)
    return np.promote_types(dtype, least)


def _extend(rows: Ragged, lacking: npt.NDArray[np.bool_], end_value: _EndValue) -> Ragged:
    """Append a value to each row that lacks the end token (True in `lacking`)."""
    lengths: Positions = rows.lengths + lacking
    starts = np.cumsum(lengths) - lengths
    ends = (starts + lengths - 1)[lacking]
    added = end_value(rows.values[(rows.starts + rows.lengths - 1)[lacking]])
    values = np.empty(
        (int(lengths.sum()), *rows.values.shape[1:]), dtype=np.promote_types(rows.values.dtype, added.dtype)
    )
    old = np.ones(len(values), dtype=bool)
    old[ends] = False
    values[old] = take_runs(rows.values, rows.starts, rows.lengths)
    values[ends] = added
    return Ragged(values, starts, lengths)
