"""`RowSampler`: select a bounded number of rows in one pass.

Each row has a key, and the sampler keeps the rows with the smallest keys. Keys depend only on the rows and
their order, so the selection does not depend on the batches.
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
    """One row of the input, raw or padded.

    Args:
        number: number of the row, counted over the whole input from 0.
        values: values by column name, of shape (tokens, ...), or (maxlen, ...) in padded input.
        mask: shape (maxlen,); None in raw input.
    """

    number: int
    values: Mapping[str, npt.NDArray[Any]]
    mask: npt.NDArray[np.bool_] | None


# Returns a row of a batch, from its position in the batch and its number in the whole input.
RowGetter = Callable[[int, int], Row]

# The row lengths of a batch, shape (rows,), and a function that returns its rows.
BatchRows = tuple[Lengths, RowGetter]


def copy_row(number: int, columns: Mapping[str, Ragged], place: int, mask: Ragged | None = None) -> Row:
    """Copy a row out of a batch, so that the memory of the batch can be freed.

    Args:
        number: number of the row in the whole input.
        columns: columns of the batch, by name.
        place: position of the row in the batch.
        mask: masks of padded rows.
    """
    values = {name: rows.values[_places_of(rows, place)].copy() for name, rows in columns.items()}
    return Row(number, values, None if mask is None else mask.values[_places_of(mask, place)].astype(bool))


def _places_of(rows: Ragged, place: int) -> slice:
    return slice(rows.starts[place], rows.starts[place] + rows.lengths[place])


@dataclass(frozen=True)
class KeptRow:
    """A selected row and its key."""

    key: float
    row: Row


@dataclass(frozen=True)
class Pick:
    """A selection of the rows with the smallest keys. Among equal keys, earlier rows are selected first.

    Args:
        count: maximum number of rows.
        keys: function from the row lengths of a batch and the number of its first row to the keys of the
            rows. A row with an infinite key is never selected.
    """

    count: int
    keys: Callable[[Lengths, int], Keys]


def pick_range(first: int, last: int) -> Pick:
    """Select the rows from `first` up to `last`, without `last`, counted from 0.

    >>> pick_range(1, 3).keys(np.array([5, 5, 5, 5]), 0).tolist()
    [inf, 1.0, 2.0, inf]
    """

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where((numbers >= first) & (numbers < last), numbers, np.inf)

    return Pick(max(0, last - first), keys)


def pick_numbers(chosen: Collection[int]) -> Pick:
    """Select the rows with these numbers."""
    wanted = np.array(sorted(chosen), dtype=np.int64)

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where(np.isin(numbers, wanted), numbers, np.inf)

    return Pick(len(wanted), keys)


def pick_shortest(count: int) -> Pick:
    """Select the shortest rows."""
    return Pick(count, lambda lengths, start: lengths.astype(np.float64))


def pick_longest(count: int) -> Pick:
    """Select the longest rows."""
    return Pick(count, lambda lengths, start: -lengths.astype(np.float64))


def pick_random(count: int, seed: int | Sequence[int]) -> Pick:
    """Select random rows. All rows have the same probability.

    The pick draws one key per row, in order, so it can be used for one pass only.
    """
    random = np.random.default_rng(seed)
    return Pick(count, lambda lengths, start: random.random(len(lengths)))


def without_empty_rows(pick: Pick) -> Pick:
    """Return a pick that never selects a row without tokens.

    >>> without_empty_rows(pick_shortest(1)).keys(np.array([0, 3]), 0).tolist()
    [inf, 3.0]
    """
    # A random pick draws keys for empty rows too, so the keys of other rows do not depend on them.
    return Pick(pick.count, lambda lengths, start: np.where(lengths > 0, pick.keys(lengths, start), np.inf))


class RowSampler:
    """Selects rows in one pass, with one or more picks.

    >>> sampler = RowSampler([pick_longest(1), pick_range(0, 2)])
    >>> lengths = np.array([3, 1, 9])
    >>> sampler.take(lengths, lambda place, number: Row(number, {}, None), first=0)
    >>> [row.number for row in choose_rows(sampler.kept, 2)]
    [0, 2]

    Args:
        picks: the selections.
    """

    def __init__(self, picks: Iterable[Pick]) -> None:
        self._picks = list(picks)
        self._kept: list[list[KeptRow]] = [[] for _ in self._picks]

    @property
    def kept(self) -> Sequence[Sequence[KeptRow]]:
        """The selected rows of each pick, by ascending key."""
        return self._kept

    def take(self, lengths: Lengths, row_at: RowGetter, first: int) -> None:
        """Add the rows of a batch.

        Args:
            lengths: row lengths, shape (rows,).
            row_at: function that returns a row.
            first: number of the first row of the batch.
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
    """Return the rows of several picks without duplicates, in the order of the input.

    Args:
        kept: the selected rows of each pick.
        count: maximum number of rows; None returns all. Earlier picks and smaller keys take precedence.
    """
    found: dict[int, Row] = {}
    for rows in kept:
        for one in sorted(rows, key=_key_of):
            if count is None or len(found) < count:
                found[one.row.number] = one.row
    return [found[number] for number in sorted(found)]
