"""Rows that Arrow parses have the same values as rows that are parsed one by one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.formats.contract import Batch, Chunk, Wanted
from padmask.formats.jsonl import reader
from padmask.formats.jsonl import tokens as tokens_module
from padmask.formats.jsonl.arrow_parser import parse_columns
from padmask.formats.jsonl.tokens import FEW_ROWS, _odd_sequences, _plain_sequences, read_sequences
from padmask.formats.jsonl.types import OtherTypesError

IDS = pa.schema([("ids", pa.list_(pa.int64())), ("words", pa.list_(pa.string()))])
OTHERS = pa.schema(
    [
        ("id", pa.int64()),
        ("ids", pa.list_(pa.int64())),
        ("text", pa.string()),
        ("score", pa.float64()),
        ("ok", pa.bool_()),
        ("none", pa.null()),
        ("meta", pa.struct([("tags", pa.list_(pa.string())), ("year", pa.int64())])),
    ]
)
WANTED = Wanted(IDS, OTHERS)
ROW = {"id": 7, "ids": [1, 2], "words": ["a"], "text": "é", "score": 0.5, "ok": True, "none": None}


def line(**fields: Any) -> str:
    return json.dumps(ROW | fields)


def with_text(name: str, text: str) -> str:
    """Return a row in which a field has the given JSON text."""
    return line(**{name: "TEXT"}).replace('"TEXT"', text)


def one_by_one(text: bytes, wanted: Wanted = WANTED) -> Batch:
    """Parse rows without Arrow's JSON parser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "parse_columns", lambda *_: None)
        return reader.decode_lines(Chunk("x.jsonl", 1, text, 0), wanted)


integers = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rows = st.fixed_dictionaries(
    {"ids": st.lists(integers, max_size=4), "words": st.lists(text, max_size=3)},
    optional={
        "id": st.none() | integers,
        "text": st.none() | text,
        "score": st.none() | finite | st.integers(-(2**53), 2**53),
        "ok": st.none() | st.booleans(),
        "none": st.none(),
        "meta": st.none()
        | st.fixed_dictionaries(
            {}, optional={"tags": st.none() | st.lists(st.none() | text), "year": integers}
        ),
    },
)


@given(st.lists(rows, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_same_values(rows: list[dict[str, Any]], ascii_: bool, ends: bool) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_).encode() for row in rows]
    text = b"\n".join(lines) + b"\n" * ends
    expected = reader.add_other_columns(one_by_one(text), WANTED).columns
    parsed = parse_columns(text, WANTED)
    if parsed is None:
        # Only unusual floats need the other path.
        assert any(abs(row.get("score") or 1) >= 2**53 or row.get("score") == 0 for row in rows)
        return
    columns, cut = parsed
    assert columns.equals(expected)
    assert list(cut) == lines


