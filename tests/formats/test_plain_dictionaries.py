"""Dictionary columns are written as dictionaries if the format can hold them, else as their values."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value

from padmask import pad_file
from padmask.formats.plain_dictionaries import as_type, of_views, plain_type


def dictionary(values: pa.Array, ordered: bool = False) -> pa.DictionaryArray:
    """Return the second value, null, the first value and the second value."""
    return pa.DictionaryArray.from_arrays(pa.array([1, None, 0, 1], pa.uint8()), values, ordered=ordered)


VIEWS = dictionary(pa.array(["a", "b"], pa.string_view()))
WORDS = ["b", None, "a", "b"]
LISTS = pa.ListArray.from_arrays([0, 2, 2, 3, 4], VIEWS)
COLUMNS = {
    "views": (VIEWS, WORDS),
    "ordered views": (dictionary(pa.array(["a", "b"], pa.string_view()), True), WORDS),
    "strings": (dictionary(pa.array(["a", "b"])), WORDS),
    "lists": (dictionary(pa.array([["x"], []])), [[], None, ["x"], []]),
    "a null": (dictionary(pa.array([None, "b"])), ["b", None, None, "b"]),
    "in lists": (LISTS, [["b", None], [], ["a"], ["b"]]),
    "in large lists": (
        pa.LargeListArray.from_arrays([0, 2, 2, 3, 4], VIEWS),
        [["b", None], [], ["a"], ["b"]],
    ),
    "in fixed lists": (pa.FixedSizeListArray.from_arrays(VIEWS, 1), [[word] for word in WORDS]),
    "in structs": (
        pa.StructArray.from_arrays([VIEWS], ["c"], mask=pa.array([False, True, False, False])),
        [{"c": "b"}, None, {"c": "a"}, {"c": "b"}],
    ),
    "in maps": (
        pa.MapArray.from_arrays([0, 1, 1, 2, 2], pa.array(["k", "l"]), VIEWS[:2]),
        [[("k", "b")], [], [("l", None)], []],
    ),
}


@each_value(case=COLUMNS, format_=["parquet", "arrow", "jsonl"])
def test_values_stay(tmp_path, case, format_):
    column, values = case
    table = pa.table({"input_ids": [[1], [2], [3], [4]], "x": column})
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as raw, pa.ipc.new_file(raw, table.schema) as out:
        out.write_table(table)
    result = tmp_path / f"out.{format_}"
    pad_file(tmp_path / "in.arrow", result)
    if format_ == "jsonl":
        found = [json.loads(line)["x"] for line in result.read_text().splitlines()]
        assert found == json.loads(json.dumps(values))
    else:
        table = pq.read_table(result) if format_ == "parquet" else pa.ipc.open_file(str(result)).read_all()
        assert table["x"].to_pylist() == values


def test_types_in_parquet(tmp_path):
    names = ("views", "strings", "in lists")
    table = pa.table({"input_ids": [[1]] * 4, **{name: COLUMNS[name][0] for name in names}})
    described = table.schema.field("views").with_metadata({"_PL_CATEGORICAL": "x", "mine": "stays"})
    table = table.cast(table.schema.set(1, described))
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as raw, pa.ipc.new_file(raw, table.schema) as out:
        out.write_table(table)
    pad_file(tmp_path / "in.arrow", tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.field("views").type == pa.string()
    assert schema.field("views").metadata == {b"mine": b"stays"}
    assert pa.types.is_dictionary(schema.field("strings").type)
    assert schema.field("in lists").type.value_type == pa.string()


def test_sliced_arrays():
    for column, values in COLUMNS.values():
        plain = as_type(column.slice(1, 2), plain_type(column.type, of_views))
        plain.validate(full=True)
        assert plain.to_pylist() == values[1:3]


def test_categories_of_polars(tmp_path):
    pl = pytest.importorskip("polars")
    words = ["web", "books"]
    frame = pl.DataFrame(
        {
            "input_ids": [[1, 2], [3]],
            "c": pl.Series(words, dtype=pl.Categorical),
            "e": pl.Series(words, dtype=pl.Enum(words)),
            "l": pl.Series([words, []], dtype=pl.List(pl.Categorical)),
        }
    )
    frame.write_ipc(tmp_path / "in.arrow")
    for name in ("out.parquet", "out.jsonl", "out.arrow"):
        pad_file(tmp_path / "in.arrow", tmp_path / name)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["c"], row["e"], row["l"]) for row in rows] == [("web", "web", words), ("books", "books", [])]
    again = pl.read_parquet(tmp_path / "out.parquet")
    assert again.select("c", "e", "l").rows() == frame.select("c", "e", "l").rows()
    assert pl.read_ipc(tmp_path / "out.arrow").schema["e"] == frame.schema["e"]
