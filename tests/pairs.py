"""Pairwise testing: combinations that contain every pair of values of two parameters.

@all_pairs(suffix=["jsonl", "parquet"], passes=PASSES, change=CHANGES)
def test_changed_input_is_refused(suffix, passes, change): ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest


def combine(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """Return rows of indices that contain every pair of indices of two columns.

    >>> combine([2, 2, 2])
    [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]

    Args:
        counts: number of values of each column.
    """
    missing = {
        ((i, a), (j, b))
        for i, j in combinations(range(len(counts)), 2)
        for a in range(counts[i])
        for b in range(counts[j])
    }
    rows = []
    while missing:
        # Greedy: start each row with the first missing pair, and add the values with the most new pairs.
        row = dict(min(missing))
        for column in range(len(counts)):
            if column not in row:
                row[column] = max(
                    range(counts[column]),
                    key=lambda value, row=row, column=column: (
                        sum(tuple(sorted([(column, value), other])) in missing for other in row.items()),
                        -value,
                    ),
                )
        rows.append(tuple(row[column] for column in range(len(counts))))
        missing -= set(combinations(sorted(row.items()), 2))
    return rows


def all_pairs(
    *, indirect: Sequence[str] = (), **values: Collection[Any] | Mapping[str, Any]
) -> pytest.MarkDecorator:
    """Parametrize a test with combinations that contain every pair of values of two parameters.

    Args:
        indirect: names of the parameters that are fixtures.
        values: values of each parameter, or a mapping from test ids to values.
    """
    named = [
        list(choices.items()) if isinstance(choices, Mapping) else [(str(value), value) for value in choices]
        for choices in values.values()
    ]
    rows = [
        [choices[index] for choices, index in zip(named, row, strict=True)]
        for row in combine([len(choices) for choices in named])
    ]
    return pytest.mark.parametrize(
        ",".join(values),
        [tuple(value for _, value in row) for row in rows],
        ids=["-".join(name for name, _ in row) for row in rows],
        indirect=list(indirect),
    )
