"""The columns of packed rows agree with the sequences in them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import MaskSpec, PadSpec
from padmask.core.columns import PadColumn
from padmask.core.pack_planner import plan_pack
from padmask.core.packed_columns import PackedRows, pack_columns
from padmask.core.plan import make_plan
from padmask.core.ragged import Ragged
from padmask.spec.pack import DERIVED, PackSpec

COLUMNS = [PadColumn("input_ids", "int", "int32", 0), PadColumn("labels", "int", "int64", -100)]


def pack_lists(rows, maxlen, packing, *, mask=None):
    """Pack rows of tokens. The labels are the negative tokens, and `id` contains the number of the row."""
    batch = pa.record_batch(
        {
            "id": [f"row {number}" for number in range(len(rows))],
            "input_ids": pa.array(rows, pa.list_(pa.int64())),
            "labels": pa.array([[-token for token in row] for row in rows], pa.list_(pa.int64())),
        }
    )
    ragged = {column.name: Ragged.from_arrow(batch.column(column.name))[0] for column in COLUMNS}
    spec = PadSpec(maxlen=maxlen, packing=packing)
    segments = plan_pack(ragged["input_ids"].lengths, make_plan(spec), spec, 2)
    numbers = np.arange(len(rows)) + 100
    packed = pack_columns(batch, ragged, PackedRows(segments, packing), COLUMNS, mask or MaskSpec(), numbers)
    return packed.to_pylist()


@st.composite
def packings(draw, **options):
    algorithm = draw(st.sampled_from(["best-fit", "in-order", "wrap"]))
    align = 1 if algorithm == "wrap" else draw(st.sampled_from([1, 2, 4]))
    return PackSpec(algorithm=algorithm, align=align, pad=draw(st.booleans()), emit=DERIVED, **options)


@given(st.lists(st.lists(st.integers(1, 99), max_size=12), max_size=12), packings())
def test_columns_agree_with_sequences(rows, packing):
    rebuilt = {}
    for row in pack_lists(rows, 12, packing):
        width = 12 if packing.pad else sum(-(-n // packing.align) * packing.align for n in row["seq_lengths"])
        expected = {name: [] for name in ("segment_ids", "position_ids", "loss_mask", "input_ids")}
        for number, (length, source, start) in enumerate(
            zip(row["seq_lengths"], row["source_rows"], row["source_starts"], strict=True), 1
        ):
            assert row["seq_start_id"][number - 1] == len(expected["input_ids"])
            tokens = rows[source - 100][start : start + length]
            rebuilt.setdefault(source - 100, {})[start] = tokens
            first = len(expected["input_ids"])
            assert row["labels"][first : first + length] == [-100, *(-token for token in tokens[1:])]
            free = -length % packing.align
            expected["input_ids"] += tokens + [0] * free
            expected["segment_ids"] += [number] * length + [0] * free
            expected["position_ids"] += [*range(length), *range(free)]
            expected["loss_mask"] += [1] * (length - 1) + [0] * (free + 1)
        used = len(expected["input_ids"])
        free = width - used
        # The padding after the last sequence continues the padding that aligns it.
        before = -row["seq_lengths"][-1] % packing.align
        expected["position_ids"] += range(before, before + free)
        for name in ("input_ids", "segment_ids", "loss_mask"):
            expected[name] += [0] * free
        assert {name: row[name] for name in expected} == expected
        assert row["attention_mask"] == row["segment_ids"]
        assert row["cu_seqlens"] == [*row["seq_start_id"], used]
        assert row["id"] == [f"row {source - 100}" for source in row["source_rows"]]
        assert row["mask"] == [number > 0 for number in row["segment_ids"]]
    pieces = {
        number: [token for _, part in sorted(its.items()) for token in part]
        for number, its in rebuilt.items()
    }
    assert pieces == {number: row for number, row in enumerate(rows) if row}


@given(st.lists(st.lists(st.integers(1, 99), max_size=12), max_size=12), packings())
def test_sequences_and_padding_fill_rows(rows, packing):
    for row in pack_lists(rows, 12, packing):
        spaces = [-(-length // packing.align) * packing.align for length in row["seq_lengths"]]
        rest = len(row["input_ids"]) - sum(spaces)
        assert row["seq_lens"] == [*spaces, *([rest] if rest else [])]


@given(
    st.lists(st.lists(st.integers(1, 99), max_size=12), max_size=12),
    packings(position_padding="continue", first_segment=0, boundary_labels="shift"),
)
def test_other_conventions(rows, packing):
    usual = pack_lists(rows, 12, replace(packing, boundary_labels="keep", position_padding="zero"))
    for row, other in zip(pack_lists(rows, 12, packing), usual, strict=True):
        real = row["mask"] if "mask" in row else [True] * len(row["input_ids"])
        ids = other["attention_mask"]
        assert row["segment_ids"] == [number - 1 for number in ids]
        follows = [*(a == b and a > 0 for a, b in itertools.pairwise(ids)), False]
        assert row["labels"] == [
            other["labels"][i + 1] if follow else -100 for i, follow in enumerate(follows)
        ]
        assert row["loss_mask"] == [int(follow) for follow in follows]
        count = 0
        for place, token in enumerate(real):
            count = 0 if token and (place == 0 or ids[place] != ids[place - 1]) else count + (place > 0)
            assert row["position_ids"][place] == count
            assert other["position_ids"][place] == (count if token else 0)


def test_column_for_each_packed_column():
    packing = PackSpec(emit=["loss_mask"], names={"loss_mask": "{column}_weights"}, loss_dtype="float32")
    [row] = pack_lists([[1, 2]], 3, packing)
    assert row["input_ids_weights"] == row["labels_weights"] == [1.0, 0.0, 0.0]
    assert "loss_mask" not in row


def test_rows_without_padding():
    [row] = pack_lists([[1, 2], [3]], 8, PackSpec(pad=False), mask=MaskSpec(column=None))
    assert row["input_ids"] == [1, 2, 3]
    assert "mask" not in row


def test_labels_are_copied():
    batch = pa.record_batch({"input_ids": [[1, 2], [3]]})
    rows = {"input_ids": Ragged.from_arrow(batch.column(0))[0]}
    packing = PackSpec()
    spec = PadSpec(maxlen=4, packing=packing)
    segments = plan_pack(rows["input_ids"].lengths, make_plan(spec), spec, 1)
    mask = MaskSpec(column=None, labels_from="input_ids")
    packed = pack_columns(batch, rows, PackedRows(segments, packing), COLUMNS[:1], mask, np.arange(2))
    assert packed.to_pylist()[0]["labels"] == [-100, 2, -100, -100]


def test_labels_and_fields_on_request():
    [row] = pack_lists([[1, 2], [3]], 4, PackSpec(boundary_labels="keep", fields="drop", source=False))
    assert row == {
        "input_ids": [1, 2, 3, 0],
        "labels": [-1, -2, -3, -100],
        "mask": [True, True, True, False],
        "seq_lengths": [2, 1],
    }


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_index_dtype(dtype):
    batch = pa.record_batch({"input_ids": [[1, 2]]})
    rows = {"input_ids": Ragged.from_arrow(batch.column(0))[0]}
    packing = PackSpec(emit=["position_ids"], index_dtype=dtype)
    spec = PadSpec(maxlen=2, packing=packing)
    segments = plan_pack(rows["input_ids"].lengths, make_plan(spec), spec, 1)
    packed = pack_columns(
        batch, rows, PackedRows(segments, packing), COLUMNS[:1], MaskSpec(), np.zeros(1, np.int64)
    )
    assert packed.schema.field("position_ids").type.value_type == dtype
