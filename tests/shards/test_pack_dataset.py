"""Datasets of packed rows: the counts after a resumed run are the same as after one run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from padmask import PackSpec, PadSpec, pack_dataset
from padmask.storage.manifest_file import ManifestCounts, read_manifest
from padmask.stream.ledger import Ledger

ROWS = '{"input_ids":[1,2],"labels":[1,2]}\n{"input_ids":[3],"labels":[3]}\n'
PACKING = {
    "default": PackSpec(),
    "end tokens": PackSpec(eos=9),
    "no padding": PackSpec(pad=False),
    "aligned": PackSpec(align=4),
    "one sequence": PackSpec(max_segments=1),
}


def test_manifest_has_all_counts() -> None:
    # The manifest has no reasons, because they are texts for the summary.
    assert {*ManifestCounts.__struct_fields__} == {one.name for one in fields(Ledger)} - {"reasons"}


@pytest.mark.parametrize("packing", PACKING.values(), ids=PACKING)
@pytest.mark.parametrize("missing", [["2.jsonl"], []], ids=["a shard is missing", "complete"])
def test_resumed_counts(tmp_path: Path, packing: PackSpec, missing: list[str]) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("1.jsonl", "2.jsonl", "3.jsonl"):
        (source / name).write_text(ROWS * (2 if name == "3.jsonl" else 1))
    spec = PadSpec(maxlen=8)

    first = pack_dataset(source, target, spec=spec, packing=packing)
    for name in missing:
        (target / name).unlink()
    again = pack_dataset(source, target, spec=spec, packing=packing, resume=True)

    assert again.resumed == 3 - len(missing)
    assert again.ledger == first.ledger
    assert first.ledger.sequences == 8
    assert read_manifest(str(target / "_padmask.json")).total["sequences"] == 8
