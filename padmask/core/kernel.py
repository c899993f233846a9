"""Create padded values from `Segments`, the output positions of tokens.

This module handles neither files nor Arrow arrays.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from padmask.core.fill import choose_tokens, fill_block, fill_mask, fill_rows, is_wide
from padmask.core.masks import Mask, empty_array, index_runs, make_mask, mask_of_rows
from padmask.core.plan import Positions, Segments
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

# Up to this number of positions, copying tokens is faster than gathering windows.
FEW_POSITIONS = 1 << 16

# From this mean length, copying runs of tokens one by one is faster than indexing single tokens.
LONG_RUN = 128

# Number of values in a block. Larger intermediate arrays cause page faults, which take longer than the
# arithmetic. Smaller blocks make threads wait for each other: half this size took 25% more time.
BLOCK_VALUES = 1 << 19


@dataclass(frozen=True)
class Padded:
    """Padded values with their mask and the number of tokens kept in each row.

    >>> import padmask
    >>> padmask.pad([[7, 8], [9]]).lengths
    array([2, 1])

    Args:
        values: padded values of the requested dtype, of shape (rows, maxlen, ...).
        mask: bool array, shape (rows, maxlen). **True is a real token**, False is padding.
        lengths: number of tokens kept in each row: int64, shape (rows,).

    Source: Keras masks and Hugging Face's `attention_mask`, which have the same polarity.
    """

    values: npt.NDArray[Any]
    mask: Mask
    lengths: npt.NDArray[np.int64]


def pad_batch(
    ragged: Ragged,
    segments: Segments,
    *,
    value: Any,
    dtype: npt.DTypeLike,
    threads: int = 1,
    mask: Mask | None = None,
) -> Padded:
    """Copy tokens to the positions that the segments assign, and fill all other positions with the pad value.

    >>> from padmask.core.plan import plan_pad
    >>> rows = Ragged(np.array([7, 8, 9]), np.array([0, 2]), np.array([2, 1]))
    >>> segments = plan_pad(rows.lengths, 2, padding="post", truncating="post")
    >>> pad_batch(rows, segments, value=0, dtype="int32").values
    array([[7, 8],
           [9, 0]], dtype=int32)

    Args:
        ragged: source rows. Their values must fit `dtype`.
        segments: positions of the tokens of these rows in the output.
        value: pad value, a scalar or a vector. The value is broadcast over the axes after (rows, maxlen).
        dtype: dtype of the result.
        threads: number of blocks to pad at the same time.
        mask: mask of the segments, if known from another column. If None, the mask is created.

    Returns:
        Padded values of shape (rows, maxlen, ...), their mask and the kept lengths.
    """
    target = np.dtype(dtype)
    has_one_slice_a_row = segments.has_one_sequence_a_row and segments.sequences is None
    if has_one_slice_a_row and is_wide(segments.maxlen or 0):
        return _pad_wide(ragged, segments, value, target, make_mask(segments) if mask is None else mask)
    # If each row has one slice, a row is a window over the flat values. Padding blocks of windows is faster
    # for many rows, but takes longer to set up.
    if has_one_slice_a_row and len(segments.counts) * (segments.maxlen or 0) >= FEW_POSITIONS:
        return _pad_blocks(ragged, segments, value, target, threads, mask)
    return _pad_tokens(ragged, segments, value, target, make_mask(segments) if mask is None else mask)


def _slices(ragged: Ragged, segments: Segments) -> tuple[Positions, Positions]:
    """Return the index in `ragged.values` of the first token of each slice, and the number of its tokens."""
    starts = ragged.starts if segments.sources is None else ragged.starts[segments.sources]
    return starts + segments.starts, segments.counts


def slice_rows(ragged: Ragged, segments: Segments) -> Ragged:
    """Return the tokens that plain segments select (see `Segments.is_plain`), without copying values."""
    return Ragged(ragged.values, ragged.starts + segments.starts, segments.counts)


def _pad_tokens(ragged: Ragged, segments: Segments, value: Any, dtype: np.dtype[Any], mask: Mask) -> Padded:
    """Pad rows of any number of slices. The tokens fill the True positions of the mask in order."""
    tokens = take_runs(ragged.values, *_slices(ragged, segments))
    return Padded(fill_mask(mask, tokens, value, dtype), mask, segments.row_lengths)


def _pad_wide(ragged: Ragged, segments: Segments, value: Any, dtype: np.dtype[Any], mask: Mask) -> Padded:
    """Pad rows that consist of one slice each, row by row."""
    begins, kept = _slices(ragged, segments)
    runs = zip(begins.tolist(), (begins + kept).tolist(), strict=True)
    rows = (ragged.values[begin:end] for begin, end in runs)
    shape = *mask.shape, *ragged.values.shape[1:]
    return Padded(fill_rows(rows, kept.tolist(), shape, segments.padding, value, dtype), mask, kept)


def take_runs(
    values: npt.NDArray[Any], firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Return the values of all runs (index ranges) in order, without a copy if the runs are adjacent."""
    adjacent = _adjacent(values, firsts, counts)
    if adjacent is not None:
        return adjacent
    ends = firsts + counts
    if counts.sum() >= LONG_RUN * len(counts) > 0:
        runs = zip(firsts.tolist(), ends.tolist(), strict=True)
        return np.concatenate([values[first:end] for first, end in runs])
    return values[index_runs(firsts, counts)]


