"""The padding taken away again: what was padded comes back, and what contradicts itself does not."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padmask import (
    Column,
    FileOptions,
    MaskSpec,
    PadmaskError,
    PadSpec,
    RowError,
    UnpadSpec,
    pad_file,
    pad_table,
    unpad_file,
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

few = settings(max_examples=60, deadline=None)


# --- Tables ------------------------------------------------------------------------------


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
        ([1, 1], "column 'input_ids' has 3 values, but 'mask' has 2"),
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
    [(4, "is 4, but the row has only 3 values"), (-1, "-1 is not a length"), (None, "null is not a length")],
    ids=str,
)
def test_lengths_that_cannot_be_are_refused_with_the_place(length, said):
    table = pa.table({"input_ids": [[5, 6, 0]] * 2, "length": pa.array([2, length], pa.int64())})
    with pytest.raises(RowError, match=f"Row 1, .*column 'length'.*{said}"):
        unpad_table(table, spec=UnpadSpec(length_column="length", padding="post"))


def test_a_mask_and_a_length_must_say_the_same():
    table = pa.table({"input_ids": [[5, 6]], "mask": [[1, 0]], "length": [2]})
    with pytest.raises(
        RowError, match="Row 0, the length in column 'length' is 2, but the mask 'mask' has 1 real tokens"
    ):
        unpad_table(table, spec=UnpadSpec(length_column="length"))


def test_columns_must_have_the_same_places():
    table = pa.table({"a": [[1, 0]], "b": [[1, 2, 0]], "mask": [[1, 0]]})
    with pytest.raises(RowError, match="Row 0, column 'b' has 3 values, but 'mask' has 2"):
        unpad_table(table, ["a", "b"])


NOT_UNPADDABLE = {
    "no mask": (ROWS, None, {}, "No column marks the padding. Name the mask column with --mask-column"),
    "no such mask": (PADDED, None, {"mask_column": "msk"}, "no column 'msk'. Did you mean 'mask'"),
    "no mask at all": (PADDED, None, {"mask_column": "id"}, "'id' of type int64 is not a mask"),
    "no such length": (PADDED, None, {"length_column": "len"}, "no column 'len'"),
    "no lengths": (PADDED, None, {"length_column": "text"}, "'text' of type string does not hold lengths"),
    "no side": (
        LENGTHS.replace_schema_metadata(None),
        None,
        {"length_column": "n"},
        "not the side of the padding. Add --padding post or --padding pre",
    ),
    "no such column": (PADDED, ["lables"], {}, "Did you mean 'labels'"),
    "no list": (PADDED, ["id"], {}, "'id' cannot be unpadded: the type int64 is not a list"),
    "a column twice": (PADDED, ["labels", "labels"], {}, "is given twice"),
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
        "a padded column 'labels', which the input does not have",
    ),
    "mask and length are gone": (BOTH.drop(["mask", "length"]), None, {}, "No column marks the padding"),
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
    with pytest.raises(
        PadmaskError,
        match=r"metadata cannot be read\. To unpad without the metadata, name the padded columns",
    ):
        unpad_table(odd)
    named = unpad_table(odd, ["input_ids", "labels"], UnpadSpec(mask_column="mask"))
    assert named.to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"mask_column": "id"}, "'id' of type int64 is not a mask"),
        ({"length_column": "text"}, "'text' of type string does not hold lengths"),
        ({"columns": {"text": {"value": 0}}}, "'text' cannot be unpadded"),
        (
            {"length_column": "id"},
            "Row 0, the length in column 'id' is 7, but the mask 'mask' has 3 real tokens",
        ),
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


# --- Files: unpad(pad(rows)) == rows -----------------------------------------------------

FORMATS = ["jsonl", "parquet", "arrow"]
# Kinds of tokens: the Arrow type of the raw ones, what they are drawn from, and dtypes that hold them.
KINDS = [
    (pa.int64(), st.integers(-(2**15), 2**15 - 1), ["int16", "int32", "int64"]),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1), ["int64"]),
    (pa.float64(), st.floats(width=32, allow_nan=False, allow_infinity=False), ["float32", "float64"]),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False), ["float64"]),
    (pa.string(), st.text(max_size=3), ["string"]),
    (
        pa.list_(pa.float64()),
        st.lists(st.sampled_from([0.5, -0.0, -2.25]), min_size=2, max_size=2),
        ["float32"],
    ),
]


@st.composite
def raw_rows(draw):
    """Rows of sequences with labels and other fields, their schema, and the columns to pad."""
    type_, tokens, dtypes = draw(st.sampled_from(KINDS))
    rows = []
    for sequence in draw(st.lists(st.lists(tokens, max_size=5), min_size=1, max_size=6)):
        labels = draw(st.lists(st.integers(-100, 9), min_size=len(sequence), max_size=len(sequence)))
        rows.append(
            {
                "id": draw(st.none() | st.text(max_size=3)),
                "x": sequence,
                "spans": draw(st.lists(st.integers(0, 9), max_size=2)),
                "labels": labels,
                "score": draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
            }
        )
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("x", pa.list_(type_)),
            ("spans", pa.list_(pa.int64())),
            ("labels", pa.list_(pa.int64())),
            ("score", pa.float64()),
        ]
    )
    # In JSON the first token tells whether vectors or floats are meant, and there may be none.
    columns = [Column("x", draw(st.sampled_from(dtypes))), Column("labels", "int64", -100)]
    return rows, schema, columns


def write(path, rows, schema):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    table = pa.Table.from_pylist(rows, schema=schema)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, schema) as out:
            out.write_table(table)
    return path


def read(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    return table.to_pylist()


def as_padded(rows, column):
    """Of a float32 JSON has the shortest text that gives it, which as a double is another number."""
    if column.dtype != "float32":
        return rows
    return [row | {"x": np.array(row["x"], dtype="float32").tolist()} for row in rows]


@few
@given(
    raw_rows(),
    st.tuples(*[st.sampled_from(FORMATS)] * 3),
    st.sampled_from(["post", "pre"]),
    st.sampled_from(["bool", "int8", "int64"]),
    st.sampled_from([(None, "mask"), ("length", "mask"), ("length", None)]),
    st.sampled_from([None, 1, 2]),
)
def test_what_was_padded_comes_back_whatever_the_formats(raw, formats, padding, dtype, added, batch_rows):
    rows, schema, columns = raw
    first, between, last = formats
    if not any(row["x"] for row in rows):
        # Without a token nobody knows a JSON column's type: it is taken for one of ints.
        columns = [Column("x", "int64"), columns[1]] if first == "jsonl" else columns
    length, mask = added
    files = FileOptions(batch_rows=batch_rows, threads=2 if batch_rows == 2 else None)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        pad_file(
            write(here / f"raw.{first}", rows, schema),
            here / f"padded.{between}",
            columns=columns,
            spec=PadSpec(padding=padding),
            mask=MaskSpec(column=mask, dtype=dtype, length_column=length),
            files=files,
        )
        told = UnpadSpec(length_column=length, padding=padding) if between == "jsonl" else UnpadSpec()
        result = unpad_file(
            here / f"padded.{between}",
            here / f"back.{last}",
            columns=["x", "labels"] if between == "jsonl" else None,
            spec=told,
            files=files,
        )
        back = read(here / f"back.{last}")
    assert as_padded(back, columns[0]) == as_padded(rows, columns[0])
    assert [list(row) for row in back] == [list(row) for row in rows]
    ledger = result.ledger
    assert (ledger.rows_read, ledger.rows_written, ledger.rows_rejected) == (len(rows), len(rows), 0)
    assert ledger.tokens_kept == sum(len(row["x"]) for row in rows)


def test_other_fields_keep_their_bytes_in_json_lines(tmp_path):
    line = '{"a":1.50,"input_ids":[1,2],"b":{"c":"\\u0041","d":[ 1 ]},"input":12345678901234567890123}\n'
    (tmp_path / "in.jsonl").write_text(line)
    pad_file(tmp_path / "in.jsonl", tmp_path / "padded.jsonl", spec=PadSpec(maxlen=4))
    unpad_file(tmp_path / "padded.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == line


def test_tokens_keep_their_own_text_in_json_lines(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"x": [1.50, -0, 1e3, 0.0], "mask": [1, 1, 1, 0]}\n')
    unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"x":[1.50,-0,1e3]}\n'


def test_float32_is_written_to_json_lines_as_padding_writes_it(tmp_path):
    table = pad_table(pa.table({"x": [[0.1], [0.2, 0.3]]}))
    pq.write_table(table, tmp_path / "in.parquet")
    unpad_file(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"x":[0.1]}\n{"x":[0.2,0.3]}\n'


ROUTES = [("jsonl", "jsonl"), ("jsonl", "parquet"), ("parquet", "arrow"), ("arrow", "jsonl")]


@few
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0, 7, 10**18]), max_size=3) | st.none(),
            st.lists(st.sampled_from([0, 1, 1, 2]), max_size=3) | st.none(),
            st.sampled_from([0, 1, 2, 2, 3, None]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_masks_mean_the_same_in_every_format(rows, with_lengths):
    # Of rows that contradict themselves as of those that do not: each format rejects the same ones.
    schema = pa.schema([("x", pa.list_(pa.int64())), ("mask", pa.list_(pa.int64())), ("length", pa.int64())])
    objects = [dict(zip(schema.names, row, strict=True)) for row in rows]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        for source, goal in ROUTES:
            files = FileOptions(rejects=str(here / "rejects.jsonl"), batch_rows=2)
            result = unpad_file(
                write(here / f"in.{source}", objects, schema),
                here / f"out.{goal}",
                columns=["x"],
                spec=UnpadSpec(mask_column="mask", length_column="length" if with_lengths else None),
                on_error="skip",
                files=files,
            )
            first = 1 if source == "jsonl" else 0
            number = "line" if source == "jsonl" else "row_number"
            rejected = [row[number] - first for row in read(here / "rejects.jsonl")]
            outcomes.append((read(here / f"out.{goal}"), rejected, result.ledger))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize(("source", "goal"), ROUTES)
def test_a_mask_that_is_kept_is_true_in_every_format(tmp_path, source, goal):
    schema = pa.schema(
        [("mask", pa.list_(pa.bool_())), ("x", pa.list_(pa.int64())), ("n", pa.int64()), ("y", pa.string())]
    )
    padded = [{"mask": [True, False], "x": [5, 0], "n": 1, "y": "a"}]
    padded += [{"mask": [False, False], "x": [0, 0], "n": 0, "y": None}]
    unpad_file(
        write(tmp_path / f"in.{source}", padded, schema),
        tmp_path / f"out.{goal}",
        spec=UnpadSpec(length_column="n", keep_mask=True),
    )
    kept = [{"mask": [True], "x": [5], "n": 1, "y": "a"}, {"mask": [], "x": [], "n": 0, "y": None}]
    back = read(tmp_path / f"out.{goal}")
    assert back == kept
    assert [list(row) for row in back] == [list(row) for row in kept]


@pytest.mark.parametrize("goal", FORMATS)
@pytest.mark.parametrize(
    ("text", "rejected"), [("", 0), ("{}\n{}\n", 2), ("{\n", 1), ('{"x": [], "mask": []}\n', 0)], ids=repr
)
def test_rows_without_a_place_and_no_rows_at_all(tmp_path, goal, text, rejected):
    (tmp_path / "in.jsonl").write_text(text)
    result = unpad_file(tmp_path / "in.jsonl", tmp_path / f"out.{goal}", on_error="skip")
    assert result.ledger.rows_rejected == rejected
    assert read(tmp_path / f"out.{goal}") == ([{"x": []}] if "x" in text else [])


def test_a_bad_row_beyond_the_first_ones_leaves_no_output(tmp_path):
    good, bad = '{"input_ids": [1, 0], "mask": [1, 0]}\n', '{"input_ids": [1, 0], "mask": [1]}\n'
    (tmp_path / "in.jsonl").write_text(good * 40_000 + bad)
    with pytest.raises(RowError, match="line 40001: column 'input_ids' has 2 values, but 'mask' has 1"):
        unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_columns_that_still_look_padded_are_named(tmp_path):
    pad_file(
        write(tmp_path / "in.jsonl", ROWS.to_pylist(), None),
        tmp_path / "padded.jsonl",
        columns=["input_ids", "labels=-100"],
    )
    result = unpad_file(tmp_path / "padded.jsonl", tmp_path / "out.jsonl")
    assert result.still_padded == {"labels": "-c input_ids -c labels"}
    pq.write_table(PADDED, tmp_path / "padded.parquet")
    assert unpad_file(tmp_path / "padded.parquet", tmp_path / "out.jsonl").still_padded == {}


def test_files_that_say_different_things_of_their_padding_are_refused(tmp_path):
    for name, table in {"a": PADDED, "b": BOTH, "c": FOREIGN}.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for other in "bc":
        with pytest.raises(PadmaskError, match=f"a.parquet and .*{other}.parquet are padded differently"):
            unpad_file([tmp_path / "a.parquet", tmp_path / f"{other}.parquet"], tmp_path / "out.jsonl")
    result = unpad_file(
        [tmp_path / "a.parquet", tmp_path / "c.parquet"],
        tmp_path / "out.jsonl",
        columns=["input_ids", "labels"],
        spec=UnpadSpec(mask_column="mask"),
    )
    assert read(tmp_path / "out.jsonl") == ROWS.to_pylist() * 2
    assert result.ledger.rows_written == 6


def test_files_of_other_lengths_and_sides_go_together(tmp_path):
    for name, spec in {"a": PadSpec(maxlen=4), "b": PadSpec(maxlen=7, padding="pre")}.items():
        pq.write_table(pad_table(ROWS, ["input_ids"], spec), tmp_path / f"{name}.parquet")
    unpad_file([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl") == ROWS.to_pylist() * 2


@pytest.mark.parametrize("name", ["out.npz", "fixed.parquet"])
def test_rows_of_one_length_are_not_what_comes_out(tmp_path, name):
    pq.write_table(PADDED, tmp_path / "in.parquet")
    with pytest.raises(PadmaskError, match="rows of one length"):
        unpad_file(
            tmp_path / "in.parquet", tmp_path / name, files=FileOptions(fixed_size_list="fixed" in name)
        )


def test_pandas_reads_its_table_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"input_ids": [[1, 2], [3]], "n": [1, 2]}, index=["a", "b"])
    frame.to_parquet(tmp_path / "in.parquet")
    pad_file(tmp_path / "in.parquet", tmp_path / "padded.parquet")
    unpad_file(tmp_path / "padded.parquet", tmp_path / "out.parquet")
    back = pandas.read_parquet(tmp_path / "out.parquet")
    assert back.index.tolist() == ["a", "b"]
    assert [list(row) for row in back["input_ids"]] == [[1, 2], [3]]
