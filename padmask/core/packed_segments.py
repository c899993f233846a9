"""Compute `Segments` (the output positions of tokens) that put several sequences into each output row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from padmask.core.batches import select_output_rows
from padmask.core.plan import Positions, Segments
from padmask.core.stable_order import stable_order
from padmask.core.window_places import WindowPlaces


def round_up(lengths: Positions, multiple: int) -> Positions:
    """Return lengths rounded up to multiples of `multiple`.

    >>> round_up(np.array([1, 8, 9]), 8).tolist()
    [8, 8, 16]
    """
    return -(-lengths // multiple) * multiple


def plan_packed(segments: Segments, packed: Positions, maxlen: int, align: int = 1) -> Segments:
    """Return `Segments` that put each sequence into its packed row.

    The sequences of a packed row have the same order as in `segments`.

    >>> from padmask.core.plan import plan_pad
    >>> rows = plan_pad(np.array([2, 3, 1]), 4, padding="post", truncating="post")
    >>> both = plan_packed(rows, np.array([0, 1, 0]), 4)
    >>> both.rows.tolist(), both.firsts.tolist(), both.sources.tolist()
    ([0, 0, 1], [0, 2, 0], [0, 2, 1])

    Args:
        segments: segments with one sequence per output row, as the planners of `pad` return them.
        packed: packed row of each sequence: int64, shape (sequences,).
        maxlen: number of positions in a packed row.
        align: each sequence starts at a position that is a multiple of this number.
    """
    order = stable_order(packed)
    slices, sequences = order, None
    if segments.sequences is not None:
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank[segments.sequences]
        slices = stable_order(ranks)
        sequences = ranks[slices]
    rows, spaces = packed[order], round_up(segments.lengths[order], align)
    starts = np.cumsum(spaces) - spaces
    sizes = np.bincount(rows)
    row_starts = starts[np.cumsum(sizes) - sizes]
    return replace(
        segments,
        starts=segments.starts[slices],
        counts=segments.counts[slices],
        maxlen=maxlen,
        padding="post",
        sources=_sources_of(segments)[slices],
        sequences=sequences,
        rows=rows,
        firsts=starts - np.repeat(row_starts, sizes),
        windows=segments.windows and segments.windows.select(order),
    )


def without_empty(segments: Segments) -> Segments:
    """Return the `Segments` without the sequences that have no tokens.

    >>> from padmask.core.plan import plan_pad
    >>> rows = plan_pad(np.array([2, 0, 1]), 4, padding="post", truncating="post")
    >>> without_empty(rows).sources.tolist()
    [0, 2]

    Args:
        segments: segments with one sequence per output row.
    """
    real = segments.lengths > 0
    if real.all():
        return segments
    sequences, sources = _sequences_of(segments), _sources_of(segments)
    kept, windows = real[sequences], segments.windows
    number = np.cumsum(real) - 1
    return replace(
        segments,
        starts=segments.starts[kept],
        counts=segments.counts[kept],
        sources=sources[kept],
        sequences=None if segments.sequences is None else number[sequences[kept]],
        windows=windows and windows.select(np.flatnonzero(real)),
    )


def _sequences_of(segments: Segments) -> Positions:
    return np.arange(len(segments.counts)) if segments.sequences is None else segments.sequences


def _sources_of(segments: Segments) -> Positions:
    return np.arange(len(segments.counts)) if segments.sources is None else segments.sources


def with_sources(segments: Segments, source_lengths: Positions, first: int) -> Segments:
    """Return the `Segments` with source rows that are numbered as in a longer list of rows.

    Args:
        segments: segments of adjacent rows of the list. The source rows are numbered from 0.
        source_lengths: number of tokens in each row of the list: int64, shape (source rows,).
        first: number in the list of the first of these rows.
    """
    return replace(segments, source_lengths=source_lengths, sources=_sources_of(segments) + first)


def select_packed_rows(segments: Segments, first: int, stop: int) -> Segments:
    """Return the `Segments` of the packed rows from `first` to `stop` (exclusive)."""
    assert segments.rows is not None and segments.firsts is not None
    low, high = np.searchsorted(segments.rows, [first, stop])
    chosen = select_output_rows(segments, np.arange(low, high), segments.maxlen or 0)
    return replace(chosen, rows=segments.rows[low:high] - first, firsts=segments.firsts[low:high])


def join_segments(parts: Sequence[Segments]) -> Segments:
    """Concatenate the output rows of several `Segments`, which refer to the same list of source rows."""
    first = parts[0]
    if len(parts) == 1:
        return first
    sequences, rows = None, None
    if any(part.sequences is not None for part in parts):
        sequences = _concat_shifted(
            [_sequences_of(part) for part in parts], [len(part.lengths) for part in parts]
        )
    if first.rows is not None:
        its = [part.rows for part in parts if part.rows is not None]
        rows = _concat_shifted(its, [int(part.max(initial=-1)) + 1 for part in its])
    windows = [part.windows for part in parts if part.windows is not None]
    return replace(
        first,
        starts=np.concatenate([part.starts for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        sources=np.concatenate([_sources_of(part) for part in parts]),
        sequences=sequences,
        rows=rows,
        firsts=None if rows is None else np.concatenate([part.first_places for part in parts]),
        windows=WindowPlaces.concat(windows) if windows else None,
    )


def _concat_shifted(numbers: Sequence[Positions], sizes: Sequence[int]) -> Positions:
    """Concatenate arrays of numbers. To each array, add the sum of the `sizes` of the previous arrays."""
    befores = np.cumsum([0, *sizes])
    return np.concatenate([part + before for part, before in zip(numbers, befores, strict=False)])


def plan_wrapped(lengths: Positions, maxlen: int, used: int = 0) -> Segments:
    """Cut the joined tokens of all rows every `maxlen` tokens, and return the parts of rows as `Segments`.

    Each part of a row is a sequence in a separate output row. Rows without tokens are left out.

    >>> wrapped = plan_wrapped(np.array([3, 0, 4]), 5)
    >>> wrapped.sources.tolist(), wrapped.starts.tolist(), wrapped.counts.tolist()
    ([0, 2, 2], [0, 0, 2], [3, 2, 2])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        maxlen: number of positions in a packed row.
        used: number of tokens that are already in the first packed row. It is less than `maxlen`.
    """
    # If no row has tokens, maxlen may be 0.
    maxlen = max(1, maxlen)
    ends = np.cumsum(lengths) + used
    begins = ends - lengths
    pieces = np.where(lengths > 0, (ends - 1) // maxlen - begins // maxlen + 1, 0)
    sources = np.repeat(np.arange(len(lengths)), pieces)
    numbers = np.arange(len(sources)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cuts = (begins[sources] // maxlen + numbers) * maxlen
    # The start and end of each part among all tokens.
    first, stop = np.maximum(begins[sources], cuts), np.minimum(ends[sources], cuts + maxlen)
    starts, stops = first - begins[sources], stop - begins[sources]
    return Segments(
        lengths, starts, stops - starts, maxlen, sources=sources, windows=WindowPlaces(numbers, starts, stops)
    )
