"""The expected cost of dynamic padding, compared with all orders of a few rows and with simulations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.length_stats import LengthStats
from padmask.inspect import dynamic
from padmask.inspect.dynamic import expected_padding


def batches_of(lengths, window: int, batch: int = 32) -> list[np.ndarray]:
    """Sort the rows of each window, and split the window into batches."""
    windows = [np.sort(lengths[i : i + window])[::-1] for i in range(0, len(lengths), window)]
    return [rows[i : i + batch] for rows in windows for i in range(0, len(rows), batch)]


def shapes_of(lengths, window: int, batch: int = 32) -> int:
    return len({int(rows[0]) for rows in batches_of(np.array(lengths), window, batch)})


def places_of(lengths, window: int, batch: int = 32) -> int:
    return sum(int(rows[0]) * len(rows) for rows in batches_of(np.array(lengths), window, batch))


@pytest.mark.parametrize("window", [2, 4, 6])
@pytest.mark.parametrize("lengths", [[1, 2, 3, 5, 8, 13], [4, 4, 0, 9, 9], [0, 7], [3] * 6, [5]], ids=str)
def test_mean_over_all_orders(monkeypatch, lengths, window):
    monkeypatch.setattr(dynamic, "BATCH_ROWS", 2)
    orders = list(permutations(lengths))
    mean = np.mean([places_of(order, window, batch=2) for order in orders])
    shapes = np.mean([shapes_of(order, window, batch=2) for order in orders])
    expected = expected_padding(LengthStats.of(lengths).counts, window)
    assert expected.places == pytest.approx(mean)
    # The windows are not independent, because there are few of them.
    assert expected.shapes == pytest.approx(shapes, rel=0.15)


@pytest.mark.parametrize("rows", [1000, 1700, 20_000])
@pytest.mark.parametrize("window", [32, 1600])
@pytest.mark.parametrize(("median", "longest"), [(42, 1024), (420, 2048)])
def test_simulation_agrees(rows, window, median, longest):
    random = np.random.default_rng(rows)
    lengths = np.clip(np.rint(random.lognormal(np.log(median), 1, rows)), 1, longest).astype(np.int64)
    runs = [places_of(random.permutation(lengths), window) for _ in range(30)]
    expected = expected_padding(LengthStats.of(lengths).counts, window)
    # Five standard errors, and the error of the interpolation.
    tolerance = 5 * np.std(runs) / np.sqrt(len(runs)) + 0.005 * expected.places
    assert expected.places == pytest.approx(np.mean(runs), abs=tolerance)
    shapes = [shapes_of(random.permutation(lengths), window) for _ in range(30)]
    tolerance = 5 * np.std(shapes) / np.sqrt(len(shapes)) + 0.02 * expected.shapes
    assert expected.shapes == pytest.approx(np.mean(shapes), abs=tolerance)


@given(lengths=st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_one_window_is_sorted(lengths):
    expected = expected_padding(LengthStats.of(lengths).counts, 1600)
    assert expected.places == pytest.approx(places_of(lengths, 1600))
    assert expected.shapes == pytest.approx(shapes_of(lengths, 1600))


@pytest.mark.slow
def test_interpolation_is_accurate(monkeypatch):
    random = np.random.default_rng(3)
    counts = LengthStats.of(np.rint(random.lognormal(5, 1, 50_000))).counts
    rough = expected_padding(counts, 1600).places
    monkeypatch.setattr(dynamic, "PROBABILITIES", 1 << 40)
    assert rough == pytest.approx(expected_padding(counts, 1600).places, rel=0.005)


def test_equal_rows_need_no_padding():
    for rows in (1, 32, 33, 5000):
        assert expected_padding({7: rows}, 1600).places == pytest.approx(7 * rows)
        assert expected_padding({7: rows}, 32).shapes == pytest.approx(1)


def test_huge_datasets():
    counts = {1: 10**9, 100: 10**7, 10_000: 3}
    for window in (32, 1600):
        expected = expected_padding(counts, window)
        assert 2 * 10**9 < expected.places < 100 * (10**9 + 10**7)
        assert expected.shapes == pytest.approx(3)
