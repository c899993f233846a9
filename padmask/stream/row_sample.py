"""`RowSampler`: keep a bounded selection of rows in one pass over all of them.

Every row gets a key, and the rows with the smallest keys are kept. Keys depend on the rows and their order
alone, so the selection is the same for every batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.ragged import Ragged

Lengths = npt.NDArray[np.int64]

Keys = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One row: its tokens or, of padded input, its places and its mask.

    Args:
        number: its place in the whole input, from 0.
        values: by column, each of shape (tokens, ...), or (maxlen, ...) of padded input.
        mask: shape (maxlen,); None of raw input.
    """

    number: int
    values: Mapping[str, npt.NDArray[Any]]
    mask: npt.NDArray[np.bool_] | None


# Gives a row of a batch by its place in the batch, with its number in the whole input.
RowGetter = Callable[[int, int], Row]

# The lengths of a batch's rows, shape (rows,), and a way to the rows.
BatchRows = tuple[Lengths, RowGetter]


def copy_row(number: int, columns: Mapping[str, Ragged], place: int, mask: Ragged | None = None) -> Row:
    """Return a row of a batch, apart from the batch, which may then be forgotten.

    Args:
        number: of the row in the whole input.
        columns: of the batch.
        place: of the row in the batch.
        mask: of padded rows.
    """
    values = {name: rows.values[_places_of(rows, place)].copy() for name, rows in columns.items()}
    return Row(number, values, None if mask is None else mask.values[_places_of(mask, place)].astype(bool))


def _places_of(rows: Ragged, place: int) -> slice:
    return slice(rows.starts[place], rows.starts[place] + rows.lengths[place])


@dataclass(frozen=True)
class KeptRow:
    """A row that is kept, and the key that decided so."""

    key: float
    row: Row


@dataclass(frozen=True)
class Pick:
    """A rule that keeps the rows with the smallest keys; of equal keys, the first row's is the smallest.

    Args:
        count: rows to keep, at most.
        keys: returns the keys of a batch from the lengths of its rows and the number of the first one.
            Infinity stands for a row that is never kept.
    """

    count: int
    keys: Callable[[Lengths, int], Keys]


def pick_range(first: int, last: int) -> Pick:
    """Keep the rows from `first` up to `last`, counted from 0.

    >>> pick_range(1, 3).keys(np.array([5, 5, 5, 5]), 0).tolist()
    [inf, 1.0, 2.0, inf]
    """

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where((numbers >= first) & (numbers < last), numbers, np.inf)

    return Pick(max(0, last - first), keys)


def pick_numbers(chosen: Collection[int]) -> Pick:
    """Keep the rows of these numbers."""
    wanted = np.array(sorted(chosen), dtype=np.int64)

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where(np.isin(numbers, wanted), numbers, np.inf)

    return Pick(len(wanted), keys)


def pick_shortest(count: int) -> Pick:
    """Keep the shortest rows."""
    return Pick(count, lambda lengths, start: lengths.astype(np.float64))


def pick_longest(count: int) -> Pick:
    """Keep the longest rows."""
    return Pick(count, lambda lengths, start: -lengths.astype(np.float64))


def pick_random(count: int, seed: int | Sequence[int]) -> Pick:
    """Keep rows drawn at random; every row has the same chance, however many there are.

    Args:
        count: rows to keep.
        seed: of the draw. A pick serves one pass, since it draws a key for each row as the row comes.
    """
    random = np.random.default_rng(seed)
    return Pick(count, lambda lengths, start: random.random(len(lengths)))


def without_empty_rows(pick: Pick) -> Pick:
    """Return a pick that never keeps a row without a token.

    >>> without_empty_rows(pick_shortest(1)).keys(np.array([0, 3]), 0).tolist()
    [inf, 3.0]
    """
    # The inner keys come first: a random pick draws for empty rows too.
    return Pick(pick.count, lambda lengths, start: np.where(lengths > 0, pick.keys(lengths, start), np.inf))


class RowSampler:
    """Keeps, in one pass, the rows that picks choose.

    >>> sampler = RowSampler([pick_longest(1), pick_range(0, 2)])
    >>> lengths = np.array([3, 1, 9])
    >>> sampler.take(lengths, lambda place, number: Row(number, {}, None), first=0)
    >>> [row.number for row in choose_rows(sampler.kept, 2)]
    [0, 2]

    Args:
        picks: what to keep.
    """

    def __init__(self, picks: Iterable[Pick]) -> None:
        self._picks = list(picks)
        self._kept: list[list[KeptRow]] = [[] for _ in self._picks]

    @property
    def kept(self) -> Sequence[Sequence[KeptRow]]:
        """The rows of each pick, the smallest key first."""
        return self._kept

    def take(self, lengths: Lengths, row_at: RowGetter, first: int) -> None:
        """Consider the rows of a batch.

        Args:
            lengths: of the rows, shape (rows,).
            row_at: gives a row.
            first: number of the batch's first row.
        """
        for pick, kept in zip(self._picks, self._kept, strict=True):
            keys = pick.keys(lengths, first)
            if not pick.count:
                continue
            limit = kept[-1].key if len(kept) == pick.count else np.inf
            places = np.flatnonzero(keys < limit)
            best = places[np.argsort(keys[places], kind="stable")[: pick.count]].tolist()
            kept += [KeptRow(float(keys[place]), row_at(place, first + place)) for place in best]
            kept.sort(key=_key_of)
            del kept[pick.count :]


def _key_of(kept: KeptRow) -> float:
    return kept.key


def choose_rows(kept: Iterable[Iterable[KeptRow]], count: int | None = None) -> list[Row]:
    """Return rows that were kept, each once, in the order of the input.

    Args:
        kept: the rows of each pick, or of each part of the input; of each, the smallest keys go first.
        count: how many rows to return at most, the first picks' first; None returns all.
    """
    found: dict[int, Row] = {}
    for rows in kept:
        for one in sorted(rows, key=_key_of):
            if count is None or len(found) < count:
                found[one.row.number] = one.row
    return [found[number] for number in sorted(found)]
