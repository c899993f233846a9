"""Match padded rows with the rows of their input in order.

Rows are compared by keys. A key is a hash of a row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.plan import Positions
from padmask.core.sequence_hashes import Hashes, join_hashes

# Largest number of pairs of equal keys for which the best match is searched. More pairs take long.
_PAIRS = 300_000

# Number of adjacent rows that are searched together if very many rows are equal.
_RUN = 8

# If the input has at most this number of files, every order of the files is tried.
_PERMUTED = 3


def match_in_order(keys: Hashes, others: Hashes) -> Positions:
    """Match equal keys in order: return an index in `others` for each key, or -1. The indices ascend.

    >>> match_in_order(np.array([5, 9, 7], dtype=np.uint64), np.array([5, 7, 5], dtype=np.uint64)).tolist()
    [0, -1, 1]

    As many keys as possible are matched. If very many keys are equal, some matches may be missed.
    """
    partners = np.full(len(keys), -1, dtype=np.int64)
    _match_part(keys, others, 0, 0, partners, anchored=False)
    return partners


def _match_part(
    keys: Hashes, others: Hashes, first: int, other: int, partners: Positions, *, anchored: bool
) -> None:
    """Match a slice of the keys with a slice of the other keys, and write the results to `partners`.

    Args:
        keys, others: the two slices.
        first, other: position of each slice in its full array, as the index of the first key.
        partners: for each key of the full array, the index of its partner among all other keys, or -1.
        anchored: whether the slices were made by dividing larger slices. Such slices are not divided again.
    """
    size = min(len(keys), len(others))
    begin = _count_equal(keys[:size], others[:size])
    left = size - begin
    end = _count_equal(keys[len(keys) - left :][::-1], others[len(others) - left :][::-1])
    partners[first : first + begin] = np.arange(other, other + begin)
    stop, other_stop = len(keys) - end, len(others) - end
    partners[first + stop : first + len(keys)] = np.arange(other + other_stop, other + len(others))
    keys, others, first, other = keys[begin:stop], others[begin:other_stop], first + begin, other + begin
    if not len(keys) or not len(others):
        return
    found, counts = np.unique(keys, return_counts=True)
    others_found, others_counts = np.unique(others, return_counts=True)
    _, here, there = np.intersect1d(found, others_found, assume_unique=True, return_indices=True)
    if int((counts[here] * others_counts[there]).sum()) <= _PAIRS:
        ours, theirs = _longest_match(keys, others)
        partners[first + ours] = other + theirs
    elif not anchored:
        # A run of keys that occurs only once on each side can be matched safely. These matches divide the
        # rows into parts, which are then matched separately.
        runs, other_runs = _join_runs(keys), _join_runs(others)
        ours, theirs = np.sort(_places_once(runs)), np.sort(_places_once(other_runs))
        at, others_at = _longest_match(runs[ours], other_runs[theirs])
        ours, theirs = ours[at], theirs[others_at]
        partners[first + ours] = other + theirs
        begins = zip([0, *(ours + 1).tolist()], [0, *(theirs + 1).tolist()], strict=True)
        ends = zip([*ours.tolist(), len(keys)], [*theirs.tolist(), len(others)], strict=True)
        for (start, start_other), (end_key, end_other) in zip(begins, ends, strict=True):
            if start == end_key or start_other == end_other:
                continue
            part = keys[start:end_key], others[start_other:end_other]
            _match_part(*part, first + start, other + start_other, partners, anchored=True)


def _count_equal(keys: Hashes, others: Hashes) -> int:
    """Return the number of keys before the first key that differs."""
    differ = keys != others
    return int(np.argmax(differ)) if differ.any() else len(keys)


def _longest_match(keys: Hashes, others: Hashes) -> tuple[Positions, Positions]:
    """Return the indices of a longest common subsequence in `keys` and in `others`.

    Source: Hunt and Szymanski, "A fast algorithm for computing longest common subsequences" (1977).
    """
    places: dict[int, list[int]] = {}
    for place in range(len(others) - 1, -1, -1):
        places.setdefault(int(others[place]), []).append(place)
    # For each length of a common subsequence, the smallest place in `others` at which one ends, and the index
    # in `pairs` of its last pair.
    ends: list[int] = []
    last: list[int] = []
    pairs: list[tuple[int, int, int]] = []
    for index, key in enumerate(keys.tolist()):
        for place in places.get(key, ()):
            length = bisect_left(ends, place)
            pairs.append((index, place, last[length - 1] if length else -1))
            ends[length : length + 1] = [place]
            last[length : length + 1] = [len(pairs) - 1]
    ours, theirs, at = [], [], last[-1] if last else -1
    while at >= 0:
        index, place, at = pairs[at]
        ours.append(index)
        theirs.append(place)
    return np.array(ours[::-1], dtype=np.int64), np.array(theirs[::-1], dtype=np.int64)


def match_rows(
    keys: Sequence[Hashes], others: Sequence[Hashes], files: Positions, lengths: Positions, loses: Flags
) -> Positions:
    """Return, for each padded row, the index of its row in the input, or -1 if the input has no such row.

    The padded rows are in the order of the input. Either all overlong rows were dropped, or none. The same is
    true of rows without tokens. Each combination is tried, and the result with the most matches is returned.

    Args:
        keys: one or more lists of hashes of the padded rows. Each list is tried, the most specific first.
        others: the same lists for the rows of the input.
        files: index of the file of each row of the input.
        lengths: number of tokens of each row of the input, after truncation.
        loses: whether each row of the input loses tokens.
    """
    best, score = np.full(len(keys[0]), -1, dtype=np.int64), (-1, 0)
    for ours, theirs in zip(keys, others, strict=True):
        tried: set[bytes] = set()
        for order in _file_orders(ours, theirs, files):
            for kept in (loses >= 0, ~loses, lengths > 0, ~loses & (lengths > 0)):
                rows = order[kept[order]]
                if rows.tobytes() in tried:
                    continue
                tried.add(rows.tobytes())
                found = match_in_order(ours, theirs[rows])
                matched = int((found >= 0).sum())
                if (matched, matched - len(rows)) > score:
                    score = matched, matched - len(rows)
                    best = np.where(found >= 0, rows[found], -1) if len(rows) else found
                if len(found) == matched == len(rows):
                    return best
        if score[0] == len(best):
            break
    return best


def _file_orders(keys: Hashes, others: Hashes, files: Positions) -> Iterator[Positions]:
    """Yield the row indices of the input, with its files in order and in other possible orders."""
    yield np.arange(len(others))
    names = np.unique(files)
    if len(names) < 2:
        return
    if len(names) <= _PERMUTED:
        for order in permutations(names.tolist()):
            yield np.argsort(np.argsort(order)[np.searchsorted(names, files)], kind="stable")
        return
    # Rows that occur once show the order of the files.
    ours, theirs = _places_once(keys), _places_once(others)
    _, at, others_at = np.intersect1d(keys[ours], others[theirs], return_indices=True)
    ours, theirs = ours[at], theirs[others_at]
    if len(ours):
        places = np.full(int(names[-1]) + 1, -1.0)
        for file in np.unique(files[theirs]).tolist():
            places[file] = np.median(ours[files[theirs] == file])
        yield np.argsort(places[files], kind="stable")


def _join_runs(keys: Hashes) -> Hashes:
    """Return a hash of keys 0 to `_RUN` - 1, a hash of keys 1 to `_RUN`, and so on."""
    size = max(0, len(keys) - _RUN + 1)
    return join_hashes(*(keys[start : start + size] for start in range(_RUN)))


def _places_once(keys: Hashes) -> Positions:
    """Return the indices of the keys that occur exactly once."""
    _, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    return np.asarray(firsts[counts == 1], dtype=np.int64)
