"""`unpad_table` restores the rows that `pad_table` padded, and refuses inconsistent tables."""

from __future__ import annotations

import json
import warnings

import pyarrow as pa
import pytest
from raised import raises_error

from padmask import (
    MaskSpec,
    PadmaskError,
    PadSpec,
    RowError,
    UnpadSpec,
    pad_table,
    unpad_table,
)
from padmask.errors import DataError, SpecError

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
# Other tools write the same columns without metadata.
FOREIGN = PADDED.replace_schema_metadata(None)


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_rows_are_restored(padding):
    padded = pad_table(ROWS, ["input_ids", "labels=-100"], PadSpec(maxlen=5, padding=padding))
    assert unpad_table(padded).to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("padded", [BOTH, LENGTHS, BOTH.drop(["mask"]), BOTH.drop(["length"])], ids=str)
def test_added_columns_are_removed(padded):
    assert unpad_table(padded).to_pydict() == ROWS.to_pydict()


def test_types_are_plain_lists():
    unpadded = unpad_table(PADDED)
    assert unpadded.schema.field("input_ids").type == pa.list_(pa.int32())
    fixed = pa.array([[1, 2], [3, 0]], pa.list_(pa.int16(), 2))
    table = pa.table({"input_ids": fixed, "mask": [[1, 1], [1, 0]]})
    assert unpad_table(table)["input_ids"].type == pa.list_(pa.int16())


def test_padding_metadata_are_removed():
    others = {b"mine": b"stays", b"huggingface": b"{}"}
    padded = PADDED.replace_schema_metadata(PADDED.schema.metadata | others)
    assert unpad_table(padded).schema.metadata == {b"mine": b"stays"}


def test_kept_mask_is_cut():
    kept = unpad_table(BOTH, spec=UnpadSpec(keep_mask=True))
    assert kept.schema.names == BOTH.schema.names
    assert kept["mask"].to_pylist() == [[True] * 3, [], [True] * 2]
    assert kept["length"].to_pylist() == [3, 0, 2]


def test_default_columns():
    assert unpad_table(FOREIGN)["input_ids"].to_pylist() == [[1, 2, 3], [], [4, 0]]
    assert unpad_table(FOREIGN)["labels"].to_pylist() == ROWS["labels"].to_pylist()
    assert unpad_table(FOREIGN, ["input_ids", "labels=-100"]).to_pydict() == ROWS.to_pydict()
    assert unpad_table(FOREIGN, {"input_ids": 0, "labels": -100}).to_pydict() == ROWS.to_pydict()


GROUP = pad_table(ROWS, ["input_ids", "labels=-100"], mask=MaskSpec(length_column="n"))


@pytest.mark.parametrize("spec", [UnpadSpec(), UnpadSpec(keep_mask=True)], ids=["default", "keep"])
@pytest.mark.parametrize("table", [PADDED, FOREIGN, GROUP], ids=["metadata", "foreign", "lengths"])
def test_mask_of_other_columns_is_kept(table, spec):
    with pytest.warns(UserWarning) as caught:
        once = unpad_table(table, ["input_ids"], spec)
    marks = [name for name in ("mask", "n") if name in table.schema.names]
    texts = [str(one.message) for one in caught]
    assert [text for text in texts if text.startswith("kept: 'mask'") and "padding of 'labels'" in text]
    assert [text for text in texts if text.startswith("still padded: 'labels'")]
    for name in ("labels", *marks):
        assert once[name].equals(table[name])
    assert once["input_ids"].equals(ROWS["input_ids"].cast(pa.list_(pa.int32())))
    if table is not FOREIGN:
        assert list(json.loads(once.schema.metadata[b"padmask"])["columns"]) == ["labels"]
    asked = None if table is not FOREIGN else ["labels"]
    assert unpad_table(once, asked).to_pydict() == ROWS.to_pydict()


def test_length_of_other_columns_is_kept():
    table = pad_table(ROWS, ["input_ids", "labels"], mask=MaskSpec(column=None, length_column="n"))
    with pytest.warns(UserWarning) as caught:
        once = unpad_table(table, ["input_ids"])
    assert str(caught[0].message) == "kept: 'n', which marks the padding of 'labels'"
    assert unpad_table(once).to_pydict() == ROWS.to_pydict()


