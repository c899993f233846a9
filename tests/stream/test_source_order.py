"""unpad restores the order of the source rows of batches and buckets, in bounded memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raised import raises_error

from padmask import (
    BatchSpec,
    FileOptions,
    PadSpec,
    RowError,
    SpecError,
    UnpadSpec,
    WindowSpec,
    pad_dataset,
    pad_file,
    unpad_file,
    unpad_table,
)
from padmask.formats import arrow
from padmask.stream import sorted_rows
from padmask.stream.sorted_rows import KeyedRows, RowSorter
from padmask.stream.unpad_order import source_ranks

FORMATS = st.sampled_from(["jsonl", "parquet", "arrow"])
COLUMNS = ["ids", "labels=-100"]


def lines_of(lengths: list[int]) -> str:
    rows = [
        {"id": f"r{i}", "ids": list(range(100 * i, 100 * i + n)), "labels": [i] * n, "x": [i]}
        for i, n in enumerate(lengths)
    ]
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def source_of(folder: Path, lengths: list[int]) -> Path:
    path = folder / "in.jsonl"
    path.write_text(lines_of(lengths))
    return path


def padded_of(source: Path, suffix: str, spec: PadSpec) -> Path:
    output = source.with_name(f"padded.{suffix}")
    pad_file(source, output, columns=COLUMNS, spec=spec)
    return output


def unpadded(padded: Path, suffix: str = "jsonl", spec: UnpadSpec | None = None) -> str:
    output = padded.with_name(f"rows.{suffix}")
    columns = ["ids", "labels"] if padded.suffix == ".jsonl" else None
    unpad_file(padded, output, columns=columns, spec=spec)
    if suffix != "jsonl":
        table = pq.read_table(output) if suffix == "parquet" else ipc.open_file(output).read_all()
        return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in table.to_pylist())
    return output.read_text()


BATCHES = BatchSpec(tokens=40, sort_window=7, shuffle=1)
SPECS = [
    PadSpec(batches=BATCHES),
    PadSpec(batches=BATCHES, padding="pre"),
    PadSpec(maxlen=4, batches=BATCHES, windows=WindowSpec(overlap=1)),
    PadSpec(maxlen=4, batches=BATCHES, windows=WindowSpec(labels="all"), keep_last=1),
]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 12), max_size=25),
    st.sampled_from(SPECS),
    FORMATS,
    FORMATS,
    st.sampled_from([1, 200, 1 << 20]),
)
@pytest.mark.slow
def test_round_trip(tmp_path_factory, lengths, spec, middle, target, run_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_rows, "RUN_BYTES", run_bytes)
        patch.setattr(sorted_rows, "MOST_RUNS", 3)
        source = source_of(tmp_path_factory.mktemp("order"), [1, *lengths])
        assert unpadded(padded_of(source, middle, spec), target) == source.read_text()


def test_table_in_source_order(tmp_path):
    for spec in SPECS:
        source = source_of(tmp_path, [3, 0, 9, 1, 5])
        padded = padded_of(source, "parquet", spec)
        rows = unpad_table(pq.read_table(padded)).to_pylist()
        assert rows == [json.loads(line) for line in source.read_text().splitlines()]


def test_rows_in_any_order(tmp_path):
    """The order is restored even if another program shuffled the rows."""
    source = source_of(tmp_path, list(range(30)))
    padded = padded_of(source, "parquet", SPECS[0])
    table, order = pq.read_table(padded), list(range(30))
    random.Random(3).shuffle(order)
    pq.write_table(table.take(pa.array(order)), padded)
    assert unpadded(padded) == source.read_text()


def test_several_files(tmp_path):
    """Each file has its own source rows, and the files stay in order."""
    paths = []
    for name in "ba":
        (tmp_path / name).mkdir()
        source = source_of(tmp_path / name, [4, 1, 2])
        paths.append(padded_of(source, "parquet", SPECS[0]))
    output = tmp_path / "rows.jsonl"
    unpad_file(paths, output)
    assert output.read_text() == lines_of([4, 1, 2]) * 2


def test_ranks_of_buckets():
    names = ["o/bucket=00008/b.parquet", "o/bucket=00016/a.parquet", "o/bucket=00016/b.parquet", "c.parquet"]
    assert list(source_ranks(names).values()) == [2, 1, 2, 0]
    assert source_ranks(["b.parquet", "a.parquet"]) == {"b.parquet": 0, "a.parquet": 1}


def test_json_lines_of_buckets(tmp_path):
    """Without metadata, the folders show that the rows are in buckets."""
    for edge, rows in ((2, [(1, [7, 8]), (2, [5, 0])]), (4, [(0, [1, 2, 3, 0]), (3, [4, 4, 4, 4])])):
        folder = tmp_path / "padded" / f"bucket={edge:05}"
        folder.mkdir(parents=True)
        lines = [
            json.dumps({"input_ids": ids, "mask": [token > 0 for token in ids], "source_row": row})
            for row, ids in rows
        ]
        (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    unpad_file(tmp_path / "padded", tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == [{"input_ids": ids} for ids in ([1, 2, 3], [7, 8], [5], [4, 4, 4, 4])]


def test_own_source_row(tmp_path):
    """In plainly padded data, a column `source_row` is data of the user, and `unpad` keeps it."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"ids":[1,2],"source_row":5}\n{"ids":[3],"source_row":2}\n')
    for suffix in ("jsonl", "parquet"):
        padded = tmp_path / f"padded.{suffix}"
        pad_file(path, padded, columns=["ids"])
        unpad_file(padded, tmp_path / "rows.jsonl", columns=["ids"])
        assert (tmp_path / "rows.jsonl").read_text() == path.read_text()


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_no_restore_order(tmp_path, suffix):
    source = source_of(tmp_path, [5, 1, 3])
    padded = padded_of(source, suffix, PadSpec(batches=BatchSpec(tokens=5)))
    rows = [json.loads(line) for line in unpadded(padded, spec=UnpadSpec(restore_order=False)).splitlines()]
    assert [(row["source_row"], row["batch"], len(row["ids"])) for row in rows] == [
        (1, 0, 1),
        (2, 1, 3),
        (0, 2, 5),
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_without_source_row(tmp_path, suffix):
    source = source_of(tmp_path, [5, 1, 3])
    padded = padded_of(source, suffix, PadSpec(batches=BatchSpec(tokens=5), source_row=False))
    result = unpad_file(padded, tmp_path / "rows.jsonl", columns=["ids", "labels"])
    assert any("source_row" in note for note in result.notes)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in rows] == [0, 1, 2]


