"""Create masks from `Segments`, the output positions of tokens.

All masks are created here. Masks depend on lengths, not on values, because a token may equal the pad value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.plan import Segments
from padmask.errors import SpecError
from padmask.spec.checks import flag
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import Side

Mask = npt.NDArray[np.bool_]

# Maximum length of the rows whose masks are copied from `_RUN`. Copying is faster than comparing positions
# with lengths.
_LONGEST_RUN = 1 << 15
_RUN = np.zeros(3 * _LONGEST_RUN, dtype=bool)
_RUN[_LONGEST_RUN : 2 * _LONGEST_RUN] = True


def make_mask(segments: Segments) -> Mask:
    """Return the mask of padded rows: bool, shape (rows, maxlen), True at real tokens."""
    maxlen = segments.maxlen or 0
    if segments.has_one_sequence_a_row:
        return mask_of_rows(segments.lengths, maxlen, segments.padding)
    mask = empty_array((len(segments.row_lengths), maxlen), bool)
    mask[...] = False
    fill_runs(mask, first_flat_indices(segments), segments.lengths, True)
    return mask


def as_dialect(mask: Mask, spec: MaskSpec) -> npt.NDArray[Any]:
    """Return a mask in the dtype, polarity and kind of a `MaskSpec`, of the same shape.

    >>> mask = np.array([[True, True, False]])
    >>> as_dialect(mask, MaskSpec(polarity="padding", dtype="int8"))
    array([[0, 0, 1]], dtype=int8)
    >>> as_dialect(mask, MaskSpec(kind="additive"))
    array([[ 0.0000000e+00,  0.0000000e+00, -3.4028235e+38]], dtype=float32)

    Args:
        mask: bool array, True at real tokens.
        spec: the mask to create.
    """
    if spec.dtype in (None, "bool") and spec.kind == "binary" and spec.polarity == "real":
        return mask
    dtype = np.dtype(spec.written_dtype)
    if spec.kind == "additive":
        values: npt.NDArray[Any] = np.where(mask, dtype.type(0), dtype.type(np.finfo(dtype).min))
        return values
    return (mask if spec.polarity == "real" else ~mask).astype(dtype, copy=False)


def make_positions(segments: Segments, mask: Mask, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the position of each real token in its sequence, and 0 at padding.

    >>> from padmask.core.plan import plan_pad
    >>> segments = plan_pad(np.array([2, 3]), 3, padding="pre", truncating="post")
    >>> make_positions(segments, make_mask(segments), "int32").tolist()
    [[0, 0, 1], [0, 1, 2]]

    Args:
        segments: positions of the tokens in the output.
        mask: mask of the segments from `make_mask`: bool, shape (rows, maxlen).
        dtype: integer dtype of the result.

    Returns:
        Integers of shape (rows, maxlen).
    """
    places = np.arange(mask.shape[1], dtype=dtype)
    if segments.has_one_sequence_a_row:
        # Unsigned integers wrap at padding, where the mask is 0.
        moved: npt.NDArray[Any] = places - segments.first_places.astype(dtype)[:, None]
        moved *= mask
        return moved
    positions = np.zeros(mask.shape, dtype=dtype)
    runs = first_flat_indices(segments), np.zeros_like(segments.lengths)
    targets, values = (index_runs(firsts, segments.lengths) for firsts in runs)
    positions.reshape(-1)[targets] = values
    return positions


def fill_runs(
    values: npt.NDArray[Any], firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], value: Any
) -> None:
    """Set the positions of several runs (index ranges) in a contiguous array to one value.

    >>> flags = np.zeros((2, 3), dtype=bool)
    >>> fill_runs(flags, np.array([1, 4]), np.array([1, 2]), True)
    >>> flags.tolist()
    [[False, True, False], [False, True, True]]

    Args:
        values: array to change.
        firsts: index of the first position of each run in the flattened array: int64, shape (runs,).
        counts: number of positions of each run: int64, shape (runs,).
        value: the new value.
    """
    values.reshape(-1)[index_runs(firsts, counts)] = value


def mask_of_rows(kept: npt.NDArray[np.int64], maxlen: int, padding: Side, out: Mask | None = None) -> Mask:
    """Return the mask of rows with one sequence each: bool, shape (rows, maxlen).

    Args:
        kept: number of tokens in each row: int64, shape (rows,).
        maxlen: length of every row.
        padding: side of the padding.
        out: array to write to; if None, the mask is a new array.
    """
    if maxlen > _LONGEST_RUN:
        mask = empty_array((len(kept), maxlen), bool) if out is None else out
        places = np.arange(maxlen)
        if padding == "post":
            return np.less(places, kept[:, None], out=mask)
        return np.greater_equal(places, (maxlen - kept)[:, None], out=mask)
    rows = _rows_of_mask(maxlen, padding)
    if out is not None:
        out[...] = rows[kept]
        return out
    try:
        return rows[kept]
    except MemoryError:
        raise _too_large((len(kept), maxlen)) from None


