"""Windows bound the memory of packing, and do not depend on how the sequences were read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core import pack_windows
from padmask.core.length_stats import LengthStats
from padmask.core.pack_windows import cut_windows, pack_rows, pack_window
from padmask.core.packing import count_at_least, pack_in_order
from padmask.spec.pack import PackSpec


def log_normal(mean, maxlen, count=100_000):
    random = np.random.default_rng(1)
    return np.clip(np.rint(random.lognormal(np.log(mean) - 0.5, 1, count)), 1, maxlen).astype(np.int64)


@given(st.lists(st.integers(1, 1 << 27), max_size=30))
def test_windows_cover_all_sequences(values):
    found = list(cut_windows(np.array(values, dtype=np.int64)))
    assert [i for start, stop in found for i in range(start, stop)] == list(range(len(values)))
    assert all(sum(values[start:stop]) <= 1 << 26 or stop == start + 1 for start, stop in found)


def test_windows_have_a_maximum_of_sequences():
    assert list(cut_windows(np.ones((1 << 16) + 5, dtype=np.int64))) == [
        (0, 1 << 16),
        (1 << 16, (1 << 16) + 5),
    ]


@given(
    st.lists(st.integers(1, 20), max_size=80), st.integers(1, 12), st.sampled_from(["best-fit", "in-order"])
)
def test_rows_of_several_windows(lengths, size, algorithm):
    lengths = np.array(lengths, dtype=np.int64)
    spec = PackSpec(algorithm=algorithm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_windows, "WINDOW_SEQUENCES", size)
        rows = pack_rows(lengths, lengths, 20, spec)
    assert (np.bincount(rows, weights=lengths) <= 20).all()
    assert (np.bincount(rows) > 0).all()


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
    lengths = log_normal(70, 1024)
    rows = pack_rows(lengths, lengths, 1024, PackSpec(max_segments=32))
    assert np.bincount(rows).max() <= 32
    assert lengths.sum() / (1024 * (rows.max() + 1)) >= 0.999
    assert rows.max() <= pack_in_order(lengths, 1024, 32).max() + 1


@pytest.mark.parametrize(("mean", "maxlen", "share"), [(70, 1024, 0.9999), (700, 2048, 0.9997)])
def test_windows_cost_little(mean, maxlen, share):
    lengths = log_normal(mean, maxlen, 200_000)
    rows = int(pack_rows(lengths, lengths, maxlen, PackSpec()).max()) + 1
    assert lengths.sum() / (rows * maxlen) >= share
    assert rows <= 1.0002 * count_at_least(LengthStats.of(lengths), maxlen) + 1