def test_complete_unpadding_does_not_warn():
    for table in (PADDED, FOREIGN, GROUP, BOTH, LENGTHS):
        assert unpad_table(table).to_pydict() == ROWS.to_pydict()


# --- A second mask -----------------------------------------------------------------------------------------

IDS, MASK = [[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]]
LABELS = [[9, -100, -100], [9, 8, -100]]
OTHER = [[True, False, False], [True, True, False]]


def second_mask(other, name="lm", **columns):
    return pa.table({"input_ids": IDS, "mask": MASK, "labels": LABELS, name: other, **columns})


@pytest.mark.parametrize(
    "other",
    [OTHER, [[1, 0, 0], [1, 1, 0]], [[False, True, True], [False, False, True]], [[True] * 3] * 2],
    ids=["bools", "numbers", "pre", "full"],
)
def test_labels_with_another_mask_stay(other):
    table = second_mask(other)
    with pytest.warns(UserWarning) as caught:
        back = unpad_table(table)
    assert back.to_pydict() == {"input_ids": [[5, 6, 7], [8]], "labels": LABELS, "lm": other}
    [text] = [str(one.message) for one in caught]
    assert text == (
        "may still be padded: 'labels'. To unpad: -c labels --mask-column lm, "
        "or -c input_ids -c labels if 'mask' marks the padding of 'labels'"
    )
    counts = [sum(row) for row in other]
    if other is not OTHER:
        return
    again = unpad_table(back, ["labels"], UnpadSpec(mask_column="lm"))
    assert again.to_pydict() == {
        "input_ids": [[5, 6, 7], [8]],
        "labels": [row[:count] for row, count in zip(LABELS, counts, strict=True)],
    }


