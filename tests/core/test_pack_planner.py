"""Packing of many windows keeps every token, and costs little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import PadSpec, WindowSpec
from padmask.core import pack_windows
from padmask.core.length_stats import LengthStats
from padmask.core.pack_planner import plan_pack
from padmask.core.packing import count_at_least
from padmask.core.plan import make_plan
from padmask.spec.pack import PackSpec

ALGORITHMS = st.sampled_from(["best-fit", "in-order", "wrap"])


def log_normal(mean, maxlen, count=200_000):
    random = np.random.default_rng(1)
    return np.clip(np.rint(random.lognormal(np.log(mean) - 0.5, 1, count)), 1, maxlen).astype(np.int64)


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 12), ALGORITHMS)
def test_windows_keep_every_token(lengths, size, algorithm):
    lengths = np.array(lengths, dtype=np.int64)
    windows = None if algorithm == "wrap" else WindowSpec()
    spec = PadSpec(maxlen=9, windows=windows, packing=PackSpec(algorithm=algorithm))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_windows, "WINDOW_SEQUENCES", size)
        packed = plan_pack(lengths, make_plan(spec), spec, 1)
    assert packed.kept_tokens().tolist() == lengths.tolist()
    assert packed.lengths.sum() == lengths.sum()
    assert (packed.row_lengths <= 9).all()
    assert (packed.lengths > 0).all()
    if algorithm == "wrap":
        assert (packed.row_lengths[:-1] == 9).all()
        # The windows do not change the rows.
        assert packed.sources.tolist() == sorted(packed.sources.tolist())


@pytest.mark.parametrize(("mean", "maxlen", "share"), [(70, 1024, 0.9999), (700, 2048, 0.9997)])
def test_windows_cost_little(mean, maxlen, share):
    lengths = log_normal(mean, maxlen)
    spec = PadSpec(maxlen=maxlen, packing=PackSpec())
    rows = len(plan_pack(lengths, make_plan(spec), spec, 1).row_lengths)
    assert lengths.sum() / (rows * maxlen) >= share
    assert rows <= 1.0002 * count_at_least(LengthStats.of(lengths), maxlen) + 1


def test_align_and_maximum():
    lengths = np.array([3, 1, 2, 5, 1], dtype=np.int64)
    spec = PadSpec(maxlen=8, packing=PackSpec(align=4, max_segments=2))
    packed = plan_pack(lengths, make_plan(spec), spec, 1)
    assert (packed.firsts % 4 == 0).all()
    assert np.bincount(packed.rows).max() <= 2


@pytest.mark.parametrize("maxlen", [power + by for power in (2, 16, 256, 4096) for by in (-1, 0, 1)])
@pytest.mark.parametrize("algorithm", ["best-fit", "in-order", "wrap"])
def test_maxlen_near_powers(maxlen, algorithm):
    """Rows just below, at and above maxlen are split and packed without a lost token."""
    windows = None if algorithm == "wrap" else WindowSpec()
    spec = PadSpec(maxlen=maxlen, windows=windows, packing=PackSpec(algorithm=algorithm))
    lengths = np.array([maxlen - 1, maxlen, maxlen + 1, 1, 2 * maxlen, 2 * maxlen + 1] * 3, dtype=np.int64)
    segments = plan_pack(lengths, make_plan(spec), spec, 1)
    rows = segments.row_lengths
    assert rows.max() <= maxlen
    assert rows.sum() == lengths.sum()
    kept = np.bincount(segments.sources, weights=segments.counts, minlength=len(lengths))
    assert kept.tolist() == lengths.tolist()
    assert len(rows) >= -(-lengths.sum() // maxlen)
    if algorithm == "wrap":
        assert (rows[:-1] == maxlen).all()
