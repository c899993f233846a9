"""Rows are preserved by every format, batch size and number of threads.

Properties over rows from Hypothesis, and examples of real rows. Rows are compared as Python values, or
as bytes where padmask promises bytes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import raises_error

from padmask import DataError, MaskSpec, PadSpec, RowPolicy, pad_file
from padmask.errors import OutputError
from padmask.spec.files import FileOptions

FORMATS = ["jsonl", "parquet", "arrow"]

# Every example writes files, so the number of examples is small.
few = settings(max_examples=25, deadline=None)

Row = dict[str, Any]


@contextmanager
def folder() -> Iterator[Path]:
    """Context manager for a temporary folder.

    Examples with a computed maxlen of 0 are discarded, because padmask refuses them.
    """
    with tempfile.TemporaryDirectory() as name:
        try:
            yield Path(name)
        except DataError as error:
            if error.options == ("maxlen",):
                reject()
            raise


def write(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> Path:
    """Write rows in the format of the suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    table = pa.Table.from_pylist(list(rows), schema=schema)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return path


def read_table(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def read(path: Path) -> list[Row]:
    """Read the rows of a file in the format of the suffix."""
    rows: list[Row]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    else:
        rows = read_table(path).to_pylist()
    return rows


def without_nulls(value: Any) -> Any:
    """Remove keys whose value is null, because typed formats return a missing key as null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def unpad(tokens: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    return [token for token, real in zip(tokens, mask, strict=True) if real]


def as_float32(value: Any) -> Any:
    """Convert floats to float32, because JSON has the shortest text of a float32, which is another double."""
    if isinstance(value, list):
        return [as_float32(item) for item in value]
    return np.float32(value) if isinstance(value, float) else value


def raw_fields(line: str) -> dict[str, str]:
    """Split the text of a JSON object into the texts of its values."""
    scan = json.JSONDecoder().raw_decode
    fields, place = {}, line.index("{") + 1
    while line[place:].lstrip()[0] != "}":
        place = line.index('"', place)
        name, place = scan(line, place)
        place += len(line[place:]) - len(line[place:].lstrip(" \t:"))
        _, end = scan(line, place)
        fields[name] = line[place:end]
        place = end + len(line[end:]) - len(line[end:].lstrip(" \t,"))
    return fields


# Strategies for rows with tokens and other fields.

token_ids = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)
names = st.text(max_size=4).filter(lambda name: name not in ("input_ids", "mask", "n"))


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def objects(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for objects with the same fields, some of which are missing.

    There is at least one field, because Parquet does not support empty structs.
    """
    fields = st.dictionaries(st.text(max_size=3), kinds, min_size=1, max_size=3)
    return fields.map(lambda known: st.fixed_dictionaries({}, optional=known).filter(bool))


# Strategies for strategies: first draw the kind of a column, and then its values.
scalar_kinds = st.sampled_from(
    [
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
        st.none(),
    ]
)
kinds = st.recursive(
    scalar_kinds.map(nullable),
    lambda inner: (
        inner.map(lambda kind: st.lists(kind, max_size=3)).map(nullable) | objects(inner).map(nullable)
    ),
    max_leaves=4,
)


@st.composite
def typed_rows(draw: st.DrawFn) -> list[Row]:
    """Generate JSON rows. Each field has one type and may be missing in some rows."""
    columns = draw(st.dictionaries(names, kinds, max_size=3))
    row = st.fixed_dictionaries({"input_ids": token_ids}, optional=columns)
    return draw(st.lists(row, min_size=1, max_size=4))


# JSON Lines -> Parquet -> JSON Lines


def round_trip(rows: Sequence[Row], between: str = "parquet") -> list[Row]:
    """Pad JSON Lines to a typed format, convert the result to JSON Lines, and remove the padding."""
    with folder() as here:
        pad_file(write(here / "in.jsonl", rows), here / f"padded.{between}", columns=["input_ids"])
        pad_file(
            *(here / f"padded.{between}", here / "back.jsonl"),
            columns=["input_ids"],
            mask=MaskSpec(column=None, allow_padded=True),
        )
        back = read(here / "back.jsonl")
    return [row | {"input_ids": unpad(row["input_ids"], row.pop("mask"))} for row in back]


@pytest.mark.slow
@few
@given(typed_rows())
def test_jsonl_survives_parquet(rows: list[Row]) -> None:
    assert without_nulls(round_trip(rows)) == without_nulls(rows)


IN_THE_WILD = {
    "keys that are missing": [{"a": 1}, {"b": None}, {"a": 2.5}],
    "empty names": [{"": {"": {"a.b": [None, "x"]}}}],
    "text that looks like more": [{"when": "2024-01-01T00:00:00Z", "zip": "01234", "big": 2**64 - 1}],
    "lists that are always empty": [{"tags": []}, {"tags": []}],
    "lists of nulls only": [{"spans": [None, None]}],
    "lists of nulls first": [{"spans": [None]}, {"spans": [0]}],
    "chat with names that are always null": [
        {"messages": [{"role": "user", "name": None}, {"role": "bot", "name": None}]}
    ],
    "objects that are always null": [{"meta": None}, {"meta": None}],
    "objects with other keys in every row": [{"meta": {"a": 1}}, {"meta": {"b": "x"}}, {"meta": {}}],
    "large ints behind an empty list": [{"ids": [[], [2**53 + 1]]}],
    "hashes over 63 bits before small ones": [{"hashes": [{"h": 2**63}, {"h": 0}]}],
    "lists of lists of ints": [{"boxes": [[1, 2], [3, 4]]}, {"boxes": []}],
    "ints among floats": [{"scores": [1, 2.5]}, {"scores": [3]}],
    "texts with odd line ends": [{"text": "a\u2028b\x85c\x0bd\r\n"}],
}


@each_value(fields=IN_THE_WILD, between=["parquet", "arrow"])
def test_real_rows_survive_typed_formats(fields: list[Row], between: str) -> None:
    rows = [{"input_ids": [1] * i} | row for i, row in enumerate(fields, 1)]

    assert without_nulls(round_trip(rows, between)) == without_nulls(rows)


@pytest.mark.parametrize("fields", IN_THE_WILD.values(), ids=IN_THE_WILD)
def test_real_rows_survive_jsonl(tmp_path: Path, fields: list[Row]) -> None:
    rows = [{"input_ids": [1]} | row for row in fields]

    pad_file(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", columns=["input_ids"])

    assert read(tmp_path / "out.jsonl") == [row | {"mask": [True]} for row in rows]


@pytest.mark.slow
@few
@given(typed_rows(), st.sampled_from(["parquet", "arrow"]))
def test_typed_formats_keep_values(rows: list[Row], format_: str) -> None:
    with folder() as here:
        pad_file(write(here / "in.jsonl", rows), here / f"once.{format_}")
        pad_file(
            here / f"once.{format_}",
            here / f"twice.{format_}",
            mask=MaskSpec(overwrite=True, allow_padded=True),
        )
        once, twice = read(here / f"once.{format_}"), read(here / f"twice.{format_}")

    assert [row | {"mask": None} for row in once] == [row | {"mask": None} for row in twice]


def test_types_come_from_all_rows() -> None:
    """After 100,000 lines, ints become floats and nulls become strings."""
    last = '{"input_ids": [2], "n": 0.5, "text": "x"}\n'
    with folder() as here:
        (here / "in.jsonl").write_text('{"input_ids": [1], "n": 1, "text": null}\n' * 100_000 + last)
        pad_file(here / "in.jsonl", here / "out.parquet")
        table = pq.read_table(here / "out.parquet")

    assert table.schema.field("n").type == pa.float64()
    assert table["n"][-1].as_py() == 0.5
    assert table["text"][-1].as_py() == "x"


@each_value(format_=["parquet", "arrow"], hashes={"first": [2**64 - 1, 5], "last": [5, 2**64 - 1]})
def test_large_hash_makes_column_unsigned(tmp_path: Path, format_: str, hashes: list[int]) -> None:
    rows = [{"input_ids": [1], "hash": hashes[0]}] + [{"input_ids": [1], "hash": hashes[1]}] * 20_000

    pad_file(write(tmp_path / "in.jsonl", rows), tmp_path / f"out.{format_}")

    table = read_table(tmp_path / f"out.{format_}")
    assert table.schema.field("hash").type == pa.uint64()
    assert table["hash"].to_pylist() == [row["hash"] for row in rows]


@each_value(
    far=[(-1, 2**64 - 1), (2**64 - 1, -1), (2**53 + 1, 0.5), (0.5, 2**53 + 1)], format_=["parquet", "arrow"]
)
def test_no_common_integer_type(tmp_path: Path, format_: str, far: tuple[float, float]) -> None:
    rows = [{"input_ids": [1], "n": far[0]}] + [{"input_ids": [1], "n": None}] * 20_000
    source = write(tmp_path / "in.jsonl", [*rows, {"input_ids": [1], "n": far[1]}])

    # A fraction makes the column float64, so the error names the line of the other number.
    line = 1 if far[1] == 0.5 else 20_002
    with raises_error(DataError, f"in.jsonl, line {line}", "'n'", option="output_format"):
        pad_file(source, tmp_path / f"out.{format_}")
    assert not (tmp_path / f"out.{format_}").exists()


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("first", "second"),
    [(1, "a"), ("a", 1), (True, 1), ([1], 1), ([1], ["a"]), ({"a": 1}, {"a": "x"}), ({"a": 1}, [1])],
    ids=str,
)
def test_no_common_type(tmp_path: Path, format_: str, first: Any, second: Any) -> None:
    rows = [{"input_ids": [1], "x": first}, {"input_ids": [1], "x": None}, {"input_ids": [1], "x": second}]
    source = write(tmp_path / "in.jsonl", rows)

    with raises_error(DataError, "line 3, field 'x", "line 1", option="output_format"):
        pad_file(source, tmp_path / f"out.{format_}")
    assert not (tmp_path / f"out.{format_}").exists()


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("texts", "line", "number"),
    [
        (["9007199254740993", "0.5"], 1, "9007199254740993"),
        (["1e999"], 1, ""),
        (["123456789012345678901234567890"], 1, "123456789012345678901234567890"),
        (["-1", "18446744073709551615"], 2, "18446744073709551615"),
        (['"\\ud800"'], 1, ""),
    ],
    ids=[
        "int that no double holds",
        "too large for a double",
        "over 64 bits",
        "no common int",
        "half a pair",
    ],
)
def test_value_without_column_type(
    tmp_path: Path, format_: str, texts: list[str], line: int, number: str
) -> None:
    """The value is not silently rounded, and there is no traceback."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"input_ids":[1],"x":{text}}}\n' for text in texts))

    with raises_error(DataError, f"in.jsonl, line {line}", number):
        pad_file(source, tmp_path / f"out.{format_}", columns=["input_ids"])


# JSON Lines -> JSON Lines

spaces = st.text(" \t", max_size=2)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
escapes = st.sampled_from(["\\u0041", "\\u00e9", "\\/", "\\n", "\\ud83d\\ude00", "\\\\", '\\"', "\\u0000"])
plain_characters = st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=["Cs"])
texts = st.lists(escapes | plain_characters, max_size=5).map(lambda parts: f'"{"".join(parts)}"')


@st.composite
def spaced(draw: st.DrawFn, items: st.SearchStrategy[str], ends: str) -> str:
    parts = [draw(spaces) + item + draw(spaces) for item in draw(st.lists(items, max_size=3))]
    return ends[0] + (",".join(parts) or draw(spaces)) + ends[1]


json_texts = st.recursive(
    numbers | texts | st.sampled_from(["true", "false", "null"]),
    lambda inner: (
        spaced(inner, "[]") | spaced(st.builds("{}{}:{}{}".format, texts, spaces, spaces, inner), "{}")
    ),
    max_leaves=5,
)


@few
@given(st.lists(st.tuples(json_texts, json_texts, spaces), min_size=1, max_size=4))
@example([("1.50", "1e5", " "), ("-0", "1E+05", ""), ('"\\u0041\\/"', "[ 1,   2 ]", "\t")])
def test_other_fields_keep_their_bytes(fields: list[tuple[str, str, str]]) -> None:
    lines = [f'{{{s}"a"{s}:{s}{a},"input_ids":[1],{s}"b":{b}{s}}}' for a, b, s in fields]
    with folder() as here:
        (here / "in.jsonl").write_text("\n".join(lines))
        pad_file(here / "in.jsonl", here / "out.jsonl", columns=["input_ids"])
        out = (here / "out.jsonl").read_text().split("\n")[:-1]

    assert [raw_fields(line) for line in out] == [
        {"a": a, "input_ids": "[1]", "b": b, "mask": "[true]"} for a, b, _ in fields
    ]


@pytest.mark.parametrize(
    "text",
    [
        "123456789012345678901234567890",
        "[123456789012345678901234567890]",
        "0.1000000000000000055511151231257827021181583404541015625",
        "1e999",
        '{"tags":[1,"a"]}',
        '{"a":[{"b":1},{"b":"x"}]}',
        "[" * 200 + "]" * 200,
        '{"a":1,"a":2}',
    ],
    ids=[
        "over 64 bits",
        "over 64 bits in a list",
        "all digits",
        "too large for a double",
        "a mixed list in an object",
        "mixed objects",
        "deep",
        "a key twice",
    ],
)
def test_any_json_passes_through_jsonl(tmp_path: Path, text: str) -> None:
    """From JSON Lines to JSON Lines, columns need no type."""
    (tmp_path / "in.jsonl").write_text(f'{{"input_ids":[1],"x":{text}}}\n')

    pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", columns=["input_ids"])

    assert (tmp_path / "out.jsonl").read_text() == f'{{"input_ids":[1],"x":{text},"mask":[true]}}\n'


def test_order_of_fields_is_kept(tmp_path: Path) -> None:
    rows = [{"z": 1, "input_ids": [1], "a": 2}, {"a": 3, "new": 4, "input_ids": [2]}]

    pad_file(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")

    assert [list(row) for row in read(tmp_path / "out.jsonl")] == [
        ["z", "input_ids", "a", "mask"],
        ["a", "new", "input_ids", "mask"],
    ]


# The result does not depend on the input format, the batch size or the threads.

token_kinds = st.sampled_from(
    [
        (pa.int64(), st.integers(-(2**31), 2**31 - 1)),
        (pa.float64(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        (pa.string(), st.text(max_size=3)),
        (pa.list_(pa.float64()), st.lists(st.sampled_from([0.5, 1.0, -2.25]), min_size=2, max_size=2)),
    ]
)

Rows = tuple[list[Row], pa.Schema]


@st.composite
def sequence_rows(draw: st.DrawFn, min_rows: int = 1) -> Rows:
    """Generate rows with labels and one kind of token, and their schema for typed files."""
    type_, tokens = draw(token_kinds)
    rows = []
    for sequence in draw(st.lists(st.lists(tokens, max_size=5), min_size=min_rows, max_size=8)):
        labels = draw(st.lists(st.integers(-100, 9), min_size=len(sequence), max_size=len(sequence)))
        score = draw(nullable(st.floats(allow_nan=False, allow_infinity=False)))
        rows.append(
            {"x": sequence, "labels": labels, "id": draw(nullable(st.text(max_size=3))), "score": score}
        )
    schema = pa.schema(
        [
            ("x", pa.list_(type_)),
            ("labels", pa.list_(pa.int64())),
            ("id", pa.string()),
            ("score", pa.float64()),
        ]
    )
    # JSON columns have no types, so at least one token must determine the kind.
    rows.sort(key=lambda row: not row["x"])
    return rows, schema


specs = st.builds(
    PadSpec,
    maxlen=st.sampled_from([0, 1, 2, 4, 8, "longest", "p50", "p90"]),
    padding=st.sampled_from(["post", "pre"]),
    truncating=st.sampled_from(["post", "pre"]),
)
policies = st.builds(
    RowPolicy,
    overlong=st.sampled_from(["truncate", "drop"]),
    empty_rows=st.sampled_from(["keep", "drop"]),
    on_error=st.just("skip"),
)


@pytest.mark.slow
@few
@given(sequence_rows(), specs, policies, st.sampled_from(FORMATS))
def test_input_format_does_not_matter(data: Rows, spec: PadSpec, policy: RowPolicy, output: str) -> None:
    rows, schema = data
    # If there is no token, the kind is unknown in JSON.
    assume(any(row["x"] for row in rows))
    results, ledgers = [], []
    with folder() as here:
        for format_ in FORMATS:
            source = write(here / f"in.{format_}", rows, schema)
            done = pad_file(source, here / f"out.{output}", columns=["x"], spec=spec, policy=policy)
            results.append(read(here / f"out.{output}"))
            ledgers.append(done.ledger)

    assert results[1] == results[2]
    assert [as_float32(row["x"]) for row in results[1]] == [as_float32(row["x"]) for row in results[0]]
    assert [row | {"x": 0} for row in results[1]] == [row | {"x": 0} for row in results[0]]
    assert ledgers == ledgers[:1] * 3


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    sequence_rows(),
    specs,
    policies,
    st.sampled_from(FORMATS),
    st.sampled_from([*FORMATS, "npz"]),
    st.builds(FileOptions, batch_rows=st.integers(1, 5), threads=st.integers(1, 3)),
)
def test_batches_and_threads(
    data: Rows, spec: PadSpec, policy: RowPolicy, format_: str, output: str, tuned: FileOptions
) -> None:
    rows, schema = data
    # NumPy strings cannot end in NUL.
    assume(output != "npz" or "\\u0000" not in json.dumps(rows))
    with folder() as here:
        source = write(here / f"in.{format_}", rows, schema)
        for name, files in (("plain", FileOptions(threads=1)), ("tuned", tuned)):
            target = here / f"{name}.{output}"
            pad_file(source, target, columns={"x": None}, spec=spec, policy=policy, files=files)
        assert (here / f"tuned.{output}").read_bytes() == (here / f"plain.{output}").read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("type_", "token", "padding"),
    [(pa.float64(), 0.5, 0.0), (pa.string(), "a", ""), (pa.list_(pa.float64()), [0.5, 1.5], [0.0, 0.0])],
    ids=["floats", "strings", "vectors"],
)
def test_late_tokens_decide_the_kind(
    tmp_path: Path, format_: str, type_: pa.DataType, token: Any, padding: Any
) -> None:
    """Rows without tokens do not determine the kind, even if many of them come first."""
    rows = [{"x": []}] * 1500 + [{"x": [token, token]}]
    source = write(tmp_path / f"in.{format_}", rows, pa.schema([("x", pa.list_(type_))]))

    pad_file(source, tmp_path / "out.jsonl", columns=["x"])

    out = read(tmp_path / "out.jsonl")
    assert out[0]["x"] == [padding, padding]
    assert out[-1]["x"] == [token, token]


NOT_WRITTEN = {
    "rejected": ({"x": None, "id": "a", "n": "text"}, RowPolicy(on_error="skip")),
    "empty": ({"x": [], "id": "a", "n": "text"}, RowPolicy(empty_rows="drop")),
    "empty, and alone with a value": ({"x": [], "more": 1.5}, RowPolicy(empty_rows="drop")),
    "rejected, and alone with a value": ({"x": None, "more": 1.5}, RowPolicy(on_error="skip")),
}


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(("row", "policy"), NOT_WRITTEN.values(), ids=NOT_WRITTEN)
def test_skipped_rows_do_not_affect_types(tmp_path: Path, output: str, row: Row, policy: RowPolicy) -> None:
    rows = [
        {"x": [1, 2], "id": "b", "n": 1, "more": None},
        row,
        {"x": [3, 4], "id": "c", "n": 2, "more": None},
    ]

    pad_file(write(tmp_path / "in.jsonl", rows), tmp_path / f"out.{output}", columns=["x"], policy=policy)

    assert read(tmp_path / f"out.{output}") == [rows[i] | {"mask": [True, True]} for i in (0, 2)]


@pytest.mark.parametrize("format_", FORMATS)
def test_column_starting_with_nulls(tmp_path: Path, format_: str) -> None:
    rows = [{"x": None, "id": 0}] * 1500 + [{"x": [1, 2], "id": 1}]
    schema = pa.schema([("x", pa.list_(pa.int64())), ("id", pa.int64())])
    source = write(tmp_path / f"in.{format_}", rows, schema)

    done = pad_file(source, tmp_path / "out.jsonl", columns=["x"], policy=RowPolicy(on_error="skip"))

    assert done.ledger.rows_rejected == 1500
    assert read(tmp_path / "out.jsonl") == [{"x": [1, 2], "id": 1, "mask": [True, True]}]


# Unpadding


@few
@given(sequence_rows(), specs, st.sampled_from(FORMATS), st.sampled_from(FORMATS))
def test_mask_selects_the_cut_rows(data: Rows, spec: PadSpec, format_: str, output: str) -> None:
    rows, schema = data
    with folder() as here:
        source = write(here / f"in.{format_}", rows, schema)
        done = pad_file(
            *(source, here / f"out.{output}"),
            columns={"x": None, "labels": -100},
            spec=spec,
            mask=MaskSpec(length_column="n"),
        )
        padded = read(here / f"out.{output}")

    def cut(tokens: list[Any]) -> list[Any]:
        kept = min(len(tokens), done.maxlen)
        return tokens[:kept] if spec.truncating == "post" else tokens[len(tokens) - kept :]

    for row, out in zip(rows, padded, strict=True):
        kept = cut(row["x"])
        assert as_float32(unpad(out["x"], out["mask"])) == as_float32(kept)
        assert unpad(out["labels"], out["mask"]) == cut(row["labels"])
        assert out["n"] == len(kept)
        assert len(out["x"]) == len(out["mask"]) == done.maxlen
        padding = [False] * (done.maxlen - len(kept))
        real = [True] * len(kept)
        assert out["mask"] == (real + padding if spec.padding == "post" else padding + real)


# The structure of Parquet files


def tokens_table(**metadata: str) -> pa.Table:
    table = pa.table({"input_ids": [[7, 8, 9], [5], []], "id": ["a", None, "c"]})
    return table.replace_schema_metadata(metadata)


@pytest.fixture(params=FORMATS)
def padded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Parquet file converted from each format."""
    source = tmp_path / f"in.{request.param}"
    if request.param == "parquet":
        pq.write_table(tokens_table(huggingface='{"info":{"features":{}}}', mine="kept"), source)
    else:
        table = tokens_table()
        write(source, table.to_pylist(), table.schema)
    pad_file(source, tmp_path / "out.parquet")
    return tmp_path / "out.parquet"


