"""`inspect` of packed rows: counts, the lower bound, and the sequences of the shown rows."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from padmask import PadSpec, ShowSpec, WindowSpec, pack_dataset, verify_file
from padmask.core.length_stats import LengthStats
from padmask.inspect import packing_estimate
from padmask.inspect.inspect_file import inspect_file
from padmask.inspect.packing_estimate import estimate_packing
from padmask.spec.pack import PackSpec
from padmask.stream.pack import pack_file


def pack(folder, lengths, maxlen, suffix="parquet", **packing):
    lines = (json.dumps({"input_ids": [7] * length}) for length in lengths)
    (folder / "in.jsonl").write_text("\n".join(lines))
    output = folder / f"out.{suffix}"
    pack_file(folder / "in.jsonl", output, spec=PadSpec(maxlen=maxlen), packing=PackSpec(**packing))
    return output


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("pad", [True, False])
def test_sequences_are_counted(tmp_path, suffix, pad):
    seen = inspect_file(pack(tmp_path, [3, 1, 5, 2], 6, suffix, pad=pad))
    assert seen.packed.as_dict() == {
        "sequences": 4,
        "most_sequences": 3,
        "filled_share": 11 / 12,
        "rows_at_least": 2,
    }
    assert (seen.plans, seen.health) == ([], [])
    assert seen.advice.command.startswith("padmask unpad ")


def test_bound_uses_aligned_lengths(tmp_path):
    seen = inspect_file(pack(tmp_path, [3, 1, 5, 2], 8, align=4))
    assert (seen.packed.rows, seen.packed.rows_at_least) == (3, 3)


def test_bound_uses_max_segments(tmp_path):
    seen = inspect_file(pack(tmp_path, [1, 1, 1, 1, 1], 8, max_segments=2))
    assert (seen.packed.rows, seen.packed.rows_at_least) == (3, 3)


def test_files_of_a_folder_are_planned_apart(tmp_path):
    """The plan for a folder has the rows that `pack` writes, because `pack` packs each file separately."""
    for name, lengths in (("a", [5, 2, 2]), ("b", [5, 4, 1]), ("c", [7, 6])):
        lines = (json.dumps({"input_ids": [7] * length}) for length in lengths)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.jsonl").write_text("\n".join(lines))
    for maxlen, options, name in (
        (8, {}, "packed"),
        (6, {"windows": WindowSpec()}, "packed-split"),
    ):
        plans = {
            plan.name: plan for plan in inspect_file(f"{tmp_path}/in/", specs=[PadSpec(maxlen=maxlen)]).plans
        }
        spec = PadSpec(maxlen=maxlen, **options)
        ledger = pack_dataset(tmp_path / "in", tmp_path / f"out{maxlen}", spec=spec).ledger
        assert (plans[name].rows, plans[name].rows_at_least) == (ledger.rows_written, ledger.rows_at_least)
        assert plans[name].tokens_lost == 0


def test_many_lengths_are_extrapolated(monkeypatch):
    files = [LengthStats(dict.fromkeys(range(1, 101), 1))] * 40
    exact = estimate_packing(files, 128, PadSpec())
    monkeypatch.setattr(packing_estimate, "PLANNED_LENGTHS", 400)
    assert estimate_packing(files, 128, PadSpec()).rows == exact.rows


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("described", [True, False])
def test_packed_rows_without_boundaries(tmp_path, pad, described):
    """Rows with source columns are reported as packed, even if no column separates the sequences."""
    path = pack(tmp_path, [3, 1, 5], 6, pad=pad)
    table = pq.read_table(path).drop_columns(["seq_lengths"])
    pq.write_table(table if described else table.replace_schema_metadata(None), path)
    seen, report = inspect_file(path), verify_file(path)
    assert seen.describe().endswith("(packed)")
    assert (seen.packed, seen.plans, seen.advice.command) == (None, [], "")
    assert report.verdict == "data-ok"
    assert any("packed" in note and "seq_lengths" in note for note in report.notes)


def test_rows_show_their_sequences(tmp_path):
    seen = inspect_file(pack(tmp_path, [3, 1, 5], 8, align=4), show=ShowSpec())
    numbers = [row.segments.tolist() for row in seen.shown]
    assert numbers == [[1, 1, 1, 0, 2, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]]
    assert all(((row.segments > 0) == row.mask).all() for row in seen.shown)


def test_other_rows_have_no_sequences(tmp_path):
    pack(tmp_path, [3, 1], 4)
    seen = inspect_file(tmp_path / "in.jsonl", show=ShowSpec())
    assert seen.packed is None
    assert [row.segments for row in seen.shown] == [None, None]
    assert seen.as_dict()["packed"] is None
