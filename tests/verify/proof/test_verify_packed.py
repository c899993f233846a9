"""Leaks between packed sequences are found and named, and right models pass."""

from __future__ import annotations

from itertools import count, pairwise

import numpy as np
import pytest

import padmask
from padmask.verify import verify_model
from padmask.verify.proof import verify_packed

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(100, 8)).astype("float32")
PLACES = RANDOM.normal(size=(64, 8)).astype("float32")
ROWS = [RANDOM.integers(1, 100, size=size) for size in RANDOM.integers(1, 12, size=40)]
PACKED = padmask.pack(ROWS, maxlen=24)


def attend(x, allowed):
    scores = np.where(allowed, x @ x.swapaxes(1, 2), -1e9)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ x


def same(segment_ids):
    return segment_ids[:, :, None] == segment_ids[:, None, :]


def blocks(ids, mask, segment_ids, position_ids):
    return attend(TABLE[ids] + PLACES[position_ids], same(segment_ids))


def causal_blocks(ids, block_mask, position_ids):
    causal = np.tri(ids.shape[1], dtype=bool)
    return attend(TABLE[ids] + PLACES[position_ids], block_mask & causal)


def by_length(ids, cu_seqlens):
    output = np.zeros((*ids.shape, 8), dtype="float32")
    for start, end in pairwise(cu_seqlens):
        output[:, start:end] = np.cumsum(TABLE[ids[:, start:end]], axis=1)
    return output


def causal(ids, mask, segment_ids, position_ids):
    return attend(TABLE[ids] + PLACES[position_ids], np.tri(ids.shape[1], dtype=bool)[None])


def running_sum(ids, mask):
    return np.cumsum(TABLE[ids] * mask[..., None], axis=1)


def all_tokens(ids, mask, segment_ids, position_ids):
    return attend(TABLE[ids] + PLACES[position_ids], mask[:, None, :])


def counting_positions(ids, mask, segment_ids):
    return attend(TABLE[ids] + PLACES[: ids.shape[1]], same(segment_ids))


def with_padding(ids, mask, segment_ids):
    padding = (TABLE[ids] * ~mask[..., None]).sum(axis=1, keepdims=True)
    return TABLE[ids] + padding


def small_leak(ids, mask, segment_ids, position_ids):
    right = blocks(ids, mask, segment_ids, position_ids)
    return right + 1e-3 * all_tokens(ids, mask, segment_ids, position_ids)


def subject_of(function, packed=PACKED):
    report = verify_model(function, packed)
    [subject] = report.subjects
    return subject


def failed(subject) -> set[str]:
    return {check.name for check in subject.checks if check.verdict == "fails"}


@pytest.mark.parametrize("function", [blocks, causal_blocks, by_length])
def test_right_models(function):
    subject = subject_of(function)
    assert (subject.verdict, subject.control.verdict) == ("ignores", "fails")
    assert all(check.verdict == "holds" for check in subject.checks)


@pytest.mark.parametrize(
    ("function", "checks", "advice"),
    [
        (causal, {"sequence-alone", "other-sequences"}, verify_packed.RESET_STATE),
        (running_sum, {"sequence-alone", "other-sequences"}, verify_packed.RESET_STATE),
        (all_tokens, {"sequence-alone", "other-sequences"}, verify_packed.SEPARATE),
        (small_leak, {"sequence-alone", "other-sequences"}, verify_packed.SEPARATE),
        (counting_positions, {"sequence-alone"}, verify_packed.RESTART_POSITIONS),
        (with_padding, {"sequence-alone", "other-content"}, verify_packed.MASK_PADDING),
    ],
)
def test_faults_are_named(function, checks, advice):
    subject = subject_of(function)
    assert (subject.verdict, subject.advice) == ("leaks", advice)
    # The padding of a sequence alone may have the value of the padding in its row.
    assert failed(subject) | {"sequence-alone"} == checks


def test_aligned_sequences():
    packed = padmask.pack(ROWS, maxlen=24, align=4)
    assert subject_of(blocks, packed).verdict == "ignores"
    assert subject_of(all_tokens, packed).verdict == "leaks"


def test_model_without_boundaries():
    subject = subject_of(lambda ids, mask: TABLE[ids])
    assert (subject.verdict, subject.control.verdict) == ("ignores", "holds")
    assert "needs no sequence boundaries" in subject.detail


def test_one_sequence_per_row():
    packed = padmask.pack([[1, 2, 3], [4, 5, 6]], maxlen=3)
    assert subject_of(blocks, packed).verdict == "inconclusive"


def test_constant_output():
    subject = subject_of(lambda ids, mask: np.ones((*ids.shape, 3)))
    assert subject.verdict == "inconclusive"


def test_leak_below_tolerance():
    # The output is almost constant, so the checks cannot see a leak.
    subject = subject_of(lambda ids, mask: 1e7 + running_sum(ids, mask).astype("float64"))
    assert subject.verdict == "inconclusive"


def test_output_per_row():
    subject = subject_of(lambda ids, mask: TABLE[ids].sum(axis=1))
    assert subject.verdict == "inconclusive"


def first_channel(function):
    return lambda ids, mask, segment_ids, position_ids: function(ids, mask, segment_ids, position_ids)[..., 0]


def test_one_number_for_each_token():
    assert subject_of(first_channel(blocks)).verdict == "ignores"
    assert subject_of(first_channel(all_tokens)).verdict == "leaks"


def weights(allowed):
    exp = np.exp(allowed * 1.0) * allowed
    return exp / exp.sum(axis=-1, keepdims=True)


def test_weights_of_attention():
    own = subject_of(lambda ids, segment_ids: weights(same(segment_ids)) * ids[:, None, :])
    assert own.verdict == "ignores"
    shared = subject_of(lambda ids, segment_ids: weights(same(0 * segment_ids)) * ids[:, None, :])
    assert shared.verdict == "leaks"


def test_other_outputs_are_left_out():
    def both(ids, mask, segment_ids, position_ids):
        return {"each": blocks(ids, mask, segment_ids, position_ids), "row": ids.sum(axis=1)}

    subject = subject_of(both)
    assert subject.verdict == "ignores"
    assert "row" in subject.detail
    assert [output.name for output in subject.outputs] == ["each"]


def test_each_output_has_a_verdict():
    def both(ids, mask, segment_ids, position_ids):
        return {
            "right": blocks(ids, mask, segment_ids, position_ids),
            "wrong": all_tokens(ids, mask, segment_ids, position_ids),
        }

    verdicts = {output.name: output.verdict for output in subject_of(both).outputs}
    assert verdicts == {"right": "ignores", "wrong": "leaks"}


def test_random_model():
    calls = count()
    subject = subject_of(lambda ids, mask: TABLE[ids] + next(calls))
    assert subject.verdict == "inconclusive"


def test_fixed_length():
    def fixed(ids, mask, segment_ids, position_ids):
        assert ids.shape[1] == 24
        return blocks(ids, mask, segment_ids, position_ids)

    assert subject_of(fixed).verdict == "ignores"


def test_control_cannot_run():
    table = PLACES[:11]

    def short_table(ids, mask, segment_ids, position_ids):
        return attend(TABLE[ids] + table[position_ids], same(segment_ids))

    subject = subject_of(short_table)
    assert (subject.verdict, subject.control.verdict) == ("ignores", "fails")
