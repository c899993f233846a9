"""Files with masks of all dialects, positions and labels: written, read, checked and unpadded."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value

from padmask import (
    FileOptions,
    MaskSpec,
    PadSpec,
    UnpadSpec,
    WindowSpec,
    inspect_file,
    pad_dataset,
    pad_file,
    preset,
    unpad_file,
)
from padmask.errors import DataError, PaddedError, RowError, SpecError
from padmask.spec.mask import asked_dialect
from padmask.verify.verify_file import verify_file

Row = dict[str, Any]

ROWS: list[Row] = [
    {"id": "a", "input_ids": [7, 8, 9]},
    {"id": "b", "input_ids": []},
    {"id": "c", "input_ids": [5]},
]
TOKENIZED: list[Row] = [
    {"input_ids": [2, 7, 3], "token_type_ids": [0, 0, 0], "attention_mask": [1, 1, 1]},
    {"input_ids": [2, 3], "token_type_ids": [0, 0], "attention_mask": [1, 1]},
]
MASKS = {
    "padding": MaskSpec(polarity="padding"),
    "padding-int8": MaskSpec(polarity="padding", dtype="int8"),
    "additive": MaskSpec(kind="additive"),
    "additive-float64": MaskSpec(kind="additive", dtype="float64"),
}

formats = pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
masks = pytest.mark.parametrize("mask", MASKS.values(), ids=list(MASKS))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, rows: list[Row]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def read(name: str) -> list[Row]:
    """Return the rows of a file."""
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in Path(name).read_text().splitlines()]
    table = pq.read_table(name) if name.endswith(".parquet") else pa.ipc.open_file(name).read_all()
    return table.to_pylist()


def asked(format_: str, mask: MaskSpec) -> dict[str, Any]:
    """Return the options that a format without metadata needs."""
    return {"mask_polarity": mask.polarity, "mask_kind": mask.kind} if format_ == "jsonl" else {}


# --- round trips -----------------------------------------------------------------------------------------


@each_value(mask=MASKS, format_=["jsonl", "parquet", "arrow"], padding=["post", "pre"])
def test_unpad_reads_dialects(format_: str, mask: MaskSpec, padding: Any) -> None:
    pad_file(write("in.jsonl", ROWS), f"out.{format_}", spec=PadSpec(maxlen=2, padding=padding), mask=mask)
    options = asked(format_, mask)
    unpad_file(f"out.{format_}", "back.jsonl", spec=UnpadSpec(**options))
    assert read("back.jsonl") == [row | {"input_ids": row["input_ids"][:2]} for row in ROWS]
    unpad_file(f"out.{format_}", "kept.jsonl", spec=UnpadSpec(keep_mask=True, **options))
    is_zero = mask.kind == "additive" or mask.polarity == "padding"
    for row in read("kept.jsonl"):
        assert all(bool(value) != is_zero for value in row["mask"])


@masks
@pytest.mark.parametrize("output", ["out.npz", "out.npy/"])
def test_arrays_keep_their_dialect(output: str, mask: MaskSpec) -> None:
    mask = replace(mask, position_ids=True, labels_from=True)
    pad_file(write("in.jsonl", ROWS), output, mask=mask)
    assert not [finding for finding in verify_file(output).data if finding.rule.severity == "error"]
    unpad_file(output, "back.jsonl")
    assert read("back.jsonl") == [{"input_ids": row["input_ids"]} for row in ROWS]


@formats
@masks
def test_rules_read_dialects(format_: str, mask: MaskSpec) -> None:
    mask = replace(mask, position_ids=True, labels_from=True)
    pad_file(write("in.jsonl", [ROWS[0], ROWS[2]]), f"out.{format_}", mask=mask)
    options = asked(format_, mask)
    report = verify_file(f"out.{format_}", **options)
    assert report.verdict == "data-ok" and not report.data
    assert inspect_file(f"out.{format_}", **options).stats.tokens == 4


@formats
def test_wrong_polarity_is_found(format_: str) -> None:
    pad_file(write("in.jsonl", [ROWS[0], ROWS[2]]), f"out.{format_}", mask=MASKS["padding"])
    report = verify_file(f"out.{format_}", mask_polarity="real")
    assert "padding-not-pad-value" in {finding.rule.name for finding in report.data}


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_text_and_columns_agree(padding: Any) -> None:
    """JSON rows that are padded as text equal rows that are padded as Arrow columns.

    The column of floats makes padmask use Arrow columns.
    """
    rows = [{**row, "x": [0.5] * len(row["input_ids"])} for row in ROWS]
    spec = PadSpec(maxlen=2, padding=padding)
    made = MaskSpec(labels_from=True, position_ids=True, length_column="n", dtype="float32")
    for mask in (*MASKS.values(), made):
        pad_file(write("in.jsonl", ROWS), "text.jsonl", spec=spec, mask=mask)
        pad_file(write("in.jsonl", rows), "columns.jsonl", columns=["input_ids", "x"], spec=spec, mask=mask)
        both = zip(read("text.jsonl"), read("columns.jsonl"), strict=True)
        assert all([*one.items()] == [(k, v) for k, v in other.items() if k != "x"] for one, other in both)


def test_copied_labels_are_in_the_summary() -> None:
    [remark] = pad_file(write("in.jsonl", ROWS), "out.arrow", mask=MaskSpec(labels_from=True)).remarks
    assert "'labels'" in remark and "'input_ids'" in remark


def test_text_output_warns_about_its_dialect() -> None:
    source = write("in.jsonl", ROWS)
    assert any(
        "--mask-polarity padding" in note for note in pad_file(source, "a.jsonl", mask=MASKS["padding"]).notes
    )
    assert not pad_file(source, "a.parquet", mask=MASKS["padding"]).notes
    named = MaskSpec(column="key_padding_mask", polarity="padding")
    assert not pad_file(source, "b.jsonl", mask=named).notes


# --- positions and labels --------------------------------------------------------------------------------


@formats
def test_unpad_removes_made_columns(format_: str) -> None:
    if format_ == "jsonl":
        pytest.skip("JSON Lines has no metadata that say which columns were added")
    mask = MaskSpec(position_ids=True, labels_from="input_ids")
    pad_file(write("in.jsonl", ROWS), f"out.{format_}", mask=mask)
    assert read(f"out.{format_}")[2] == {
        "id": "c",
        "input_ids": [5, 0, 0],
        "mask": [True, False, False],
        "position_ids": [0, 0, 0],
        "labels": [5, -100, -100],
    }
    result = unpad_file(f"out.{format_}", "back.jsonl")
    assert read("back.jsonl") == ROWS and not result.notes
    unpad_file(f"out.{format_}", "kept.jsonl", spec=UnpadSpec(keep_mask=True))
    assert read("kept.jsonl")[0]["position_ids"] == [0, 1, 2]
    assert read("kept.jsonl")[2]["labels"] == [5]


def test_labels_of_windows_count_once() -> None:
    spec = PadSpec(maxlen=3, windows=WindowSpec(overlap=1, labels="new"))
    mask = MaskSpec(position_ids=True, labels_from="input_ids")
    pad_file(write("in.jsonl", [{"input_ids": [1, 2, 3, 4, 5]}]), "out.parquet", spec=spec, mask=mask)
    assert [row["labels"] for row in read("out.parquet")] == [[1, 2, 3], [-100, 4, 5]]
    assert [row["position_ids"] for row in read("out.parquet")] == [[0, 1, 2], [0, 1, 2]]
    unpad_file("out.parquet", "back.jsonl")
    assert read("back.jsonl") == [{"input_ids": [1, 2, 3, 4, 5]}]
    unpad_file("out.parquet", "kept.jsonl", spec=UnpadSpec(keep_mask=True))
    assert "position_ids" not in read("kept.jsonl")[0]


def test_own_masks_follow_the_dialect() -> None:
    rows = [{"input_ids": [1, 2], "labels": [3]}, {"input_ids": [4], "labels": [5, 6, 7]}]
    mask = MaskSpec(polarity="padding", own={"labels": "labels_mask"})
    pad_file(
        write("in.jsonl", rows), "out.parquet", spec=PadSpec(own_lengths={"labels": "longest"}), mask=mask
    )
    assert [row["labels_mask"] for row in read("out.parquet")] == [[False, True, True], [False] * 3]
    unpad_file("out.parquet", "back.jsonl")
    assert read("back.jsonl") == rows


def test_later_row_has_a_made_column() -> None:
    rows = [*[{"input_ids": [1]}] * 1500, {"input_ids": [1], "position_ids": [0]}]
    with pytest.raises(SpecError) as error:
        pad_file(write("in.jsonl", rows), "out.jsonl", mask=MaskSpec(position_ids=True))
    assert error.value.options == ("position_ids",) and error.value.place.number == 1501


def test_sizes_follow_the_columns() -> None:
    source = write("in.jsonl", [{"input_ids": [1] * 1000}] * 50)
    files = FileOptions(max_bytes=50 * 1000 * 5)
    pad_file(source, "out.parquet", files=files)
    for mask in (MaskSpec(labels_from=True), MaskSpec(position_ids=True), MaskSpec(kind="additive")):
        with pytest.raises(SpecError):
            pad_file(source, "out.parquet", mask=mask, files=files)


# --- where the dialect comes from ------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
@masks
def test_metadata_say_the_dialect(format_: str, mask: MaskSpec) -> None:
    pad_file(write("in.jsonl", ROWS), f"out.{format_}", mask=mask)
    schema = pq.read_schema("out.parquet") if format_ == "parquet" else pa.ipc.open_file("out.arrow").schema
    found = json.loads(schema.metadata[b"padmask"])
    assert (found["mask_kind"], found["mask_dtype"]) == (mask.kind, mask.written_dtype)
    assert found["mask_true"] == (None if mask.kind == "additive" else "padding")


def test_npz_comment_says_the_dialect() -> None:
    mask = MaskSpec(polarity="padding", position_ids=True, labels_from=True)
    pad_file(write("in.jsonl", ROWS), "out.npz", mask=mask)
    with zipfile.ZipFile("out.npz") as archive:
        found = json.loads(archive.comment)
    assert (found["mask_true"], found["position_ids"], found["labels_from"]) == (
        "padding",
        "position_ids",
        "input_ids",
    )
    arrays = np.load("out.npz")
    assert arrays["mask"].tolist() == (~(arrays["labels"] != -100)).tolist()
    assert arrays["position_ids"].tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 0]]


@formats
@pytest.mark.parametrize("name", ["key_padding_mask", "src_key_padding_mask"])
def test_name_says_the_polarity(format_: str, name: str) -> None:
    rows = [{"input_ids": [5, 6, 0], name: [False, False, True]}]
    table = pa.Table.from_pylist(rows)
    write("in.jsonl", rows)
    pq.write_table(table, "in.parquet")
    with pa.ipc.new_file("in.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(PaddedError, match=name):
        pad_file(f"in.{format_}", "out.jsonl")
    assert not verify_file(f"in.{format_}").data
    unpad_file(f"in.{format_}", "back.jsonl")
    assert read("back.jsonl") == [{"input_ids": [5, 6]}]
    unpad_file(f"in.{format_}", "back.jsonl", spec=UnpadSpec(mask_polarity="real"))
    assert read("back.jsonl") == [{"input_ids": [0]}]


def test_mask_without_padding() -> None:
    rows = [{"input_ids": [5, 6], "key_padding_mask": [False, False]}]
    pad_file(write("in.jsonl", rows), "out.jsonl", spec=PadSpec(maxlen=3))
    assert read("out.jsonl")[0]["mask"] == [True, True, False]


@pytest.mark.parametrize("text", [True, False])
def test_later_padding_is_found(text: bool) -> None:
    raw, padded = (
        {"input_ids": [5, 6], "key_padding_mask": [0, 0]},
        {"input_ids": [5, 0], "key_padding_mask": [0, 1]},
    )
    name = write("in.jsonl", [*[raw] * 1200, padded])
    if not text:
        name = "in.parquet"
        pq.write_table(pa.Table.from_pylist([*[raw] * 1200, padded]), name)
    with pytest.raises(PaddedError) as error:
        pad_file(name, "out.jsonl")
    assert error.value.column == "key_padding_mask"


def test_files_of_two_dialects_are_refused() -> None:
    source = write("in.jsonl", ROWS)
    Path("data").mkdir()
    pad_file(source, "data/a.parquet")
    pad_file(source, "data/b.parquet", mask=MASKS["padding"])
    for read_all in (verify_file, inspect_file, lambda path: unpad_file(path, "out.jsonl")):
        with pytest.raises(PaddedError, match="True at padding"):
            read_all("data")


def test_additive_mask_needs_its_kind_in_text() -> None:
    pad_file(write("in.jsonl", ROWS), "out.jsonl", mask=MASKS["additive"])
    with pytest.raises(RowError, match="--mask-kind additive"):
        unpad_file("out.jsonl", "back.jsonl")


def test_refused_metadata() -> None:
    pad_file(write("in.jsonl", ROWS), "out.parquet")
    table = pq.read_table("out.parquet")
    found = json.loads(table.schema.metadata[b"padmask"])
    for change in ({"mask_true": "sometimes"}, {"mask_kind": "other"}):
        bad = json.dumps(found | change).encode()
        pq.write_table(table.replace_schema_metadata({b"padmask": bad}), "bad.parquet")
        with pytest.raises(DataError, match="metadata"):
            unpad_file("bad.parquet", "back.jsonl")


def test_metadata_of_earlier_versions() -> None:
    pad_file(write("in.jsonl", ROWS), "out.parquet")
    table = pq.read_table("out.parquet")
    found = json.loads(table.schema.metadata[b"padmask"])
    old = {
        key: value for key, value in found.items() if key not in ("mask_kind", "position_ids", "labels_from")
    }
    pq.write_table(table.replace_schema_metadata({b"padmask": json.dumps(old).encode()}), "old.parquet")
    unpad_file("old.parquet", "back.jsonl")
    assert read("back.jsonl") == ROWS


def test_asked_dialect_completes_itself() -> None:
    assert asked_dialect(None, "additive") == MASKS["additive"].dialect
    assert asked_dialect("padding", None) == MASKS["padding"].dialect
    assert asked_dialect(None, None) is None


# --- presets ---------------------------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("name", ["hf", "keras", "torch", "causal-lm"])
def test_presets_of_tokenizer_output(format_: str, name: str) -> None:
    spec, mask = preset(name)
    pad_file(write("in.jsonl", TOKENIZED), f"out.{format_}", spec=spec, mask=mask)
    row = read(f"out.{format_}")[1]
    expected = {"input_ids": [2, 3, 0], "token_type_ids": [0, 0, 0]} | {
        "hf": {"attention_mask": [1, 1, 0]},
        "keras": {"mask": [True, True, False]},
        "torch": {"key_padding_mask": [False, False, True]},
        "causal-lm": {"attention_mask": [1, 1, 0], "labels": [2, 3, -100]},
    }[name]
    assert row == expected
    if format_ == "parquet":
        ids = pa.int32() if name == "keras" else pa.int64()
        types = {field.name: field.type.value_type for field in pq.read_schema("out.parquet")}
        assert {types[column] for column in ("input_ids", "token_type_ids")} == {ids}
    unpad_file(f"out.{format_}", "back.jsonl")
    made = {"labels": [2, 7, 3]} if (name, format_) == ("causal-lm", "jsonl") else {}
    raw = {key: value for key, value in TOKENIZED[0].items() if key != "attention_mask"}
    assert read("back.jsonl")[0] == raw | made


def test_presets_keep_floats_and_labels() -> None:
    rows = [
        {"input_ids": [1, 2], "labels": [3, 4], "weights": [0.5, 1.5]},
        {"input_ids": [1], "labels": [2], "weights": [1.0]},
    ]
    spec, mask = preset("causal-lm", padding="pre")
    columns = ["input_ids", "labels", "weights"]
    pad_file(write("in.jsonl", rows), "out.parquet", columns=columns, spec=spec, mask=mask)
    assert read("out.parquet")[1] == {
        "input_ids": [0, 1],
        "labels": [-100, 2],
        "weights": [0.0, 1.0],
        "attention_mask": [0, 1],
        "position_ids": [0, 0],
    }
    assert pq.read_schema("out.parquet").field("weights").type == pa.list_(pa.float32())


@pytest.mark.slow
def test_dataset_of_a_preset() -> None:
    Path("data").mkdir()
    for name in "ab":
        write(f"data/{name}.jsonl", TOKENIZED)
    spec, mask = preset("torch", maxlen=4)
    pad_dataset("data", "out", spec=spec, mask=mask, files=FileOptions(output_format="parquet"))
    for file in Path("out").glob("*.parquet"):
        assert read(str(file))[1]["key_padding_mask"] == [False, False, True, True]
    assert not verify_file("out").data


def test_preset_of_wordpiece_output() -> None:
    """Padded output of a real tokenizer equals the rows that the tokenizer pads itself."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "pad", "##ding", "masks"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    texts = ["padding masks", "pad", "masks padding masks"]
    rows = [
        {"input_ids": one.ids, "token_type_ids": one.type_ids, "attention_mask": one.attention_mask}
        for one in tokenizer.encode_batch(texts)
    ]
    spec, mask = preset("hf")
    pad_file(write("in.jsonl", rows), "out.parquet", spec=spec, mask=mask)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    expected = [
        {"input_ids": one.ids, "token_type_ids": one.type_ids, "attention_mask": one.attention_mask}
        for one in tokenizer.encode_batch(texts)
    ]
    assert read("out.parquet") == expected
    types = {str(field.type.value_type) for field in pq.read_schema("out.parquet")}
    assert types == {"int64"}


@pytest.mark.slow
def test_torch_ignores_masked_keys() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    spec, mask = preset("torch", maxlen=4)
    pad_file(write("in.jsonl", TOKENIZED), "out.npz", spec=spec, mask=mask)
    arrays = np.load("out.npz")
    attention = torch.nn.MultiheadAttention(4, 1, batch_first=True)
    x = torch.nn.functional.one_hot(torch.from_numpy(arrays["input_ids"]) % 4, 4).float()
    _, weights = attention(x, x, x, key_padding_mask=torch.from_numpy(arrays["key_padding_mask"]))
    assert (weights[1, :, 2:] == 0).all() and (weights[1, :, :2] > 0).all()


@pytest.mark.slow
def test_keras_reads_the_mask() -> None:
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    spec, mask = preset("keras", maxlen=4)
    pad_file(write("in.jsonl", TOKENIZED), "out.npz", spec=spec, mask=mask)
    arrays = np.load("out.npz")
    embedding = keras.layers.Embedding(10, 2, mask_zero=True)
    assert np.array_equal(arrays["mask"], embedding.compute_mask(arrays["input_ids"]))