@pytest.mark.parametrize(
    "other",
    [MASK, [[0, 1, 0], [1, 0, 0]], [[0, 2, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[1, 0], [1]], None],
    ids=["equal", "gap", "numbers", "zeros", "lengths", "missing"],
)
def test_column_is_not_a_second_mask(other):
    table = second_mask(other) if other is not None else second_mask(MASK).drop_columns("lm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert unpad_table(table)["labels"].to_pylist() == [[9, -100, -100], [9]]


def test_second_mask_with_the_name_of_a_column():
    types = {"token_type_ids": [[0, 1, 1], [0, 0, 0]]}
    with pytest.warns(UserWarning, match="'labels'.*-c labels"):
        back = unpad_table(second_mask(OTHER, "labels_mask", **types))
    assert back["token_type_ids"].to_pylist() == [[0, 1, 1], [0]]
    with pytest.warns(UserWarning, match="'labels', 'token_type_ids'"):
        back = unpad_table(second_mask(OTHER, "lm", **types))
    assert back["token_type_ids"].to_pylist() == types["token_type_ids"]


def test_labels_are_not_a_second_mask():
    table = second_mask([[0, 1, 1], [0, 0, 0]], "completion_mask")
    assert unpad_table(table).to_pydict() == {
        "input_ids": [[5, 6, 7], [8]],
        "labels": [[9, -100, -100], [9]],
        "completion_mask": [[0, 1, 1], [0]],
    }


def test_requested_columns_have_one_mask():
    with pytest.warns(UserWarning, match="'lm'"):
        back = unpad_table(second_mask(OTHER), ["input_ids", "labels"])
    assert back["labels"].to_pylist() == [[9, -100, -100], [9]]


def test_mask_is_not_a_default_column():
    table = pa.table({"x": [[5, 0]], "attention_mask": [[1, 0]]})
    assert unpad_table(table).to_pydict() == {"x": [[5]]}


def test_padded_mask_stays_a_column():
    # The mask from a tokenizer, padded like the other columns.
    raw = pa.table({"input_ids": [[5, 6], [7]], "attention_mask": [[1, 1], [1]]})
    padded = pad_table(raw, ["input_ids", "attention_mask"], mask=MaskSpec(column=None))
    assert unpad_table(padded).to_pydict() == raw.to_pydict()


@pytest.mark.parametrize("mask", [[[1, 1, 0]], [[True, True, False]]], ids=str)
@pytest.mark.parametrize("list_type", [pa.list_, pa.large_list, pa.list_view], ids=lambda kind: kind.__name__)
def test_mask_types(mask, list_type):
    token = pa.bool_() if mask[0][0] is True else pa.int8()
    table = pa.table({"input_ids": [[5, 6, 0]], "mask": pa.array(mask, list_type(token))})
    assert unpad_table(table).to_pydict() == {"input_ids": [[5, 6]]}


def test_each_row_has_its_side():
    table = pa.table({"input_ids": [[0, 5], [6, 0]], "mask": [[False, True], [True, False]]})
    assert unpad_table(table)["input_ids"].to_pylist() == [[5], [6]]


def test_tokens_may_equal_pad_value():
    rows = pa.table({"input_ids": [[0, 0], [0]]})
    assert unpad_table(pad_table(rows, spec=PadSpec(maxlen=4))).to_pydict() == rows.to_pydict()


def test_slices_and_chunks():
    chunked = pa.concat_tables([PADDED.slice(0, 1), PADDED.slice(1, 0), PADDED.slice(1)])
    assert unpad_table(chunked).to_pydict() == ROWS.to_pydict()
    assert unpad_table(PADDED.slice(2)).to_pydict() == ROWS.slice(2).to_pydict()
    assert unpad_table(PADDED.slice(0, 0)).schema == unpad_table(PADDED).schema


@pytest.mark.parametrize(
    ("mask", "facts"),
    [
        ([1, 0, 1], ["position 2", "second time"]),
        ([0, 1, 0], ["position 2", "second time"]),
        ([1, 1, 2], ["position 2: 2"]),
        ([1, None, 0], ["position 1: null"]),
        (None, ["null"]),
    ],
    ids=str,
)
def test_contradictory_mask(mask, facts):
    table = pa.table({"input_ids": [[5, 6, 0]] * 3, "mask": [[1, 0, 0], [0, 1, 1], mask]})
    with raises_error(RowError, *facts, place="row 2", column="mask"):
        unpad_table(table)


@pytest.mark.parametrize(("length", "facts"), [(4, [4, "3 values"]), (-1, [-1]), (None, ["null"])], ids=str)
def test_impossible_lengths(length, facts):
    table = pa.table({"input_ids": [[5, 6, 0]] * 2, "length": pa.array([2, length], pa.int64())})
    with raises_error(RowError, "column 'length'", *facts, place="row 1"):
        unpad_table(table, spec=UnpadSpec(length_column="length", padding="post"))


def test_mask_and_length_must_agree():
    table = pa.table({"input_ids": [[5, 6]], "mask": [[1, 0]], "length": [2]})
    with raises_error(RowError, "'length' is 2", "'mask'", "1 real token", place="row 0"):
        unpad_table(table, spec=UnpadSpec(length_column="length"))


def test_columns_must_be_equally_long():
    table = pa.table({"a": [[1, 0]], "b": [[1, 2, 0]], "mask": [[1, 0]]})
    with raises_error(RowError, "'b' has 3", "'mask' has 2", place="row 0"):
        unpad_table(table, ["a", "b"])


NOT_UNPADDABLE = {
    "no mask": (ROWS, None, {}, None, ["--mask-column", "--length-column"]),
    "no such mask": (PADDED, None, {"mask_column": "msk"}, "mask_column", ["'msk'", "'mask'"]),
    "no mask at all": (PADDED, None, {"mask_column": "id"}, "mask_column", ["'id'", "int64"]),
    "no such length": (PADDED, None, {"length_column": "len"}, "length_column", ["'len'"]),
    "no lengths": (PADDED, None, {"length_column": "text"}, "length_column", ["'text'", "string"]),
    "no side": (
        LENGTHS.replace_schema_metadata(None),
        None,
        {"length_column": "n"},
        None,
        ["'n'", "--padding post", "--padding pre"],
    ),
    "no such column": (PADDED, ["lables"], {}, "columns", ["'lables'", "'labels'"]),
    "no list": (PADDED, ["id"], {}, "columns", ["'id'", "int64"]),
    "a column twice": (PADDED, ["labels", "labels"], {}, "columns", ["'labels'", "twice"]),
    "two masks": (
        pa.Table.from_arrays([PADDED["input_ids"], PADDED["mask"], PADDED["mask"]], ["x", "mask", "mask"]),
        ["x"],
        {},
        None,
        ["2 columns", "'mask'"],
    ),
    "a padded column is gone": (
        PADDED.drop(["labels"]),
        None,
        {},
        None,
        ["'labels'"],
    ),
    "mask and length are gone": (BOTH.drop(["mask", "length"]), None, {}, None, ["--mask-column"]),
}


@pytest.mark.parametrize(
    ("table", "columns", "spec", "option", "facts"), NOT_UNPADDABLE.values(), ids=NOT_UNPADDABLE
)
def test_impossible_requests(table, columns, spec, option, facts):
    with raises_error(PadmaskError, *facts, option=option):
        unpad_table(table, columns, UnpadSpec(**spec))


@pytest.mark.parametrize(
    "metadata",
    ["", "[]", "{", '{"columns": {"input_ids": 0}}']
    + [json.dumps(json.loads(PADDED.schema.metadata[b"padmask"]) | odd) for odd in [{"padding": "left"}]],
)
def test_unreadable_metadata(metadata):
    odd = PADDED.replace_schema_metadata({"padmask": metadata})
    with raises_error(DataError, "the table", "metadata", "-c"):
        unpad_table(odd)
    named = unpad_table(odd, ["input_ids", "labels"], UnpadSpec(mask_column="mask"))
    assert named.to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize(
    ("claim", "kind", "facts"),
    [
        ({"mask_column": "id"}, SpecError, ["'id'", "int64"]),
        ({"length_column": "text"}, SpecError, ["'text'", "string"]),
        ({"columns": {"text": {"value": 0}}}, SpecError, ["'text'", "string"]),
        ({"length_column": "id"}, RowError, ["Row 0", "'id' is 7", "'mask'", "3 real tokens"]),
    ],
    ids=str,
)
def test_metadata_must_match_the_data(claim, kind, facts):
    metadata = json.loads(PADDED.schema.metadata[b"padmask"]) | claim
    with raises_error(kind, *facts):
        unpad_table(PADDED.replace_schema_metadata({"padmask": json.dumps(metadata)}))


def test_mask_overrides_metadata():
    metadata = json.loads(PADDED.schema.metadata[b"padmask"]) | {"padding": "pre"}
    odd = PADDED.replace_schema_metadata({"padmask": json.dumps(metadata)})
    assert unpad_table(odd).to_pydict() == ROWS.to_pydict()


def test_input_must_be_a_table():
    with raises_error(SpecError, "`table`", "dict"):
        unpad_table({"input_ids": [[1]]})


@pytest.mark.parametrize(
    "arguments", [{"padding": "up"}, {"mask_column": "a", "length_column": "a"}], ids=str
)
def test_impossible_spec(arguments):
    with pytest.raises(PadmaskError):
        UnpadSpec(**arguments)


@pytest.mark.parametrize("name", ["mask", "key_padding_mask"])
def test_inverted_masks_are_refused(name):
    wrong, right = ("padding", "real") if name == "mask" else ("real", "padding")
    padded = pad_table(ROWS, ["input_ids"], mask=MaskSpec(column=name, polarity=wrong))
    foreign = padded.replace_schema_metadata(None)
    with raises_error(DataError, wrong, column=name, option="mask_polarity"):
        unpad_table(foreign, ["input_ids"])
    assert unpad_table(foreign, ["input_ids"], UnpadSpec(mask_polarity=wrong))["input_ids"].to_pylist()[0]
    assert unpad_table(foreign, ["input_ids"], UnpadSpec(mask_polarity=right)).num_rows == 3
    correct = pad_table(ROWS, ["input_ids"], mask=MaskSpec(column=name, polarity=right))
    found = unpad_table(correct.replace_schema_metadata(None), ["input_ids"])
    assert found["input_ids"].to_pylist() == ROWS["input_ids"].to_pylist()
