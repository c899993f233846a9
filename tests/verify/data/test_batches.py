"""The rule rows-unequal is judged per batch in files of batches, and inspect reads them."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask import BatchSpec, FileOptions, MaskSpec, PadSpec, RowPolicy, inspect_file, pad_file
from padmask.formats import arrow
from padmask.formats.dataset import Dataset
from padmask.storage.inputs import find_inputs
from padmask.storage.source import sources_of
from padmask.stream.job import PadRequest
from padmask.verify.data.audit_data import AuditRequest, RuleSpec, audit_and_sample

SPEC = PadSpec(batches=BatchSpec(tokens=12, sort_window=8))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"input_ids": {[5] * (i * 5 % 7 + 1)}}}\n' for i in range(30)))
    return path


def found(*paths: Path) -> list[tuple[str, int]]:
    """Return the rules of the findings and the numbers of rows."""
    asked = PadRequest(None, PadSpec(), MaskSpec(column=None), RowPolicy())
    with closing(Dataset(sources_of(find_inputs([str(path) for path in paths]).files))) as dataset:
        audited = audit_and_sample(dataset, AuditRequest(asked, RuleSpec()))
    return [(finding.rule.name, finding.count) for finding in audited.findings]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_batches_have_no_findings(source, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(arrow, "GROUP_BYTES", 32 * 20)
    pad_file(source, tmp_path / f"out.{suffix}", spec=SPEC)
    assert found(tmp_path / f"out.{suffix}") == []
    assert inspect_file([str(tmp_path / f"out.{suffix}")]).padded


def test_files_have_their_own_batches(source, tmp_path):
    for name, tokens in (("a", 12), ("b", 30)):
        spec = PadSpec(batches=BatchSpec(tokens=tokens, sort_window=8))
        pad_file(source, tmp_path / f"{name}.parquet", spec=spec)
    assert found(tmp_path / "a.parquet", tmp_path / "b.parquet") == []


def test_longer_row_in_a_batch(source, tmp_path):
    pad_file(source, tmp_path / "out.jsonl", spec=SPEC)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    rows[1]["input_ids"].append(0)
    rows[1]["mask"].append(False)
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert found(tmp_path / "out.jsonl") == [("rows-unequal", 1)]


def test_rows_in_any_order(source, tmp_path):
    pad_file(source, tmp_path / "out.parquet", spec=SPEC, files=FileOptions(threads=1))
    table = pq.read_table(tmp_path / "out.parquet")
    order = list(range(table.num_rows))
    random.Random(0).shuffle(order)
    pq.write_table(table.take(pa.array(order)), tmp_path / "mixed.parquet")
    assert found(tmp_path / "mixed.parquet") == []


def test_own_batch_column(tmp_path):
    """Without `source_row`, a column `batch` in JSON Lines is data of the user."""
    rows = [{"input_ids": [1] * n, "mask": [True, *[False] * (n - 1)], "batch": n} for n in (2, 3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert ("rows-unequal", 1) in found(tmp_path / "in.jsonl")
