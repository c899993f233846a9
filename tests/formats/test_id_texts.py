"""Ids are found and parsed in JSON text."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from padmask.formats.jsonl.id_texts import find_ids

EIGHT_DIGITS = st.integers(-99_999_999, 99_999_999)


def raws(*texts):
    return [msgspec.Raw(text.encode()) for text in texts]


@given(st.lists(st.lists(EIGHT_DIGITS | st.integers(-9, 9))), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_numbers_equal_json(rows, separators):
    ids = find_ids(raws(*(json.dumps(row, separators=separators) for row in rows)))
    assert ids.lengths.tolist() == list(map(len, rows))
    assert ids.numbers().tolist() == [number for row in rows for number in row]


def test_blanks_of_all_kinds():
    assert find_ids(raws("[ 1\t,\r-2 ]", "[ ]")).numbers().tolist() == [1, -2]


def test_minus_zero():
    assert find_ids(raws("[-0]")).numbers().tolist() == [0]


def test_long_ids_are_not_parsed():
    assert find_ids(raws("[123456789]")).numbers() is None
    assert find_ids(raws("[-12345678]")).numbers().tolist() == [-12_345_678]


def test_other_values_are_not_ids():
    for text in ("[1.5]", "[1e3]", '["1"]', "[true]", "[null]", "[[1]]", "1", "{}", '{"a":[1]}', '"[1]"'):
        assert find_ids(raws(text)) is None, text
        assert find_ids(raws("[1]", text, "[2]")) is None, text
    assert find_ids([None]) is None
