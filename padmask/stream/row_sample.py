"""Select a limited number of rows in one pass over all rows: `RowSampler`.

Every row has a key, and the rows with the smallest keys are selected. Keys depend only on the rows and their
order, so the selection does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

Lengths = npt.NDArray[np.int64]

Keys = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A row of raw or padded input.

    Args:
        number: number of the row in the input, starting at 0.
        values: tokens of each column, keyed by column name: shape (tokens, ...). For padded input, the values
            include the padding, and the shape is (maxlen, ...).
        mask: mask of the row: bool, shape (maxlen,); None if the input is not padded.
        segments: for a packed row, the number of the sequence at each position, from 1, and 0 at padding:
            int64, shape (maxlen,). None for other rows.
    """

    number: int
    values: Mapping[str, npt.NDArray[Any]]
    mask: npt.NDArray[np.bool_] | None
    segments: npt.NDArray[np.int64] | None = None


# A function that returns a row, given the index of the row in the batch and its number in the input.
RowGetter = Callable[[int, int], Row]


@dataclass(frozen=True)
class BatchRows:
    """The rows of a batch.

    Args:
        lengths: number of real tokens in each row: int64, shape (rows,). A bad row has length 0.
        row_at: function that returns a row.
        tokens: real tokens, keyed by column name. For padded rows, only the first column is included, and a
            row whose padding is not at one end counts as a row without tokens.
        width: number of positions in a padded row; None for raw rows.
        padding: side of the padding of most rows; None for raw rows, or if no row has padding at one end.
        sequences: lengths of the sequences of each packed row; None for other rows.
        places: number of positions in each padded row: int64, shape (rows,); None for raw rows.
    """

    lengths: Lengths
    row_at: RowGetter
    tokens: Mapping[str, Ragged] = field(default_factory=dict)
    width: int | None = None
    padding: Side | None = None
    sequences: Ragged | None = None
    places: Lengths | None = None


def copy_row(number: int, columns: Mapping[str, Ragged], place: int, mask: Ragged | None = None) -> Row:
    """Copy a row from a batch, so that the memory of the batch can be freed.

    Args:
        number: number of the row in the input.
        columns: columns of the batch.
        place: index of the row in the batch.
        mask: masks of the batch; None if the input is not padded.
    """
    values = {name: rows.values[_places_of(rows, place)].copy() for name, rows in columns.items()}
    return Row(number, values, None if mask is None else mask.values[_places_of(mask, place)].astype(bool))


def _places_of(rows: Ragged, place: int) -> slice:
    return slice(rows.starts[place], rows.starts[place] + rows.lengths[place])


@dataclass(frozen=True)
class KeptRow:
    """A selected row, and its sort key."""

    key: float
    row: Row


@dataclass(frozen=True)
class Pick:
    """A rule that selects the rows with the smallest keys. Among equal keys, the first rows are selected.

    Args:
        count: maximum number of rows to select.
        keys: function that returns the keys of a batch: float64, shape (rows,). The arguments are the lengths
            of the rows and the number of the first row. A row with the key infinity is never selected.
    """

    count: int
    keys: Callable[[Lengths, int], Keys]


def pick_range(first: int, last: int) -> Pick:
    """Return a rule that selects the rows from `first` to `last` (exclusive), numbered from 0.

    >>> pick_range(1, 3).keys(np.array([5, 5, 5, 5]), 0).tolist()
    [inf, 1.0, 2.0, inf]
    """

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where((numbers >= first) & (numbers < last), numbers, np.inf)

    return Pick(max(0, last - first), keys)


def pick_numbers(chosen: Collection[int]) -> Pick:
    """Return a rule that selects the rows whose row numbers are in `chosen`."""
    wanted = np.array(sorted(chosen), dtype=np.int64)

    def keys(lengths: Lengths, start: int) -> Keys:
        numbers = np.arange(start, start + len(lengths))
        return np.where(np.isin(numbers, wanted), numbers, np.inf)

    return Pick(len(wanted), keys)


def pick_shortest(count: int) -> Pick:
    """Return a rule that selects the shortest rows."""
    return Pick(count, lambda lengths, start: lengths.astype(np.float64))


def pick_longest(count: int) -> Pick:
    """Return a rule that selects the longest rows."""
    return Pick(count, lambda lengths, start: -lengths.astype(np.float64))


def pick_random(count: int, seed: int | Sequence[int]) -> Pick:
    """Return a rule that selects random rows. Every row has the same probability.

    The rule works for one pass only, because each call changes the state of its random generator.

    Args:
        count: number of rows to select.
        seed: random seed.
    """
    random = np.random.default_rng(seed)
    return Pick(count, lambda lengths, start: random.random(len(lengths)))


def without_empty_rows(pick: Pick) -> Pick:
    """Return the rule `pick`, restricted to rows with tokens.

    >>> without_empty_rows(pick_shortest(1)).keys(np.array([0, 3]), 0).tolist()
    [inf, 3.0]
    """
    # A random rule also draws a key for empty rows, so empty rows do not change the keys of later rows.
    return Pick(pick.count, lambda lengths, start: np.where(lengths > 0, pick.keys(lengths, start), np.inf))


def without_bad_rows(pick: Pick) -> Pick:
    """Return the rule `pick`, restricted to good rows. The caller passes the length -1 for a bad row.

    >>> without_bad_rows(pick_shortest(2)).keys(np.array([-1, 0]), 0).tolist()
    [inf, 0.0]
    """
    return Pick(pick.count, lambda lengths, start: np.where(lengths < 0, np.inf, pick.keys(lengths, start)))


class RowSampler:
    """A sampler that applies several rules in one pass over the rows.

    >>> sampler = RowSampler([pick_longest(1), pick_range(0, 2)])
    >>> lengths = np.array([3, 1, 9])
    >>> sampler.take(lengths, lambda place, number: Row(number, {}, None), first=0)
    >>> [row.number for row in choose_rows(sampler.kept, 2)]
    [0, 2]

    Args:
        picks: rules that select the rows.
    """

    def __init__(self, picks: Iterable[Pick]) -> None:
        self._picks = list(picks)
        self._kept: list[list[KeptRow]] = [[] for _ in self._picks]

    @property
    def kept(self) -> Sequence[Sequence[KeptRow]]:
        """The rows that each rule has selected, sorted by key."""
        return self._kept

    def take(self, lengths: Lengths, row_at: RowGetter, first: int) -> None:
        """Apply the rules to the rows of a batch.

        Args:
            lengths: number of tokens in each row of the batch: int64, shape (rows,).
            row_at: function that returns a row of the batch.
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
    """Combine the rows that several rules selected, without duplicates, in the order of the input.

    Args:
        kept: for each rule, the selected rows with their keys. If there are more than `count` rows, the rows
            of earlier rules are chosen first. Among the rows of a rule, those with smaller keys come first.
        count: maximum number of rows to return. If None, all rows are returned.
    """
    found: dict[int, Row] = {}
    for rows in kept:
        for candidate in sorted(rows, key=_key_of):
            if count is None or len(found) < count:
                found[candidate.row.number] = candidate.row
    return [found[number] for number in sorted(found)]
