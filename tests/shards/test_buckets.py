"""Datasets divided into buckets: each row is in the folder of the smallest edge that holds the row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from row_files import read_rows, write_rows
from tiers import represented

from padmask import (
    FileOptions,
    MaskSpec,
    OutputError,
    PadSpec,
    RowPolicy,
    SpecError,
    WindowSpec,
    unpad_file,
)
from padmask.errors import DataError
from padmask.shards import worker
from padmask.shards.manifest import Manifest
from padmask.shards.pad_dataset import pad_dataset
from padmask.storage.manifest_file import sizes_in
from padmask.stream.ledger import PadResult

MANIFEST = "_padmask.json"
FORMATS = ["jsonl", "parquet", "arrow", "npz"]
LENGTHS = st.lists(st.integers(0, 12), max_size=12)

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Row = dict[str, Any]


def make_rows(lengths: list[int], first: int = 1) -> list[Row]:
    return [
        {"id": first + i, "input_ids": list(range(first + i, first + i + n))} for i, n in enumerate(lengths)
    ]


def write(folder: Path, files: Mapping[str, list[Row]]) -> Path:
    """Write one file for each name, in the format of its suffix."""
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, rows, pa.schema([("id", pa.int64()), ("input_ids", pa.list_(pa.int32()))]))
    return folder


def read(path: Path) -> list[Row]:
    if path.suffix != ".npz":
        return read_rows(path)
    arrays = np.load(path)
    return [{name: arrays[name][row].tolist() for name in arrays} for row in range(len(arrays["mask"]))]


def read_buckets(folder: Path) -> dict[str, list[Row]]:
    """Return the rows of each file, by path relative to the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): read(path) for path in paths}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def padded(row: Row, number: int, edge: int) -> Row:
    ids = row["input_ids"][:edge]
    rest = edge - len(ids)
    return {
        "id": row["id"],
        "input_ids": ids + [0] * rest,
        "mask": [True] * len(ids) + [False] * rest,
        "source_row": number,
    }


def naive(files: Mapping[str, list[Row]], edges: tuple[int, ...]) -> dict[str, list[Row]]:
    """Divide the rows of each file into buckets, row by row."""
    found: dict[str, list[Row]] = {}
    for name, rows in files.items():
        for number, row in enumerate(rows):
            edge = next((edge for edge in edges if len(row["input_ids"]) <= edge), edges[-1])
            found.setdefault(f"bucket={edge:05}/{name}", []).append(padded(row, number, edge))
        if not rows:
            found[f"bucket={edges[-1]:05}/{name}"] = []
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four files."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data")
    return write(folder, {f"{i}.parquet": make_rows(draw.integers(0, 60, 15).tolist()) for i in range(4)})


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=3),
    edges=st.sets(st.integers(1, 14), min_size=1, max_size=4).map(lambda found: tuple(sorted(found))),
    batch_rows=st.none() | st.integers(1, 4),
)
@few
def test_rows_are_divided_as_by_hand(tmp_path, lengths, edges, batch_rows):
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    files = {f"{i}.jsonl": make_rows(its, 100 * i) for i, its in enumerate(lengths)}
    inputs = write(tmp_path / "in", files)
    result = pad_dataset(
        inputs, tmp_path / "out", spec=PadSpec(buckets=edges), files=FileOptions(batch_rows=batch_rows)
    )
    assert read_buckets(tmp_path / "out") == naive(files, edges)
    check_counts(result, [n for its in lengths for n in its], edges)


def check_counts(result: PadResult, lengths: list[int], edges: tuple[int, ...]) -> None:
    ledger = result.ledger
    assert ledger.balanced
    assert ledger.rows_used == ledger.rows_written == len(lengths)
    assert ledger.tokens_read == sum(lengths) == ledger.tokens_kept + ledger.tokens_lost
    assert ledger.tokens_kept == sum(min(length, edges[-1]) for length in lengths)
    assert ledger.places == sum(bucket.rows * bucket.maxlen for bucket in result.buckets)
    assert sum(bucket.rows for bucket in result.buckets) == ledger.rows_written
    assert sum(bucket.tokens for bucket in result.buckets) == ledger.tokens_kept
    assert tuple(bucket.maxlen for bucket in result.buckets) == edges


@pytest.mark.parametrize("output", FORMATS)
def test_all_formats_have_equal_rows(tmp_path, output):
    files = {"a.parquet": make_rows([1, 9, 3, 0]), "sub/b.parquet": make_rows([8])}
    inputs = write(tmp_path / "in", files)
    result = pad_dataset(
        inputs, tmp_path / "out", spec=PadSpec(buckets=2), files=FileOptions(output_format=output)
    )
    assert [bucket.maxlen for bucket in result.buckets] == [3, 9]
    wanted = {name.replace(".parquet", f".{output}"): rows for name, rows in naive(files, (3, 9)).items()}
    found = read_buckets(tmp_path / "out")
    for row in found["bucket=00003/a.npz"] if output == "npz" else ():
        del row["length"]
    assert {name: [row.get("input_ids") for row in rows] for name, rows in found.items()} == {
        name: [row["input_ids"] for row in rows] for name, rows in wanted.items()
    }
    assert found[f"bucket=00003/a.{output}"] == wanted[f"bucket=00003/a.{output}"]