def test_output_types_are_plain_lists(padded: Path) -> None:
    schema = pq.read_schema(padded)

    assert [pa.types.is_list(schema.field(name).type) for name in ("input_ids", "mask")] == [True, True]
    assert schema.field("input_ids").type.value_type == pa.int32()
    assert schema.field("mask").type.value_type == pa.bool_()
    assert schema.names == ["input_ids", "id", "mask"]


def test_columns_are_compressed(padded: Path) -> None:
    metadata = pq.read_metadata(padded)

    assert metadata.num_row_groups == 1
    group = metadata.row_group(0)
    assert {group.column(i).compression for i in range(metadata.num_columns)} == {"ZSTD"}


@pytest.mark.parametrize("output", ["out.parquet", "out.arrow"])
def test_schema_describes_padding(tmp_path: Path, output: str) -> None:
    pq.write_table(tokens_table(), tmp_path / "in.parquet")

    pad_file(
        *(tmp_path / "in.parquet", tmp_path / output),
        columns={"input_ids": -1},
        spec=PadSpec(maxlen="p50", padding="pre", truncating="pre"),
        mask=MaskSpec(column="attention_mask", dtype="int64"),
    )

    said = json.loads(read_table(tmp_path / output).schema.metadata[b"padmask"])
    assert said["maxlen"] == 1
    assert said["padding"] == "pre"
    assert said["truncating"] == "pre"
    assert said["columns"]["input_ids"]["value"] == -1
    assert said["mask_column"] == "attention_mask"
    assert said["mask_true"] == "real token"


