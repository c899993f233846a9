"""The sample pads, truncates and replaces its rows, and picks rows of many lengths."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.core.python_rows import flatten
from padmask.verify.proof.sample import Input, Sample, pick_rows

rows_of_ids = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=12)
sides = st.sampled_from(["post", "pre"])


def sample_of(rows, padding="post", **options) -> Sample:
    return Sample({"ids": Input(flatten(rows), **options)}, padding)


def tokens_of(sample: Sample) -> list[list[int]]:
    padded = sample.padded()["ids"]
    return [values[mask].tolist() for values, mask in zip(padded.values, padded.mask, strict=True)]


@given(rows=rows_of_ids, padding=sides, more=st.integers(0, 9))
def test_more_padding_keeps_tokens(rows, padding, more):
    sample = sample_of(rows, padding, value=0)
    longest = max(map(len, rows))
    padded = sample.padded(more)["ids"]
    assert padded.values.shape == (len(rows), longest + more)
    assert padded.lengths.tolist() == list(map(len, rows))
    assert (padded.values[~padded.mask] == 0).all()
    real = slice(None, longest) if padding == "post" else slice(more, None)
    assert (padded.values[:, real] == sample.padded()["ids"].values).all()
    assert [list(v[m]) for v, m in zip(padded.values, padded.mask, strict=True)] == rows


@given(rows=rows_of_ids, padding=sides)
def test_row_alone_has_no_padding(rows, padding):
    sample = sample_of(rows, padding)
    for place, row in enumerate(rows):
        alone = sample.alone(place)["ids"]
        assert alone.values.tolist() == [row]
        assert alone.mask.all()


@given(rows=rows_of_ids, picked=st.lists(st.integers(0, 99), min_size=1))
def test_rows_can_be_selected(rows, picked):
    picked = [place % len(rows) for place in picked]
    assert tokens_of(sample_of(rows).select(picked)) == [rows[place] for place in picked]


@given(rows=rows_of_ids, padding=sides, maxlen=st.integers(1, 15))
def test_cut_keeps_the_first_tokens(rows, padding, maxlen):
    assert tokens_of(sample_of(rows, padding).cut(maxlen)) == [row[:maxlen] for row in rows]


@given(rows=rows_of_ids, maxlen=st.integers(1, 15))
def test_joined_rows_follow_each_other(rows, maxlen):
    sample = sample_of(rows)
    assert tokens_of(sample.joined(sample.cut(maxlen))) == rows + [row[:maxlen] for row in rows]


@given(rows=rows_of_ids, seed=st.integers(0, 99))
def test_random_tokens_keep_lengths(rows, seed):
    sample = sample_of(rows)
    refilled = tokens_of(sample.with_random_tokens(seed))
    assert list(map(len, refilled)) == list(map(len, rows))
    assert {*chain(*refilled)} <= {*chain(*rows)}
    assert refilled == tokens_of(sample.with_random_tokens(seed))


def test_random_tokens_differ_by_seed():
    sample = sample_of([list(range(1, 30))])
    assert len({str(tokens_of(sample.with_random_tokens(seed))) for seed in range(5)}) == 5


@given(rows=rows_of_ids, padding=sides, more=st.integers(0, 5), seed=st.integers(0, 99))
def test_unmasked_padding_has_tokens(rows, padding, more, seed):
    sample = sample_of(rows, padding, value=0)
    batch = sample.padded(more)
    dressed = sample.unmasked(batch, seed)["ids"]
    mask = batch["ids"].mask
    assert dressed.mask.all()
    assert (dressed.lengths == mask.shape[1]).all()
    assert (dressed.values[mask] == batch["ids"].values[mask]).all()
    assert (dressed.values != 0).all()
    assert set(dressed.values[~mask].tolist()) <= {*chain(*rows)}


def test_pool_limits_tokens():
    sample = Sample({"ids": Input(flatten([[1, 2], [3]]))}, pool={"ids": np.array([70])})
    assert tokens_of(sample.with_random_tokens(0)) == [[70, 70], [70]]
    assert sample.unmasked(sample.padded(), 0)["ids"].values.tolist() == [[1, 2], [3, 70]]


@pytest.mark.parametrize(
    "make",
    [
        lambda sample: sample.cut(1),
        lambda sample: sample.select([0]),
        lambda sample: sample.empty(1),
    ],
    ids=["cut", "selected", "empty"],
)
def test_removed_tokens_stay_in_the_pool(make):
    made = make(sample_of([[1], [2, 3, 4, 5]]))
    drawn = made.tokens("ids", 200, np.random.default_rng(0))
    assert set(drawn.tolist()) == {1, 2, 3, 4, 5}


@given(count=st.integers(1, 5), places=st.integers(0, 9), padding=sides)
def test_empty_rows_are_only_padding(count, places, padding):
    padded = sample_of([[1, 2]], padding, value=9).empty(count).padded(places)["ids"]
    assert padded.values.tolist() == [[9] * places] * count
    assert not padded.mask.any()


def test_fixed_input_keeps_its_places():
    sample = sample_of([[1, 2], [3]], places=4)
    assert sample.is_fixed
    assert sample.padded()["ids"].values.shape == sample.padded(60)["ids"].values.shape == (2, 4)
    assert sample.alone(1)["ids"].values.tolist() == [[3, 0, 0, 0]]


def test_inputs_have_their_own_lengths():
    sample = Sample({"source": Input(flatten([[1, 2], [3]])), "target": Input(flatten([[4], [5, 6, 7]]))})
    assert {name: lengths.tolist() for name, lengths in sample.lengths().items()} == {
        "source": [2, 1],
        "target": [1, 3],
    }
    assert sample.places(1) == {"source": 3, "target": 4}
    assert not sample.has_fixed
    alone = sample.alone(1)
    assert (alone["source"].values.tolist(), alone["target"].values.tolist()) == ([[3]], [[5, 6, 7]])


def test_fixed_input_with_others():
    sample = Sample({"ids": Input(flatten([[1, 2]])), "tags": Input(flatten([[1]]), places=3)})
    assert (sample.is_fixed, sample.has_fixed) == (False, True)
    assert sample.places(2) == {"ids": 4, "tags": 3}


def test_static_input_is_kept():
    speaker = Input(flatten([[7], [8], [9]]), static=True)
    sample = Sample({"ids": Input(flatten([[1], [2, 3], [4, 5, 6]])), "speaker": speaker})
    assert (sample.places(60), set(sample.lengths())) == ({"ids": 63}, {"ids"})
    batch = sample.padded(60)
    for same in (
        batch,
        sample.cut(1).padded(),
        sample.with_random_tokens(0).padded(),
        sample.unmasked(batch, 0),
    ):
        assert same["speaker"].values.tolist() == [[7], [8], [9]]
    assert sample.alone(1)["speaker"].values.tolist() == [[8]]
    assert sample.empty(2).padded()["speaker"].values.tolist() == [[7], [8]]


def test_features_are_padded():
    rows = [np.ones((2, 3), "float32"), np.ones((1, 3), "float32")]
    padded = sample_of(rows, value=-1, dtype="float32").padded()["ids"]
    assert padded.values.shape == (2, 2, 3)
    assert (padded.values[1, 1] == -1).all()
    assert padded.values.dtype == np.float32


# --- which rows are picked -----------------------------------------------------------------------

lengths_of_rows = st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(any).map(np.array)


@given(lengths=lengths_of_rows, count=st.integers(2, 20))
def test_picks_shortest_and_longest(lengths, count):
    picked = pick_rows(lengths, count)
    chosen = lengths[picked]
    assert 1 <= len(picked) <= count
    assert len(set(picked.tolist())) == len(picked)
    assert (chosen[0], chosen[-1]) == (lengths[lengths > 0].min(), lengths.max())
    assert (np.diff(chosen) >= 0).all()


@given(lengths=lengths_of_rows, count=st.integers(2, 20))
def test_picks_many_lengths(lengths, count):
    picked = pick_rows(lengths, count)
    there = len(set(lengths[lengths > 0].tolist()))
    assert len(picked) == min(count, int((lengths > 0).sum())) or there > count
    assert len(set(lengths[picked].tolist())) == min(count, there)
