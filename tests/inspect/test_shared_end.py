"""The rows that lose a shared token, compared with brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.length_stats import LengthStats
from padmask.core.ragged import Ragged
from padmask.inspect.shared_end import SharedEnd, lengths_with_token

ROWS = st.lists(st.lists(st.integers(1, 3), max_size=4), max_size=30)


def ragged(rows) -> Ragged:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.array([token for row in rows for token in row], dtype=np.int64)
    return Ragged(values, np.cumsum(lengths) - lengths, lengths)


@given(rows=ROWS, truncating=st.sampled_from(["pre", "post"]), maxlen=st.integers(0, 4))
def test_rows_that_lose_the_token(rows, truncating, maxlen):
    lengths = lengths_with_token(ragged(rows), 2, truncating)
    shared = SharedEnd(2, truncating, LengthStats.of(lengths))
    having = [row for row in rows if row and row[-1 if truncating == "post" else 0] == 2]
    assert shared.lengths.rows == len(having)
    assert shared.rows_losing(maxlen) == sum(len(row) > maxlen for row in having)


def test_end_as_json():
    shared = SharedEnd(102, "pre", LengthStats({3: 2}))
    assert shared.as_dict() == {"token": 102, "end": "first", "rows": 2}