@lru_cache(maxsize=256)
def _rows_of_mask(maxlen: int, padding: Side) -> Mask:
    """Return the masks of rows with 0, 1, ... maxlen tokens, as a view: bool, shape (maxlen + 1, maxlen).

    >>> _rows_of_mask(2, "post").tolist()
    [[False, False], [True, False], [True, True]]
    """
    if padding == "post":
        return np.ndarray((maxlen + 1, maxlen), bool, _RUN.data, 2 * _LONGEST_RUN, (-1, 1))
    return np.ndarray((maxlen + 1, maxlen), bool, _RUN.data, _LONGEST_RUN - maxlen, (1, 1))


def filled_array(shape: tuple[int, ...], dtype: npt.DTypeLike, value: Any) -> npt.NDArray[Any]:
    """Return an array filled with a scalar, or with the same vector at each position.

    Raises:
        SpecError: the array does not fit in memory.
    """
    if type(value) is int and value == 0:
        # `np.zeros` takes half the time of `np.full`.
        try:
            return np.zeros(shape, dtype=dtype)
        except (ValueError, OverflowError, MemoryError):
            raise _too_large(shape) from None
    values = empty_array(shape, dtype)
    values[...] = value if type(value) is int else np.asarray(value, dtype=dtype)
    return values


def empty_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an uninitialized array, or raise an error if the array does not fit in memory."""
    try:
        return np.empty(shape, dtype=dtype)
    except (ValueError, OverflowError, MemoryError):
        raise _too_large(shape) from None


def _too_large(shape: tuple[int, ...]) -> SpecError:
    return SpecError(
        f"{shape[0]} rows of `maxlen` {shape[1]} do not fit in memory. Choose a smaller maxlen, or pass "
        "fewer rows at a time."
    )


def first_flat_indices(segments: Segments) -> npt.NDArray[np.int64]:
    """Return the index of the first token of each sequence in the flattened output: shape (sequences,)."""
    rows = np.arange(len(segments.lengths)) if segments.rows is None else segments.rows
    return rows * (segments.maxlen or 0) + segments.first_places


def index_runs(firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the concatenated ranges `first, first + 1, ..., first + count - 1` of all runs.

    >>> index_runs(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    return np.repeat(firsts - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def make_row_mask(segments: Segments, widths: npt.NDArray[np.int64]) -> Mask:
    """Return the masks of rows of different lengths, one after another: bool, shape (positions,).

    Args:
        segments: positions of the sequences in each row.
        widths: length of each row: int64, shape (rows,).
    """
    mask = empty_array((int(widths.sum()),), bool)
    mask[...] = False
    rows = np.arange(len(widths)) if segments.rows is None else segments.rows
    firsts = (np.cumsum(widths) - widths)[rows] + segments.first_places
    fill_runs(mask, firsts, segments.lengths, True)
    return mask


def number_sequences(segments: Segments, mask: Mask) -> npt.NDArray[np.int32]:
    """Return the sequence number at each position: int32, in the shape of the mask.

    The sequences of a row have the numbers 1, 2, ... Padding has the number 0.

    Args:
        segments: positions of the sequences.
        mask: mask of these segments.
    """
    ids = np.zeros(mask.shape, dtype=np.int32)
    rows = np.arange(len(segments.lengths)) if segments.rows is None else segments.rows
    number = np.arange(len(rows)) - np.searchsorted(rows, rows) + 1
    ids[mask] = np.repeat(number, segments.lengths)
    return ids


def restarting_positions(segments: Segments, mask: Mask) -> npt.NDArray[np.int32]:
    """Return the position of each token in its sequence: int32, in the shape of the mask.

    In each run of padding, the positions also start at 0.

    Args:
        segments: positions of the sequences. Each row starts with a sequence.
        mask: mask of these segments.
    """
    flat = mask.reshape(-1)
    places = np.arange(flat.size, dtype=np.int32)
    positions = places - np.maximum.accumulate(np.where(flat, places, np.int32(-1))) - 1
    positions[flat] = index_runs(np.zeros_like(segments.lengths), segments.lengths)
    return positions.reshape(mask.shape)


def block_mask(segment_ids: npt.ArrayLike, *, causal: bool = False) -> Mask:
    """Return an attention mask for packed rows: positions attend only to positions of the same segment.

    >>> block_mask([[1, 1, 2, 0]])[0].astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 0, 1]])

    Args:
        segment_ids: number of the segment at each position: integers, shape (rows, positions). Padding is 0.
        causal: whether a position may attend only to itself and to earlier positions.

    Returns:
        Bool mask of shape (rows, positions, positions). `mask[i, query, key]` is True if the query may attend
        to the key. A padding position attends only to itself, because a query without keys gives NaN.

    Raises:
        SpecError: `segment_ids` are not integers of at least 0 of shape (rows, positions), or `causal` is not
            a bool.

    Source: `attention_mask` of `keras.layers.MultiHeadAttention`, which has the same polarity.
    """
    causal = flag("causal", causal)
    try:
        ids = np.asarray(segment_ids)
    except ValueError:
        ids = np.zeros(0)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or (ids < 0).any():
        raise SpecError(
            "`segment_ids` must be integers of at least 0, of shape (rows, positions). Received: "
            f"{segment_ids!r:.80}."
        )
    mask: Mask = (ids[:, :, None] == ids[:, None, :]) & (ids != 0)[:, :, None]
    places = np.arange(ids.shape[1])
    if causal:
        mask &= places[:, None] >= places
    mask[:, places, places] = True
    return mask
