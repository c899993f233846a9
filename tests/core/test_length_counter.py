"""Counting the lengths of many small batches."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core import length_counter
from padmask.core.length_counter import LengthCounter
from padmask.core.length_stats import LengthStats


@pytest.mark.parametrize("pending", [1, 7, 10**6])
def test_counts_do_not_depend_on_batches(monkeypatch, pending):
    monkeypatch.setattr(length_counter, "PENDING_ROWS", pending)
    lengths = np.arange(100) % 13
    counter = LengthCounter()
    for start in range(0, 100, 3):
        counter.add(lengths[start : start + 3])
    assert counter.rows == 100
    assert counter.stats() == LengthStats.of(lengths)
    assert counter.stats() == LengthStats.of(lengths)


def test_no_rows():
    assert (LengthCounter().rows, LengthCounter().stats()) == (0, LengthStats())