def test_hugging_face_metadata_is_dropped(tmp_path: Path) -> None:
    """The types in the metadata describe the input and would contradict the output."""
    pq.write_table(tokens_table(huggingface="{}", mine="kept"), tmp_path / "in.parquet")

    pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet")

    metadata = pq.read_schema(tmp_path / "out.parquet").metadata
    assert b"huggingface" not in metadata
    assert metadata[b"mine"] == b"kept"
    assert b"padmask" in metadata


EMPTY = {
    "no rows": ([], FileOptions(), RowPolicy()),
    "limit 0": ([{"input_ids": [1], "id": "a"}], FileOptions(limit=0), RowPolicy()),
    "all dropped": ([{"input_ids": [], "id": "a"}] * 3, FileOptions(), RowPolicy(empty_rows="drop")),
    "all rejected": ([{"input_ids": [None], "id": "a"}] * 3, FileOptions(), RowPolicy(on_error="skip")),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("rows", "files", "policy"), EMPTY.values(), ids=EMPTY)
def test_empty_result_has_columns(
    tmp_path: Path, format_: str, rows: list[Row], files: FileOptions, policy: RowPolicy
) -> None:
    """A Parquet file without rows has no row group, because an empty one breaks Hugging Face datasets."""
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("id", pa.string())])
    source = write(tmp_path / f"in.{format_}", rows, schema)

    done = pad_file(source, tmp_path / "out.parquet", spec=PadSpec(maxlen=4), files=files, policy=policy)

    assert done.ledger.rows_written == 0
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    assert (metadata.num_rows, metadata.num_row_groups) == (0, 0)
    out = pq.read_schema(tmp_path / "out.parquet")
    assert out.field("input_ids").type.value_type == pa.int32()
    assert out.field("mask").type.value_type == pa.bool_()


