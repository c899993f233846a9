"""Compute the segments of packed rows: several sequences in each output row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from padmask.core.plan import Positions, Segments


def round_up(lengths: Positions, multiple: int) -> Positions:
    """Return lengths rounded up to a multiple.

    >>> round_up(np.array([1, 8, 9]), 8).tolist()
    [8, 8, 16]
    """
    return -(-lengths // multiple) * multiple


def plan_packed(segments: Segments, packed: Positions, maxlen: int, align: int = 1) -> Segments:
    """Return segments that put each sequence into its packed row. Sequences keep their order in a row.

    >>> from padmask.core.plan import plan_pad
    >>> rows = plan_pad(np.array([2, 3, 1]), 4, padding="post", truncating="post")
    >>> both = plan_packed(rows, np.array([0, 1, 0]), 4)
    >>> both.rows.tolist(), both.firsts.tolist(), both.sources.tolist()
    ([0, 0, 1], [0, 2, 0], [0, 2, 1])

    Args:
        segments: segments with one sequence per output row, as the planners of `pad` return them.
        packed: packed row of each sequence: int64, shape (sequences,).
        maxlen: number of positions in a packed row.
        align: each sequence starts at a multiple of this position.
    """
    order = np.argsort(packed, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    sequences = np.arange(len(segments.counts)) if segments.sequences is None else segments.sequences
    slices = np.argsort(rank[sequences], kind="stable")
    sources = np.arange(len(segments.counts)) if segments.sources is None else segments.sources
    rows = packed[order]
    ends = np.cumsum(round_up(segments.lengths[order], align))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    firsts_of_rows = np.searchsorted(rows, np.arange(int(rows.max(initial=-1)) + 1))
    windows = segments.windows
    return replace(
        segments,
        starts=segments.starts[slices],
        counts=segments.counts[slices],
        maxlen=maxlen,
        padding="post",
        sources=sources[slices],
        sequences=None if segments.sequences is None else rank[sequences][slices],
        rows=rows,
        firsts=starts - starts[firsts_of_rows][rows] if len(rows) else starts,
        windows=windows
        and replace(
            windows,
            numbers=windows.numbers[order],
            starts=windows.starts[order],
            stops=windows.stops[order],
        ),
    )


def plan_wrapped(lengths: Positions, maxlen: int) -> Segments:
    """Return segments that join all rows and cut the result every `maxlen` tokens.

    >>> wrapped = plan_wrapped(np.array([3, 0, 4]), 5)
    >>> wrapped.rows.tolist(), wrapped.sources.tolist(), wrapped.counts.tolist()
    ([0, 0, 1], [0, 2, 2], [3, 2, 2])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,). Rows without tokens are left out.
        maxlen: number of positions in a packed row.
    """
    ends = np.cumsum(lengths)
    begins = ends - lengths
    pieces = np.where(lengths > 0, (ends - 1) // maxlen - begins // maxlen + 1, 0)
    sources = np.repeat(np.arange(len(lengths)), pieces)
    number = np.arange(len(sources)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    rows = begins[sources] // maxlen + number
    # The start and end of each piece among all tokens.
    first, stop = np.maximum(begins[sources], rows * maxlen), np.minimum(ends[sources], (rows + 1) * maxlen)
    return Segments(
        lengths,
        first - begins[sources],
        stop - first,
        maxlen,
        sources=sources,
        rows=rows,
        firsts=first - rows * maxlen,
    )
