"""Comparing all rows at once gives the same deviations as row by row."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.python_rows import flatten
from padmask.verify.proof.deviations import compare_real_positions, describe_row, difference, scale_of
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.proof.tolerance import Deviation

LENGTHS = [2, 0, 3, 1]
SAMPLE = Sample({"ids": Input(flatten([[7] * length for length in LENGTHS]))})
ZEROS = np.zeros((4, 2, 3))


def changed(array, **places):
    """A copy with other values in some rows."""
    copy = array.copy()
    for row, value in places.items():
        copy[int(row.removeprefix("row"))] = value
    return copy


def row_by_row(base, output):
    found = Deviation()
    for row in np.flatnonzero(LENGTHS):
        where = f"{describe_row(LENGTHS[row])}, here"
        found |= Deviation(difference(base[row], output[row]), scale_of(base[row]), where)
    return found


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
def test_all_rows_equal_row_by_row(base, output):
    follow = {"out": (None,) * (base.ndim - 1)}
    found = compare_real_positions(SAMPLE, follow, {"out": base}, {"out": output}, "here")
    assert found == {"out": row_by_row(base, output)}


def test_other_sizes_differ_infinitely():
    found = compare_real_positions(
        SAMPLE, {"out": (None,)}, {"out": np.zeros((4, 3))}, {"out": np.zeros((4, 2))}, "here"
    )
    assert found["out"].largest == np.inf


def test_empty_rows_have_no_places():
    nothing = SAMPLE.empty(2)
    assert (
        compare_real_positions(nothing, {"out": ()}, {"out": np.zeros(2)}, {"out": np.ones(2)}, "here") == {}
    )
