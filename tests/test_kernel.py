"""The kernel equals the oracle, whatever the side, the cut, the value and the shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import pad_lists

from padmask import PadmaskError
from padmask.core import kernel
from padmask.core.kernel import pad_batch, sequence_mask
from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12), max_size=12)
SIDES = st.sampled_from(["pre", "post"])


@given(rows=ROWS, maxlen=st.integers(0, 15), padding=SIDES, truncating=SIDES, value=st.integers(-9, 9))
def test_equals_the_oracle(rows, maxlen, padding, truncating, value):
    padded = pad_batch(
        flatten(rows),
        maxlen,
        padding=padding,
        truncating=truncating,
        value=value,
        dtype="int32",
    )
    values, mask, lengths = pad_lists(rows, maxlen, padding, truncating, value)
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask
    assert padded.lengths.tolist() == lengths
    assert (padded.values.dtype, padded.mask.dtype) == (np.int32, np.bool_)
    assert padded.values.shape == padded.mask.shape == (len(rows), maxlen)


@given(rows=ROWS, maxlen=st.integers(0, 15), padding=SIDES, truncating=SIDES)
def test_vectors_are_padded_like_tokens(rows, maxlen, padding, truncating):
    vectors = [[[token / 4, token / 8] for token in row] for row in rows]
    if not any(rows):
        return
    padded = pad_batch(
        flatten(vectors),
        maxlen,
        padding=padding,
        truncating=truncating,
        value=-1,
        dtype="float64",
    )
    values, mask, _ = pad_lists(vectors, maxlen, padding, truncating, [-1.0, -1.0])
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask


@given(rows=ROWS, maxlen=st.integers(1, 15), padding=SIDES, truncating=SIDES, block=st.integers(1, 40))
def test_does_not_depend_on_blocks_and_threads(rows, maxlen, padding, truncating, block):
    ragged = flatten(rows)
    options = {"padding": padding, "truncating": truncating, "value": 7, "dtype": "int64"}
    whole = pad_batch(ragged, maxlen, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BLOCK_VALUES", block)
        blocks = pad_batch(ragged, maxlen, threads=2, **options)
    assert (blocks.values == whole.values).all()
    assert (blocks.mask == whole.mask).all()


@given(rows=ROWS, maxlen=st.integers(0, 15), padding=SIDES, truncating=SIDES)
def test_the_mask_gives_back_the_kept_tokens(rows, maxlen, padding, truncating):
    padded = pad_batch(flatten(rows), maxlen, padding=padding, truncating=truncating, value=0, dtype="int32")
    kept = [row[:maxlen] if truncating == "post" else row[max(0, len(row) - maxlen) :] for row in rows]
    assert [values[mask].tolist() for values, mask in zip(padded.values, padded.mask, strict=True)] == kept


def test_a_real_token_may_equal_the_pad_value():
    padded = pad_batch(flatten([[0, 5, 0]]), 4, padding="post", truncating="post", value=0, dtype="int32")
    assert padded.values.tolist() == [[0, 5, 0, 0]]
    assert padded.mask.tolist() == [[True, True, True, False]]


def test_rows_may_overlap_and_come_in_any_order():
    ragged = Ragged(np.arange(10), starts=np.array([6, 0, 2]), lengths=np.array([3, 2, 5]))
    padded = pad_batch(ragged, 3, padding="pre", truncating="pre", value=-1, dtype="int32")
    assert padded.values.tolist() == [[6, 7, 8], [-1, 0, 1], [4, 5, 6]]


def test_sequence_mask_takes_the_longest_row():
    assert sequence_mask([0, 2, 1], padding="pre").tolist() == [[False, False], [True, True], [False, True]]
    assert sequence_mask([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("lengths", "maxlen"),
    [([2.9], 3), ([-1], 3), (["1"], 3), ([[1]], 3), (5, 3), (None, 3), ([2**70], 3), ([1], -1), ([1], 1.5)],
    ids=str,
)
def test_sequence_mask_refuses_what_are_no_lengths(lengths, maxlen):
    with pytest.raises(PadmaskError):
        sequence_mask(lengths, maxlen)


def test_sequence_mask_takes_lengths_of_any_size():
    mask = sequence_mask(np.array([2**63 + 5, 2], np.uint64), 3)
    assert mask.tolist() == [[True, True, True], [True, True, False]]
