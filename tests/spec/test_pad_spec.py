"""Valid and invalid specs."""

from __future__ import annotations

import dataclasses

import pytest
from raised import raises_error

from padmask import Column, MaskSpec, PadmaskError, PadSpec, RowPolicy
from padmask.errors import SpecError
from padmask.spec.columns import parse_column
from padmask.spec.maxlen import parse_maxlen


def test_defaults_follow_keras_guide():
    spec = PadSpec()
    assert (spec.maxlen, spec.padding, spec.truncating) == ("longest", "post", "post")
    assert (spec.value, spec.dtype, spec.pad_to_multiple_of) == (0, "int32", None)


def test_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PadSpec().maxlen = 3


@pytest.mark.parametrize(
    ("asked", "valid"),
    [
        ({"padding": "up"}, "post, pre"),
        ({"truncating": "down"}, "post, pre"),
        ({"dtype": "int8"}, "int32"),
        ({"maxlen": -1}, "at least 0"),
        ({"maxlen": 1.5}, "at least 0"),
        ({"maxlen": True}, "at least 0"),
        ({"maxlen": "p0"}, "'p1'"),
        ({"maxlen": "p101"}, "'p100'"),
        ({"maxlen": "shortest"}, "'longest'"),
        ({"pad_to_multiple_of": 0}, "at least 1"),
        ({"maxlen": 100, "pad_to_multiple_of": 8}, 104),
    ],
)
def test_errors_list_valid_values(asked, valid):
    [name, value], *_ = asked.items()
    with raises_error(SpecError, valid, value, option=name):
        PadSpec(**asked)


@pytest.mark.parametrize("text", ["longest", "p95", "p99.9", "p100"])
def test_found_lengths_stay_names(text):
    assert PadSpec(maxlen=parse_maxlen(text)).maxlen == text


def test_maxlen_text_becomes_a_number():
    assert parse_maxlen("128") == 128
    with pytest.raises(PadmaskError):
        PadSpec(maxlen=parse_maxlen("1_000"))


@pytest.mark.parametrize(
    ("text", "known", "column"),
    [
        ("ids", ["ids"], Column("ids")),
        ("ids=-100", ["ids"], Column("ids", value="-100")),
        ("ids:int64", ["ids"], Column("ids", "int64")),
        ("ids:int64=7", ["ids"], Column("ids", "int64", "7")),
        ("ids:int64=7", ["ids", "ids:int64=7"], Column("ids:int64=7")),
        ("ids:int64=7", ["ids", "ids:int64"], Column("ids:int64", value="7")),
        ("a=b=c", ["a=b"], Column("a=b", value="c")),
        ("a=b=c", ["a"], Column("a", value="b=c")),
        ("t:string==", ["t"], Column("t", "string", "=")),
    ],
)
def test_column_short_form(text, known, column):
    assert parse_column(text, known) == column


def test_unknown_column_suggestion():
    with raises_error(SpecError, "'lables'", "'labels'?", option="columns"):
        parse_column("lables=-100", ["input_ids", "labels"])


@pytest.mark.parametrize(
    "text", ["input_ids,labels", "input_ids labels", "input_ids, labels", "input_ids;labels"]
)
def test_list_of_columns_is_split(text):
    with raises_error(SpecError, "-c input_ids -c labels", option="columns"):
        parse_column(text, ["input_ids", "labels"])
    assert parse_column(text, ["input_ids", "labels", text]).name == text


def test_unknown_dtype_is_named():
    with raises_error(SpecError, "'ids'", "int31", option="columns"):
        parse_column("ids:int31", ["ids"])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MaskSpec(dtype="uint64"),
        lambda: MaskSpec(column=""),
        lambda: MaskSpec(column="n", length_column="n"),
        lambda: RowPolicy(overlong="cut"),
        lambda: RowPolicy(empty_rows="fill"),
        lambda: RowPolicy(on_error="ignore"),
    ],
)
def test_other_specs_refuse_nonsense(wrong):
    with pytest.raises(PadmaskError):
        wrong()


def test_windows_are_part_of_pad_spec():
    with raises_error(SpecError, "WindowSpec", option="overlong"):
        RowPolicy(overlong="window")


@pytest.mark.parametrize(
    "names",
    [
        {"own": {"labels": "mask"}},
        {"column": "m", "own": {"labels": "m"}},
        {"length_column": "n", "own": {"labels": "n"}},
        {"own": {"labels": "k", "dec": "k"}},
        {"length_column": "mask"},
    ],
)
def test_added_columns_have_two_names(names):
    with raises_error(SpecError, "same column name"):
        MaskSpec(**names)


@pytest.mark.parametrize(("maxlen", "multiple"), [("abc", None), (-1, None), (5, 8)])
def test_own_length_error_names_the_column(maxlen, multiple):
    with raises_error(SpecError, "'labels'", maxlen) as caught:
        PadSpec(own_lengths={"labels": maxlen}, pad_to_multiple_of=multiple)
    assert caught.value.options[0] == "own_lengths"
