"""Choose the rows and the padding with the largest effect on the outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from padmask.verify.proof.checks import CannotRunError
from padmask.verify.proof.deviations import Outputs, relative_difference
from padmask.verify.proof.sample import ModelBatch, Sample


@dataclass(frozen=True)
class LeakingRow:
    """The row with the largest deviation.

    Args:
        row: sample that contains only this row.
        more: number of padding positions with the largest deviation.
        deviation: largest difference from the outputs without padding, relative to the largest value.
    """

    row: Sample
    more: int
    deviation: float


def choose_leaking_row(
    predict: Callable[[ModelBatch], Outputs], rows: Sample, padding_counts: Iterable[int]
) -> LeakingRow | None:
    """Return the row whose outputs padding changes most; None if no row can run with padding.

    Args:
        predict: function that runs the model.
        rows: rows that can run alone, without padding.
        padding_counts: numbers of padding positions to try.
    """
    counts = list(padding_counts)
    worst: LeakingRow | None = None
    for index in range(len(rows)):
        row = rows.select([index])
        alone = predict(row.padded())
        for more in counts:
            with suppress(CannotRunError):
                deviation = relative_difference(alone, predict(row.padded(more)), rows.padding)
                if worst is None or deviation > worst.deviation * 1.01:
                    worst = LeakingRow(row, more, deviation)
    return worst


@dataclass(frozen=True)
class FixedRow:
    """A row of a model that requires a fixed length.

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
