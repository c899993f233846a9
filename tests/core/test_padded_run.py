"""The metadata of padded files says how many rows a run read, left out and wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask import MaskSpec, PadSpec, RowPolicy, pad_file, pad_table, unpad_file
from padmask.core.metadata import METADATA_KEY, RUN_KEY, groups_to_keep
from padmask.core.padded_run import PaddedRun, join_runs
from padmask.spec.files import FileOptions

RUN = PaddedRun("drop", "keep", 5, 3, 1, 1, 3, limit=5)


def pad(folder, suffix="parquet", **options):
    rows = [{"input_ids": ids, "x": 1} for ids in ([1], [1, 2, 3], [], ["x"], [4], [5])]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = RowPolicy(overlong="drop", on_error="skip")
    files = FileOptions(limit=5, **options)
    path = folder / f"out.{suffix}"
    pad_file(folder / "in.jsonl", path, spec=PadSpec(maxlen=2), policy=policy, files=files)
    return path


def schema_of(path):
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    with pa.ipc.open_file(path) as file:
        return file.schema


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_run_of_a_file(tmp_path, suffix, batch_rows):
    assert PaddedRun.read(schema_of(pad(tmp_path, suffix, batch_rows=batch_rows))) == RUN


def test_limit_that_ends_the_run():
    assert RUN.rows_until_limit == 5
    assert replace(RUN, limit=6).rows_until_limit is None
    assert replace(RUN, limit=None).rows_until_limit is None


def test_joined_runs():
    whole = replace(RUN, limit=None)
    assert join_runs([whole, RUN]) == PaddedRun("drop", "keep", 10, 6, 2, 2, 6, limit=10)
    assert join_runs([whole, whole]).limit is None
    assert join_runs([whole, replace(whole, overlong="truncate")]) is None
    assert join_runs([]) is None


@pytest.mark.parametrize(
    "change",
    [{"rows_read": 9}, {"rows_read": "5"}, {"rows_read": -1}, {"overlong": None}, {"rows_used": True}],
)
def test_wrong_values_are_unknown(change):
    table = pad_table(pa.table({"input_ids": [[1]]}), spec=PadSpec(maxlen=2))
    metadata = RUN.add_to(table.schema.metadata)
    assert PaddedRun.read(table.schema.with_metadata(metadata)) == RUN
    described = json.loads(metadata[METADATA_KEY])
    described[RUN_KEY] |= change
    changed = table.schema.with_metadata({METADATA_KEY: json.dumps(described)})
    assert PaddedRun.read(changed) is None


def test_later_runs_forget_it(tmp_path):
    path = pad(tmp_path)
    assert all(RUN_KEY not in group for group in groups_to_keep(pq.read_schema(path), ()))
    unpad_file(path, tmp_path / "rows.parquet")
    assert PaddedRun.read(pq.read_schema(tmp_path / "rows.parquet")) is None
    again = MaskSpec(column="m", allow_padded=True)
    pad_file(path, tmp_path / "two.parquet", spec=PadSpec(maxlen=3), mask=again)
    assert PaddedRun.read(pq.read_schema(tmp_path / "two.parquet")) is None
