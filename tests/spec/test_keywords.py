"""Functions that pad or pack take the fields of `PadSpec` as keyword arguments, as `pad` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import padmask
from padmask import PackSpec, PadSpec, SpecError

TABLE = pa.table({"input_ids": [[7, 8, 9], [5, 6], [4]]})

Call = Callable[..., Any]


def ids_of(table: pa.Table) -> list[list[int]]:
    ids: list[list[int]] = table["input_ids"].to_pylist()
    return ids


def in_memory(function: Call) -> Call:
    return lambda folder, **given: ids_of(function(TABLE, **given))


def in_files(function: Call, output: str) -> Call:
    def run(folder: Path, **given: Any) -> list[list[int]]:
        pq.write_table(TABLE, folder / "in.parquet")
        function(folder / "in.parquet", folder / output, **given)
        return ids_of(pq.read_table(next((folder / "out").parent.glob("out*/*.parquet"), folder / output)))

    return run


PADS = {
    "table": in_memory(padmask.pad_table),
    "file": in_files(padmask.pad_file, "out.parquet"),
    "dataset": in_files(padmask.pad_dataset, "out"),
}
PACKS = {
    "table": in_memory(padmask.pack_table),
    "file": in_files(padmask.pack_file, "out.parquet"),
    "dataset": in_files(padmask.pack_dataset, "out"),
}


@pytest.mark.parametrize("pad", PADS.values(), ids=PADS)
def test_pad_takes_fields(tmp_path, pad):
    assert pad(tmp_path, maxlen=2, padding="pre") == [[7, 8], [5, 6], [0, 4]]


@pytest.mark.parametrize("pad", PADS.values(), ids=PADS)
def test_fields_replace_spec(tmp_path, pad):
    assert pad(tmp_path, spec=PadSpec(maxlen=9, value=1), maxlen=2) == [[7, 8], [5, 6], [4, 1]]


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_pack_takes_fields(tmp_path, pack):
    assert pack(tmp_path, maxlen=5, eos=2) == [[7, 8, 9, 2, 0], [5, 6, 2, 4, 2]]


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_fields_replace_packing(tmp_path, pack):
    given = {"spec": PadSpec(maxlen=9), "packing": PackSpec(eos=1), "maxlen": 4, "eos": 2}
    assert pack(tmp_path, **given) == [[7, 8, 9, 2], [5, 6, 2, 0], [4, 2, 0, 0]]


@pytest.mark.parametrize("run", [*PADS.values(), *PACKS.values()])
def test_unknown_field_is_named(tmp_path, run):
    with pytest.raises(SpecError, match=r"`maxlength` is not a field of PadSpec\. Did you mean"):
        run(tmp_path, maxlength=2)


@pytest.mark.parametrize("run", [*PADS.values(), *PACKS.values()])
def test_field_of_the_mask_is_named(tmp_path, run):
    with pytest.raises(SpecError, match=r"Pass `mask=MaskSpec\(polarity='padding'\)`"):
        run(tmp_path, polarity="padding")


@pytest.mark.parametrize("run", [pads["file"] for pads in (PADS, PACKS)])
def test_field_of_the_files_is_named(tmp_path, run):
    with pytest.raises(SpecError, match=r"Pass `files=FileOptions\(threads=2\)`"):
        run(tmp_path, threads=2)


def test_field_of_no_argument_is_unknown():
    with pytest.raises(SpecError, match=r"`threads` is not a field of PadSpec\. Use one of"):
        padmask.pad_table(TABLE, threads=2)