@pytest.mark.slow
@pytest.mark.parametrize("buckets", [3, (20, 40, 60)])
def test_bytes_are_always_the_same(data, tmp_path, buckets):
    spec, found = PadSpec(buckets=buckets), []
    ways: list[dict[str, Any]] = [
        {},
        {"files": FileOptions(batch_rows=1)},
        {"files": FileOptions(batch_rows=7, threads=3)},
        {"executor": ThreadPoolExecutor(2), "workers": 2},
    ]
    for i, way in enumerate(ways):
        pad_dataset(data, tmp_path / f"{i}", spec=spec, **way)
        found.append(bytes_in(tmp_path / f"{i}"))
        del found[-1][MANIFEST]
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("overlong", ["truncate", "drop", "error"])
def test_overlong_rows(tmp_path, overlong):
    files = {"a.jsonl": make_rows([2, 9, 4])}
    inputs, rejects = write(tmp_path / "in", files), tmp_path / "rejects.jsonl"
    spec, policy = PadSpec(buckets=(2, 5)), RowPolicy(overlong=overlong)
    if overlong == "error":
        with pytest.raises(DataError, match="9 tokens"):
            pad_dataset(inputs, tmp_path / "out", spec=spec, policy=policy)
        return
    options = FileOptions(rejects=str(rejects))
    result = pad_dataset(inputs, tmp_path / "out", spec=spec, policy=policy, files=options)
    assert result.ledger.rows_dropped == (overlong == "drop")
    last = [row["id"] for row in read_buckets(tmp_path / "out")["bucket=00005/a.jsonl"]]
    assert last == ([3] if overlong == "drop" else [2, 3])
    assert len(rejects.read_text().splitlines()) == (overlong == "drop")


def test_windows_stay_in_the_last_bucket(tmp_path):
    inputs = write(tmp_path / "in", {"a.jsonl": make_rows([2, 9, 4])})
    spec = PadSpec(buckets=(2, 4), windows=WindowSpec(overlap=1))
    result = pad_dataset(inputs, tmp_path / "out", spec=spec)
    found = read_buckets(tmp_path / "out")
    assert [(row["source_row"], row["window"]) for row in found["bucket=00004/a.jsonl"]] == [
        *((1, 0), (1, 1), (1, 2)),
        (2, 0),
    ]
    ledger = result.ledger
    assert ledger.tokens_lost == 0
    assert ledger.tokens_repeated == 2
    assert result.buckets[1].tokens == 9 + 2 + 4


def test_kept_ends(tmp_path):
    inputs = write(tmp_path / "in", {"a.jsonl": make_rows([2, 9])})
    pad_dataset(inputs, tmp_path / "out", spec=PadSpec(buckets=(2, 4), keep_last=1))
    [row] = read_buckets(tmp_path / "out")["bucket=00004/a.jsonl"]
    assert row["input_ids"] == [2, 3, 4, 10]


def test_rejected_rows_stay_in_order(tmp_path):
    rows = [*make_rows([1, 7]), {"id": 0, "input_ids": [1, None]}, *make_rows([8, 20])]
    inputs, rejects = write(tmp_path / "in", {"a.jsonl": rows}), tmp_path / "rejects.jsonl"
    result = pad_dataset(
        inputs,
        tmp_path / "out",
        spec=PadSpec(buckets=2, maxlen=8),
        policy=RowPolicy(on_error="skip", overlong="drop"),
        files=FileOptions(rejects=str(rejects), batch_rows=2),
    )
    assert (result.ledger.rows_rejected, result.ledger.rows_dropped) == (1, 1)
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [3, 5]
    sources = {row["source_row"] for rows in read_buckets(tmp_path / "out").values() for row in rows}
    assert sources == {0, 1, 3}


def test_empty_file_has_one_empty_output(tmp_path):
    inputs = write(tmp_path / "in", {"a.parquet": [], "b.parquet": make_rows([1])})
    pad_dataset(inputs, tmp_path / "out", spec=PadSpec(buckets=(4, 8)))
    found = read_buckets(tmp_path / "out")
    assert {name: len(rows) for name, rows in found.items()} == {
        "bucket=00004/b.parquet": 1,
        "bucket=00008/a.parquet": 0,
    }