ODD = {
    "blank line": line() + "\n\n" + line(),
    "space before a row": " " + line(),
    "two objects on a line": line() + line(),
    "two objects, and one on two lines": line() + line()[:-1] + "\n" + "}",
    "object on two lines": line().replace("{", "{\n"),
    "list": "[1]",
    "comma at the end": line()[:-1] + ",}",
    "key twice": line()[:-1] + ', "id": 8}',
    "new field": line(other=None),
    "new field of an object": line(meta={"new": 1}),
    "missing sequence": json.dumps({"words": ["a"]}),
    "null sequence": line(ids=None),
    "null token": line(ids=[1, None]),
    "float token": line(ids=[1, 2.0]),
    "nested token": line(ids=[[1]]),
    "token of 65 bits": line(ids=[2**63]),
    "float in an int field": line(id=1.0),
    "string in an int field": line(id="7"),
    "int in a string field": line(text=7),
    "value in a null field": line(none=1),
    "int that float64 rounds": line(score=2**53 + 1),
    "float that vanishes": with_text("score", "1e-400"),
    "minus zero": with_text("score", "-0"),
    "NaN": with_text("score", "NaN"),
    "infinity": with_text("score", "1e400"),
    "lone surrogate": with_text("text", '"\\ud800"'),
    "control character": with_text("text", '"\t"'),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_rows_are_parsed_one_by_one(text: str) -> None:
    good = line() + "\n"
    assert parse_columns(good.encode(), WANTED) is not None
    assert parse_columns((good + text + "\n" + good).encode(), WANTED) is None


@pytest.mark.parametrize("text", [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"'])
def test_invalid_utf8(text: bytes) -> None:
    row = line(text="TEXT").encode().replace(b'"TEXT"', text)
    assert parse_columns(row, WANTED) is None
    assert parse_columns(row.replace(b'"text"', b'"texts"'), WANTED) is None


@pytest.mark.parametrize(
    "type_",
    [pa.uint64(), pa.list_(pa.null()), pa.struct([]), pa.list_(pa.struct([("x", pa.null())]))],
    ids=str,
)
def test_types_that_arrow_parses_otherwise(type_: pa.DataType) -> None:
    wanted = Wanted(IDS, pa.schema([("other", type_)]))
    assert parse_columns(b'{"ids": [1], "words": []}\n', wanted) is None


numbers = st.integers(-(2**64), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
tokens = numbers | st.sampled_from([None, True, "7", 0.0, -0.0, 1e-50, 5e-324, 2.0**24 + 1, 2.0**60])
vectors = st.lists(numbers, max_size=3) | st.sampled_from([None, 1, [None], [[1]], [True]])
lists = (
    st.none() | st.lists(st.integers(-99, 99)) | st.lists(numbers, max_size=4) | st.lists(tokens, max_size=4)
)
SEQUENCES = [pa.list_(pa.int64()), pa.list_(pa.float64()), pa.list_(pa.float32())]


@given(
    st.lists(lists, max_size=3) | st.lists(st.lists(vectors, max_size=3), max_size=3),
    st.sampled_from([*SEQUENCES, *map(pa.list_, SEQUENCES)]),
    st.booleans(),
)
def test_lists_have_the_same_numbers(rows: list[Any], type_: pa.DataType, requested: bool) -> None:
    raws: list[Any] = [msgspec.Raw(json.dumps(row).encode()) for row in rows]
    array, faults = read_sequences(raws, type_, requested)
    expected, expected_faults = _odd_sequences(raws, type_, requested)
    assert faults == expected_faults
    assert array.equals(expected)


@pytest.mark.parametrize("type_", [*SEQUENCES, *map(pa.list_, SEQUENCES)], ids=str)
def test_usual_numbers_are_parsed_together(type_: pa.DataType) -> None:
    row = [1, 2, 30_000_000_000] if pa.types.is_integer(type_.value_type) else [0.5, -1e-5, 3]
    if pa.types.is_list(type_.value_type):
        row = [[7], [8, 9]]
    raws: list[Any] = [msgspec.Raw(json.dumps(row).encode()), msgspec.Raw(b"[]")]
    array = _plain_sequences(raws, type_)
    assert array is not None
    assert array.equals(_odd_sequences(raws, type_, requested=False)[0])


def test_windows_line_ends() -> None:
    text = (line(id=1) + "\r\n" + line(id=2) + "\r\n").encode()
    parsed = parse_columns(text, WANTED)
    assert parsed is not None
    assert parsed[0].column("id").to_pylist() == [1, 2]


def test_cut_lines() -> None:
    text = "".join(line(id=i) + "\n" for i in range(4)).encode()
    parsed = parse_columns(text, WANTED)
    assert parsed is not None
    cut = parsed[1]
    assert [json.loads(row)["id"] for row in cut[1:3]] == [1, 2]
    assert json.loads(cut[1:][-1])["id"] == 3
    with pytest.raises(IndexError):
        cut[4]


def test_later_types_are_found() -> None:
    def check(batch: Batch, parsed: Any) -> None:
        raise OtherTypesError

    wanted = Wanted(IDS, OTHERS, check=check)
    batch = reader.decode_lines(Chunk("x.jsonl", 1, line(id=1.5).encode(), 0), wanted)
    with pytest.raises(OtherTypesError):
        reader.add_other_columns(batch, wanted)


def test_odd_rows_do_not_slow_down_others(monkeypatch: pytest.MonkeyPatch) -> None:
    odd: list[int] = []
    parse = tokens_module._odd_sequences
    monkeypatch.setattr(
        tokens_module, "_odd_sequences", lambda raws, *rest: (odd.append(len(raws)), parse(raws, *rest))[1]
    )
    raws: list[Any] = [msgspec.Raw(b"null" if i in (70, 800) else b"[1, 2]") for i in range(1000)]
    array, faults = read_sequences(raws, pa.list_(pa.int64()))
    assert [fault.row for fault in faults] == [70, 800]
    assert array.null_count == 2
    assert sum(odd) <= 2 * FEW_ROWS
