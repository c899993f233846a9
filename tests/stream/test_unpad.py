"""`unpad_file` restores the rows that `pad_file` padded, and refuses inconsistent files."""

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
from raised import raises_error

from padmask import (
    Column,
    FileOptions,
    MaskSpec,
    PadSpec,
    RowError,
    UnpadSpec,
    pad_file,
    pad_table,
    unpad_file,
)
from padmask.errors import PaddedError, SpecError

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
# Other tools write the same columns without metadata.
FOREIGN = PADDED.replace_schema_metadata(None)

few = settings(max_examples=30, deadline=None)


FORMATS = ["jsonl", "parquet", "arrow"]
# Kinds of tokens: Arrow type, strategy, and dtypes that can represent them.
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
    """Generate rows with labels and other fields, their schema, and the columns to pad."""
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
    # In JSON, the first token determines whether these are vectors or floats, and there may be no token.
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
    """Convert floats to float32, because JSON has the shortest text of a float32, which is another double."""
    if column.dtype != "float32":
        return rows
    return [row | {"x": np.array(row["x"], dtype="float32").tolist()} for row in rows]


@pytest.mark.slow
@few
@given(
    raw_rows(),
    st.tuples(*[st.sampled_from(FORMATS)] * 3),
    st.sampled_from(["post", "pre"]),
    st.sampled_from(["bool", "int8", "int64"]),
    st.sampled_from([(None, "mask"), ("length", "mask"), ("length", None)]),
    st.sampled_from([None, 1, 2]),
)
def test_rows_survive_every_format(raw, formats, padding, dtype, added, batch_rows):
    rows, schema, columns = raw
    first, between, last = formats
    if not any(row["x"] for row in rows):
        # A JSON column without tokens has the type int.
        columns = [Column("x", "int64"), columns[1]] if first == "jsonl" else columns
    length, mask = added
    files = FileOptions(batch_rows=batch_rows, threads=2 if batch_rows == 2 else None)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        pad_file(
            write(here / f"raw.{first}", rows, schema),
            here / f"padded.{between}",
            columns=columns,
            # A computed maxlen of 0 is refused.
            spec=PadSpec(padding=padding, maxlen="longest" if any(row["x"] for row in rows) else 0),
            mask=MaskSpec(column=mask, dtype=dtype, length_column=length),
            files=files,
        )
        known = UnpadSpec(length_column=length, padding=padding) if between == "jsonl" else UnpadSpec()
        result = unpad_file(
            here / f"padded.{between}",
            here / f"back.{last}",
            columns=["x", "labels"] if between == "jsonl" else None,
            spec=known,
            files=files,
        )
        back = read(here / f"back.{last}")
    assert as_padded(back, columns[0]) == as_padded(rows, columns[0])
    assert [list(row) for row in back] == [list(row) for row in rows]
    ledger = result.ledger
    assert (ledger.rows_read, ledger.rows_written, ledger.rows_rejected) == (len(rows), len(rows), 0)
    assert ledger.tokens_kept == sum(len(row["x"]) for row in rows)


def test_other_fields_keep_their_bytes(tmp_path):
    line = '{"a":1.50,"input_ids":[1,2],"b":{"c":"\\u0041","d":[ 1 ]},"input":12345678901234567890123}\n'
    (tmp_path / "in.jsonl").write_text(line)
    pad_file(tmp_path / "in.jsonl", tmp_path / "padded.jsonl", spec=PadSpec(maxlen=4))
    unpad_file(tmp_path / "padded.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == line


def test_tokens_keep_their_text(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"x": [1.50, -0, 1e3, 0.0], "mask": [1, 1, 1, 0]}\n')
    unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"x":[1.50,-0,1e3]}\n'


def test_float32_in_jsonl(tmp_path):
    table = pad_table(pa.table({"x": [[0.1], [0.2, 0.3]]}))
    pq.write_table(table, tmp_path / "in.parquet")
    unpad_file(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"x":[0.1]}\n{"x":[0.2,0.3]}\n'