def _adjacent(
    values: npt.NDArray[Any], firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[Any] | None:
    """Return the values of all runs if each run starts at the end of the previous run; else None."""
    ends = firsts + counts
    if len(firsts) and (firsts[1:] == ends[:-1]).all():
        return values[firsts[0] : ends[-1]]
    return None


def _pad_blocks(
    ragged: Ragged,
    segments: Segments,
    value: Any,
    dtype: np.dtype[Any],
    threads: int,
    known: Mask | None,
) -> Padded:
    """Pad rows that consist of one slice each.

    An output row is read as a window of `maxlen` consecutive flat values. The window starts at the first
    token (post) or ends at the last token (pre). The windows of a block of rows are gathered in one
    operation. The pad value then replaces the values where the mask is False. If the tokens of a block are
    adjacent, because no row is truncated, they fill the True positions of the mask in order. This is faster.
    """
    maxlen, padding = segments.maxlen or 0, segments.padding
    rows, inner = len(segments.counts), ragged.values.shape[1:]
    begins, kept = _slices(ragged, segments)
    width = maxlen * int(np.prod(inner, dtype=np.int64))
    values = empty_array((rows, maxlen, *inner), dtype)
    if values.size == 0:
        # maxlen is 0, or the vectors are empty.
        return Padded(values, mask_of_rows(kept, maxlen, padding), kept)
    mask = empty_array((rows, maxlen), bool) if known is None else known
    step = max(1, BLOCK_VALUES // width)
    filling = np.asarray(value, dtype=values.dtype)

    def pad_block(first: int) -> None:
        block = slice(first, first + step)
        if known is None:
            mask_of_rows(kept[block], maxlen, padding, out=mask[block])
        tokens = _adjacent(ragged.values, begins[block], kept[block])
        if tokens is not None:
            fill_block(tokens, mask[block], filling, out=values[block])
            return
        here = mask[block].reshape(*mask[block].shape, *[1] * len(inner))
        gathered = _gather(ragged.values, begins[block], kept[block], maxlen, padding)
        choose_tokens(gathered, here, filling, out=values[block])

    blocks = range(0, rows, step)
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(pad_block, blocks))
    else:
        for first in blocks:
            pad_block(first)
    return Padded(values, mask, kept)


def _gather(
    flat: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    maxlen: int,
    padding: Side,
) -> npt.NDArray[Any]:
    """Return the window of each row over the flat values, as an array of shape (rows, maxlen, ...).

    A window that is longer than the row also includes values of neighboring rows.
    """
    inner = flat.shape[1:]
    size = int(np.prod(inner, dtype=np.int64))
    real = kept > 0
    starts = begins if padding == "post" else begins + kept - maxlen
    # The start of an empty row may be out of bounds.
    starts = np.where(real, starts, 0)
    if starts.min(initial=0) < 0 or int(starts.max(initial=0)) + maxlen > len(flat):
        # Windows of the first or last rows extend beyond the values: copy the values into a wider array.
        low = int(begins[real].min(initial=len(flat)))
        high = int((begins + kept)[real].max(initial=low))
        before = maxlen if padding == "pre" else 0
        wider = np.zeros((high - low + maxlen, *inner), dtype=flat.dtype)
        wider[before : before + high - low] = flat[low:high]
        flat, starts = wider, np.where(real, starts - low + before, 0)
    windows = sliding_window_view(flat.reshape(-1), maxlen * size)
    gathered: npt.NDArray[Any] = windows[starts * size]
    return gathered.reshape(len(begins), maxlen, *inner)
