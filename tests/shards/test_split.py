"""The split of inputs into output files, and the types that all pieces have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raised import has_facts, raises_error

from padmask.errors import DataError, SpecError
from padmask.formats.jsonl.types import TypeSurvey
from padmask.shards.split import Shard, find_shards, output_name, refuse_no_shards, refuse_too_many
from padmask.spec.formats import FORMATS
from padmask.storage.inputs import list_inputs
from padmask.storage.source import Source


def shards_of(*inputs: Path, target: str = "parquet", shard_bytes: int = 1 << 20) -> list[tuple[str, Any]]:
    """Return the name of each output file, and the row groups of the input that the file contains."""
    files = list_inputs([str(path) for path in inputs])
    refuse_no_shards(files)
    shards = find_shards(files, FORMATS["parquet"], FORMATS[target], shard_bytes)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    return [(shard.name, shard.source.groups) for shard in shards]


def write_groups(path: Path, groups: int, rows: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": range(groups * rows), "input_ids": [[i, i + 1] for i in range(groups * rows)]})
    pq.write_table(table, path, row_group_size=rows, compression="none")
    return path


# --- Names and cuts ----------------------------------------------------------------------


def test_each_file_becomes_a_shard(tmp_path):
    for name in ("year=2023/b.parquet", "year=2023/a.pq", "a.parquet", "_old/c.parquet", ".d.parquet"):
        write_groups(tmp_path / name, 1)

    assert shards_of(tmp_path) == [
        ("a.parquet", None),
        ("year=2023/a.pq", None),
        ("year=2023/b.parquet", None),
    ]
    assert shards_of(tmp_path, target="jsonl")[1:] == [
        ("year=2023/a.jsonl", None),
        ("year=2023/b.jsonl", None),
    ]


def test_large_parquet_is_cut(tmp_path):
    path = write_groups(tmp_path / "large.parquet", 10)
    group = sum(pq.read_metadata(path).row_group(0).column(i).total_compressed_size for i in range(2))

    assert shards_of(path) == [("large.parquet", None)]
    assert shards_of(path, shard_bytes=4 * group) == [
        ("large-00000-of-00003.parquet", (0, 4)),
        ("large-00001-of-00003.parquet", (4, 8)),
        ("large-00002-of-00003.parquet", (8, 10)),
    ]
    assert [groups for _, groups in shards_of(path, shard_bytes=1)] == [(i, i + 1) for i in range(10)]


def test_single_row_group_stays_whole(tmp_path):
    path = write_groups(tmp_path / "large.parquet", 1)
    assert shards_of(path, shard_bytes=1) == [("large.parquet", None)]


def test_empty_file_stays_whole(tmp_path):
    path = write_groups(tmp_path / "large.parquet", 0)
    assert shards_of(path, shard_bytes=1) == [("large.parquet", None)]


@pytest.mark.parametrize(
    "names",
    [("a/x.parquet", "b/x.parquet"), ("a/x.parquet", "a/x.pq")],
    ids=["two folders", "two suffixes"],
)
def test_equal_output_names_are_refused(tmp_path, names):
    paths = [write_groups(tmp_path / name, 1) for name in names]
    with raises_error(SpecError, *names, "'x.jsonl'"):
        shards_of(*paths, target="jsonl")


def test_repeated_file_is_one_shard(tmp_path):
    path = write_groups(tmp_path / "x.parquet", 1)
    assert shards_of(path, path, target="jsonl") == [("x.jsonl", None)]


def test_manifest_name_is_refused(tmp_path):
    path = write_groups(tmp_path / "_padmask.json", 1)
    with raises_error(SpecError, "'_padmask.json'", "reserved"):
        shards_of(path, target="jsonl")


def test_output_names():
    text = FORMATS["jsonl"]
    assert output_name("a.jsonl.zst", text, text) == "a.jsonl.zst"
    assert output_name("a.json", text, FORMATS["arrow"]) == "a.arrow"
    assert output_name("a.log.gz", text, FORMATS["parquet"]) == "a.log.parquet"


# --- Types, piece by piece ---------------------------------------------------------------

numbers = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**53 + 1, 2**63, -(2**63), 2**64, -1]), st.floats(0, 1)
)
scalars = st.one_of(st.none(), numbers, numbers, st.just("x"), st.booleans())
values = st.one_of(
    numbers, scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from("ab"), scalars)
)
pieces = st.lists(st.lists(values, max_size=3), min_size=1, max_size=4)


def surveyed(*lists: list[Any], first: int = 1) -> TypeSurvey:
    survey, line = TypeSurvey(), first
    for found in lists:
        if found:
            survey.add("x", found, [f"line {line + i}" for i in range(len(found))])
        line += len(found)
    return survey


def of_all(lists: list[list[Any]]) -> pa.Schema | str:
    return schema_or_error(lambda: surveyed(*lists))


def of_pieces(lists: list[list[Any]]) -> pa.Schema | str:
    def join() -> TypeSurvey:
        whole, line = TypeSurvey(), 1
        for found in lists:
            whole.join(surveyed(found, first=line))
            line += len(found)
        return whole

    return schema_or_error(join)


def schema_or_error(survey) -> pa.Schema | str:
    try:
        return survey().schema()
    except DataError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(pieces)
def test_types_of_pieces_join(lists):
    whole, joined = of_all(lists), of_pieces(lists)
    if isinstance(whole, pa.Schema):
        assert joined == whole, (joined, whole)
    else:
        # Either error may be reported, because a piece may have an earlier error.
        assert isinstance(joined, str)
        line = int(joined.partition(",")[0].removeprefix("line "))
        flat = [value for found in lists for value in found]
        assert 1 <= line <= len(flat)


@pytest.mark.parametrize(
    ("first", "later", "place", "facts"),
    [
        ([1], ["x"], "line 2, field 'x'", ["string", "line 1 has an int"]),
        # The error has the type of the value in line 1, not the common type of lines 1 and 2.
        ([1, 0.5], ["x"], "line 3, field 'x'", ["string", "line 1 has an int"]),
        (["x"], [1, 0.5], "line 2, field 'x'", ["int", "line 1 has a string"]),
        ([1, 2**53 + 1], [0.5], "line 2, field 'x'", ["floats", 2**53 + 1]),
        ([0.5], [1, 2**53 + 1], "line 3, field 'x'", ["floats", 2**53 + 1]),
        ([1, -1], [1, 2**63], "line 4, field 'x'", ["64-bit", 2**63]),
        ([1, 2**63], [1, -1], "line 4, field 'x'", ["64-bit", -1]),
        ([1, -(2**53) - 1], [0.5], "line 2, field 'x'", ["floats", -(2**53) - 1]),
        ([[], [1]], [[], ["x"]], "line 4, field 'x[]'", ["string", "line 2 has an int"]),
        ([{"a": 1}], [{"b": 1}, {"a": "x"}], "line 3, field 'x.a'", ["string", "line 1 has an int"]),
    ],
)
def test_types_that_do_not_join(first, later, place, facts):
    for found in (of_pieces([first, later]), of_all([first, later])):
        assert isinstance(found, str)
        assert found.startswith(f"{place}: ") and has_facts(found, *facts)


@pytest.mark.slow
def test_too_many_shards_are_refused():
    # The manifest of this many shards would be too large to read.
    shard = Shard(0, Source("/data/a.jsonl"), "a.jsonl", 1)
    refuse_too_many([shard] * 500_000)
    with raises_error(SpecError, "600,000 shards"):
        refuse_too_many([shard] * 600_000)
