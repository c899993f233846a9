"""Columns beside the ids: companions, masks of ones, and columns with their own lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import all_pairs, each_value
from raised import has_facts, raises_error
from tiers import represented

from padmask import (
    FileOptions,
    MaskSpec,
    PadSpec,
    RowPolicy,
    UnpadSpec,
    inspect_file,
    pad_dataset,
    pad_file,
    pad_table,
    unpad_file,
)
from padmask.errors import DataError, PaddedError, SpecError
from padmask.render.summary import summary
from padmask.verify.verify_file import verify_file

Row = dict[str, Any]

HF: list[Row] = [
    {
        "input_ids": [5, 6, 7],
        "token_type_ids": [0, 0, 1],
        "attention_mask": [1, 1, 1],
        "labels": [1, -100, 2],
    },
    {"input_ids": [8], "token_type_ids": [0], "attention_mask": [1], "labels": [3]},
]
PADDED: list[Row] = [
    HF[0],
    {
        "input_ids": [8, 0, 0],
        "token_type_ids": [0, 0, 0],
        "attention_mask": [1, 0, 0],
        "labels": [3, -100, -100],
    },
]

formats = pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_lines(name: str, rows: list[Row]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def write(name: str, rows: list[Row]) -> str:
    if name.endswith(".jsonl"):
        return write_lines(name, rows)
    columns = dict.fromkeys(key for row in rows for key in row)
    table = pa.table({key: [row.get(key) for row in rows] for key in columns})
    if name.endswith(".parquet"):
        pq.write_table(table, name, row_group_size=300)
    else:
        with pa.ipc.new_file(name, table.schema) as writer:
            writer.write_table(table, max_chunksize=70)
    return name


def read(name: str) -> list[Row]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def pad(source: str, **options: Any) -> list[Row]:
    pad_file(source, "out.jsonl", **options)
    return read("out.jsonl")


# --- Companions ------------------------------------------------------------------------------


@formats
def test_tokenizer_columns_are_padded(here: Path, format_: str) -> None:
    result = pad_file(write(f"in.{format_}", HF), "out.jsonl")
    assert read("out.jsonl") == PADDED
    assert (result.columns, result.unpadded) == (("input_ids", "token_type_ids", "labels"), {})
    assert result.notes == ()


@formats
def test_commands_agree(here: Path, format_: str) -> None:
    pad_file(write("in.jsonl", HF), f"padded.{format_}")
    assert inspect_file(f"padded.{format_}").padded
    report = verify_file(f"padded.{format_}")
    assert [found.rule.name for found in report.data if found.rule.severity == "error"] == []
    unpad_file(f"padded.{format_}", "back.jsonl")
    raw = [{name: row[name] for name in row if name != "attention_mask"} for row in HF]
    assert read("back.jsonl") == raw


@pytest.mark.parametrize(
    ("name", "tokens", "value"),
    [
        ("labels", [7, 7], -100),
        ("label_ids", [7, 7], -100),
        ("token_type_ids", [1, 1], 0),
        ("special_tokens_mask", [0, 0], 1),
        ("completion_mask", [True, True], False),
        ("assistant_masks", [1, 1], 0),
        ("loss_mask", [0.5, 1.0], 0.0),
        ("position_ids", [0, 1], 0),
        ("global_attention_mask", [1, 1], 0),
        ("bbox", [[1, 2], [3, 4]], [0, 0]),
        ("offset_mapping", [[0, 1], [1, 2]], [0, 0]),
    ],
)
@formats
def test_each_companion_has_its_pad_value(
    here: Path, format_: str, name: str, tokens: list[Any], value: Any
) -> None:
    rows = [{"input_ids": [5, 6], name: tokens}, {"input_ids": [5], name: tokens[:1]}]
    padded = pad(write(f"in.{format_}", rows), spec=PadSpec(value=9))
    assert [row[name] for row in padded] == [tokens, [tokens[0], value]]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("label", [0, 1]),
        ("labels", [[0.5, 0.5], [0.5]]),
        ("labels", [["a", "b"], ["c"]]),
        ("labels", [[[1], [0]], [[1]]]),
        ("bbox", [[1, 2], [3]]),
        ("other", [[1, 2], [3]]),
    ],
)
def test_other_columns_stay(here: Path, name: str, rows: list[Any]) -> None:
    source = [{"input_ids": [5, 6], name: rows[0]}, {"input_ids": [5], name: rows[1]}]
    assert [row[name] for row in pad(write("in.jsonl", source))] == rows


@represented("format_", ["jsonl", "parquet", "arrow"], by=1)
def test_first_rows_decide(here: Path, format_: str) -> None:
    rows = [{"input_ids": [5] * (i % 4), "labels": [7] * (i % 4)} for i in range(1200)]
    alike = write(f"alike.{format_}", [*rows, {"input_ids": [5], "labels": [7, 7]}])
    place = "alike.jsonl, line 1201" if format_ == "jsonl" else f"alike.{format_}, row 1200"
    facts = ["'labels' has 2", "'input_ids' has 1", "--own-length labels"]
    with raises_error(DataError, *facts, place=place, option="own_lengths") as caught:
        pad_file(alike, "out.jsonl")
    assert caught.value.column is None
    skipped = pad_file(alike, "out.jsonl", policy=RowPolicy(on_error="skip"))
    assert skipped.ledger.rows_rejected == 1
    assert pad(alike, columns=["input_ids"])[-1]["labels"] == [7, 7]
    near = write(f"near.{format_}", [*rows[:900], *[{"input_ids": [5], "labels": [7, 7]}] * 100])
    with raises_error(DataError, *facts):
        pad_file(near, "out.jsonl")
    other = write(f"other.{format_}", [*rows[:899], *[{"input_ids": [5], "labels": [7, 7]}] * 101])
    result = pad_file(other, "out.jsonl", files=FileOptions(batch_rows=9))
    assert read("out.jsonl")[-1]["labels"] == [7, 7]
    [warning] = result.notes
    assert "101 of the first 1,000 rows" in warning
    assert [note for note in result.notes if "'labels'" in note and "--own-length labels" in note]


@formats
def test_one_short_mask_is_a_bad_row(here: Path, format_: str) -> None:
    rows = [{"input_ids": [5, 6], "attention_mask": [1, 1]}] * 9
    file = write(f"in.{format_}", [*rows, {"input_ids": [5, 6], "attention_mask": [1]}])
    with raises_error(DataError, "the mask has 1", "2 tokens", column="attention_mask"):
        pad_file(file, "out.jsonl")
    assert pad(file, policy=RowPolicy(on_error="skip")) == rows


@formats
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["mask", "attention_mask"])
def test_any_file_can_be_padded(here: Path, format_: str, first: int, name: str) -> None:
    (here / "in").mkdir()
    padded = [{"input_ids": [1, 2, 0], name: [1, 1, 0]}]
    for place, rows in ((first, [{"input_ids": [1, 2, 3]}]), (1 - first, padded)):
        write(f"in/{place}.{format_}", rows)
    with pytest.raises(PaddedError):
        pad_file([f"in/0.{format_}", f"in/1.{format_}"], "out.jsonl", mask=MaskSpec(column="new"))
    with pytest.raises(PaddedError):
        pad_dataset("in", "out")


@formats
def test_first_rows_of_all_files(here: Path, format_: str) -> None:
    files = [write(f"0.{format_}", [{"input_ids": [1, 2, 3]}])]
    files.append(write(f"1.{format_}", [{"input_ids": [1, 2], "labels": [5, 6], "attention_mask": [1, 1]}]))
    with pytest.raises(DataError) as caught:
        pad_file(files, "out.jsonl")
    assert (caught.value.column, str(caught.value.place)[:2]) == ("labels", "0.")
    assert [finding.rule.name for finding in verify_file(files).data] == ["bad-row"]
    pad_file(files, "out.jsonl", policy=RowPolicy(on_error="skip"))
    assert read("out.jsonl") == [{"input_ids": [1, 2], "labels": [5, 6], "attention_mask": [1, 1]}]


def test_advice_has_the_pad_value(here: Path) -> None:
    for labels, flag in (([0.5, 1.5], "labels=-100"), (["a", "b"], "labels")):
        result = pad_file(write("in.jsonl", [{"input_ids": [5, 6], "labels": labels}]), "out.jsonl")
        assert result.unpadded == {"labels": f"-c input_ids -c {flag}"}


def test_named_columns_only(here: Path) -> None:
    result = pad_file(write("in.jsonl", HF), "out.jsonl", columns=["input_ids"])
    assert [row["labels"] for row in read("out.jsonl")] == [row["labels"] for row in HF]
    assert (result.unpadded, result.notes) == ({}, ())
    mask, others = result.remarks
    assert "'attention_mask'" in mask
    assert "'token_type_ids', 'labels'" in others


def test_dtype_of_all_columns(here: Path) -> None:
    rows = [{"input_ids": [5, 6], "labels": [1, 2], "completion_mask": [True, False]}]
    pad_file(write("in.jsonl", rows), "out.parquet", spec=PadSpec(dtype="uint16", maxlen=3))
    types = {field.name: str(field.type.value_type) for field in pq.read_schema("out.parquet")}
    assert types == {"input_ids": "uint16", "labels": "int32", "completion_mask": "bool", "mask": "bool"}


def test_workers_pad_companions(here: Path) -> None:
    Path("d").mkdir()
    for name in "ab":
        write(f"d/{name}.jsonl", HF)
    pad_dataset("d", "padded")
    assert [read(f"padded/{name}.jsonl") for name in "ab"] == [PADDED] * 2


# --- A mask of ones --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "padded"),
    [
        *((name, name) for name in ("bool", "int8", "uint8", "int16", "int64", "float", "double")),
        ("uint16", "int32"),
        ("uint32", "int64"),
        ("halffloat", "float"),
    ],
)
def test_mask_of_ones_keeps_its_dtype(here: Path, dtype: str, padded: str) -> None:
    ones = pa.array([[1, 1], [1]]).cast(pa.list_(pa.type_for_alias(dtype)))
    pq.write_table(pa.table({"input_ids": [[5, 6], [7]], "attention_mask": ones}), "in.parquet")
    pad_file("in.parquet", "out.parquet")
    schema = pq.read_schema("out.parquet")
    assert schema.names == ["input_ids", "attention_mask"]
    assert schema.field("attention_mask").type.value_type == padded
    assert pq.read_table("out.parquet")["attention_mask"].to_pylist() == [[1, 1], [1, 0]]


def test_json_mask_keeps_its_values(here: Path) -> None:
    for one, zero in ((1, 0), (True, False), (1.0, 0.0)):
        rows = [
            {"input_ids": [5, 6], "attention_mask": [one] * 2},
            {"input_ids": [7], "attention_mask": [one]},
        ]
        (_, last) = pad(write("in.jsonl", rows))
        assert repr(last["attention_mask"]) == repr([one, zero])


@formats
@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (MaskSpec(column="real"), ["real"]),
        (MaskSpec(named=True), ["mask"]),
        (MaskSpec(column=None), []),
        (MaskSpec(column="attention_mask", dtype="int64", overwrite=True), ["attention_mask"]),
        (MaskSpec(column="attention_mask"), ["attention_mask"]),
    ],
    ids=["another name", "the default name", "no mask", "the Hugging Face command", "the same name"],
)
def test_requested_names_win(here: Path, format_: str, mask: MaskSpec, names: list[str]) -> None:
    result = pad_file(write(f"in.{format_}", HF), "out.jsonl", columns=["input_ids"], mask=mask)
    for row in read("out.jsonl"):
        assert sorted(row.keys() - {"input_ids", "token_type_ids", "labels"}) == names
    assert any("'attention_mask' is not copied" in line for line in result.remarks) == (
        "attention_mask" not in names
    )


@each_value(format_=["jsonl", "parquet", "arrow"], on_error=["fail", "skip"])
def test_later_zero_ends_the_run(here: Path, format_: str, on_error: Any) -> None:
    rows = [{"input_ids": [5, 6], "attention_mask": [1, 1]}] * 1001
    source = write(f"in.{format_}", [*rows, {"input_ids": [5, 0], "attention_mask": [1, 0]}])
    with pytest.raises(PaddedError) as caught:
        pad_file(source, "out.jsonl", policy=RowPolicy(on_error=on_error))
    assert caught.value.place is not None and caught.value.column == "attention_mask"
    assert caught.value.place.number == (1002 if format_ == "jsonl" else 1001)
    assert not Path("out.jsonl").exists()
    # The rows are padded, and these commands read them again with the mask.
    assert verify_file(source).verdict == "data-ok"
    assert inspect_file(source).padded
    assert pad(source, mask=MaskSpec(allow_padded=True))[-1]["attention_mask"] == [1, 1]


LATE = [{"input_ids": [5] * (1 + i % 3)} for i in range(1002)]


@pytest.mark.parametrize("first", [{}, {"labels": None, "attention_mask": None}])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_late_mask_is_refused(here: Path, first: Row, output: str) -> None:
    late = {"input_ids": [1, 1], "labels": [1, 2], "attention_mask": [1, 0]}
    source = write("in.jsonl", [*({**row, **first} for row in LATE), late])
    with pytest.raises(PaddedError) as caught:
        pad_file(source, output)
    assert (caught.value.place.number, caught.value.column) == (1003, "attention_mask")
    assert [finding.rule.name for finding in verify_file(source).data] == ["bad-row"]
    assert pad(source, mask=MaskSpec(allow_padded=True))[-1]["mask"] == [True, True, False]


NO_MASK: list[Row] = [{"input_ids": [5] * (1 + i % 3), "m": None} for i in range(1000)]


def masked(name: str, *rows: Row) -> list[Row]:
    return [{name if key == "m" else key: value for key, value in row.items()} for row in rows]


@each_value(
    format_=["jsonl", "parquet", "arrow"],
    output=["out.parquet", "out.npz", "out.jsonl"],
    name=["attention_mask", "padding_mask"],
    first=[None, [1, 1, 1]],
)
def test_zero_after_the_first_rows(here: Path, format_: str, output: str, name: str, first: Any) -> None:
    rows = NO_MASK if first is None else [{"input_ids": [5, 5, 5], "m": first}] * 1000
    source = write(f"in.{format_}", masked(name, *rows, {"input_ids": [5, 0], "m": [1, 0]}))
    with pytest.raises(PaddedError) as caught:
        pad_file(source, output)
    assert (caught.value.place.number, caught.value.column) == (1000 + (format_ == "jsonl"), name)
    assert not Path(output).exists()
    # If all first rows have the same length and a mask of ones, verify reads the rows as padded rows.
    bad = [finding.column for finding in verify_file(source).data if finding.rule.name == "bad-row"]
    assert bad == ([] if first == [1, 1, 1] else [name])
    pad_file(source, output, mask=MaskSpec(allow_padded=True))


@formats
def test_zero_in_the_mask_to_overwrite(here: Path, format_: str) -> None:
    rows = [{"input_ids": [5, 6], "mask": [1, 1]}] * 1000
    source = write(f"in.{format_}", [*rows, {"input_ids": [5, 0], "mask": [1, 0]}])
    with pytest.raises(PaddedError):
        pad_file(source, "out.jsonl", mask=MaskSpec(overwrite=True))


@formats
def test_mask_of_another_column(here: Path, format_: str) -> None:
    row = {"input_ids": [5, 0], "attention_mask": [1, 0], "labels": [1]}
    source = write(f"in.{format_}", [*[row] * 1000, {**row, "labels": [1, 2]}])
    padded = pad(source, columns=["labels=-100"], mask=MaskSpec(column="labels_mask"))
    assert (padded[0]["labels"], padded[-1]["labels"]) == ([1, -100], [1, 2])


def test_zero_after_the_first_rows_of_a_table() -> None:
    rows = masked("attention_mask", *NO_MASK, {"input_ids": [5, 0], "m": [1, 0]})
    with pytest.raises(PaddedError) as caught:
        pad_table(pa.Table.from_pylist(rows))
    assert (caught.value.place.number, caught.value.column) == (1000, "attention_mask")


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_new_mask_keeps_the_place_of_the_old(here: Path, output: str) -> None:
    source = write("in.jsonl", HF)
    order = list(HF[0])
    for options in ({}, {"mask": MaskSpec(allow_padded=True)}):
        pad_file(source, output, **options)
        names = list(read(output)[0]) if output == "out.jsonl" else pq.read_schema(output).names
        assert names == order


def test_new_columns_keep_the_place_of_the_old(here: Path) -> None:
    rows = [
        {"input_ids": [5, 6], "mask": "x", "n": 9, "z": 1},
        {"input_ids": [7], "mask": 3, "n": "y", "z": 2},
    ]
    mask = MaskSpec(length_column="n", overwrite=True)
    pad_file(write_lines("in.jsonl", rows), "out.parquet", mask=mask)
    assert pq.read_table("out.parquet").to_pydict() == {
        "input_ids": [[5, 6], [7, 0]],
        "mask": [[True, True], [True, False]],
        "n": [2, 1],
        "z": [1, 2],
    }


@each_value(format_=["jsonl", "parquet", "arrow"], first=[{}, {"labels": None}])
def test_late_companion_is_reported(here: Path, format_: str, first: Row) -> None:
    late = {"input_ids": [1, 1], "labels": [1, 2], "attention_mask": [1, 1], "text": "x", "n": [1]}
    source = write(f"in.{format_}", [*({**row, **first} for row in LATE), late])
    [note] = pad_file(source, "out.jsonl").notes
    assert note.startswith("not padded: 'attention_mask', 'labels' (not in the first 1,000 rows)")
    assert pad_file(source, "out.jsonl", columns=["input_ids"]).notes == ()
    assert read("out.jsonl")[-1]["labels"] == [1, 2]


@formats
def test_dataset_reports_late_companion(here: Path, format_: str) -> None:
    source = write(f"in.{format_}", [*LATE, {"input_ids": [1, 1], "labels": [1, 2]}])
    notes = pad_file(source, "out.jsonl").notes
    assert has_facts(notes[0], "not padded", "'labels'")
    assert pad_dataset(source, "out").notes == pad_dataset(source, "out", resume=True).notes == notes


def test_rows_without_the_mask_are_padded(here: Path) -> None:
    rows = [{"input_ids": [5, 6], "attention_mask": [1, 1]}, {"input_ids": [7]}]
    assert pad(write("in.jsonl", rows))[1] == {"input_ids": [7, 0], "attention_mask": [1, 0]}


# --- Padded input ----------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("name", ["mask", "attention_mask", "padding_mask", "real"])
def test_padded_input_is_refused(here: Path, format_: str, name: str) -> None:
    rows = [{"input_ids": [5, 0, 6, 0], name: [1, 0, 1, 0]}, {"input_ids": [7, 8], name: [1, 1]}]
    source = write(f"in.{format_}", rows)
    mask = MaskSpec(column=name, overwrite=True) if name == "real" else MaskSpec(column="new")
    with pytest.raises(PaddedError) as caught:
        pad_file(source, "out.jsonl", mask=mask)
    assert (caught.value.column, "--allow-padded" in caught.value.remedy) == ("input_ids", True)
    again = pad(source, mask=MaskSpec(column=name, overwrite=True, allow_padded=True))
    assert [row["input_ids"] for row in again] == [[5, 0, 6, 0], [7, 8, 0, 0]]
    assert [list(map(int, row[name])) for row in again] == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_allow_padded_replaces_the_mask(here: Path) -> None:
    pad_file(write("in.jsonl", HF), "once.parquet")
    pad_file("once.parquet", "twice.parquet", spec=PadSpec(maxlen=4), mask=MaskSpec(allow_padded=True))
    table = pq.read_table("twice.parquet").to_pydict()
    assert table["attention_mask"] == [[1, 1, 1, 0]] * 2
    unpad_file("twice.parquet", "back.jsonl")
    assert [row["labels"] for row in read("back.jsonl")] == [row["labels"] for row in PADDED]


# --- Columns with their own lengths, and several runs ----------------------------------------

SEQ2SEQ: list[Row] = [
    {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "labels": [9]},
    {"input_ids": [5], "attention_mask": [1], "labels": [9, 8]},
]


@formats
@pytest.mark.parametrize(("maxlen", "labels"), [("longest", [[9, -100], [9, 8]]), (1, [[9], [9]])])
def test_own_length(here: Path, format_: str, maxlen: Any, labels: list[Any]) -> None:
    spec, mask = PadSpec(own_lengths={"labels": maxlen}), MaskSpec(own={"labels": "labels_mask"})
    result = pad_file(write("in.jsonl", SEQ2SEQ), f"out.{format_}", spec=spec, mask=mask)
    assert (result.maxlen, result.own) == (3, {"labels": len(labels[0])})
    assert (result.ledger.own_tokens_lost, result.notes) == (2 - len(labels[0]), ())
    if format_ == "jsonl":
        assert [row["labels"] for row in read("out.jsonl")] == labels
        return
    unpad_file(f"out.{format_}", "back.jsonl")
    back = [{"input_ids": [5, 6, 7], "labels": [9]}, {"input_ids": [5], "labels": [9, 8][: len(labels[0])]}]
    assert read("back.jsonl") == back


def test_own_length_of_overlong_rows(here: Path) -> None:
    source, spec = write("in.jsonl", SEQ2SEQ), PadSpec(own_lengths={"labels": 1})
    dropped = pad_file(source, "out.jsonl", spec=spec, policy=RowPolicy(overlong="drop"))
    assert (dropped.ledger.rows_dropped, dropped.ledger.rows_written) == (1, 1)
    with raises_error(DataError, "2 tokens", place="in.jsonl, line 2", column="labels", option="overlong"):
        pad_file(source, "out.jsonl", spec=spec, policy=RowPolicy(overlong="error"))


@pytest.mark.parametrize(
    ("spec", "mask", "option", "facts"),
    [
        (PadSpec(own_lengths={"nothing": 2}), MaskSpec(), "own_lengths", ["'nothing'"]),
        (PadSpec(), MaskSpec(own={"labels": "m"}), "own_masks", ["'labels'", "--own-length labels"]),
        (
            PadSpec(own_lengths={"labels": 2}),
            MaskSpec(own={"labels": "labels"}),
            "own_masks",
            ["'labels'", "--own-mask"],
        ),
    ],
    ids=["unknown column", "mask without length", "mask over tokens"],
)
def test_own_length_needs_a_column(
    here: Path, spec: PadSpec, mask: MaskSpec, option: str, facts: list[str]
) -> None:
    with raises_error(SpecError, *facts, option=option):
        pad_file(write("in.jsonl", SEQ2SEQ), "out.jsonl", spec=spec, mask=mask)


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        (PadSpec(own_lengths={"labels": "longest"}, maxlen=1), [[5]]),
        (PadSpec(own_lengths={"labels": "longest"}, maxlen="p50"), [[5]]),
        (PadSpec(own_lengths={"labels": 1}), [[5]]),
        (PadSpec(own_lengths={"labels": "p50"}), [[5]]),
        (PadSpec(own_lengths={"labels": "longest"}), [[5, -100, -100], [5, 6, 7]]),
    ],
)
def test_dropped_rows_set_no_length(here: Path, spec: PadSpec, labels: list[Any]) -> None:
    source = write(
        "in.jsonl", [{"input_ids": [1], "labels": [5]}, {"input_ids": [1, 2], "labels": [5, 6, 7]}]
    )
    result = pad_file(source, "out.jsonl", spec=spec, policy=RowPolicy(overlong="drop"))
    assert [row["labels"] for row in read("out.jsonl")] == labels
    assert (result.maxlen, result.own["labels"]) == (len(labels), len(labels[0]))
    assert result.ledger.own_tokens_lost == (0 if len(labels) == 2 else 3)


@pytest.mark.parametrize(("maxlen", "facts"), [(2, ("2 labels",)), (1, ("1 token", "2 labels"))])
def test_summary_has_lost_labels(here: Path, maxlen: int, facts: tuple[str, ...]) -> None:
    source = write("in.jsonl", [{"input_ids": [1, 2], "labels": [5, 6, -100, 7]}])
    result = pad_file(source, "out.jsonl", spec=PadSpec(maxlen=maxlen, own_lengths={"labels": 1}))
    assert (result.ledger.own_tokens_lost, result.ledger.own_tokens_read) == (3, 4)
    text = "\n".join(summary(result, "out.jsonl"))
    assert has_facts(text, "3 tokens lost in 'labels'", "75.0%", *facts), text
    assert text.count("2 labels") == 1


def test_empty_dropped_rows_lose_labels(here: Path) -> None:
    source = write("in.jsonl", [{"input_ids": [1], "labels": [5]}, {"input_ids": [], "labels": [6, 7]}])
    spec, policy = PadSpec(own_lengths={"labels": "longest"}), RowPolicy(empty_rows="drop")
    result = pad_file(source, "out.jsonl", spec=spec, policy=policy)
    assert (result.own, result.ledger.own_tokens_lost) == ({"labels": 1}, 2)


def test_workers_drop_rows_alike(here: Path) -> None:
    Path("d").mkdir()
    write("d/a.jsonl", [{"input_ids": [1], "labels": [5]}] * 2)
    write("d/b.jsonl", [{"input_ids": [1, 2], "labels": [5, 6, 7]}])
    spec = PadSpec(own_lengths={"labels": "longest"}, maxlen="p50")
    result = pad_dataset("d", "padded", spec=spec, policy=RowPolicy(overlong="drop"))
    assert (result.own, read("padded/a.jsonl")[0]["labels"]) == ({"labels": 1}, [5])


@formats
@pytest.mark.parametrize(
    "mask",
    [
        MaskSpec(own={"labels": "attention_mask"}),
        MaskSpec(column="m", own={"labels": "attention_mask"}),
        MaskSpec(column="m", length_column="attention_mask"),
    ],
)
def test_own_mask_replaces_no_mask(here: Path, format_: str, mask: MaskSpec) -> None:
    source, spec = write(f"in.{format_}", SEQ2SEQ), PadSpec(own_lengths={"labels": 2})
    with raises_error(SpecError, "'attention_mask'"):
        pad_file(source, "out.jsonl", spec=spec, mask=mask)


def test_overwritten_mask_is_written(here: Path) -> None:
    mask = MaskSpec(column="m", own={"labels": "attention_mask"}, overwrite=True)
    rows = pad(write("in.jsonl", SEQ2SEQ), spec=PadSpec(own_lengths={"labels": 2}), mask=mask)
    assert [row["attention_mask"] for row in rows] == [[True, False], [True, True]]


def test_own_mask_beside_npz_lengths(here: Path) -> None:
    mask = MaskSpec(own={"labels": "length"})
    with raises_error(SpecError, "'length'", "'labels'", option="own_masks"):
        pad_file(write("in.jsonl", SEQ2SEQ), "out.npz", spec=PadSpec(own_lengths={"labels": 2}), mask=mask)


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_padding_without_a_mark_is_refused(here: Path, format_: str) -> None:
    source, padded = write("in.jsonl", SEQ2SEQ), f"padded.{format_}"
    pad_file(source, padded, spec=PadSpec(own_lengths={"labels": 2}), mask=MaskSpec(column=None))
    for name in ("input_ids", "labels"):
        with pytest.raises(PaddedError) as caught:
            pad_file(padded, "out.jsonl", columns=[name])
        assert caught.value.column == name and "--allow-padded" in caught.value.remedy
        pad_file(padded, "out.jsonl", columns=[name], mask=MaskSpec(allow_padded=True))


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_runs_add_up(here: Path, format_: str) -> None:
    rows = [{name: row[name] for name in ("input_ids", "labels")} for row in SEQ2SEQ]
    one, two = f"one.{format_}", f"two.{format_}"
    pad_file(write("in.jsonl", rows), one, columns=["input_ids"], mask=MaskSpec(column="attention_mask"))
    result = pad_file(one, two, columns=["labels=-100"], mask=MaskSpec(column="labels_mask"))
    assert (result.notes, result.remarks) == ((), ("mask: 'labels_mask' (bool)",))
    unpad_file(two, "back.jsonl")
    assert read("back.jsonl") == rows
    unpad_file(two, f"part.{format_}", columns=["labels"])
    unpad_file(f"part.{format_}", "back.jsonl")
    assert read("back.jsonl") == rows
    for again in ("input_ids", "labels"):
        with pytest.raises(PaddedError):
            pad_file(two, "out.jsonl", columns=[again], mask=MaskSpec(column="m"))
    assert (inspect_file(two).stats.tokens, inspect_file(two, columns=["labels"]).stats.tokens) == (4, 3)


# --- Columns that unpad leaves -------------------------------------------------------------------

OWN = PadSpec(own_lengths={"labels": 4})


@formats
def test_companion_may_still_be_padded(here: Path, format_: str) -> None:
    rows = [
        {"input_ids": [1, 2, 0], "mask": [True, True, False], "labels": [1, 2, -100]},
        {"input_ids": [1, 2, 3], "mask": [True] * 3, "labels": [1, 2]},
    ]
    (note,) = unpad_file(write(f"in.{format_}", rows), "out.jsonl").notes
    assert "'labels'" in note and note.endswith("-c input_ids -c labels")
    assert [row["labels"] for row in read("out.jsonl")] == [[1, 2, -100], [1, 2]]


def test_own_mask_unpads(here: Path) -> None:
    pad_file(write("in.jsonl", SEQ2SEQ), "padded.jsonl", spec=OWN, mask=MaskSpec(own={"labels": "lm"}))
    (note,) = unpad_file("padded.jsonl", "once.jsonl").notes
    assert note.endswith("'labels'. To unpad: -c labels --mask-column lm")
    unpad_file("once.jsonl", "back.jsonl", columns=["labels"], spec=UnpadSpec(mask_column="lm"))
    assert [row["labels"] for row in read("back.jsonl")] == [[9], [9, 8]]


@formats
def test_own_length_without_a_mask_is_noted(here: Path, format_: str) -> None:
    pad_file(write("in.jsonl", SEQ2SEQ), f"padded.{format_}", spec=OWN)
    (note,) = unpad_file(f"padded.{format_}", "out.jsonl").notes
    assert "'labels'" in note and "--mask-column MASK" in note


@formats
def test_raw_labels_are_not_noted(here: Path, format_: str) -> None:
    pad_file(write("in.jsonl", SEQ2SEQ), f"padded.{format_}", columns=["input_ids"])
    assert unpad_file(f"padded.{format_}", "out.jsonl").notes == ()


# --- A batch dimension ----------------------------------------------------------------------------


def test_batch_dimension_is_reported(here: Path) -> None:
    source = write("in.jsonl", [{"input_ids": [[5, 6, 7]]}, {"input_ids": [[8, 9, 9]]}])
    (note,) = pad_file(source, "out.jsonl").notes
    assert "batch dimension" in note and note in inspect_file(source).notes
    ragged = write("ragged.jsonl", [{"input_ids": [[5, 6, 7]]}, {"input_ids": [[8, 9]]}])
    with raises_error(DataError, "batch dimension", place="ragged.jsonl, line 2", column="input_ids"):
        pad_file(ragged, "out.jsonl")
    vectors = write("vectors.jsonl", [{"x": [[5, 6]]}, {"x": [[8, 9], [1, 2]]}])
    assert pad_file(vectors, "out.jsonl").notes == ()


# --- masks of floats, and masks with other names ---------------------------------------------------------


@formats
def test_float_mask_marks_padding(here: Path, format_: str) -> None:
    rows = [
        {"input_ids": [5, 6, 0], "attention_mask": [1.0, 1.0, 0.0]},
        {"input_ids": [7, 0, 0], "attention_mask": [1.0, 0.0, 0.0]},
    ]
    path = write(f"in.{format_}", rows)
    with raises_error(PaddedError, "'attention_mask'", place=path, column="input_ids", option="allow_padded"):
        pad_file(path, "out.jsonl")
    assert not verify_file(path).data
    unpad_file(path, "raw.jsonl")
    assert read("raw.jsonl") == [{"input_ids": [5, 6]}, {"input_ids": [7]}]


@formats
def test_named_float_mask_marks_padding(here: Path, format_: str) -> None:
    path = write(f"in.{format_}", [{"input_ids": [5, 0], "weights": [1.0, 0.0]}])
    with raises_error(PaddedError, "'weights'", place=path, column="input_ids", option="allow_padded"):
        pad_file(path, "out.jsonl", mask=MaskSpec(column="weights", overwrite=True))


@each_value(
    case=[
        ("input_mask", [1, 1, 0], True),
        ("decoder_attention_mask", [1, 0, 0], True),
        ("input_mask", [1, 1, 1], False),
        ("input_mask", [1, 0, 1], False),
        ("prompt_mask", [1, 1, 0], False),
    ],
    format_=["jsonl", "parquet", "arrow"],
)
def test_possible_mask_is_reported(here: Path, case: tuple[str, list[int], bool], format_: str) -> None:
    name, mask, suspect = case
    path = write(f"in.{format_}", [{"input_ids": [5, 6, 0], name: mask}])
    for notes in (pad_file(path, "out.jsonl").notes, verify_file(path).notes):
        assert any("already be padded" in note and name in note for note in notes) == suspect
    assert not any("already" in note for note in verify_file(path, mask_column=name).notes)


# --- companions of other types ---------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("name", ["offset_mapping", "labels", "attention_mask"])
def test_list_of_objects_is_reported(here: Path, format_: str, name: str) -> None:
    path = write(f"in.{format_}", [{"input_ids": [5, 6], name: [{"s": 0}, {"s": 1}]}])
    for notes in (pad_file(path, "out.jsonl").notes, verify_file(path).notes):
        assert any(f"{name!r}, because" in note and "struct" in note for note in notes)


@formats
def test_other_objects_are_not_noted(here: Path, format_: str) -> None:
    path = write(f"in.{format_}", [{"input_ids": [5, 6], "messages": [{"s": 0}, {"s": 1}]}])
    assert pad_file(path, "out.jsonl").notes == verify_file(path).notes == ()


# --- nulls in masks --------------------------------------------------------------------------------------


@all_pairs(
    format_=["jsonl", "parquet", "arrow"],
    name=["mask", "attention_mask", "padding_mask"],
    mask=[[1, None], [None, None], [None, 0]],
)
def test_null_in_mask_is_not_padding(here: Path, format_: str, name: str, mask: list[int | None]) -> None:
    path = write(f"in.{format_}", [{"input_ids": [5, 6], name: mask}, {"input_ids": [7], name: [1]}])
    found = {(finding.rule.name, finding.column): finding.count for finding in verify_file(path).data}
    assert found.pop(("mask-shape", name)) == 1
    # A mask with the default name marks padding, so the rows should have the same length.
    assert found == ({("rows-unequal", "input_ids"): 1} if name == "mask" else {})
    if name == "mask":
        with raises_error(PaddedError, "'mask'", option="mask_column"):
            pad_file(path, "out.jsonl")
    elif name == "attention_mask":
        with raises_error(DataError, "null", column=name) as caught:
            pad_file(path, "out.jsonl")
        assert not isinstance(caught.value, PaddedError)


# --- padding that is not checked -------------------------------------------------------------------------


@pytest.mark.parametrize("own", [{}, {"labels": "their_mask"}], ids=["unmarked", "own-mask"])
def test_note_about_unchecked_columns(here: Path, own: dict[str, str]) -> None:
    path = write("in.jsonl", [{"input_ids": [5, 6], "labels": [1]}, {"input_ids": [7], "labels": [1, 2]}])
    pad_file(path, "out.parquet", spec=PadSpec(own_lengths={"labels": "longest"}), mask=MaskSpec(own=own))
    notes = verify_file("out.parquet").notes
    assert ["not checked: 'labels'" in note for note in notes] == ([] if own else [True])


def test_note_names_the_mask_of_a_column(here: Path) -> None:
    path = write("in.jsonl", [{"input_ids": [5, 6], "labels": [1]}, {"input_ids": [7], "labels": [1, 2]}])
    own = {"labels": "labels_mask"}
    pad_file(path, "out.jsonl", spec=PadSpec(own_lengths={"labels": 3}), mask=MaskSpec(own=own))
    (note,) = verify_file("out.jsonl").notes
    assert "'labels_mask'" not in note and note.endswith("-c labels --mask-column labels_mask")
    assert verify_file("out.jsonl", columns=["labels"], mask_column="labels_mask").notes == ()


@formats
def test_ragged_columns_beside_padded_ids(here: Path, format_: str) -> None:
    rows = [
        {"input_ids": [5, 6], "labels": [1], "offset_mapping": [{"s": 0}]},
        {"input_ids": [7], "labels": [1, 2], "offset_mapping": [{"s": 1}]},
    ]
    pad_file(write("in.jsonl", rows), f"out.{format_}")
    notes = verify_file(f"out.{format_}").notes
    assert [note.partition(" (")[0].partition(",")[0] for note in notes] == [
        "not checked: 'offset_mapping'",
        "not checked: 'labels'",
    ]
    assert verify_file(f"out.{format_}", columns=["input_ids"]).notes == ()
