"""Write the tokens of rows to a new array of padded rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.masks import Mask, filled_array
from padmask.spec.pad import Side

# From this maxlen, copying row by row is faster than moving all positions at once. The first limit is for
# rows in one array. The second limit is lower, because rows in separate arrays would have to be joined first.
_WIDE_ROW, _WIDE_ARRAY = 1 << 11, 1 << 10


def is_wide(maxlen: int, *, joined: bool = True) -> bool:
    """Return whether rows should be padded by `fill_rows`.

    Args:
        maxlen: number of positions in a row.
        joined: whether the tokens of all rows are in one array.
    """
    return maxlen >= (_WIDE_ROW if joined else _WIDE_ARRAY)


def fill_mask(mask: Mask, tokens: npt.NDArray[Any], value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return an array with the tokens at the True positions of a mask, and the pad value elsewhere.

    Args:
        mask: bool array, shape (rows, maxlen).
        tokens: one token per True position, in order: shape (tokens, ...). The tokens fit `dtype`.
        value: pad value, a scalar or a vector.
        dtype: dtype of the result.

    Returns:
        Array of shape (rows, maxlen, ...).
    """
    values = filled_array(mask.shape + tokens.shape[1:], dtype, value)
    if tokens.dtype.kind == "f":
        # A signaling NaN raises "invalid", but is a valid float.
        with np.errstate(invalid="ignore"):
            tokens = tokens.astype(dtype, casting="unsafe", copy=False)
    values[mask] = tokens
    return values


def fill_block(tokens: npt.NDArray[Any], mask: Mask, value: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Write tokens to the True positions of a mask in order, and the pad value elsewhere.

    Args:
        tokens: one token per True position: shape (tokens, ...). The tokens fit the dtype of `out`.
        mask: bool array, shape (rows, maxlen).
        value: pad value, a scalar or a vector.
        out: array to write to: shape (rows, maxlen, ...).
    """
    out[...] = value
    # A signaling NaN raises "invalid", but is a valid float.
    with np.errstate(invalid="ignore"):
        out[mask] = tokens


def choose_tokens(
    tokens: npt.NDArray[Any], mask: Mask, value: npt.NDArray[Any], out: npt.NDArray[Any]
) -> None:
    """Write the tokens where the mask is True, and the pad value elsewhere.

    The pad value, and the tokens where the mask is True, must fit the dtype of `out`.

    Args:
        tokens: one token per position: the shape of `out`.
        mask: bool array that can be broadcast to the shape of `out`.
        value: pad value, a scalar or a vector.
        out: array to write to: shape (rows, maxlen, ...).
    """
    if out.dtype.kind not in "iu":
        out[...] = value
        # A signaling NaN raises "invalid", but is a valid float.
        with np.errstate(invalid="ignore"):
            np.copyto(out, tokens, where=mask, casting="unsafe")
        return
    # (token - value) * mask + value takes half the time of copyto. The result is exact, because integers
    # wrap around. Where the mask is False, a token may be from a bad row, and need not fit an integer.
    with np.errstate(invalid="ignore"):
        if value.any():
            np.subtract(tokens, value, out=out, dtype=out.dtype, casting="unsafe")
            np.multiply(out, mask, out=out)
            np.add(out, value, out=out)
        else:
            np.multiply(tokens, mask, out=out, dtype=out.dtype, casting="unsafe")


def fill_rows(
    rows: Iterable[npt.NDArray[Any]],
    counts: Sequence[int],
    shape: tuple[int, ...],
    padding: Side,
    value: Any,
    dtype: np.dtype[Any],
) -> npt.NDArray[Any]:
    """Return an array of padded rows, which are written row by row.

    >>> rows = [np.array([7, 8]), np.array([9])]
    >>> fill_rows(rows, [2, 1], (2, 3), "pre", 0, np.dtype("int32")).tolist()
    [[0, 7, 8], [0, 0, 9]]

    Args:
        rows: tokens of each row: shape (tokens, ...). The tokens fit `dtype`.
        counts: number of tokens of each row.
        shape: shape of the result: (rows, maxlen, ...).
        padding: side of the padding.
        value: pad value, a scalar or a vector.
        dtype: dtype of the result.
    """
    values = filled_array(shape, dtype, value)
    maxlen = shape[1]
    places = values.reshape(shape[0] * maxlen, *shape[2:])
    begin = 0
    # A signaling NaN raises "invalid", but is a valid float.
    with np.errstate(invalid="ignore"):
        for row, count in zip(rows, counts, strict=True):
            first = begin if padding == "post" else begin + maxlen - count
            places[first : first + count] = row
            begin += maxlen
    return values
