"""`pad_table` on Arrow tables."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import pad_lists
from raised import raises_error

from padmask import Column, MaskSpec, PadSpec, pad_table
from padmask.errors import DataError, PaddedError, SpecError

IDS = [[1, 2, 3], [], [4, 5]]
TABLE = pa.table({"id": [7, 8, 9], "input_ids": IDS, "labels": [[-100, 1, 0], [], [0, -100]]})


def test_mask_is_added():
    padded = pad_table(TABLE)
    assert padded.schema.names == ["id", "input_ids", "labels", "mask"]
    assert padded["input_ids"].to_pylist() == [[1, 2, 3], [0, 0, 0], [4, 5, 0]]
    assert padded["mask"].to_pylist() == [[True] * 3, [False] * 3, [True, True, False]]
    assert padded["labels"].to_pylist() == [[-100, 1, 0], [-100] * 3, [0, -100, -100]]


def test_only_named_columns_are_padded():
    assert pad_table(TABLE, ["input_ids"])["labels"].equals(TABLE["labels"])


def test_columns_are_cut_alike():
    padded = pad_table(
        TABLE, columns=["input_ids", "labels:int64=-100"], spec=PadSpec(maxlen=2, padding="pre")
    )
    assert padded["input_ids"].to_pylist() == [[1, 2], [0, 0], [4, 5]]
    assert padded["labels"].to_pylist() == [[-100, 1], [-100, -100], [0, -100]]
    assert padded.schema.field("labels").type.value_type == pa.int64()


@given(
    rows=st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=8),
    cut=st.integers(0, 8),
    maxlen=st.integers(0, 7),
)
def test_chunks_do_not_matter(rows, cut, maxlen):
    column = pa.array(rows, pa.list_(pa.int64()))
    table = pa.table({"ids": pa.chunked_array([column[:cut], column[cut:]])})
    padded = pad_table(table, spec=PadSpec(maxlen=maxlen))
    values, mask, _ = pad_lists(rows, maxlen, "post", "post", 0)
    assert (padded["ids"].to_pylist(), padded["mask"].to_pylist()) == (values, mask)


def test_empty_table_keeps_types():
    padded = pad_table(TABLE.slice(0, 0), spec=PadSpec(maxlen=4))
    assert padded.num_rows == 0
    assert padded.schema.field("input_ids").type.value_type == pa.int32()
    assert padded.schema.field("mask").type.value_type == pa.bool_()


@pytest.mark.parametrize(
    ("tokens", "dtype"),
    [
        (pa.list_(pa.int64()), pa.int32()),
        (pa.list_(pa.float16()), pa.float32()),
        (pa.list_(pa.float32()), pa.float32()),
        (pa.list_(pa.float64()), pa.float64()),
        (pa.list_(pa.list_(pa.float64(), 2)), pa.list_(pa.float64())),
        (pa.list_(pa.string()), pa.string()),
        (pa.large_list(pa.large_string()), pa.string()),
    ],
    ids=str,
)
def test_dtype_of_tokens(tokens, dtype):
    padded = pad_table(pa.table({"tokens": pa.array([[], []], tokens)}), spec=PadSpec(maxlen=1))
    assert padded.schema.field("tokens").type.value_type == dtype


def test_other_metadata_stays():
    stale = TABLE.replace_schema_metadata({"huggingface": "{}", "mine": "stays"})
    metadata = pad_table(stale, {"input_ids": 5}, PadSpec(maxlen=4, padding="pre")).schema.metadata
    said = json.loads(metadata[b"padmask"])
    assert (said["maxlen"], said["padding"], said["truncating"]) == (4, "pre", "post")
    assert said["columns"] == {"input_ids": {"dtype": "int32", "value": 5}}
    assert (said["mask_column"], said["mask_true"]) == ("mask", "real token")
    assert b"huggingface" not in metadata
    assert metadata[b"mine"] == b"stays"


def test_attention_mask_column():
    padded = pad_table(TABLE, mask=MaskSpec(column="attention_mask", dtype="int64", length_column="length"))
    assert padded["attention_mask"].to_pylist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0]]
    assert padded.schema.field("attention_mask").type.value_type == pa.int64()
    assert padded["length"].to_pylist() == [3, 0, 2]


def test_existing_mask():
    once = pad_table(TABLE)
    with raises_error(PaddedError, "'mask'", column="input_ids", option="allow_padded"):
        pad_table(once)
    with raises_error(PaddedError, "'mask'", option="mask_column"):
        pad_table(TABLE.append_column("mask", [[[1]] * 3]))
    again = pad_table(once, spec=PadSpec(maxlen=4), mask=MaskSpec(overwrite=True, allow_padded=True))
    assert again.schema.names == once.schema.names
    assert again["mask"].to_pylist()[0] == [True, True, True, False]


def test_vectors_agree_over_chunks():
    vectors = pa.list_(pa.list_(pa.float32()))
    chunks = [pa.array([[]], vectors), pa.array([[[1, 2]]], vectors), pa.array([[[3, 4], [5, 6]]], vectors)]
    padded = pad_table(pa.table({"x": pa.chunked_array(chunks)}))
    assert padded["x"].to_pylist() == [[[0, 0]] * 2, [[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    with raises_error(DataError, "position 0", "3 numbers", place="row 2", column="x"):
        pad_table(pa.table({"x": pa.chunked_array([*chunks[:2], pa.array([[[1, 2, 3]]], vectors)])}))


def test_duplicate_columns_are_kept():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([[3]])], names=["a", "a", "ids"])
    padded = pad_table(table)
    assert [column.to_pylist() for column in padded.columns] == [[1], [2], [[3]], [[True]]]


@pytest.mark.parametrize(
    ("table", "columns", "facts"),
    [
        (TABLE, ["lables"], ["'lables'", "'labels'"]),
        (TABLE, ["input_ids", "input_ids"], ["'input_ids'", "twice"]),
        (TABLE, ["id"], ["'id'", "int64"]),
        (TABLE, [Column("input_ids", "string")], ["'input_ids'", "ints", "string"]),
        (TABLE, {"labels": 2**40}, ["'labels'", 2**40, "int32"]),
        (TABLE, {"labels": "x"}, ["'labels'", "'x'", "int32"]),
        (TABLE, {"labels": True}, ["'labels'", True, "int32"]),
        (pa.Table.from_arrays([pa.array([[1]])] * 2, names=["a", "a"]), ["a"], ["2 columns", "'a'"]),
    ],
)
def test_impossible_requests(table, columns, facts):
    with raises_error(SpecError, *facts, option="columns"):
        pad_table(table, columns)


def test_no_single_list_column():
    with raises_error(SpecError, "'id'"):
        pad_table(TABLE.drop(["input_ids", "labels"]))
    with raises_error(SpecError, "2 list columns", "'a'", "'b'"):
        pad_table(pa.table({"a": [[1]], "b": [[2]]}))


@pytest.mark.parametrize(
    ("column", "facts"), [([[1], None], ["null"]), ([[1], [2**40]], ["position 0", 2**40])], ids=str
)
def test_bad_row_is_named(column, facts):
    with raises_error(DataError, *facts, place="row 1", column="a"):
        pad_table(pa.table({"a": column}))


def test_row_of_unequal_columns_is_named():
    table = pa.table({"a": [[1], [2, 3]], "b": [[1], [2]]})
    with raises_error(DataError, "'a'", "'b'", "1 token", place="row 1", option="own_lengths"):
        pad_table(table, ["a", "b"])


@pytest.mark.parametrize("rows", [[[]], [[1]]], ids=str)
def test_fixed_size_list_of_maxlen_0(tmp_path, rows):
    from padmask import FileOptions, pad_file

    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    result = pad_file(
        tmp_path / "in.jsonl",
        tmp_path / "out.parquet",
        spec=PadSpec(maxlen=0),
        files=FileOptions(fixed_size_list=True),
    )
    assert result.ledger.rows_written == 1


def test_views_can_be_filtered(tmp_path):
    from padmask import RowPolicy, pad_file

    table = pa.table({"input_ids": [[1, 2], [3], []], "x": pa.array(["a", "b", None], pa.string_view())})
    with pa.OSFile(str(tmp_path / "in.arrow"), "wb") as stream, pa.ipc.new_file(stream, table.schema) as out:
        out.write_table(table)
    pad_file(tmp_path / "in.arrow", tmp_path / "out.jsonl", policy=RowPolicy(empty_rows="drop"))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["x"] for line in lines] == ["a", "b"]


def test_input_must_be_a_table():
    with raises_error(SpecError, "`table`", "dict"):
        pad_table({"ids": [[1]]})


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_tensors_of_two_axes_are_vectors(dtype):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype=dtype).reshape(2, 3, 2))
    padded = pad_table(pa.table({"input_ids": tensors, "other": tensors}), spec=PadSpec(maxlen=4))
    assert padded["input_ids"].to_pylist()[0] == [[0, 1], [2, 3], [4, 5], [0, 0]]
    assert padded["mask"].to_pylist() == [[True, True, True, False]] * 2
