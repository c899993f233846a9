"""Rows that are cut keep their ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import cut_between_ends, pad_lists

from padmask import PadSpec, SpecError
from padmask.core.keep_ends import Ends
from padmask.core.kernel import pad_batch
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten

SIDES = st.sampled_from(["pre", "post"])


@st.composite
def rows_with_ends(draw):
    """Generate a maxlen and rows of unique tokens.

    For each row, also generate how many tokens to keep at the start and at the end.
    """
    maxlen = draw(st.integers(0, 8))
    tokens = iter(range(1, 1000))
    rows = [[next(tokens) for _ in range(n)] for n in draw(st.lists(st.integers(0, 20), max_size=6))]
    firsts = [draw(st.integers(0, maxlen)) for _ in rows]
    lasts = [draw(st.integers(0, maxlen - first)) for first in firsts]
    return maxlen, rows, firsts, lasts


@given(rows_with_ends(), SIDES, SIDES)
def test_ends_of_each_row_stay(case, padding, truncating):
    maxlen, rows, firsts, lasts = case
    spec = PadSpec(
        maxlen=maxlen, padding=padding, truncating=truncating, keep_first="first", keep_last="last"
    )
    ragged, ends = flatten(rows), Ends(np.array(firsts, np.int64), np.array(lasts, np.int64))
    segments = make_segments(ragged.lengths, make_plan(spec), spec, ends)
    padded = pad_batch(ragged, segments, value=-1, dtype="int32")
    cut = [
        cut_between_ends(row, maxlen, *its, truncating) for row, *its in zip(rows, firsts, lasts, strict=True)
    ]
    values, mask, lengths = pad_lists(cut, maxlen, padding, truncating, -1)
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask
    assert padded.lengths.tolist() == lengths
    assert segments.kept_tokens().tolist() == lengths
    assert segments.row_sources.tolist() == list(range(len(rows)))


@given(rows_with_ends(), SIDES)
def test_constant_ends_equal_columns(case, truncating):
    maxlen, rows, _, _ = case
    first = maxlen // 3
    last = maxlen - 2 * first
    spec = PadSpec(maxlen=maxlen, truncating=truncating, keep_first=first, keep_last=last)
    ragged, plan = flatten(rows), make_plan(spec)
    ends = Ends.constant(first, last, len(rows))
    one, other = (
        pad_batch(ragged, segments, value=0, dtype="int32").values.tolist()
        for segments in (
            make_segments(ragged.lengths, plan, spec),
            make_segments(ragged.lengths, plan, spec, ends),
        )
    )
    assert one == other


@pytest.mark.parametrize(("truncating", "ends"), [("post", {"keep_first": 2}), ("pre", {"keep_last": 2})])
def test_kept_side_needs_no_pieces(truncating, ends):
    """Tokens to keep need no extra slices if they are at the side that truncation keeps anyway."""
    spec = PadSpec(maxlen=3, truncating=truncating, **ends)
    assert make_segments(np.array([9, 1]), make_plan(spec), spec).is_plain


@pytest.mark.parametrize(
    ("maxlen", "first", "last"), [(3, 2, 2), (0, 1, 0), (1, 0, 2)], ids=lambda number: str(number)
)
def test_large_ends_are_refused(maxlen, first, last):
    with pytest.raises(SpecError) as caught:
        PadSpec(maxlen=maxlen, keep_first=first, keep_last=last)
    assert "maxlen" in caught.value.options
    assert PadSpec(maxlen=first + last, keep_first=first, keep_last=last).maxlen == first + last


@pytest.mark.parametrize("value", [-1, 1.5, True, None, "", 2**31])
def test_ends_are_numbers_or_columns(value):
    with pytest.raises(SpecError) as caught:
        PadSpec(keep_last=value)
    assert caught.value.options == ("keep_last",)
