"""`pack` replaces the positions and masks of tokenizers with its own columns of the same names."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts, raises_error

import padmask
from padmask import DataError, PackSpec, PadSpec, RowPolicy, SpecError, pack_file, pack_preset, pack_table
from padmask.core.counted_positions import are_counted, find_other_positions

TOKENIZED = {
    "input_ids": [[1, 2, 3], [4, 5]],
    "attention_mask": [[1, 1, 1], [1, 1]],
    "position_ids": [[0, 1, 2], [0, 1]],
}
SPEC = PadSpec(maxlen=6, packing=PackSpec(emit=["position_ids", "attention_mask"]))


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_positions_that_count():
    rows = pa.array([[0, 1], [], None, [0, 1, 2], [1], [0, 2], [0, 0]])
    assert are_counted(rows.slice(0, 4))
    assert not any(are_counted(rows.slice(i, 1)) for i in (4, 5, 6))
    assert not are_counted(pa.array([["a"]])) and not are_counted(pa.array([[0.0]]))
    bad = find_other_positions(rows, np.array([2, 0, 5, 2, 1, 2, 2]))
    assert [fault.row for fault in bad] == [3, 4, 5, 6]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_columns_of_tokenizers(tmp_path, suffix):
    source = write(tmp_path / f"in{suffix}", pa.table(TOKENIZED).to_pylist())
    alone = pack_table(pa.table(TOKENIZED).select(["input_ids"]), spec=SPEC)
    target = tmp_path / "out.parquet"
    result = pack_file(source, target, spec=SPEC)
    assert pq.read_table(target).select(alone.schema.names).to_pydict() == alone.to_pydict()
    assert pack_table(pa.table(TOKENIZED), spec=SPEC).to_pydict() == pq.read_table(target).to_pydict()
    for name in ("position_ids", "attention_mask"):
        [remark] = [text for text in result.remarks if repr(name) in text]
        assert has_facts(remark, "replaced")
    rules = {finding.rule.name for finding in padmask.verify_file(target, proof=None).data}
    assert rules <= {"ignored-positions"}
    padmask.unpad_file(target, tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == [{"input_ids": ids} for ids in TOKENIZED["input_ids"]]


@pytest.mark.parametrize("columns", [None, ["input_ids"]])
@pytest.mark.parametrize("dialect", ["hf", "torchtune", "grain"])
def test_positions_of_dialects(dialect, columns):
    """The positions of a dialect replace the positions of the input, even under another name."""
    spec, mask = pack_preset(dialect, maxlen=6)
    alone = pack_table(pa.table(TOKENIZED).select(["input_ids"]), columns, spec=spec, mask=mask)
    packed = pack_table(pa.table(TOKENIZED), columns, spec=spec, mask=mask)
    assert packed.select(alone.schema.names).to_pydict() == alone.to_pydict()
    assert set(packed.schema.names) == set(alone.schema.names)


def test_other_positions_are_refused():
    table = pa.table({**TOKENIZED, "position_ids": [[2, 3, 4], [0, 1]]})
    with raises_error(SpecError, "position_ids"):
        pack_table(table, spec=SPEC)
    packed = pack_table(table, spec=PadSpec(maxlen=5))
    assert packed["position_ids"].to_pylist() == [[2, 3, 4, 0, 1]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("positions", [[1, 2], [0]])
def test_later_row_is_bad(tmp_path, suffix, positions):
    rows = [{"input_ids": [7, 8], "position_ids": [0, 1]} for _ in range(1200)]
    rows[1100]["position_ids"] = positions
    source, target = write(tmp_path / f"in{suffix}", rows), tmp_path / "out.jsonl"
    place = "line 1101" if suffix == ".jsonl" else "row 1100"
    with raises_error(DataError, "position_ids", place=place):
        pack_file(source, target, spec=SPEC)
    with raises_error(DataError, "position_ids", place="row 1100"):
        pack_table(pa.Table.from_pylist(rows), spec=SPEC)
    result = pack_file(source, target, spec=SPEC, policy=RowPolicy(on_error="skip"))
    assert (result.ledger.rows_rejected, result.ledger.sequences) == (1, 1199)
