"""The names of the arguments of a model say which arrays of packed rows they need."""

from __future__ import annotations

import pytest
from raised import raises_error

from padmask import SpecError
from padmask.verify.proof.packed_arguments import DataArguments, find_arguments

DATA = DataArguments(columns={"seq_lengths": "seq_lengths", "sequence_id": "segment_ids"})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("inputs_segmentation", "segment_ids"),
        ("sequence_id", "segment_ids"),
        ("seq_idx", "segment_ids"),
        ("targets_positions", "position_ids"),
        ("input_pos", "position_ids"),
        ("cu_seqlens", "cu_seqlens"),
        ("cu_seq_lens_q", "cu_seqlens"),
        ("max_seqlen_q", "max_seqlen"),
        ("max_length_k", "max_seqlen"),
        ("padding_mask", "mask"),
        ("age", None),
    ],
)
def test_usual_names(name, kind):
    assert DATA.guess(name) == kind


def test_longest_goes_with_bounds():
    def kernel(ids, cu_seqlens, max_seqlen=None): ...

    def other(ids, mask, max_seqlen=None): ...

    assert find_arguments(kernel, DATA).named == {"max_seqlen": "max_seqlen"}
    assert find_arguments(other, DATA).named == {}


def test_data_precede_names():
    data = DataArguments(columns={"attention_mask": "attention_mask"})
    assert data.guess("attention_mask") == "attention_mask"
    assert DATA.guess("attention_mask") == "mask"


def test_options_override_columns():
    data = DataArguments(DATA.columns, inputs={"a": "sequence_id"}, kinds={"sequence_id": "positions"})
    assert (data.guess("a"), data.guess("sequence_id")) == ("segment_ids", "position_ids")


def test_first_two_parameters():
    arguments = find_arguments(lambda x, real, position_ids: 0, DATA)
    assert (list(arguments.positional), arguments.named) == (
        ["tokens", "mask"],
        {"position_ids": "position_ids"},
    )
    assert list(find_arguments(lambda *arrays: 0, DATA).positional) == ["tokens", "mask"]
    assert list(find_arguments(lambda ids, segment_ids: 0, DATA).positional) == ["tokens", "segment_ids"]


def test_defaults_need_a_column():
    arguments = find_arguments(lambda ids, mask, sequence_id=None, position_ids=None: 0, DATA)
    assert arguments.named == {"sequence_id": "segment_ids"}


def test_one_row():
    assert find_arguments(lambda ids, cu_seqlens: 0, DATA).needs_one_row
    assert not find_arguments(lambda ids, mask, segment_ids: 0, DATA).needs_one_row


def test_unknown_name():
    with raises_error(SpecError, "age", option="model_inputs"):
        find_arguments(lambda ids, mask, age: 0, DATA)