def test_metadata_say_the_edge(tmp_path):
    inputs = write(tmp_path / "in", {"a.parquet": make_rows([3, 9])})
    pad_dataset(inputs, tmp_path / "out", spec=PadSpec(buckets=2))
    for edge in (3, 9):
        schema = pq.read_schema(tmp_path / f"out/bucket={edge:05}/a.parquet")
        meta = json.loads(schema.metadata[b"padmask"])
        assert (meta["maxlen"], meta["buckets"]) == (edge, [3, 9])


def test_no_source_row(tmp_path):
    inputs = write(tmp_path / "in", {"a.jsonl": make_rows([3, 9])})
    pad_dataset(inputs, tmp_path / "out", spec=PadSpec(buckets=2, source_row=False))
    assert [*read_buckets(tmp_path / "out")["bucket=00003/a.jsonl"][0]] == ["id", "input_ids", "mask"]


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=3).filter(lambda found: any(map(any, found))),
    buckets=st.integers(1, 3),
    maxlen=st.none() | st.integers(2, 6),
    output=st.sampled_from(["jsonl", "parquet", "arrow"]),
)
@few
def test_unpad_restores_the_rows(tmp_path, lengths, buckets, maxlen, output):
    for path in tmp_path.iterdir():
        shutil.rmtree(path)
    files = {f"{i}.parquet": make_rows(its, 100 * i) for i, its in enumerate(lengths)}
    windows = None if maxlen is None else WindowSpec(overlap=1)
    spec = PadSpec(buckets=buckets, maxlen=maxlen or "longest", windows=windows)
    (tmp_path / "back").mkdir()
    inputs = write(tmp_path / "in", files)
    pad_dataset(inputs, tmp_path / "out", spec=spec, files=FileOptions(output_format=output))
    unpad_file(tmp_path / "out", tmp_path / "back/rows.jsonl")
    assert read(tmp_path / "back/rows.jsonl") == [row for rows in files.values() for row in rows]


def test_remote_folder(data, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    pad_dataset(data, tmp_path, spec=PadSpec(buckets=3))
    pad_dataset(data, "memory://buckets/", spec=PadSpec(buckets=3))
    store = fsspec.filesystem("memory")
    found = {name.removeprefix("/buckets/"): store.cat(name) for name in store.find("/buckets")}
    assert found == bytes_in(tmp_path)
    assert pad_dataset(data, "memory://buckets/", spec=PadSpec(buckets=3), resume=True).resumed == 4


# --- Other readers -----------------------------------------------------------------------


def test_arrow_reads_the_folder(data, tmp_path):
    result = pad_dataset(data, tmp_path / "out", spec=PadSpec(buckets=3))
    table = ds.dataset(tmp_path / "out", partitioning="hive").to_table()
    for bucket in result.buckets:
        rows = table.filter(pa.compute.equal(table["bucket"], bucket.maxlen))
        assert rows.num_rows == bucket.rows
        assert {len(row) for row in rows["input_ids"].to_pylist()} == {bucket.maxlen}


def test_manifest_lists_all_files(data, tmp_path):
    result = pad_dataset(data, tmp_path / "out", spec=PadSpec(buckets=3))
    sizes = {name: len(data) for name, data in bytes_in(tmp_path / "out").items() if name != MANIFEST}
    assert dict(sizes_in(str(tmp_path / "out" / MANIFEST))) == sizes
    manifest = Manifest.of_bytes((tmp_path / "out" / MANIFEST).read_bytes())
    assert manifest.plan.edges == tuple(bucket.maxlen for bucket in result.buckets)
    assert sum(record.size for record in manifest.records) == sum(sizes.values())


@represented(
    "field,value",
    [("rows", 1), ("name", "../a.parquet"), ("tokens", 10**6), ("maxlen", 5), ("size", 1)],
    by=2,
)
def test_inconsistent_manifest_is_refused(data, tmp_path, field, value):
    pad_dataset(data, tmp_path / "out", spec=PadSpec(buckets=3))
    contents = json.loads((tmp_path / "out" / MANIFEST).read_bytes())
    contents["shards"][0]["buckets"][0][field] = value
    with pytest.raises(ValueError, match=r"inconsistent|outside"):
        Manifest.of_bytes(json.dumps(contents).encode())


@pytest.mark.parametrize(
    "rows",
    [[{"input_ids": [1], "bucket": 3}], [{"input_ids": [1]}] * 1001 + [{"input_ids": [1], "bucket": 3}]],
)
def test_column_bucket_is_refused(tmp_path, rows):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SpecError, match="'bucket'") as caught:
        pad_dataset(tmp_path / "a.jsonl", tmp_path / "out", spec=PadSpec(buckets=2))
    assert caught.value.options == ("buckets",)