ROUTES = [("jsonl", "jsonl"), ("jsonl", "parquet"), ("parquet", "arrow"), ("arrow", "jsonl")]


@pytest.mark.slow
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
def test_formats_agree_on_masks(rows, with_lengths):
    # Every format rejects the same inconsistent rows.
    schema = pa.schema([("x", pa.list_(pa.int64())), ("mask", pa.list_(pa.int64())), ("length", pa.int64())])
    objects = [dict(zip(schema.names, row, strict=True)) for row in rows]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        for source, output in ROUTES:
            files = FileOptions(rejects=str(here / "rejects.jsonl"), batch_rows=2)
            result = unpad_file(
                write(here / f"in.{source}", objects, schema),
                here / f"out.{output}",
                columns=["x"],
                spec=UnpadSpec(mask_column="mask", length_column="length" if with_lengths else None),
                on_error="skip",
                files=files,
            )
            first = 1 if source == "jsonl" else 0
            number = "line" if source == "jsonl" else "row_number"
            rejected = [row[number] - first for row in read(here / "rejects.jsonl")]
            outcomes.append((read(here / f"out.{output}"), rejected, result.ledger))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize(("source", "output"), ROUTES)
def test_kept_mask_in_every_format(tmp_path, source, output):
    schema = pa.schema(
        [("mask", pa.list_(pa.bool_())), ("x", pa.list_(pa.int64())), ("n", pa.int64()), ("y", pa.string())]
    )
    padded = [{"mask": [True, False], "x": [5, 0], "n": 1, "y": "a"}]
    padded += [{"mask": [False, False], "x": [0, 0], "n": 0, "y": None}]
    unpad_file(
        write(tmp_path / f"in.{source}", padded, schema),
        tmp_path / f"out.{output}",
        spec=UnpadSpec(length_column="n", keep_mask=True),
    )
    kept = [{"mask": [True], "x": [5], "n": 1, "y": "a"}, {"mask": [], "x": [], "n": 0, "y": None}]
    back = read(tmp_path / f"out.{output}")
    assert back == kept
    assert [list(row) for row in back] == [list(row) for row in kept]


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(
    ("text", "rejected"), [("", 0), ("{}\n{}\n", 2), ("{\n", 1), ('{"x": [], "mask": []}\n', 0)], ids=repr
)
def test_rows_without_places(tmp_path, output, text, rejected):
    (tmp_path / "in.jsonl").write_text(text)
    result = unpad_file(tmp_path / "in.jsonl", tmp_path / f"out.{output}", on_error="skip")
    assert result.ledger.rows_rejected == rejected
    assert read(tmp_path / f"out.{output}") == ([{"x": []}] if "x" in text else [])


def test_late_bad_row_leaves_no_output(tmp_path):
    good, bad = '{"input_ids": [1, 0], "mask": [1, 0]}\n', '{"input_ids": [1, 0], "mask": [1]}\n'
    (tmp_path / "in.jsonl").write_text(good * 40_000 + bad)
    with raises_error(RowError, "'input_ids' has 2", "'mask' has 1", place="in.jsonl, line 40001"):
        unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_still_padded_columns_are_named(tmp_path):
    pad_file(
        write(tmp_path / "in.jsonl", ROWS.to_pylist(), None),
        tmp_path / "padded.jsonl",
        columns=["input_ids", "labels=-100"],
    )
    result = unpad_file(tmp_path / "padded.jsonl", tmp_path / "out.jsonl")
    assert (result.columns, result.still_padded) == (("input_ids", "labels"), {})
    result = unpad_file(tmp_path / "padded.jsonl", tmp_path / "out.jsonl", columns=["input_ids"])
    assert result.still_padded == {"labels": "-c input_ids -c labels"}
    pq.write_table(PADDED, tmp_path / "padded.parquet")
    assert unpad_file(tmp_path / "padded.parquet", tmp_path / "out.jsonl").still_padded == {}


