"""The kernel: segments in, padded values and masks out; and masks read back into segments.

Masks are made here, from lengths, and nowhere else: a real token may equal the pad value. This module knows no
files and no Arrow.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from padmask.core.ragged import Ragged
from padmask.errors import Fault, SpecError
from padmask.spec.checks import at_least, one_of
from padmask.spec.pad import Side

Mask = npt.NDArray[np.bool_]

# Values in one block of work. Large intermediates cost page faults, which cost more than
# arithmetic; small ones cost threads their turns. Half as many took a quarter more time.
BLOCK_VALUES = 1 << 19


@dataclass(frozen=True)
class Padded:
    """A rectangle of values, and which of them are real.

    Args:
        values: shape (rows, maxlen, ...), of the dtype that was asked for.
        mask: bool, shape (rows, maxlen). **True is a real token**, False is padding: the
            polarity of Keras and of Hugging Face's `attention_mask`.
        lengths: int64, shape (rows,), the tokens kept in each row.
    """

    values: npt.NDArray[Any]
    mask: Mask
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenSpans:
    """Where the real tokens of padded rows stand.

    Args:
        firsts: int64, shape (rows,), the padded places before the first real token.
        lengths: int64, shape (rows,), in real tokens.
        places: int64, shape (rows,), all that the row has.
    """

    firsts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    def select(self, rows: npt.NDArray[np.int64]) -> TokenSpans:
        """Return these rows, by number."""
        return TokenSpans(self.firsts[rows], self.lengths[rows], self.places[rows])

    @classmethod
    def of_mask(cls, mask: Ragged) -> tuple[TokenSpans, list[Fault]]:
        """Read masks of any lengths, the padding before or after the tokens.

        >>> rows = np.array([True, True, False, False, True, True, False, True])
        >>> windows, faults = TokenSpans.of_mask(Ragged(rows, np.array([0, 3, 5]), np.array([3, 2, 3])))
        >>> windows.firsts.tolist(), windows.lengths.tolist(), [fault.row for fault in faults]
        ([0, 1, 0], [2, 1, 2], [2])

        Args:
            mask: of bools, or of 0 and 1.

        Returns:
            The real places, and a fault for each row in which they are not one run at its start or end.
        """
        real = mask.values.astype(bool)
        ends = mask.starts + mask.lengths
        total = np.concatenate([[0], np.cumsum(real)])
        kept = np.where(mask.lengths > 0, total[ends] - total[mask.starts], 0)
        begins_real = _at(real, mask.starts) & (mask.lengths > 0)
        windows = cls(np.where(begins_real, 0, mask.lengths - kept), kept, mask.lengths)
        changes = np.concatenate([[0], np.cumsum(real[1:] != real[:-1])])
        broken = (mask.lengths > 0) & (_at(changes, ends - 1) - _at(changes, mask.starts) > 1)
        return windows, [_second_change(mask, row) for row in np.flatnonzero(broken).tolist()]

    @classmethod
    def of_lengths(
        cls, lengths: npt.NDArray[np.int64], places: npt.NDArray[np.int64], padding: Side
    ) -> TokenSpans:
        """Return where so many tokens stand in so many places."""
        return cls(np.zeros_like(lengths) if padding == "post" else places - lengths, lengths, places)


def _at(flat: npt.NDArray[Any], places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the values at these places; rows without any place may point beside them."""
    found: npt.NDArray[Any] = flat[np.clip(places, 0, len(flat) - 1)] if len(flat) else np.zeros_like(places)
    return found


def _second_change(mask: Ragged, row: int) -> Fault:
    places = mask.values[mask.starts[row] :][: mask.lengths[row]].astype(bool)
    position = int(np.flatnonzero(places[1:] != places[:-1])[1]) + 1
    return Fault(
        row,
        f"position {position}: the mask changes a second time; real places must be one run, at the start or "
        "the end of the row",
    )


def sequence_mask(lengths: npt.ArrayLike, maxlen: int | None = None, padding: Side = "post") -> Mask:
    """Make the mask of rows with these lengths.

    >>> sequence_mask([1, 3], padding="post")
    array([[ True, False, False],
           [ True,  True,  True]])

    Args:
        lengths: whole numbers, shape (rows,), in tokens; a longer row fills its whole mask.
        maxlen: places in every row; None takes the longest.
        padding: `"post"` puts the padding after the tokens, `"pre"` before them.

    Returns:
        bool, shape (rows, maxlen), True at real tokens.

    Raises:
        SpecError: lengths or maxlen that are no whole numbers of at least 0, or too large a mask.

    `tf.sequence_mask` with a choice of side.
    """
    try:
        kept = np.asarray(lengths)
    except ValueError:
        kept = np.zeros((1, 1))
    if kept.size == 0:
        kept = kept.astype(np.int64)
    if kept.ndim != 1 or kept.dtype.kind not in "iu" or (kept < 0).any():
        raise SpecError(f"`lengths` must be a row of whole numbers of at least 0. Received: {lengths!r}.")
    maxlen = int(kept.max(initial=0)) if maxlen is None else at_least(0, bits=63)("maxlen", maxlen)
    one_of("padding", padding, ("post", "pre"))
    return _make_mask(np.minimum(kept, maxlen).astype(np.int64), maxlen, padding)


