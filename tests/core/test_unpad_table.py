"""`unpad_table` gives back the rows that `pad_table` padded and refuses tables that contradict themselves."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from padmask import (
    MaskSpec,
    PadmaskError,
    PadSpec,
    RowError,
    UnpadSpec,
    pad_table,
    unpad_table,
)

ROWS = pa.table(
    {
        "id": [7, 8, 9],
        "input_ids": [[1, 2, 3], [], [4, 0]],
        "labels": [[-100, 1, 0], [], [0, -100]],
        "text": ["a", None, "c"],
    }
)
PADDED = pad_table(ROWS, ["input_ids", "labels=-100"])
BOTH = pad_table(ROWS, ["input_ids"], mask=MaskSpec(length_column="length"))
LENGTHS = pad_table(ROWS, ["input_ids"], PadSpec(padding="pre"), MaskSpec(column=None, length_column="n"))
# As other tools write it: the same columns, and nothing that says what they are.
FOREIGN = PADDED.replace_schema_metadata(None)


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_all_that_was_padded_comes_back(padding):
    padded = pad_table(ROWS, ["input_ids", "labels=-100"], PadSpec(maxlen=5, padding=padding))
    assert unpad_table(padded).to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("padded", [BOTH, LENGTHS, BOTH.drop(["mask"]), BOTH.drop(["length"])], ids=str)
def test_the_mask_and_the_length_that_were_added_are_gone(padded):
    assert unpad_table(padded).to_pydict() == ROWS.to_pydict()


def test_the_types_are_those_of_the_padded_values_in_plain_lists():
    unpadded = unpad_table(PADDED)
    assert unpadded.schema.field("input_ids").type == pa.list_(pa.int32())
    fixed = pa.array([[1, 2], [3, 0]], pa.list_(pa.int16(), 2))
    table = pa.table({"input_ids": fixed, "mask": [[1, 1], [1, 0]]})
    assert unpad_table(table)["input_ids"].type == pa.list_(pa.int16())


def test_what_speaks_of_padding_leaves_the_metadata():
    others = {b"mine": b"stays", b"huggingface": b"{}"}
    padded = PADDED.replace_schema_metadata(PADDED.schema.metadata | others)
    assert unpad_table(padded).schema.metadata == {b"mine": b"stays"}


def test_a_mask_that_is_kept_is_as_long_as_its_row():
    kept = unpad_table(BOTH, spec=UnpadSpec(keep_mask=True))
    assert kept.schema.names == BOTH.schema.names
    assert kept["mask"].to_pylist() == [[True] * 3, [], [True] * 2]
    assert kept["length"].to_pylist() == [3, 0, 2]


def test_without_metadata_the_columns_are_chosen_as_for_padding():
    assert unpad_table(FOREIGN)["input_ids"].to_pylist() == [[1, 2, 3], [], [4, 0]]
    assert unpad_table(FOREIGN)["labels"].to_pylist() == PADDED["labels"].to_pylist()
    assert unpad_table(FOREIGN, ["input_ids", "labels=-100"]).to_pydict() == ROWS.to_pydict()
    assert unpad_table(FOREIGN, {"input_ids": 0, "labels": -100}).to_pydict() == ROWS.to_pydict()


def test_the_mask_is_not_taken_for_the_only_list_column():
    table = pa.table({"x": [[5, 0]], "attention_mask": [[1, 0]]})
    assert unpad_table(table).to_pydict() == {"x": [[5]]}


def test_a_mask_that_was_padded_like_a_column_stays_one():
    # What tokenizers give, padded: the mask is theirs, and nobody added it.
    raw = pa.table({"input_ids": [[5, 6], [7]], "attention_mask": [[1, 1], [1]]})
    padded = pad_table(raw, ["input_ids", "attention_mask"], mask=MaskSpec(column=None))
    assert unpad_table(padded).to_pydict() == raw.to_pydict()


@pytest.mark.parametrize("mask", [[[1, 1, 0]], [[True, True, False]]], ids=str)
@pytest.mark.parametrize("list_type", [pa.list_, pa.large_list, pa.list_view], ids=lambda kind: kind.__name__)
def test_masks_are_read_in_all_their_types(mask, list_type):
    token = pa.bool_() if mask[0][0] is True else pa.int8()
    table = pa.table({"input_ids": [[5, 6, 0]], "mask": pa.array(mask, list_type(token))})
    assert unpad_table(table).to_pydict() == {"input_ids": [[5, 6]]}


def test_the_side_is_each_rows_own_where_there_is_a_mask():
    table = pa.table({"input_ids": [[0, 5], [6, 0]], "mask": [[False, True], [True, False]]})
    assert unpad_table(table)["input_ids"].to_pylist() == [[5], [6]]


def test_real_tokens_may_equal_the_pad_value():
    rows = pa.table({"input_ids": [[0, 0], [0]]})
    assert unpad_table(pad_table(rows, spec=PadSpec(maxlen=4))).to_pydict() == rows.to_pydict()


def test_slices_and_chunks_do_not_matter():
    chunked = pa.concat_tables([PADDED.slice(0, 1), PADDED.slice(1, 0), PADDED.slice(1)])
    assert unpad_table(chunked).to_pydict() == ROWS.to_pydict()
    assert unpad_table(PADDED.slice(2)).to_pydict() == ROWS.slice(2).to_pydict()
    assert unpad_table(PADDED.slice(0, 0)).schema == unpad_table(PADDED).schema


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([1, 0, 1], "column 'mask': position 2: the mask changes a second time"),
        ([0, 1, 0], "column 'mask': position 2: the mask changes a second time"),
        ([1, 1, 2], "column 'mask': position 2: 2 is neither 0 nor 1"),
        ([1, None, 0], "column 'mask': position 1: null is neither 0 nor 1"),
        ([1, 1], "column 'input_ids' has 3 places where 'mask' has 2"),
        (None, "column 'mask': the row is null"),
    ],
    ids=str,
)
def test_rows_that_contradict_their_mask_are_refused_with_the_place(mask, said):
    table = pa.table({"input_ids": [[5, 6, 0]] * 3, "mask": [[1, 0, 0], [0, 1, 1], mask]})
    with pytest.raises(RowError, match=f"Row 2, {said}"):
        unpad_table(table)


@pytest.mark.parametrize(
    ("length", "said"),
    [(4, "says 4 tokens, and there are 3 places"), (-1, "-1 is no length"), (None, "null is no length")],
    ids=str,
)
def test_lengths_that_cannot_be_are_refused_with_the_place(length, said):
    table = pa.table({"input_ids": [[5, 6, 0]] * 2, "length": pa.array([2, length], pa.int64())})
    with pytest.raises(RowError, match=f"Row 1, column 'length'.*{said}"):
        unpad_table(table, spec=UnpadSpec(length_column="length", padding="post"))


def test_a_mask_and_a_length_must_say_the_same():
    table = pa.table({"input_ids": [[5, 6]], "mask": [[1, 0]], "length": [2]})
    with pytest.raises(RowError, match="Row 0, column 'length' says 2 tokens, and the mask 'mask' has 1"):
        unpad_table(table, spec=UnpadSpec(length_column="length"))


def test_columns_must_have_the_same_places():
    table = pa.table({"a": [[1, 0]], "b": [[1, 2, 0]], "mask": [[1, 0]]})
    with pytest.raises(RowError, match="Row 0, column 'b' has 3 places where 'mask' has 2"):
        unpad_table(table, ["a", "b"])


NOT_UNPADDABLE = {
    "no mask": (ROWS, None, {}, "Nothing says which places are padding: name the mask with --mask-column"),
    "no such mask": (PADDED, None, {"mask_column": "msk"}, "no column 'msk'. Did you mean 'mask'"),
    "no mask at all": (PADDED, None, {"mask_column": "id"}, "'id' of type int64 is no mask"),
    "no such length": (PADDED, None, {"length_column": "len"}, "no column 'len'"),
    "no lengths": (PADDED, None, {"length_column": "text"}, "'text' of type string holds no lengths"),
    "no side": (
        LENGTHS.replace_schema_metadata(None),
        None,
        {"length_column": "n"},
        "not on which side the padding is: say --padding post or --padding pre",
    ),
    "no such column": (PADDED, ["lables"], {}, "Did you mean 'labels'"),
    "no list": (PADDED, ["id"], {}, "'id' cannot be unpadded: a column of type int64 holds no sequences"),
    "a column twice": (PADDED, ["labels", "labels"], {}, "asked for twice"),
    "two masks": (
        pa.Table.from_arrays([PADDED["input_ids"], PADDED["mask"], PADDED["mask"]], ["x", "mask", "mask"]),
        ["x"],
        {},
        "2 columns named 'mask'",
    ),
    "a padded column is gone": (
        PADDED.drop(["labels"]),
        None,
        {},
        "a padded column 'labels' that is not",
    ),
    "mask and length are gone": (BOTH.drop(["mask", "length"]), None, {}, "Nothing says which places"),
}


@pytest.mark.parametrize(("table", "columns", "spec", "said"), NOT_UNPADDABLE.values(), ids=NOT_UNPADDABLE)
def test_what_cannot_be_is_refused(table, columns, spec, said):
    with pytest.raises(PadmaskError, match=said):
        unpad_table(table, columns, UnpadSpec(**spec))


@pytest.mark.parametrize(
    "metadata",
    ["", "[]", "{", '{"columns": {"input_ids": 0}}']
    + [json.dumps(json.loads(PADDED.schema.metadata[b"padmask"]) | odd) for odd in [{"padding": "left"}]],
)
def test_metadata_that_nobody_can_read_are_needed_or_not(metadata):
    odd = PADDED.replace_schema_metadata({"padmask": metadata})
    with pytest.raises(PadmaskError, match=r"metadata cannot be read\. Name the padded columns"):
        unpad_table(odd)
    named = unpad_table(odd, ["input_ids", "labels"], UnpadSpec(mask_column="mask"))
    assert named.to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"mask_column": "id"}, "'id' of type int64 is no mask"),
        ({"length_column": "text"}, "'text' of type string holds no lengths"),
        ({"columns": {"text": {"value": 0}}}, "'text' cannot be unpadded"),
        ({"length_column": "id"}, "Row 0, column 'id' says 7 tokens, and the mask 'mask' has 3"),
    ],
    ids=str,
)
def test_metadata_are_not_believed_against_the_data(claim, said):
    metadata = json.loads(PADDED.schema.metadata[b"padmask"]) | claim
    with pytest.raises(PadmaskError, match=said):
        unpad_table(PADDED.replace_schema_metadata({"padmask": json.dumps(metadata)}))


def test_a_side_that_the_metadata_have_wrong_is_read_from_the_mask():
    metadata = json.loads(PADDED.schema.metadata[b"padmask"]) | {"padding": "pre"}
    odd = PADDED.replace_schema_metadata({"padmask": json.dumps(metadata)})
    assert unpad_table(odd).to_pydict() == ROWS.to_pydict()


def test_what_is_no_table_is_refused():
    with pytest.raises(PadmaskError, match="must be a pyarrow"):
        unpad_table({"input_ids": [[1]]})


@pytest.mark.parametrize(
    "arguments", [{"padding": "left"}, {"mask_column": "a", "length_column": "a"}], ids=str
)
def test_a_spec_that_cannot_be_is_refused(arguments):
    with pytest.raises(PadmaskError):
        UnpadSpec(**arguments)
