"""Tokens that a mask of the input excludes from the loss are also excluded in added labels and masks."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raised import raises_error

import padmask
from padmask import (
    MaskSpec,
    PackSpec,
    PadSpec,
    SpecError,
    pack_file,
    pack_preset,
    pack_table,
    pad_file,
    pad_table,
)
from padmask.core.loss_tokens import LOSS_MASKS

LABELS = MaskSpec(labels_from=True)
ROWS = {
    "input_ids": [[1, 2, 3, 4], [5, 6, 7]],
    "completion_mask": [[0, 0, 1, 1], [0, 1, 1]],
    "assistant_masks": [[1, 1, 0, 1], [1, 1, 1]],
}
COUNTS = [[0, 0, 0, 1], [0, 1, 1]]


def label(token: int, *marks: int) -> int:
    return token if all(marks) else -100


def broken_rules(path) -> list[str]:
    return [finding.rule.name for finding in padmask.verify_file(path, proof=None).data]


def replace_loss_mask(packed: pa.Table, values: list[int]) -> pa.Table:
    place = packed.schema.get_field_index("loss_mask")
    return packed.set_column(place, packed.schema.field(place), pa.array([values], pa.list_(pa.int8())))


@st.composite
def tables(draw):
    """Generate a table of ids and masks, and the names of the masks. The dtype of the ids varies."""
    names = draw(st.lists(st.sampled_from(LOSS_MASKS), unique=True))
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    dtype = draw(st.sampled_from(["int8", "uint8", "uint64", "int64"]))
    type_ = draw(st.sampled_from([pa.bool_(), pa.int8(), pa.float32()]))
    columns = {"input_ids": pa.array([np.arange(1, n + 1, dtype=dtype) for n in lengths])}
    for name in names:
        marks = [draw(st.lists(st.sampled_from([0, 1]), min_size=n, max_size=n)) for n in lengths]
        values = [[bool(mark) if type_ == pa.bool_() else mark for mark in row] for row in marks]
        columns[name] = pa.array(values, pa.list_(type_))
    return pa.table(columns), names


@settings(max_examples=15)
@given(tables(), st.sampled_from(["post", "pre"]))
def test_copied_labels(data, truncating):
    table, names = data
    rows = table.to_pydict()
    marks = [
        [[mark[i][j] for mark in (rows[name] for name in names)] for j in range(len(ids))]
        for i, ids in enumerate(rows["input_ids"])
    ]
    every = [
        [label(token, *its) for token, its in zip(ids, by_token, strict=True)]
        for ids, by_token in zip(rows["input_ids"], marks, strict=True)
    ]
    expected = [(row[:4] if truncating == "post" else row[-4:]) for row in every]
    expected = [[*row, *[-100] * (4 - len(row))] for row in expected]
    spec = PadSpec(maxlen=4, truncating=truncating)
    assert pad_table(table, spec=spec, mask=LABELS)["labels"].to_pylist() == expected
    assert padmask.pad(rows, spec, mask=LABELS)["labels"].tolist() == expected


@settings(max_examples=15)
@given(tables())
def test_loss_mask_of_packed_rows(data):
    table, names = data
    rows = table.to_pydict()
    spec = PadSpec(maxlen=8, packing=PackSpec(emit=["loss_mask"], align=2))
    packed = pack_table(table, spec=spec).to_pylist()
    for row in packed:
        expected = [0] * 8
        first = 0
        for source, length in zip(row["source_rows"], row["seq_lengths"], strict=True):
            for i in range(1, length):
                expected[first + i - 1] = int(all(rows[name][source][i] for name in names))
            first += -(-length // 2) * 2
        assert row["loss_mask"] == expected


@pytest.mark.parametrize("dialect", ["bridge", "levanter", "llm-foundry", "torchtune"])
def test_dialects_exclude_tokens(dialect):
    spec, mask = pack_preset(dialect, maxlen=7, source=False)
    [row] = pack_table(pa.table(ROWS), spec=spec, mask=mask).to_pylist()
    expected = {
        "bridge": ("loss_mask", [0, 0, 1, 0, 1, 1, 0]),
        "levanter": ("loss_mask", [0, 0, 1, 0, 1, 1, 0]),
        "llm-foundry": ("labels", [-100, -100, -100, 4, -100, 6, 7]),
        "torchtune": ("labels", [-100, -100, 4, -100, 6, 7, -100]),
    }
    name, values = expected[dialect]
    assert row[name] == values


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_files_exclude_tokens(tmp_path, suffix):
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.jsonl"
    if suffix == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in pa.table(ROWS).to_pylist()))
    else:
        pq.write_table(pa.table(ROWS), source)
    result = pad_file(source, target, mask=LABELS)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["labels"] for row in rows] == [[-100, -100, -100, 4], [-100, 6, 7, -100]]
    [remark] = [text for text in result.remarks if "labels" in text and "-100" in text]
    assert "'completion_mask' or 'assistant_masks' is 0" in remark


def test_labels_of_the_input_decide():
    table = pa.table(ROWS).append_column("labels", pa.array(ROWS["input_ids"]))
    spec = PadSpec(maxlen=7, packing=PackSpec(emit=["loss_mask"]))
    assert pack_table(table, spec=spec)["loss_mask"].to_pylist() == [[1, 1, 1, 0, 1, 1, 0]]


def test_only_packed_masks_count():
    spec = PadSpec(maxlen=7, packing=PackSpec(emit=["loss_mask"]))
    packed = pack_table(pa.table(ROWS), ["input_ids"], spec=spec)
    assert packed["loss_mask"].to_pylist() == [[1, 1, 1, 0, 1, 1, 0]]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_loss_mask_of_the_input(tmp_path, suffix):
    """pack reads the loss mask, and writes a new one under the same name."""
    rows = pa.table({"input_ids": ROWS["input_ids"], "loss_mask": COUNTS})
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.parquet"
    if suffix == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    else:
        pq.write_table(rows, source)
    spec, mask = pack_preset("bridge", maxlen=8)
    pack_file(source, target, spec=spec, mask=mask)
    packed = pq.read_table(target)
    assert packed["loss_mask"].to_pylist() == [[0, 0, 1, 0, 1, 1, 0]]
    assert broken_rules(target) == []
    pq.write_table(replace_loss_mask(packed, [0, 0, 1, 1, 1, 1, 0]), target)
    assert broken_rules(target) == ["derived-column"]


def test_loss_mask_that_is_not_packed():
    table = pa.table({"input_ids": ROWS["input_ids"], "loss_mask": COUNTS})
    spec, mask = pack_preset("bridge", maxlen=8)
    with raises_error(SpecError, "loss_mask", "-c input_ids -c loss_mask", option="columns"):
        pack_table(table, ["input_ids"], spec=spec, mask=mask)


def test_verify_uses_the_masks(tmp_path):
    target = tmp_path / "out.parquet"
    spec, mask = pack_preset("bridge", maxlen=8)
    packed = pack_table(pa.table(ROWS), spec=spec, mask=mask)
    pq.write_table(packed, target)
    assert broken_rules(target) == []
    pq.write_table(replace_loss_mask(packed, [1, 1, 1, 0, 1, 1, 0]), target)
    assert broken_rules(target) == ["derived-column"]
