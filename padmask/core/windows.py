"""Split long rows into windows that may overlap.

The windows are those of Hugging Face's fast tokenizers (`return_overflowing_tokens=True`), which call the
overlap `stride`. If these tokenizers truncate on the left, their windows are in reverse order. Here, the
windows are always in the order of the row.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from padmask.core.keep_ends import Ends, join_pieces
from padmask.core.masks import Mask, fill_runs
from padmask.core.plan import Positions, Segments
from padmask.core.window_places import WindowPlaces
from padmask.spec.pad import Side
from padmask.spec.windows import WINDOW_COLUMNS


def plan_windows(
    lengths: Positions, maxlen: int, ends: Ends, overlap: int, *, padding: Side, truncating: Side
) -> Segments:
    """Return `Segments` that split each row longer than `maxlen` into windows, and pad the windows.

    Each window contains the kept ends of its row. The other tokens of a window start `maxlen - first - last -
    overlap` tokens after those of the previous window, where `first` and `last` are the numbers in `ends`.
    Only one window may have fewer than `maxlen` tokens: the last window with `truncating="post"`, or the
    first window with `truncating="pre"`.

    >>> ends = Ends.constant(0, 0, 1)
    >>> segments = plan_windows(np.array([10]), 4, ends, 2, padding="post", truncating="post")
    >>> segments.starts.tolist(), segments.counts.tolist()
    ([0, 2, 4, 6], [4, 4, 4, 4])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        maxlen: length of every output row, in tokens.
        ends: numbers of tokens to keep. For rows longer than `maxlen`, first + last + `overlap` is less than
            `maxlen`.
        overlap: number of tokens, in addition to the kept ends, that a window repeats from the previous
            window.
        padding: side of the padding.
        truncating: `"post"` aligns windows to the start of the row, `"pre"` aligns windows to its end.
    """
    numbers = count_windows(lengths, maxlen, ends, overlap)
    sources = np.repeat(np.arange(len(lengths)), numbers)
    number = np.arange(len(sources)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    cut = (lengths > maxlen)[sources]
    first, last = np.where(cut, ends.first[sources], 0), np.where(cut, ends.last[sources], 0)
    body, size = lengths[sources] - first - last, maxlen - first - last
    step = size - overlap
    if truncating == "post":
        begins = number * step
        stops = np.minimum(begins + size, body)
    else:
        stops = body - (numbers[sources] - 1 - number) * step
        begins = np.maximum(stops - size, 0)
    starts = np.stack([np.zeros_like(first), first + begins, first + body], axis=1)
    counts = np.stack([first, stops - begins, last], axis=1)
    # All windows except the first repeat the kept start, and the tokens up to the end of the previous window.
    # All windows except the last repeat the kept end.
    again = number > 0
    before = np.where(again, np.append(0, stops[:-1])[: len(stops)] - begins, 0)
    repeats = [np.where(again, first + before, 0), np.where(number < numbers[sources] - 1, last, 0)]
    places = WindowPlaces(number, first + begins, first + stops, np.stack(repeats, axis=1))
    return join_pieces(lengths, sources, starts, counts, maxlen, padding, places)


def count_windows(lengths: Positions, maxlen: int, ends: Ends, overlap: int) -> Positions:
    """Return the number of windows of each row: int64, shape (rows,). The arguments are as in `plan_windows`.

    >>> count_windows(np.array([10, 4, 0]), 4, Ends.constant(0, 0, 3), 2).tolist()
    [4, 1, 1]
    """
    cut = lengths > maxlen
    step = np.where(cut, maxlen - ends.first - ends.last - overlap, 1)
    more = -(-(lengths - maxlen) // step)
    counts: Positions = np.where(cut, 1 + more, 1)
    return counts


def repeated_mask(segments: Segments) -> Mask:
    """Return, for each position, whether its token is a copy of a token in another window.

    If windows overlap, the first of these windows has the original. The kept tokens at the end of a row are
    an exception: the last window has the original.

    Args:
        segments: windows from `plan_windows`.

    Returns:
        bool, shape (rows, maxlen).
    """
    mask = np.zeros((len(segments.lengths), segments.maxlen or 0), dtype=bool)
    flag_repeated(mask, segments, np.arange(len(mask)) * mask.shape[1] + segments.first_places)
    return mask


def flag_repeated(mask: Mask, segments: Segments, firsts: Positions) -> None:
    """Set the flag of each repeated token (a copy of a token in another window) to True.

    Args:
        mask: flags to change, one for each position.
        segments: positions of the windows. Each sequence is a window.
        firsts: for each sequence, the index in `mask` of its first token: int64, shape (sequences,).
    """
    assert segments.windows is not None and segments.windows.repeats is not None
    head, tail = segments.windows.repeats.T
    fill_runs(mask, firsts, head, True)
    fill_runs(mask, firsts + segments.lengths - tail, tail, True)


def window_columns(segments: Segments, numbers: Positions) -> dict[str, pa.Array]:
    """Return the columns in `WINDOW_COLUMNS`, keyed by column name.

    Args:
        segments: windows from `plan_windows`.
        numbers: number of each source row in the input: int64, shape (source rows,).
    """
    places = segments.windows
    assert places is not None
    parts = (places.numbers, places.starts, places.stops)
    arrays = [pa.array(numbers[segments.row_sources])]
    arrays += [pa.array(part.astype(np.int32)) for part in parts]
    return dict(zip(WINDOW_COLUMNS, arrays, strict=True))