UNSORTED = [PadSpec(batches=BatchSpec(tokens=5), source_row=False), PadSpec(buckets=2, source_row=False)]


def pad_own_rows(folder: Path, spec: PadSpec, format_: str) -> Path:
    """Pad rows with a column `source_row` of the user. Return the file or the folder of buckets."""
    rows = [{"ids": [i] * n, "source_row": 9 - i} for i, n in enumerate([5, 1, 5])]
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if spec.buckets:
        pad_dataset(path, folder / "b", columns=["ids"], spec=spec, files=FileOptions(output_format=format_))
        return folder / "b"
    pad_file(path, folder / f"b.{format_}", columns=["ids"], spec=spec)
    return folder / f"b.{format_}"


@pytest.mark.parametrize("spec", UNSORTED, ids=["batches", "buckets"])
@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_own_numbers_stay(tmp_path, spec, format_):
    padded = pad_own_rows(tmp_path, spec, format_)
    result = unpad_file(padded, tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["source_row"], len(row["ids"])) for row in rows] == [(8, 1), (9, 5), (7, 5)]
    assert any("source_row" in note for note in result.notes)


@pytest.mark.parametrize("spec", UNSORTED, ids=["batches", "buckets"])
def test_own_numbers_in_json_lines(tmp_path, spec):
    with raises_error(SpecError, "source_row", "Parquet", place="in.jsonl", option="source_row"):
        pad_own_rows(tmp_path, spec, "jsonl")


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_own_batch_of_buckets(tmp_path, format_):
    """In buckets, a column `batch` is data of the user, because padmask adds no such column to buckets."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"ids":[1,2],"batch":5}\n{"ids":[3],"batch":2}\n')
    for name in (format_, "jsonl"):
        files = FileOptions(output_format=name)
        pad_dataset(path, tmp_path / name, columns=["ids"], spec=PadSpec(buckets=2), files=files)
        unpad_file(tmp_path / name, tmp_path / "rows.jsonl", columns=["ids"])
        assert (tmp_path / "rows.jsonl").read_text() == path.read_text()


@pytest.mark.parametrize(("suffix", "is_said"), [("jsonl", True), ("parquet", False)])
def test_sorting_is_said(tmp_path, suffix, is_said):
    """Without metadata, only the column names show the order, so the summary says how rows are sorted."""
    padded = padded_of(source_of(tmp_path, [5, 1, 3]), suffix, PadSpec(batches=BatchSpec(tokens=5)))
    result = unpad_file(padded, tmp_path / "rows.jsonl", columns=["ids", "labels"])
    assert any("source_row" in remark for remark in result.remarks) == is_said


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_limit_counts_unsorted_rows(tmp_path, suffix):
    padded = padded_of(source_of(tmp_path, [5, 1, 3]), suffix, PadSpec(batches=BatchSpec(tokens=5)))
    ask = {"columns": ["ids", "labels"], "files": FileOptions(limit=2)}
    with raises_error(SpecError, "--no-restore-order", option="restore_order"):
        unpad_file(padded, tmp_path / "rows.jsonl", **ask)
    result = unpad_file(padded, tmp_path / "rows.jsonl", spec=UnpadSpec(restore_order=False), **ask)
    assert result.ledger.rows_written == 2


def test_plain_column_named_batch(tmp_path):
    """In padded rows that are not in batches, a column named `batch` is data of the user."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"ids":[1,2],"batch":5}\n{"ids":[3],"batch":2}\n')
    pad_file(path, tmp_path / "padded.jsonl", columns=["ids"])
    result = unpad_file(tmp_path / "padded.jsonl", tmp_path / "rows.jsonl", columns=["ids"])
    assert (result.notes, (tmp_path / "rows.jsonl").read_text()) == ((), path.read_text())


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_null_source_row(tmp_path, suffix):
    source = source_of(tmp_path, [5, 1, 3])
    padded = padded_of(source, suffix, SPECS[0])
    if suffix == "jsonl":
        padded.write_text(padded.read_text().replace('"source_row":1', '"source_row":null'))
    else:
        table = pq.read_table(padded)
        numbers = pa.array([None if n == 1 else n for n in table["source_row"].to_pylist()], pa.int64())
        place = table.schema.get_field_index("source_row")
        pq.write_table(table.set_column(place, table.schema.field(place), numbers), padded)
    with pytest.raises(RowError) as error:
        unpadded(padded)
    assert (error.value.column, error.value.options) == ("source_row", ("restore_order",))
    columns = ["ids", "labels"]
    result = unpad_file(padded, tmp_path / "rows.jsonl", columns=columns, on_error="skip")
    assert (result.ledger.rows_rejected, result.ledger.rows_written) == (1, 2)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lost_window(tmp_path, suffix):
    """If one window of a row is bad, all windows of the row are refused, even if the last one is bad."""
    source = source_of(tmp_path, [9, 2, 9])
    padded = padded_of(source, "jsonl", PadSpec(maxlen=4, batches=BATCHES, windows=WindowSpec()))
    rows = [json.loads(line) for line in padded.read_text().splitlines()]
    for row in rows:
        if (row["source_row"], row["window"]) == (0, 2):
            row["mask"] = [False, True, False, True][: len(row["mask"])]
    padded.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    output = tmp_path / f"rows.{suffix}"
    files = FileOptions(rejects=str(tmp_path / "rejects.jsonl"))
    result = unpad_file(padded, output, columns=["ids", "labels"], on_error="skip", files=files)
    assert (result.ledger.rows_read, result.ledger.rows_rejected) == (7, 3)
    assert result.ledger.rows_written == 2
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 3
    kept = output.read_text() if suffix == "jsonl" else pq.read_table(output)["id"].to_pylist()
    assert kept == ("".join(lines_of([9, 2, 9]).splitlines(True)[1:]) if suffix == "jsonl" else ["r1", "r2"])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=60), st.integers(1, 400))
