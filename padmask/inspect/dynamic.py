"""The expected cost of dynamic padding: batches that are padded to their longest row.

The expected values are computed from the number of rows of each length, without sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BATCH_ROWS = 32

# Hugging Face's group_by_length sorts the rows within windows of this many batches.
WINDOW_BATCHES = 50

# Maximum number of probabilities to compute for a window. If there are more, the rest is interpolated.
PROBABILITIES = 160_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DynamicPadding:
    """The expected output of dynamic padding.

    Args:
        places: expected number of positions in all batches.
        shapes: expected number of distinct lengths of the batches; approximate if there are several windows.
    """

    places: float
    shapes: float


def expected_padding(counts: Mapping[int, int], window_rows: int) -> DynamicPadding:
    """Return the expected number of positions and shapes if every batch is padded to its longest row.

    The rows are in random order. In each window of `window_rows` rows, the rows are sorted by length, longest
    first, and every 32 rows of a window are a batch. The last window and the last batch may have fewer rows.
    With windows of 32 rows, each window is one batch, so sorting has no effect.

    >>> expected_padding({1: 32, 5: 32}, 1600)
    DynamicPadding(places=192.0, shapes=2.0)

    Args:
        counts: number of rows of each length.
        window_rows: number of rows in a window, a multiple of 32.

    For a length L, let H be the number of rows of a window that are longer than L. The first ceil(H / 32)
    batches of the window contain such a row. H has a hypergeometric distribution, because the rows are drawn
    without replacement. The number of positions is the number of rows in these batches, summed over L = 0, 1,
    2 and so on. Therefore, its expected value can be computed exactly.

    For each L, the expected number of rows in these batches depends only on M, the number of rows of the
    dataset that are longer than L. For windows of 1,600 rows, the expected number is computed for at most 99
    values of M, and interpolated for the other values. The error is then less than 0.5%.

    A length is a shape if the longest row of any batch has this length. The expected number of such batches
    is exact for each window. The windows are treated as independent, which changes the number of shapes by
    about 2%.
    """
    lengths = np.array(sorted(counts), dtype=np.int64)
    rows = np.array([counts[length] for length in lengths.tolist()], dtype=np.int64)
    total = int(rows.sum())
    # at_least[i] is the number of rows that have at least lengths[i] tokens.
    at_least = total - np.cumsum(rows) + rows
    steps = np.diff(lengths, prepend=0)
    places, expected, absent, all_windows = 0.0, np.zeros(len(lengths)), np.zeros(len(lengths)), 0
    for size, windows in ((window_rows, total // window_rows), (total % window_rows, 1)):
        if not (size and windows):
            continue
        batches, padded = _longer_batches(at_least, total, size)
        places += windows * float(steps @ padded)
        # For each length, the expected number of batches whose longest row has this length.
        longest = np.clip(-np.diff(batches, append=0.0), 0, None)
        expected += windows * longest
        absent += windows * _log_absent(longest)
        all_windows += windows
    # If few rows have a length, the windows are not independent, because each row is in one window only. For
    # such a length, the rows are treated as independent instead: each may be the longest row of a batch.
    few = rows * _log_absent(expected / rows)
    return DynamicPadding(places, float(-np.expm1(np.where(rows < all_windows, few, absent)).sum()))


def _log_absent(batches: Floats) -> Floats:
    """Return the log of the probability that an event never occurs.

    Args:
        batches: expected number of batches in which the event occurs. An event is, for example, that the
            longest row of a batch has a certain length.
    """
    with np.errstate(divide="ignore"):
        logarithms: Floats = np.log1p(-np.minimum(batches, 1))
    return logarithms


def _longer_batches(longer: npt.NDArray[np.int64], total: int, size: int) -> tuple[Floats, Floats]:
    """Return the expected number of batches in one window that contain a row longer than L.

    Args:
        longer: for each L, the number of rows in the dataset longer than L: int64, shape (lengths,).
        total: number of rows in the dataset.
        size: number of rows in the window.

    Returns:
        For each L, the expected number of these batches, and the expected number of rows in these batches.
    """
    batches = -(-np.arange(size + 1) // BATCH_ROWS)
    rows = np.minimum(batches * BATCH_ROWS, size)
    if size == total:
        # The window has all rows.
        return batches[longer].astype(np.float64), rows[longer].astype(np.float64)
    numbers = np.unique(longer)
    exact = PROBABILITIES // (size + 1)
    if len(numbers) > exact:
        few = np.geomspace(1, total, exact // 2).round()
        numbers = np.unique(np.concatenate([few, total - few, [total]])).astype(np.int64)
    chances = _hypergeometric(numbers, total, size)
    return np.interp(longer, numbers, chances @ batches), np.interp(longer, numbers, chances @ rows)


def _hypergeometric(longer: npt.NDArray[np.int64], total: int, size: int) -> Floats:
    """Return the probabilities that exactly 0, 1, ... or `size` rows of a window are longer than L.

    Returns:
        Probabilities, shape (len(longer), size + 1).
    """
    among = longer[:, None].astype(np.float64)
    found = np.arange(size + 1, dtype=np.float64)
    possible = (found <= among) & (found >= size - total + among)
    # Each probability is the previous probability times a ratio. The product of the ratios could overflow,
    # so their logarithms are added.
    above, below = (among - found) * (size - found), (found + 1) * (total - among - size + found + 1)
    usable = possible[:, :-1] & possible[:, 1:]
    ratios = np.log(np.where(usable, above[:, :-1], 1.0) / np.where(usable, below[:, :-1], 1.0))
    logarithms = np.concatenate([np.zeros_like(among), np.cumsum(ratios, axis=1)], axis=1)
    logarithms = np.where(possible, logarithms, -np.inf)
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    chances: Floats = weights / weights.sum(axis=1, keepdims=True)
    return chances
