"""NumPy parses lists of ids that are cut out of JSON rows. The result is the same as that of Arrow."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.formats.contract import Wanted
from padmask.formats.jsonl import arrow_parser
from padmask.formats.jsonl.arrow_parser import parse_columns
from padmask.formats.jsonl.cut_ids import cut_ids

LISTS = pa.list_(pa.int64())
SCHEMA = pa.schema([("ids", LISTS), ("text", pa.string()), ("labels", LISTS), ("n", pa.int64())])
WANTED = Wanted(pa.schema([("ids", LISTS)]), SCHEMA)
STYLES = [(",", ":"), (", ", ": ")]

ids = st.lists(st.integers(-99_999_999, 99_999_999) | st.integers(-9, 9), max_size=4)
text = st.text(st.sampled_from('[]{},: "\\09ids') | st.characters(exclude_categories=["Cs"]), max_size=12)
rows = st.lists(
    st.builds(lambda ids, text, labels: {"ids": ids, "text": text, "labels": labels}, ids, text, ids),
    min_size=1,
    max_size=4,
)


def lines(rows: list[dict[str, Any]], style: tuple[str, str] = STYLES[0]) -> bytes:
    return "".join(json.dumps(row, separators=style) + "\n" for row in rows).encode()


def without_cut(text: bytes) -> pa.RecordBatch | None:
    """Parse all fields with Arrow. Return None if Arrow cannot parse them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow_parser, "cut_ids", lambda *_: None)
        parsed = parse_columns(text, WANTED)
    return None if parsed is None else parsed[0]


def agrees(text: bytes) -> bool:
    """Return whether parsing with and without `cut_ids` gives equal rows, or fails in both cases."""
    parsed, expected = parse_columns(text, WANTED), without_cut(text)
    if parsed is None or expected is None:
        return parsed is None and expected is None
    return parsed[0].equals(expected)


@given(rows, st.sampled_from(STYLES))
def test_ids_equal_json(rows: list[dict[str, Any]], style: tuple[str, str]) -> None:
    text = lines(rows, style)
    cut = cut_ids(text, len(rows), SCHEMA)
    assert cut is not None
    assert {name: lists.to_pylist() for name, lists in cut.lists.items()} == {
        name: [row[name] for row in rows] for name in ("ids", "labels")
    }
    assert [json.loads(line) for line in cut.text.splitlines()] == [
        row | {"ids": [], "labels": []} for row in rows
    ]
    assert agrees(text)


@given(rows, st.sampled_from(STYLES), st.data())
def test_changed_bytes(rows: list[dict[str, Any]], style: tuple[str, str], data: st.DataObject) -> None:
    text = lines(rows, style)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        letters = data.draw(st.text('[]{},:"\\-+. \t\n01ids', max_size=2)).encode()
        text = text[:place] + letters + text[place + data.draw(st.integers(0, 2)) :]
    assert agrees(text)


ROW = b'{"ids":[7,8],"n":1}\n'

ODD = {
    "number without comma": b'{"ids":[7 8],"n":1}',
    "two commas": b'{"ids":[7,,8],"n":1}',
    "comma at the start": b'{"ids":[,8],"n":1}',
    "comma at the end": b'{"ids":[8,],"n":1}',
    "zero at the start": b'{"ids":[08],"n":1}',
    "zeros": b'{"ids":[7,00],"n":1}',
    "negative zero at the start": b'{"ids":[-08],"n":1}',
    "sign alone": b'{"ids":[-],"n":1}',
    "two signs": b'{"ids":[--8],"n":1}',
    "sign within a number": b'{"ids":[7-8],"n":1}',
    "plus": b'{"ids":[+8],"n":1}',
    "float": b'{"ids":[8.0],"n":1}',
    "string": b'{"ids":["8"],"n":1}',
    "nested list": b'{"ids":[[8]],"n":1}',
    "list without end": b'{"ids":[7,8,"n":1}',
    "key twice": b'{"ids":[7],"ids":[8],"n":1}',
    "key with an escape": b'{"i\\u0064s":[7],"n":1}',
    "key in a string": b'{"ids":[7],"text":",\\"ids\\":[8]","n":1}',
    "key in an object": b'{"ids":[7],"text":{"ids":[8]},"n":1}',
    "no list, and the key in an object": b'{"n":{"ids":[8]}}',
    "tab": b'{"ids":[7,\t8],"n":1}',
    "blank before a comma": b'{"ids":[7 ,8],"n":1}',
    "nine digits": b'{"ids":[123456789],"n":1}',
    "key as a value": b'{"text":"ids","ids":[7,8],"n":1}',
    "null": b'{"ids":null,"n":1}',
    "object": b'{"ids":{},"n":1}',
}


@pytest.mark.parametrize("row", ODD.values(), ids=ODD)
def test_odd_rows(row: bytes) -> None:
    for text in (row, ROW + row + b"\n", row + b"\n" + ROW):
        assert agrees(text), text


def test_key_that_ends_with_another_key() -> None:
    schema = pa.schema([('my "ids', LISTS), ("ids", LISTS)])
    text = b'{"my \\"ids":[1],"ids" :[]}\n'
    parsed = parse_columns(text, Wanted(schema, schema))
    assert parsed is not None
    assert parsed[0].to_pylist() == [{'my "ids': [1], "ids": []}]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (",", b'{"ids":[4,5],"tags":["x ",": [6]"], ",":[]}'),
        (":", b'{"ids":[4,5],"x ":":[5]",":" :[]}'),
        (",1,", b'{"ids":[4,5],"tags":["x ",1,":[6]"],",1," :[]}'),
    ],
)
def test_keys_that_look_like_the_text_between_strings(name: str, row: bytes) -> None:
    tags = pa.list_(pa.string())
    schema = pa.schema([("ids", LISTS), (name, LISTS), ("tags", tags), ("x ", pa.string())])
    cut = cut_ids(row, 1, schema)
    assert cut is not None
    assert list(cut.lists) == ["ids"]


def test_fields_that_objects_also_have_are_not_cut() -> None:
    schema = pa.schema([("ids", LISTS), ("meta", pa.struct([("ids", LISTS)]))])
    text = b'{"meta":{"ids":[8]},"i\\u0064s":[]}\n'
    assert cut_ids(text, 1, schema) is None
    parsed = parse_columns(text, Wanted(pa.schema([("ids", LISTS)]), schema))
    assert parsed is not None
    assert parsed[0].to_pylist() == [{"ids": [], "meta": {"ids": [8]}}]
