"""The number of rows that lose a shared token, compared with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.length_stats import LengthStats
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import SharedEnds
from padmask.inspect import shared_end
from padmask.inspect.shared_end import EndCounter, SharedEnd

ROWS = st.lists(st.lists(st.integers(1, 3), max_size=4), max_size=30)


def ragged(rows) -> Ragged:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.array([token for row in rows for token in row], dtype=np.int64)
    return Ragged(values, np.cumsum(lengths) - lengths, lengths)


def count(rows, truncating, shared=None, batch=7) -> tuple[SharedEnds, LengthStats]:
    counter = EndCounter(truncating, shared)
    for start in range(0, len(rows), batch):
        counter.add(ragged(rows[start : start + batch]))
    return counter.found()


@given(rows=ROWS, truncating=st.sampled_from(["pre", "post"]), maxlen=st.integers(0, 4))
def test_rows_that_lose_the_token(rows, truncating, maxlen):
    _, lengths = count(rows, truncating, SharedEnds(2, 2))
    shared = SharedEnd(2, truncating, lengths)
    having = [row for row in rows if row and row[-1 if truncating == "post" else 0] == 2]
    assert shared.lengths.rows == len(having)
    assert shared.rows_losing(maxlen) == sum(len(row) > maxlen for row in having)


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_first_rows_determine_the_token(monkeypatch, batch):
    monkeypatch.setattr(shared_end, "FIRST_ROWS", 4)
    rows = [[], [1, 7], [1, 7], [2, 5], [1, 7, 7], *[[3, 5]] * 20, [7]]
    shared, lengths = count(rows, "post", batch=batch)
    assert shared == SharedEnds(first=1, last=7)
    assert dict(lengths.counts) == {1: 1, 2: 2, 3: 1}


def test_no_rows_share_nothing():
    assert count([], "post") == (SharedEnds(), LengthStats())


def test_shared_end_in_json():
    shared = SharedEnd(102, "pre", LengthStats({3: 2}))
    assert shared.as_dict() == {"token": 102, "end": "first", "rows": 2}
