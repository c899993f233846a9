"""Packed rows become arrays for a model, with and without boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import padmask
from padmask.spec.pack import PackSpec
from padmask.verify.packed_model import packed_rows_of
from padmask.verify.proof.packed_sample import (
    MOST_POSITIONS,
    MOST_ROWS,
    PER_SEQUENCE,
    PackedRow,
    PackedSample,
    choose_packed_rows,
)

rows_of_ids = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=12)


def sample_of(rows, maxlen=10, **options) -> PackedSample:
    return PackedSample(rows=packed_rows_of(padmask.pack(rows, maxlen=maxlen, **options)))


@given(rows=rows_of_ids, align=st.sampled_from([1, 4]))
def test_batches_equal_pack(rows, align):
    packed = padmask.pack(rows, maxlen=12, align=align)
    sample = PackedSample(rows=packed_rows_of(packed), packing=PackSpec(align=align))
    [batch] = sample.batches(99)
    assert (batch.argument("tokens") == packed.values).all()
    assert (batch.argument("mask") == packed.mask).all()
    assert (batch.argument("segment_ids") == packed.segment_ids).all()
    assert (batch.argument("position_ids") == packed.position_ids).all()
    assert (batch.argument("block_mask") == padmask.block_mask(packed.segment_ids)).all()
    for one, lengths in zip(sample.batches(1), packed.seq_lengths, strict=True):
        assert (one.argument("seq_lengths") == lengths).all()
        assert one.argument("max_seqlen") == max(lengths)


@given(rows=rows_of_ids)
def test_joined_rows_lack_boundaries(rows):
    [batch] = sample_of(rows).joined().batches(99)
    assert batch.argument("mask").all()
    assert (batch.argument("segment_ids") == 1).all()
    assert (batch.argument("position_ids") == np.arange(10)).all()


@given(rows=rows_of_ids)
def test_change_one_sequence(rows):
    sample = sample_of(rows)
    changed = sample.with_random_tokens(1, lambda _, number: number == 1)
    for before, after in zip(sample.rows, changed.rows, strict=True):
        assert (before.firsts, before.width) == (after.firsts, after.width)
        for number, (one, two) in enumerate(zip(before.sequences, after.sequences, strict=True)):
            assert len(one) == len(two)
            assert number == 1 or (one == two).all()


def test_random_padding():
    sample = sample_of([[7, 8, 9], [5, 6]], maxlen=9)
    [plain], [filled] = sample.batches(9), sample.batches(9, random_padding=True)
    mask = plain.argument("mask")
    assert (plain.argument("tokens")[~mask] == 0).all()
    assert (filled.argument("tokens")[~mask] > 0).all()
    assert (filled.argument("tokens")[mask] == plain.argument("tokens")[mask]).all()


@pytest.mark.parametrize("kind", PER_SEQUENCE)
def test_arguments_per_sequence(kind):
    [batch] = sample_of([[7, 8, 9], [5, 6]], maxlen=6).batches(1)
    expected = {"seq_lengths": [3, 2], "cu_seqlens": [0, 3, 5], "seq_start_id": [0, 3], "seq_lens": [3, 2, 1]}
    assert batch.argument(kind).tolist() == expected[kind]


def test_first_segment_of_data():
    rows = [PackedRow.of(np.array([7, 8, 5]), np.array([1, 1, 2, 0]))]
    [batch] = PackedSample(rows=rows, packing=PackSpec(first_segment=0)).batches(1)
    assert batch.argument("segment_ids").tolist() == [[0, 0, 1, -1]]


def test_widths_do_not_mix():
    rows = [PackedRow.alone(np.arange(1, size)) for size in (4, 4, 6)]
    assert [batch.values.shape for batch in PackedSample(rows=rows).batches(9)] == [(2, 3), (1, 5)]


def test_choose_rows():
    two = PackedRow((np.ones(1), np.ones(2)), (0, 1), 3)
    chosen = choose_packed_rows([PackedRow.alone(np.ones(3))] * 99 + [two])
    assert len(chosen) == MOST_ROWS
    assert two in chosen
    assert len(choose_packed_rows([PackedRow.alone(np.ones(MOST_POSITIONS))] * 9)) == 2