@pytest.mark.parametrize("format_", FORMATS)
def test_part_of_a_group_can_follow(tmp_path, format_):
    source, once, twice = (tmp_path / f"{name}.{format_}" for name in ("in", "once", "twice"))
    pad_file(write(tmp_path / "raw.jsonl", ROWS.to_pylist(), None), source)
    result = unpad_file(source, once, columns=["input_ids"])
    assert result.notes == ("kept: 'mask', which marks the padding of 'labels'",)
    unpad_file(once, twice, columns=["labels"])
    assert read(twice) == ROWS.to_pylist()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("maxlen", [3, 4])
def test_labels_with_another_mask_stay(tmp_path, format_, maxlen):
    rows = [{"input_ids": [5, 6, 7], "labels": [9]}, {"input_ids": [5], "labels": [9, 8]}]
    spec, mask = PadSpec(maxlen=3, own_lengths={"labels": maxlen}), MaskSpec(own={"labels": "lm"})
    pad_file(write(tmp_path / "in.jsonl", rows, None), tmp_path / "padded.jsonl", spec=spec, mask=mask)
    source = tmp_path / f"padded.{format_}"
    if format_ != "jsonl":
        rows = read(tmp_path / "padded.jsonl")
        write(source, rows, pa.Table.from_pylist(rows).schema)
    result = unpad_file(source, tmp_path / "out.jsonl")
    padded = [[9, -100, -100, -100][:maxlen], [9, 8, -100, -100][:maxlen]]
    back = read(tmp_path / "out.jsonl")
    assert [row["input_ids"] for row in back] == [[5, 6, 7], [5]]
    assert [row["labels"] for row in back] == padded
    [note] = result.notes
    assert note.startswith("may still be padded: 'labels'. To unpad: -c labels --mask-column")


def test_contradictory_metadata(tmp_path):
    for name, table in {"a": PADDED, "b": BOTH, "c": FOREIGN}.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for other in "bc":
        with raises_error(PaddedError, "a.parquet", f"{other}.parquet", "metadata"):
            unpad_file([tmp_path / "a.parquet", tmp_path / f"{other}.parquet"], tmp_path / "out.jsonl")
    result = unpad_file(
        [tmp_path / "a.parquet", tmp_path / "c.parquet"],
        tmp_path / "out.jsonl",
        columns=["input_ids", "labels"],
        spec=UnpadSpec(mask_column="mask"),
    )
    assert read(tmp_path / "out.jsonl") == ROWS.to_pylist() * 2
    assert result.ledger.rows_written == 6


def test_mixed_lengths_and_sides(tmp_path):
    for name, spec in {"a": PadSpec(maxlen=4), "b": PadSpec(maxlen=7, padding="pre")}.items():
        pq.write_table(pad_table(ROWS, ["input_ids"], spec), tmp_path / f"{name}.parquet")
    unpad_file([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl") == ROWS.to_pylist() * 2


@pytest.mark.parametrize("name", ["out.npz", "fixed.parquet"])
def test_fixed_length_output_is_refused(tmp_path, name):
    pq.write_table(PADDED, tmp_path / "in.parquet")
    with raises_error(SpecError, "unpadded rows", option="output_format"):
        unpad_file(
            tmp_path / "in.parquet", tmp_path / name, files=FileOptions(fixed_size_list="fixed" in name)
        )


def test_pandas_index_survives(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"input_ids": [[1, 2], [3]], "n": [1, 2]}, index=["a", "b"])
    frame.to_parquet(tmp_path / "in.parquet")
    pad_file(tmp_path / "in.parquet", tmp_path / "padded.parquet")
    unpad_file(tmp_path / "padded.parquet", tmp_path / "out.parquet")
    back = pandas.read_parquet(tmp_path / "out.parquet")
    assert back.index.tolist() == ["a", "b"]
    assert [list(row) for row in back["input_ids"]] == [[1, 2], [3]]