def test_mask_named_bucket_is_refused(data, tmp_path):
    with pytest.raises(SpecError, match="'bucket'"):
        pad_dataset(data, tmp_path / "out", spec=PadSpec(buckets=2), mask=MaskSpec(column="bucket"))


def test_folder_of_a_bucket_is_refused(tmp_path):
    inputs = write(tmp_path / "in", {"bucket=1/a.jsonl": make_rows([3])})
    with pytest.raises(SpecError, match="bucket=1") as caught:
        pad_dataset(inputs, tmp_path / "out", spec=PadSpec(buckets=2))
    assert caught.value.options == ("buckets",)


# --- Earlier runs in the folder ----------------------------------------------------------


class StopError(Exception):
    """An exception that interrupts a run."""


@pytest.mark.slow
@pytest.mark.parametrize("buckets", [3, (20, 40, 60)])
@pytest.mark.parametrize("moment", ["padding", "moving"])
def test_interrupted_run_is_resumed(data, tmp_path, monkeypatch, buckets, moment):
    spec = PadSpec(buckets=buckets)
    pad_dataset(data, tmp_path / "wanted", spec=spec)
    wanted, folder = bytes_in(tmp_path / "wanted"), tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_at(patch, moment)
        with pytest.raises(StopError):
            pad_dataset(data, folder, spec=spec)
    assert not (folder / MANIFEST).exists()
    result = pad_dataset(data, folder, spec=spec, resume=True)
    assert result.resumed == {"padding": 2, "moving": 4}[moment]
    assert bytes_in(folder) == wanted
    assert pad_dataset(data, folder, spec=spec, resume=True).resumed == 4
    assert bytes_in(folder) == wanted


def stop_at(patch: pytest.MonkeyPatch, moment: str) -> None:
    """Interrupt a run after two padded shards, or between two moves of output files."""
    if moment == "padding":
        pad_shard = worker.pad_shard

        def pad(work: Any, shard: Any, plan: Any) -> Any:
            if shard.index == 2:
                raise StopError
            return pad_shard(work, shard, plan)

        patch.setattr("padmask.shards.driver.pad_shard", pad)
        return
    from padmask.storage.folder import OutputFolder

    move, moves = OutputFolder.move, iter(range(100))

    def move_some(self: OutputFolder, name: str, new_name: str) -> None:
        if next(moves) >= 4:
            raise StopError
        move(self, name, new_name)

    patch.setattr(OutputFolder, "move", move_some)


def test_damaged_bucket_is_padded_again(data, tmp_path):
    spec = PadSpec(buckets=(20, 60))
    pad_dataset(data, tmp_path, spec=spec)
    wanted = bytes_in(tmp_path)
    (tmp_path / "bucket=00020/1.parquet").write_bytes(b"damaged")
    assert pad_dataset(data, tmp_path, spec=spec, resume=True).resumed == 3
    assert bytes_in(tmp_path) == wanted


@represented("before,after", [((20, 60), (30, 60)), (None, 2), (2, 3), (2, None)], by=2)
def test_other_buckets_need_delete(data, tmp_path, before, after):
    pad_dataset(data, tmp_path, spec=PadSpec(buckets=before))
    old = bytes_in(tmp_path)
    with pytest.raises(OutputError, match="--delete"):
        pad_dataset(data, tmp_path, spec=PadSpec(buckets=after))
    assert bytes_in(tmp_path) == old
    result = pad_dataset(data, tmp_path, spec=PadSpec(buckets=after), delete=True)
    folders = {name.split("/")[0] for name in bytes_in(tmp_path) if "/" in name}
    assert folders == {f"bucket={bucket.maxlen:05}" for bucket in result.buckets}


def test_other_data_are_refused(data, tmp_path):
    write(tmp_path, {"bucket=00020/other.parquet": make_rows([1])})
    for buckets in (2, (20, 60)):
        with pytest.raises(OutputError, match="other"):
            pad_dataset(data, tmp_path, spec=PadSpec(buckets=buckets))


def test_changed_input_is_padded_again(tmp_path):
    inputs = write(tmp_path / "in", {"a.jsonl": make_rows([1, 3]), "b.jsonl": make_rows([7])})
    spec = PadSpec(buckets=(4, 8))
    pad_dataset(inputs, tmp_path / "out", spec=spec)
    write(inputs, {"a.jsonl": make_rows([5])})
    assert pad_dataset(inputs, tmp_path / "out", spec=spec, resume=True).resumed == 1
    assert sorted(read_buckets(tmp_path / "out")) == ["bucket=00008/a.jsonl", "bucket=00008/b.jsonl"]


def test_limit_counts_input_rows(data, tmp_path):
    options = replace(FileOptions(), limit=20)
    result = pad_dataset(data, tmp_path, spec=PadSpec(buckets=3), files=options)
    assert result.ledger.rows_written == 20