def _make_mask(kept: npt.NDArray[np.int64], maxlen: int, padding: Side, out: Mask | None = None) -> Mask:
    # Narrow numbers: more of them are compared at once.
    lane = np.int16 if maxlen < 1 << 15 else np.int64
    mask = _empty((len(kept), maxlen), bool) if out is None else out
    places = np.arange(maxlen, dtype=lane)
    if padding == "post":
        np.less(places, kept.astype(lane)[:, None], out=mask)
    else:
        np.greater_equal(places, (maxlen - kept).astype(lane)[:, None], out=mask)
    return mask


def _empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array to be filled, or refuse a length that makes too large a one."""
    try:
        return np.empty(shape, dtype=dtype)
    except (ValueError, OverflowError, MemoryError):
        raise SpecError(
            f"`maxlen` {shape[1]} needs more memory for {shape[0]} rows than can be had. Choose a smaller "
            "length, or pass fewer rows at a time."
        ) from None


def pad_batch(
    ragged: Ragged,
    maxlen: int,
    *,
    padding: Side,
    truncating: Side,
    value: Any,
    dtype: npt.DTypeLike,
    threads: int = 1,
) -> Padded:
    """Pad and cut every row to `maxlen` places.

    A row's kept part is a window of `maxlen` places over the flat values that starts (post)
    or ends (pre) at a known place, so a block of rows is one gather of windows, in which
    the pad value then takes the places where the mask is False.

    Args:
        ragged: the rows; their values must fit `dtype`.
        maxlen: places in every row.
        padding: the side of the padding.
        truncating: the side at which longer rows are cut.
        value: what stands in padded places; broadcasts over inner feature axes.
        dtype: of the result.
        threads: how many blocks are worked on at once.

    Returns:
        Padded values of shape (rows, maxlen, ...), their mask and the kept lengths.
    """
    rows, inner = len(ragged.lengths), ragged.values.shape[1:]
    begins, kept = kept_windows(ragged, maxlen, truncating)
    width = maxlen * int(np.prod(inner, dtype=np.int64))
    values = _empty((rows, maxlen, *inner), dtype)
    if values.size == 0:
        # No places, or vectors of no values: there is nothing to gather.
        return Padded(values, _make_mask(kept, maxlen, padding), kept)
    mask = _empty((rows, maxlen), bool)
    step = max(1, BLOCK_VALUES // width)
    filling = np.asarray(value, dtype=values.dtype)

    def pad_block(first: int) -> None:
        block = slice(first, first + step)
        _make_mask(kept[block], maxlen, padding, out=mask[block])
        here = mask[block].reshape(*mask[block].shape, *[1] * len(inner))
        gathered = _gather(ragged.values, begins[block], kept[block], maxlen, padding)
        _choose(gathered, here, filling, out=values[block])

    blocks = range(0, rows, step)
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(pad_block, blocks))
    else:
        for first in blocks:
            pad_block(first)
    return Padded(values, mask, kept)


def _choose(tokens: npt.NDArray[Any], mask: Mask, value: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Put the tokens where the mask is True, and the pad value elsewhere; that both fit is known."""
    if out.dtype.kind not in "iu":
        out[...] = value
        # A NaN that signals is one all the same.
        with np.errstate(invalid="ignore"):
            np.copyto(out, tokens, where=mask, casting="unsafe")
        return
    # (token - value) * mask + value: integers wrap around, so it is exact, and takes half the time.
    # Beside a row's own tokens may stand those of a row that was refused, which are no such integers.
    with np.errstate(invalid="ignore"):
        if value.any():
            np.subtract(tokens, value, out=out, dtype=out.dtype, casting="unsafe")
            np.multiply(out, mask, out=out)
            np.add(out, value, out=out)
        else:
            np.multiply(tokens, mask, out=out, dtype=out.dtype, casting="unsafe")


def kept_windows(
    ragged: Ragged, maxlen: int, truncating: Side
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each row's kept part begins in the flat values, and its length."""
    kept = np.minimum(ragged.lengths, maxlen)
    return ragged.starts + (ragged.lengths - kept if truncating == "pre" else 0), kept


def _gather(
    flat: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    maxlen: int,
    padding: Side,
) -> npt.NDArray[Any]:
    """Return each row's window over the flat values, shape (rows, maxlen, ...).

    Outside a row's kept part the window holds whatever lies beside it.
    """
    inner = flat.shape[1:]
    size = int(np.prod(inner, dtype=np.int64))
    real = kept > 0
    starts = begins if padding == "post" else begins + kept - maxlen
    # Rows without a token may point anywhere.
    starts = np.where(real, starts, 0)
    if starts.min(initial=0) < 0 or int(starts.max(initial=0)) + maxlen > len(flat):
        # Windows of the first or last rows reach past the values: those get room around them.
        low = int(begins[real].min(initial=len(flat)))
        high = int((begins + kept)[real].max(initial=low))
        before = maxlen if padding == "pre" else 0
        roomy = np.zeros((high - low + maxlen, *inner), dtype=flat.dtype)
        roomy[before : before + high - low] = flat[low:high]
        flat, starts = roomy, np.where(real, starts - low + before, 0)
    windows = sliding_window_view(flat.reshape(-1), maxlen * size)
    gathered: npt.NDArray[Any] = windows[starts * size]
    return gathered.reshape(len(begins), maxlen, *inner)
