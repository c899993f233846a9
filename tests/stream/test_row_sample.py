"""The sampler keeps the same rows, independent of batches and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import represented

from padmask.stream.row_sample import (
    Pick,
    Row,
    RowSampler,
    choose_rows,
    pick_longest,
    pick_numbers,
    pick_random,
    pick_range,
    pick_shortest,
    without_empty_rows,
)

few = settings(max_examples=100, deadline=None)
lengths_of_rows = st.lists(st.integers(0, 9), max_size=60)


def row_at(place: int, number: int) -> Row:
    return Row(number, {}, None)


def sampled(picks: Sequence[Pick], lengths: Sequence[int], batch_rows: int) -> RowSampler:
    """Pass all rows to a sampler, in batches of this size."""
    sampler = RowSampler(picks)
    for first in range(0, len(lengths), batch_rows):
        sampler.take(np.array(lengths[first : first + batch_rows]), row_at, first)
    return sampler


def kept(picks: Sequence[Pick], lengths: Sequence[int], batch_rows: int = 7) -> list[int]:
    return [row.number for row in choose_rows(sampled(picks, lengths, batch_rows).kept)]


@given(lengths=lengths_of_rows, count=st.integers(0, 70))
@few
def test_extreme_rows_match_sorting(lengths: list[int], count: int) -> None:
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    by_length_down = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    assert kept([pick_shortest(count)], lengths) == sorted(by_length[:count])
    assert kept([pick_longest(count)], lengths) == sorted(by_length_down[:count])


@given(lengths=lengths_of_rows, first=st.integers(0, 70), size=st.integers(-5, 70))
@few
def test_a_range_is_a_slice(lengths: list[int], first: int, size: int) -> None:
    last = max(0, first + size)
    assert kept([pick_range(first, last)], lengths) == list(range(len(lengths)))[first:last]


@given(lengths=lengths_of_rows, chosen=st.sets(st.integers(0, 70)))
@few
def test_missing_row_numbers_are_ignored(lengths: list[int], chosen: set[int]) -> None:
    assert kept([pick_numbers(chosen)], lengths) == sorted(n for n in chosen if n < len(lengths))


PICKS: dict[str, Callable[[int], Pick]] = {
    "range": lambda count: pick_range(3, 3 + count),
    "numbers": lambda count: pick_numbers(range(0, 3 * count, 3)),
    "shortest": pick_shortest,
    "longest": pick_longest,
    "random": lambda count: pick_random(count, seed=5),
    "random, no empty rows": lambda count: without_empty_rows(pick_random(count, seed=5)),
}


@represented("pick", PICKS, by=3)
@given(lengths=lengths_of_rows, count=st.integers(0, 12), batch_rows=st.integers(1, 61))
@few
def test_batches_do_not_matter(
    pick: Callable[[int], Pick], lengths: list[int], count: int, batch_rows: int
) -> None:
    found = sampled([pick(count)], lengths, batch_rows).kept
    assert found == sampled([pick(count)], lengths, 100).kept
    assert len(found[0]) <= count


@given(parts=st.lists(lengths_of_rows, min_size=1, max_size=4), count=st.integers(1, 12))
@few
def test_partial_samples_combine(parts: list[list[int]], count: int) -> None:
    draws = [sampled([pick_random(count, seed=(8, i))], part, 9).kept[0] for i, part in enumerate(parts)]
    together = [one for draw in draws for one in draw]
    keys = np.concatenate([np.random.default_rng((8, i)).random(len(part)) for i, part in enumerate(parts)])
    found = sorted(one.key for one in together)[:count]
    assert found == sorted(keys.tolist())[:count]


def test_a_seed_decides_the_draw() -> None:
    lengths = [1] * 200
    draws = [kept([pick_random(20, seed=seed)], lengths) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 20


def test_first_picks_take_precedence() -> None:
    lengths = [5, 1, 3, 9, 2]
    found = sampled([pick_longest(2), pick_shortest(2)], lengths, 2).kept
    assert [row.number for row in choose_rows(found, 3)] == [0, 1, 3]
    assert [row.number for row in choose_rows(found, 2)] == [0, 3]


def test_empty_rows_are_not_sampled() -> None:
    lengths = [0, 4, 0, 2]
    assert kept([without_empty_rows(pick_shortest(4))], lengths) == [1, 3]
    # The keys of the other rows do not change if empty rows are ignored.
    found = sampled([without_empty_rows(pick_random(4, seed=3))], lengths, 3).kept[0]
    keys = np.random.default_rng(3).random(4)
    assert sorted(one.key for one in found) == sorted(keys[[1, 3]].tolist())
