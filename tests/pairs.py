"""Combinations of parameter values for tests. They cover each value, or each pair of two values.

@all_pairs(suffix=["jsonl", "parquet"], passes=PASSES, change=CHANGES)
def test_changed_input_is_refused(suffix, passes, change): ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest
from tiers import exhaustive


def combine(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """Return rows of indices. For any two columns, the rows cover every pair of indices.

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


Choices = Collection[Any] | Mapping[str, Any]


def all_pairs(
    *, indirect: Sequence[str] = (), others: bool = False, **values: Choices
) -> pytest.MarkDecorator:
    """Parametrize a test with combinations that cover every pair of values of any two parameters.

    Args:
        indirect: names of the parameters that are fixtures.
        others: whether to add all other combinations as exhaustive tests.
        values: values of each parameter, or a mapping from test ids to values.
    """
    return parametrized(combine([len(choices) for choices in values.values()]), values, indirect, others)


def each_value(*, indirect: Sequence[str] = (), **values: Choices) -> pytest.MarkDecorator:
    """Parametrize a test with combinations that contain each value. The other combinations are exhaustive.

    Args:
        indirect: names of the parameters that are fixtures.
        values: values of each parameter, or a mapping from test ids to values.
    """
    counts = [len(choices) for choices in values.values()]
    rows = [tuple(row % count for count in counts) for row in range(max(counts))]
    return parametrized(rows, values, indirect, others=True)


def parametrized(
    rows: Sequence[tuple[int, ...]], values: Mapping[str, Choices], indirect: Sequence[str], others: bool
) -> pytest.MarkDecorator:
    """Parametrize a test with the combinations `rows`.

    `others` adds all other combinations as exhaustive tests.
    """
    named = [
        list(choices.items()) if isinstance(choices, Mapping) else [(str(value), value) for value in choices]
        for choices in values.values()
    ]
    every = product(*(range(len(choices)) for choices in named))
    rest = sorted(set(every).difference(rows)) if others else []
    params = []
    for row in [*rows, *rest]:
        chosen = [choices[index] for choices, index in zip(named, row, strict=True)]
        param = pytest.param(*(value for _, value in chosen), id="-".join(name for name, _ in chosen))
        params.append(exhaustive(param) if row in rest else param)
    return pytest.mark.parametrize(",".join(values), params, indirect=list(indirect))
