"""The token that most rows share at one end, compared with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core import shared_ends
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import EndCounter, EndCounts

ROWS = st.lists(st.lists(st.integers(1, 3), max_size=4), max_size=30)


def ragged(rows) -> Ragged:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.array([token for row in rows for token in row], dtype=np.int64)
    return Ragged(values, np.cumsum(lengths) - lengths, lengths)


def count(rows, truncating="post", batch_rows: int = 100) -> EndCounts:
    counter = EndCounter(truncating)
    for start in range(0, len(rows), batch_rows):
        counter.add(ragged(rows[start : start + batch_rows]))
    return counter.counts()


def losing(rows, maxlen: int, token: int, truncating: str) -> int:
    """Count the longer rows that have the token at this end, without the same token beside it."""
    ends = [row if truncating == "pre" else row[::-1] for row in rows]
    return sum(len(row) > maxlen and row[0] == token != ([*row[1:2], None])[0] for row in ends)


@given(rows=ROWS, truncating=st.sampled_from(["pre", "post"]), maxlen=st.integers(0, 4))
def test_rows_that_lose_the_token(rows, truncating, maxlen):
    shared = count(rows, truncating).shared
    filled = [row for row in rows if row]
    numbers = [losing(rows, 0, token, truncating) for token in (1, 2, 3)]
    if shared is None:
        assert len(filled) < 2 or 2 * max(numbers) < len(filled)
        return
    assert shared.end == ("last" if truncating == "post" else "first")
    assert 2 * numbers[shared.token - 1] >= len(filled)
    assert shared.rows_losing(maxlen) == losing(rows, maxlen, shared.token, truncating)


@given(rows=ROWS, batch_rows=st.integers(1, 7))
def test_batch_size_does_not_matter(rows, batch_rows):
    assert count(rows, batch_rows=batch_rows) == count(rows)


@pytest.mark.parametrize("batch_rows", [1, 3, 4, 1000])
def test_first_rows_decide(monkeypatch, batch_rows):
    monkeypatch.setattr(shared_ends, "DECIDING_ROWS", 4)
    late = [[5, 9], [6, 9], [5, 8], [], [6, 8], *[[1, 2, 7]] * 100]
    found = count(late, batch_rows=batch_rows)
    assert {token: stats.rows for token, stats in found.lengths.items()} == {9: 2, 8: 2}
    assert found.rows == 104
    assert found.shared is None


@given(rows=ROWS, others=ROWS)
def test_files_can_be_added_in_any_order(rows, others):
    one, other = count(rows) + count(others), count(others) + count(rows)
    assert one == other
    assert one.shared == other.shared


def test_repeated_token_is_not_an_end():
    assert count([[1, 7, 7], [2, 7, 7]]).shared is None
    assert count([[1, 7], [2, 7, 7], [3, 7]]).shared.lengths.counts == {2: 2}


@pytest.mark.parametrize("values", [np.array([0.5, 0.5]), np.array([True, True]), np.zeros((2, 3), int)])
def test_only_ids_and_strings_count(values):
    counter = EndCounter("post")
    counter.add(Ragged(values, np.array([0, 1]), np.array([1, 1])))
    assert counter.counts() == EndCounts()


def test_strings():
    counter = EndCounter("post")
    counter.add(
        Ragged(np.array(["a", "</s>", "b", "</s>"], dtype=object), np.array([0, 2]), np.array([2, 2]))
    )
    assert counter.counts().shared.as_dict() == {"token": "</s>", "end": "last", "rows": 2}
