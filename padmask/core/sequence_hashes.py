"""Hash token sequences, to compare sets of sequences without their order."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.masks import index_runs
from padmask.core.plan import Positions

Hashes = npt.NDArray[np.uint64]


def mix(values: Hashes) -> Hashes:
    """Return a pseudorandom number for each value. Equal values have equal numbers.

    >>> bool((mix(np.array([1, 2], dtype=np.uint64)) == mix(np.array([1, 3], dtype=np.uint64)))[1])
    False

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_sequences(values: npt.NDArray[Any], lengths: Positions) -> Hashes:
    """Return a hash of each sequence: uint64, shape (sequences,). Equal sequences have equal hashes.

    >>> tokens, lengths = np.array([7, 8, 7, 8, 8, 7]), np.array([2, 2, 2])
    >>> hashes = hash_sequences(tokens, lengths)
    >>> bool(hashes[0] == hashes[1]), bool(hashes[0] == hashes[2])
    (True, False)

    Args:
        values: tokens of all sequences, one sequence after another, of shape (tokens, ...).
        lengths: number of tokens of each sequence: int64, shape (sequences,).
    """
    codes = _codes(values).reshape(len(values), math.prod(values.shape[1:]))
    places = index_runs(np.zeros_like(lengths), lengths)
    total = np.zeros(len(values) + 1, dtype=np.uint64)
    for part in range(codes.shape[1]):
        at = mix((places * codes.shape[1] + part).astype(np.uint64))
        total[1:] += mix(codes[:, part] ^ at)
    np.cumsum(total, out=total)
    ends = np.cumsum(lengths)
    return mix((total[ends] - total[ends - lengths]) ^ mix(lengths.astype(np.uint64)))


def _codes(values: npt.NDArray[Any]) -> Hashes:
    """Return a code (an integer) for each value. Equal values have equal codes."""
    if values.dtype.kind in "OU":
        found, which = np.unique(values.astype(str), return_inverse=True)
        hashed = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in found.tolist()]
        return np.array(hashed, dtype=np.uint64)[which.reshape(values.shape)]
    wide = np.float64 if values.dtype.kind == "f" else np.int64
    codes: Hashes = np.ascontiguousarray(values.astype(wide)).view(np.uint64)
    return codes


def join_hashes(*parts: Hashes | Positions) -> Hashes:
    """Return an array of hashes. Hash i is computed from the numbers at index i of all arrays.

    >>> bool((join_hashes(np.array([1]), np.array([2])) == join_hashes(np.array([2]), np.array([1])))[0])
    False
    """
    joined = np.zeros(len(parts[0]), dtype=np.uint64)
    for part in parts:
        joined = mix(joined ^ mix(part.astype(np.uint64)))
    return joined


def find_partners(keys: Hashes, others: Hashes) -> Positions:
    """Return, for each key, the index of an equal hash in `others`; -1 if there is no such hash left.

    Each hash in `others` is used for at most one key.

    >>> find_partners(np.array([5, 3, 5, 5], dtype=np.uint64), np.array([7, 5, 5], dtype=np.uint64)).tolist()
    [1, -1, 2, -1]
    """
    order, other_order = np.argsort(keys, kind="stable"), np.argsort(others, kind="stable")
    ordered, others = keys[order], others[other_order]
    again = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    places = np.searchsorted(others, ordered) + again
    found = places < np.searchsorted(others, ordered, "right")
    partners = np.full(len(keys), -1)
    partners[order[found]] = other_order[places[found]]
    return partners
