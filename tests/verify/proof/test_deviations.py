"""Deviations of outputs: each channel, and each row without a time axis, has its own scale."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.python_rows import flatten
from padmask.verify.proof.deviations import Pair, compare_real_positions, difference, measure
from padmask.verify.proof.sample import Input, Sample

LENGTHS = [2, 0, 3, 1]
SAMPLE = Sample({"ids": Input(flatten([[7] * length for length in LENGTHS]))})
ZEROS = np.zeros((4, 2, 3))


def changed(array, **places):
    """A copy with other values in some rows."""
    copy = array.copy()
    for row, value in places.items():
        copy[int(row.removeprefix("row"))] = value
    return copy


def deviation_of(base, output):
    steps = {"out": (None,) * (base.ndim - 1)}
    return compare_real_positions(SAMPLE, steps, {"out": base}, {"out": output}, "here")["out"]


@pytest.mark.parametrize(
    ("base", "output"),
    [
        (ZEROS, ZEROS),
        (ZEROS + 5, changed(ZEROS + 5, row0=6, row2=9, row3=1)),
        (ZEROS, changed(ZEROS, row2=1, row3=1)),
        (ZEROS, changed(ZEROS, row1=99)),
        (ZEROS, changed(ZEROS, row3=np.nan)),
        (changed(ZEROS, row3=np.nan), changed(ZEROS, row3=np.nan, row0=1)),
        (changed(ZEROS, row0=np.inf, row2=3), changed(ZEROS, row0=-np.inf)),
        (changed(ZEROS, row0=np.inf), changed(ZEROS, row0=np.inf)),
        (ZEROS.astype(int), changed(ZEROS.astype(int), row0=4)),
        (ZEROS.astype(bool), changed(ZEROS.astype(bool), row2=True)),
        (ZEROS.astype(complex), changed(ZEROS.astype(complex), row2=3j)),
        (np.arange(4.0), np.array([0.0, 9.0, 2.5, 3.0])),
        (np.zeros((4, 0)), np.zeros((4, 0))),
    ],
)
def test_deviates_if_rows_differ(base, output):
    real = np.flatnonzero(LENGTHS)
    found = deviation_of(base, output)
    assert (found.largest.max(initial=0) > 0) == (difference(base[real], output[real]) > 0)


def test_other_sizes_differ_infinitely():
    assert (deviation_of(np.zeros((4, 3)), np.zeros((4, 2))).largest == np.inf).all()


def test_empty_rows_have_no_places():
    nothing = SAMPLE.empty(2)
    assert (
        compare_real_positions(nothing, {"out": ()}, {"out": np.zeros(2)}, {"out": np.ones(2)}, "here") == {}
    )


RANDOM = np.random.default_rng(0)
VALUES = RANDOM.standard_normal((16, 3))


def share_of(change, values=VALUES, **options) -> float:
    pairs = [Pair(*rows, str(row)) for row, rows in enumerate(zip(values, values + change, strict=True))]
    return float(measure(pairs, **options).shares.max())


@pytest.mark.parametrize("has_steps", [False, True])
def test_large_channel_hides_nothing(has_steps):
    change = np.zeros_like(VALUES)
    change[4, 1] = 0.1
    price = VALUES * [5.6e6, 1, 1]
    usual, beside_price = (share_of(change, values, has_steps=has_steps) for values in (VALUES, price))
    assert beside_price == pytest.approx(usual) and usual > 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_large_row_hides_nothing(channels):
    values, change = VALUES[:, :channels].copy(), np.zeros((16, channels))
    change[4] = 0.1
    usual = share_of(change, values, has_steps=False)
    values[9] *= 1e7
    assert share_of(change, values, has_steps=False) > usual / 2 > 0.01


def test_values_near_zero_are_rounded():
    """A few small rows and channels are judged with the scale of the others."""
    values = RANDOM.standard_normal((16, 64))
    values[3], values[:, 5] = 1e-9, 1e-9
    assert share_of(1e-7, values, has_steps=False) < 1e-6


def test_largest_share_has_its_place():
    change = np.zeros_like(VALUES)
    change[4, 1], change[7, 2] = 0.1, 0.2
    pairs = [Pair(*rows, str(row)) for row, rows in enumerate(zip(VALUES, VALUES + change, strict=True))]
    found = measure(pairs, has_steps=True)
    assert found.where.tolist()[1:] == ["4", "7"]
    assert found.largest == pytest.approx([0, 0.1, 0.2])
    assert found.scale == pytest.approx(np.abs(VALUES).max(axis=0))
    assert (found | found).largest.tolist() == found.largest.tolist()
