"""Choose the rows and the padding with the largest effect on the outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from padmask.verify.proof.deviations import Outputs, relative_difference
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import CannotRunError

# A clear row (`LeakingRow.is_clear`) is preferred if its deviation is at least this share of the largest one.
_CLEAR = 0.1

# In rows with fewer tokens, every window of the model may contain padding, so the effect of padding can look
# like a constant.
_ENOUGH_TOKENS = 3


@dataclass(frozen=True)
class LeakingRow:
    """A row and an amount of padding that show a leak.

    Args:
        row: sample that contains only this row.
        more: number of padding positions.
        deviation: largest difference from the outputs without padding, as in `relative_difference`.
    """

    row: Sample
    more: int
    deviation: float

    @property
    def is_clear(self) -> bool:
        """Whether the row shows the leak clearly: it has enough tokens, and `more` is a multiple of 64.

        Some models divide rows into windows. With a multiple of 64 padding positions, each token usually has
        the same position in its window as without padding.
        """
        tokens = next(iter(self.row.lengths().values()))[0]
        return bool(self.more % 64 == 0 and tokens >= _ENOUGH_TOKENS)


def choose_leaking_row(
    predict: Callable[[ModelBatch], Outputs], rows: Sample, padding_counts: Iterable[int]
) -> LeakingRow | None:
    """Return the row and the padding with the largest deviation; None if no row can run with padding.

    Rows for which `LeakingRow.is_clear` is True are preferred, unless their deviation is much smaller.

    Args:
        predict: function that runs the model.
        rows: rows that can run alone, without padding.
        padding_counts: numbers of padding positions to try.
    """
    counts = list(padding_counts)
    found = []
    for index in range(len(rows)):
        row = rows.select([index])
        alone = predict(row.padded())
        for more in counts:
            with suppress(CannotRunError):
                found.append(
                    LeakingRow(row, more, relative_difference(alone, predict(row.padded(more)), rows.padding))
                )
    worst = _first_worst(found)
    clear = _first_worst([one for one in found if one.is_clear])
    if worst is None or clear is None or clear.deviation < worst.deviation * _CLEAR:
        return worst
    return clear


def _first_worst(found: Iterable[LeakingRow]) -> LeakingRow | None:
    """Return the first row whose deviation is not much smaller than the largest deviation."""
    worst: LeakingRow | None = None
    for one in found:
        if worst is None or one.deviation > worst.deviation * 1.01:
            worst = one
    return worst


@dataclass(frozen=True)
class FixedRow:
    """A row for a model whose inputs must have a fixed length.

    Args:
        row: sample that contains only this row.
        places: padded lengths of the inputs.
        length: number of tokens of the row.
    """

    row: Sample
    places: frozenset[int]
    length: int


def choose_fixed_row(sample: Sample) -> FixedRow:
    """Return the longest row that has padding, for models that require a fixed length."""
    lengths, places = next(iter(sample.lengths().values())), frozenset(sample.places().values())
    index = int(np.argmax(np.where(lengths < max(places), lengths, -1)))
    return FixedRow(sample.select([index]), places, int(lengths[index]))


def choose_equal_lengths(probe: Sample) -> Sample:
    """Return four rows of equal length with random tokens, for models whose rows influence each other.

    Because the lengths are equal, none of the rows needs padding.
    """
    return probe.select([len(probe) // 2] * 4).with_random_tokens(7)
