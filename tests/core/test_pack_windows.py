"""Windows bound the memory of packing, and do not depend on how the sequences were read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from padmask.core import pack_windows
from padmask.core.pack_windows import cut_windows, pack_window
from padmask.spec.pack import PackSpec


@given(st.lists(st.integers(1, 1 << 27), max_size=30))
def test_windows_cover_all_rows(values):
    values = np.array(values, dtype=np.int64)
    found = list(cut_windows(np.ones_like(values), values))
    assert [i for start, stop in found for i in range(start, stop)] == list(range(len(values)))
    assert all(sum(values[start:stop]) <= 1 << 26 or stop == start + 1 for start, stop in found)


def test_windows_have_a_maximum_of_sequences():
    ones = np.ones((1 << 16) + 5, dtype=np.int64)
    assert list(cut_windows(ones, ones)) == [(0, 1 << 16), (1 << 16, (1 << 16) + 5)]
    assert list(cut_windows(ones[:3] << 15, ones[:3])) == [(0, 2), (2, 3)]


def test_rows_that_are_not_full_wait():
    rows, done = pack_window(np.array([100, 60, 39, 10]), 100, PackSpec(), last=False)
    assert rows.tolist() == [0, 1, 1, -1]
    assert done.tolist() == [True, True, True, False]
    assert pack_window(np.array([100, 60, 39, 10]), 100, PackSpec(), last=True)[1].all()


def test_few_rows_wait_if_none_fits():
    _, done = pack_window(np.full(5000, 513), 1024, PackSpec(), last=False)
    assert (~done).sum() == pack_windows.CARRIED_ROWS
    _, done = pack_window(np.full(500, 70_000), 131_072, PackSpec(), last=False)
    assert (~done).sum() == pack_windows.CARRIED_POSITIONS // 131_072


def test_the_better_plan_is_taken():
    random = np.random.default_rng(1)
    lengths = np.clip(np.rint(random.lognormal(np.log(70) - 0.5, 1, 60_000)), 1, 1024).astype(np.int64)
    rows, _ = pack_window(lengths, 1024, PackSpec(max_segments=32), last=True)
    assert np.bincount(rows).max() <= 32
    assert lengths.sum() / (1024 * (rows.max() + 1)) >= 0.999