def test_polars_reads_output(padded: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is a peer, installed for `make bench` only")

    assert polars.read_parquet(padded).to_dicts() == pq.read_table(padded).to_pylist()


def test_duckdb_reads_output(padded: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is a peer, installed for `make bench` only")

    with duckdb.connect() as connection:
        cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(padded)])
        columns = [column[0] for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    assert rows == pq.read_table(padded).to_pylist()


@settings(max_examples=15, deadline=None)
@given(sequence_rows(), specs, st.sampled_from(["bool", "int8", "int64"]), st.booleans())
def test_readers_agree(data: Rows, spec: PadSpec, mask_dtype: str, fixed: bool) -> None:
    polars = pytest.importorskip("polars", reason="polars is a peer, installed for `make bench` only")
    duckdb = pytest.importorskip("duckdb", reason="duckdb is a peer, installed for `make bench` only")
    rows, schema = data
    # Readers differ about fixed-size lists of length 0.
    fixed = fixed and spec.maxlen != 0 and any(row["x"] for row in rows)
    with folder() as here:
        source = write(here / "in.parquet", rows, schema)
        done = pad_file(
            *(source, here / "out.parquet"),
            columns=["x", "labels=-100"],
            spec=spec,
            mask=MaskSpec(dtype=mask_dtype),
            files=FileOptions(fixed_size_list=fixed and spec.maxlen == "longest"),
        )
        truth = pq.read_table(here / "out.parquet").to_pylist()
        by_polars = polars.read_parquet(here / "out.parquet").to_dicts()
        with duckdb.connect() as connection:
            cursor = connection.execute(
                "SELECT x, labels, mask FROM read_parquet(?)", [str(here / "out.parquet")]
            )
            by_duckdb = cursor.fetchall()

    assert done.ledger.rows_written == len(truth)
    assert [{k: _plain(v) for k, v in row.items()} for row in by_polars] == truth
    assert [tuple(map(_plain, row)) for row in by_duckdb] == [
        (row["x"], row["labels"], row["mask"]) for row in truth
    ]


def _plain(value: Any) -> Any:
    """Convert sequences to lists, because readers may return tuples or Series for fixed-size lists."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return value
    return [_plain(item) for item in value]


# Columns with types that JSON does not support


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("chunks", [1, 3])
def test_changing_dictionaries(tmp_path: Path, output: str, chunks: int) -> None:
    words = [[f"{chunk}{i}" for i in range(3)] for chunk in range(chunks)]
    batches = [
        pa.record_batch({"x": [[1], [2, 3], []], "word": pa.array(some).dictionary_encode()})
        for some in words
    ]
    schema = batches[0].schema
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)

    pad_file(tmp_path / "in.arrow", tmp_path / f"out.{output}", columns=["x"])

    assert [row["word"] for row in read(tmp_path / f"out.{output}")] == [
        word for some in words for word in some
    ]


@pytest.mark.parametrize("output", ["parquet", "arrow"])
def test_every_type_passes_through(tmp_path: Path, output: str) -> None:
    table = pa.table(
        {
            "x": [[1], [2, 3]],
            "nan": [float("nan"), 1.0],
            "bytes": [b"\x00\xff", None],
            "when": pa.array([1, None], pa.timestamp("ns", "UTC")),
            "price": pa.array([None, "1.50"]).cast(pa.decimal128(10, 2)),
            "nested": [{"a": [1, None], "b": {"c": "d"}}, None],
            "word": pa.array(["a", "b"]).dictionary_encode(),
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            "large": pa.array(["a", None], pa.large_string()),
            "lists": pa.array([[1, 2], None], pa.large_list(pa.int16())),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")

    pad_file(tmp_path / "in.parquet", tmp_path / f"out.{output}", columns=["x"])

    out, truth = read_table(tmp_path / f"out.{output}"), pq.read_table(tmp_path / "in.parquet")
    for name in table.schema.names[1:]:
        type_ = truth.schema.field(name).type
        # Compare by value, because Arrow files do not support dictionaries that differ between batches.
        values = type_.value_type if pa.types.is_dictionary(type_) else type_
        assert out.schema.field(name).type in (type_, values)
        if name != "nan":
            assert out[name].cast(values).equals(truth[name].cast(values))
    assert out["nan"].is_null(nan_is_null=True).to_pylist() == [True, False]
    assert out["nan"].null_count == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("output", ["parquet", "arrow"])
def test_timestamps_keep_their_unit(tmp_path: Path, unit: str, output: str) -> None:
    # All values fit microseconds, but the values of later rows or files may not.
    times = pa.array([10**9, None, -(10**6)], pa.timestamp(unit))
    table = pa.table({"x": [[1], [2, 3], [4]], "at": times})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as file:
        file.write_table(table)
    pad_file(tmp_path / "in.arrow", tmp_path / f"out.{output}", columns=["x"])
    out = read_table(tmp_path / f"out.{output}")
    # Parquet has no seconds.
    stored = "ms" if (unit, output) == ("s", "parquet") else unit
    assert out.schema.field("at").type == pa.timestamp(stored)
    assert out["at"].cast(times.type).combine_chunks().equals(times)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([1], pa.timestamp("ns")), '"1970-01-01 00:00:00.000000001"'),
        (pa.array([{"t": 1}], pa.struct([("t", pa.timestamp("ns"))])), "1970-01-01 00:00:00.000000001"),
        (pa.array([[1]], pa.list_(pa.timestamp("ns"))), "1970-01-01 00:00:00.000000001"),
        (pa.array([1], pa.timestamp("us", "UTC")), "1970-01-01T00:00:00.000001"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array(["1.50"]).cast(pa.decimal128(10, 2)), "1.50"),
        (pa.array(["ä"]).dictionary_encode(), '"ä"'),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_that_json_supports(tmp_path: Path, array: pa.Array, text: str) -> None:
    pq.write_table(pa.table({"x": [[1]], "other": array}), tmp_path / "in.parquet")

    pad_file(tmp_path / "in.parquet", tmp_path / "out.jsonl", columns=["x"])

    assert text in (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_json_refuses_nan_and_infinity(tmp_path: Path, value: float) -> None:
    """JSON does not support these values. padmask refuses them instead of writing null."""
    pq.write_table(pa.table({"x": [[1]], "score": [value]}), tmp_path / "in.parquet")

    with raises_error(OutputError, "in.parquet, row 0", "'score'"):
        pad_file(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
