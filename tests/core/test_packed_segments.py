"""Packed rows contain their sequences one after another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracle import split_row

from padmask import PadSpec, WindowSpec
from padmask.core.kernel import pad_batch
from padmask.core.packed_segments import plan_packed, plan_wrapped
from padmask.core.packing import pack_best_fit
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten


@st.composite
def unique_rows(draw):
    """Generate rows of tokens in which each token occurs once."""
    tokens = iter(range(1, 10_000))
    return [[next(tokens) for _ in range(n)] for n in draw(st.lists(st.integers(1, 25), max_size=9))]


def unpad(values, mask):
    return [row[real].tolist() for row, real in zip(values, mask, strict=True)]


@given(unique_rows(), st.integers(2, 12), st.sampled_from([None, 0, 1]), st.integers(0, 1))
def test_packed_rows_join_sequences(rows, maxlen, overlap, last):
    if overlap is not None and overlap + last >= maxlen:
        overlap = 0
    windows = None if overlap is None else WindowSpec(overlap=overlap)
    spec = PadSpec(maxlen=maxlen, keep_last=last, windows=windows)
    ragged = flatten(rows)
    segments = make_segments(ragged.lengths, make_plan(spec), spec)
    packed = pack_best_fit(segments.lengths, maxlen)
    both = plan_packed(segments, packed, maxlen)
    padded = pad_batch(ragged, both, value=-1, dtype="int32")

    expected = [[] for _ in set(packed.tolist())]
    single = pad_batch(ragged, segments, value=-1, dtype="int32")
    for row, tokens in zip(packed.tolist(), unpad(single.values, single.mask), strict=True):
        expected[row] += tokens
    assert unpad(padded.values, padded.mask) == expected
    assert padded.lengths.tolist() == list(map(len, expected))
    assert (padded.values[~padded.mask] == -1).all()
    assert both.kept_tokens().tolist() == segments.kept_tokens().tolist()


@given(unique_rows())
def test_windows_of_a_row_tile_it(rows):
    spec = PadSpec(maxlen=5, windows=WindowSpec())
    ragged = flatten(rows)
    segments = make_segments(ragged.lengths, make_plan(spec), spec)
    both = plan_packed(segments, pack_best_fit(segments.lengths, 5), 5)
    found = sorted(
        zip(both.sources.tolist(), both.windows.starts.tolist(), both.windows.stops.tolist(), strict=True)
    )
    assert found == [
        (number, *part) for number, row in enumerate(rows) for part in split_row(row, 5, 0, 0, 0, "post")
    ]


def test_align_leaves_positions_free():
    ragged = flatten([[1, 2, 3], [4], [5, 6]])
    segments = make_segments(ragged.lengths, make_plan(PadSpec(maxlen=8)), PadSpec(maxlen=8))
    both = plan_packed(segments, np.array([0, 0, 0]), 8, align=2)
    assert pad_batch(ragged, both, value=0, dtype="int32").values.tolist() == [[1, 2, 3, 0, 4, 0, 5, 6]]


@given(unique_rows(), st.integers(1, 9))
def test_wrapped_rows_equal_joined_tokens(rows, maxlen):
    ragged = flatten(rows)
    wrapped = plan_wrapped(ragged.lengths, maxlen)
    padded = pad_batch(ragged, wrapped, value=0, dtype="int32")
    tokens = [token for row in rows for token in row]
    assert padded.values[padded.mask].tolist() == tokens
    assert padded.lengths.tolist() == [len(tokens[i : i + maxlen]) for i in range(0, len(tokens), maxlen)]
    # Each sequence has the tokens of one row.
    assert (wrapped.starts + wrapped.counts <= ragged.lengths[wrapped.sources]).all()


def test_empty_rows_are_not_wrapped():
    assert plan_wrapped(np.array([0, 0]), 4).counts.tolist() == []