def test_sorter_sorts_keys(tmp_path_factory, keys, run_bytes):
    rows = [KeyedRows(np.array([key]), pa.record_batch({"x": [i]})) for i, key in enumerate(keys)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_rows, "MOST_RUNS", 3)
        patch.setattr(sorted_rows, "BATCH_BYTES", 30)
        with RowSorter(str(tmp_path_factory.getbasetemp()), run_bytes) as sorter:
            for row in rows:
                sorter.add(row)
            found = [tuple(key) for part in sorter.sorted_rows() for key in part.keys.tolist()]
    assert found == sorted(keys)


def test_files_vanish(tmp_path):
    """The temporary files have no name, and no file is left after an error."""
    with pytest.raises(ZeroDivisionError), RowSorter(str(tmp_path), 1) as sorter:
        for i in range(5):
            sorter.add(KeyedRows(np.array([[i]]), pa.record_batch({"x": [i]})))
        assert list(tmp_path.iterdir()) == []
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_is_bounded(tmp_path, monkeypatch):
    """Five times as many rows need about the same memory."""
    monkeypatch.setattr(sorted_rows, "RUN_BYTES", 1 << 20)
    monkeypatch.setattr(sorted_rows, "BATCH_BYTES", 1 << 16)
    # Row groups of the input and the output are in memory too.
    monkeypatch.setattr(arrow, "GROUP_BYTES", 1 << 20)
    peaks = []
    for rows in (20_000, 100_000):
        source = tmp_path / "in.jsonl"
        source.write_text(lines_of([i * 7 % 23 for i in range(20_000)]) * (rows // 20_000))
        padded = padded_of(source, "parquet", PadSpec(batches=BatchSpec(tokens=2048, sort_window=5000)))
        default = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(default)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            unpad_file(padded, tmp_path / "rows.parquet", files=FileOptions(threads=1))
            peaks.append(tracemalloc.get_traced_memory()[1] + pool.max_memory())
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(default)
        assert pq.read_metadata(tmp_path / "rows.parquet").num_rows == rows
    assert peaks[1] < 1.5 * peaks[0]
