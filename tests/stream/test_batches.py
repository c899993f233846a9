"""Batches with a token budget in files: rows, order, counts, and the same bytes for every kind of run."""

from __future__ import annotations

import json
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import batch_lists, pad_lists
from pairs import each_value
from row_files import read_rows as read
from row_files import write_rows

from padmask import BatchSpec, DataError, FileOptions, MaskSpec, PadSpec, RowPolicy, SpecError, pad_file
from padmask.formats import arrow
from padmask.shards.pad_dataset import pad_dataset
from padmask.spec.windows import WindowSpec
from padmask.stream import batch_blocks, sort_windows

SCHEMA = pa.schema([("id", pa.int64()), ("ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])
FORMATS = st.sampled_from(["jsonl", "parquet", "arrow"])
COLUMNS = ["ids", "labels=-100"]
Row = dict[str, Any]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    return write_rows(path, rows, SCHEMA)


def rows_of(lengths: list[int]) -> list[Row]:
    return [
        {"id": i, "ids": list(range(100 * i, 100 * i + n)), "labels": [i] * n} for i, n in enumerate(lengths)
    ]


def expected(rows: list[Row], spec: PadSpec) -> list[Row]:
    """Return the expected output rows, computed row by row with the oracle."""
    batches, found, number = spec.batches, [], 0
    most = len(rows) if isinstance(spec.maxlen, str) else spec.maxlen
    kept = [min(len(row["ids"]), most) if spec.maxlen != "longest" else len(row["ids"]) for row in rows]
    for first in range(0, len(rows), batches.sort_window):
        part = kept[first : first + batches.sort_window]
        for width, places in batch_lists(
            part, batches.tokens, batches.multiple, spec.pad_to_multiple_of or 1
        ):
            for place in places:
                row = rows[first + place]
                sides = (width, spec.padding, spec.truncating)
                cut = [row[name][: kept[first + place]] for name in ("ids", "labels")]
                values, mask, _ = pad_lists([cut[0]], *sides, 0)
                labels, _, _ = pad_lists([cut[1]], *sides, -100)
                found.append(
                    row
                    | {"ids": values[0], "labels": labels[0], "mask": mask[0]}
                    | {"source_row": first + place, "batch": number}
                )
            number += 1
    return found


@st.composite
def specs(draw: st.DrawFn) -> PadSpec:
    """Generate options of batches for rows of up to 12 tokens."""
    batches = BatchSpec(
        tokens=draw(st.integers(36, 60)),
        multiple=draw(st.integers(1, 3)),
        sort_window=draw(st.integers(1, 9)),
    )
    options = {"maxlen": draw(st.sampled_from(["longest", 3, 12]))}
    if options["maxlen"] != 3:
        options["pad_to_multiple_of"] = draw(st.sampled_from([None, 4]))
    return PadSpec(**options, batches=batches, padding=draw(st.sampled_from(["post", "pre"])))


LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=20)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(LENGTHS, specs(), FORMATS, FORMATS, st.sampled_from([None, 1, 3]), st.sampled_from([1, 3]))
@pytest.mark.slow
def test_every_format_gives_the_same_rows(
    tmp_path_factory, lengths, spec, source, target, batch_rows, threads
):
    folder, rows = tmp_path_factory.mktemp("batches"), rows_of([1, *lengths])
    output = folder / f"out.{target}"
    files = FileOptions(batch_rows=batch_rows, threads=threads)
    result = pad_file(write(folder / f"in.{source}", rows), output, columns=COLUMNS, spec=spec, files=files)
    written, ledger = read(output), result.ledger
    assert written == expected(rows, spec)
    assert ledger.rows_read == ledger.rows_used == ledger.rows_written == len(rows)
    assert ledger.places == sum(len(row["ids"]) for row in written)
    assert ledger.tokens_kept == sum(sum(row["mask"]) for row in written)
    assert ledger.batches == len({row["batch"] for row in written})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.parquet", rows_of([i * 7 % 13 for i in range(60)]))


SPEC = PadSpec(batches=BatchSpec(tokens=40, sort_window=25, shuffle=3))


@each_value(
    suffix=["jsonl", "parquet", "arrow"],
    files=[FileOptions(threads=4), FileOptions(batch_rows=1), FileOptions(batch_rows=7, threads=2)],
)
def test_same_bytes(tmp_path, source, suffix, files, monkeypatch):
    one, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
    pad_file(source, one, columns=COLUMNS, spec=SPEC, files=FileOptions(threads=1))
    monkeypatch.setattr(batch_blocks, "BATCH_POSITIONS", 50)
    pad_file(source, other, columns=COLUMNS, spec=SPEC, files=files)
    assert one.read_bytes() == other.read_bytes()


def test_budget_and_multiple(tmp_path, source):
    spec = PadSpec(batches=BatchSpec(tokens=64, multiple=4, sort_window=30))
    pad_file(source, tmp_path / "out.jsonl", columns=COLUMNS, spec=spec)
    sizes = []
    for _, rows in groupby(read(tmp_path / "out.jsonl"), key=lambda row: row["batch"]):
        widths = [len(row["ids"]) for row in rows]
        assert len({*widths}) == 1
        assert sum(widths) <= 64
        sizes.append(len(widths))
    assert sum(size % 4 > 0 for size in sizes) <= 2
    assert sum(sizes) == 60


def test_sort_window_counts_values(tmp_path, monkeypatch):
    """The limit of a sort window counts the values of all columns. Each row belongs to one sort window."""
    monkeypatch.setattr(sort_windows, "WINDOW_VALUES", 12)
    rows = rows_of([3, 2, 1, 9, 1])
    pad_file(
        write(tmp_path / "in.jsonl", rows),
        tmp_path / "out.jsonl",
        columns=COLUMNS,
        spec=PadSpec(batches=BatchSpec(tokens=100)),
    )
    found = [(row["batch"], row["id"]) for row in read(tmp_path / "out.jsonl")]
    assert found == [(0, 2), (0, 1), (0, 0), (1, 3), (2, 4)]


@pytest.mark.parametrize("target", ["jsonl", "parquet"])
def test_rejects_stay_in_order(tmp_path, target):
    rows = rows_of([2, 9, 1, 0, 30, 3, 0, 9])
    result = pad_file(
        write(tmp_path / "in.jsonl", rows),
        tmp_path / f"out.{target}",
        columns=COLUMNS,
        spec=PadSpec(maxlen=8, batches=BatchSpec(tokens=8, sort_window=2)),
        policy=RowPolicy(overlong="drop", empty_rows="drop"),
        files=FileOptions(rejects=str(tmp_path / "rejects.jsonl"), batch_rows=3),
    )
    rejects = [json.loads(line)["line"] for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert rejects == [2, 4, 5, 7, 8]
    assert [row["source_row"] for row in read(tmp_path / f"out.{target}")] == [2, 0, 5]
    assert result.ledger.rows_dropped == 5
    assert result.ledger.balanced


def test_row_larger_than_the_budget(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of([2, 9]))
    spec = PadSpec(batches=BatchSpec(tokens=16, multiple=2))
    with pytest.raises(DataError, match="--batch-tokens") as error:
        pad_file(source, tmp_path / "out.jsonl", columns=COLUMNS, spec=spec)
    assert error.value.place.number == 2
    assert error.value.options == ("batch_tokens", "batch_multiple", "maxlen")
    skip = RowPolicy(on_error="skip")
    result = pad_file(source, tmp_path / "out.jsonl", columns=COLUMNS, spec=spec, policy=skip)
    assert (result.ledger.rows_rejected, result.ledger.rows_written) == (1, 1)


@pytest.mark.parametrize("overlong", ["drop", "error"])
def test_longest_drops_no_row(tmp_path, overlong):
    source = write(tmp_path / "in.jsonl", rows_of([2, 9]))
    spec = PadSpec(batches=BatchSpec(tokens=8))
    with pytest.raises(DataError, match="batch"):
        pad_file(
            source, tmp_path / "out.jsonl", columns=COLUMNS, spec=spec, policy=RowPolicy(overlong=overlong)
        )


def test_windows_in_batches(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of([5, 2, 3]))
    spec = PadSpec(
        maxlen=3, batches=BatchSpec(tokens=6), windows=WindowSpec(overlap=1, labels="new"), truncating="post"
    )
    result = pad_file(source, tmp_path / "out.jsonl", columns=COLUMNS, spec=spec)
    rows = read(tmp_path / "out.jsonl")
    names = ("batch", "source_row", "window", "ids", "labels")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (0, 1, 0, [100, 101, 0], [1, 1, -100]),
        (0, 0, 0, [0, 1, 2], [0, 0, 0]),
        (1, 0, 1, [2, 3, 4], [-100, 0, 0]),
        (1, 2, 0, [200, 201, 202], [2, 2, 2]),
    ]
    assert (result.ledger.tokens_kept, result.ledger.tokens_repeated, result.ledger.places) == (10, 1, 12)


def test_only_empty_rows(tmp_path):
    rows = rows_of([0, 0, 0])
    source = write(tmp_path / "in.jsonl", rows)
    result = pad_file(
        source,
        tmp_path / "out.jsonl",
        columns=COLUMNS,
        spec=PadSpec(batches=BatchSpec(tokens=2), pad_to_multiple_of=1),
    )
    assert [(row["batch"], row["mask"]) for row in read(tmp_path / "out.jsonl")] == [
        (0, [False]),
        (0, [False]),
        (1, [False]),
    ]
    assert result.ledger.rows_empty == 3


def test_no_rows(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text("")
    result = pad_file(source, tmp_path / "out.parquet", columns=COLUMNS, spec=SPEC)
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.names == ["ids", "labels", "mask", "source_row", "batch"]
    assert schema.field("batch").type == pa.int32()
    assert (result.ledger.rows_written, result.ledger.batches) == (0, 0)


def test_row_groups_have_whole_batches(tmp_path, source, monkeypatch):
    monkeypatch.setattr(arrow, "GROUP_BYTES", 32 * 100)
    pad_file(source, tmp_path / "out.parquet", columns=COLUMNS, spec=SPEC)
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        groups = [file.read_row_group(i, ["batch"])["batch"].to_pylist() for i in range(file.num_row_groups)]
    assert len(groups) > 3
    assert all(before[-1] < after[0] for before, after in pairwise(groups))


def test_without_source_row(tmp_path, source):
    spec = PadSpec(batches=BatchSpec(tokens=40), source_row=False)
    pad_file(source, tmp_path / "out.parquet", columns=COLUMNS, spec=spec)
    assert pq.read_schema(tmp_path / "out.parquet").names == ["id", "ids", "labels", "mask", "batch"]


def test_folder_of_shards(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, lengths in (("a", [5, 1, 3]), ("b", [2, 4])):
        write(folder / f"{name}.parquet", rows_of(lengths))
    result = pad_dataset(folder, tmp_path / "out", columns=COLUMNS, spec=PadSpec(batches=BatchSpec(tokens=6)))
    for name in "ab":
        pad_file(
            folder / f"{name}.parquet",
            tmp_path / "one.parquet",
            columns=COLUMNS,
            spec=PadSpec(batches=BatchSpec(tokens=6)),
        )
        assert (tmp_path / "out" / f"{name}.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert result.ledger.batches == 4


@pytest.mark.parametrize(
    ("output", "files", "option"),
    [
        ("out.npz", FileOptions(), "output_format"),
        ("out.parquet", FileOptions(fixed_size_list=True), "fixed_size_list"),
    ],
)
def test_outputs_without_ragged_rows(tmp_path, source, output, files, option):
    with pytest.raises(SpecError) as error:
        pad_file(source, tmp_path / output, columns=COLUMNS, spec=SPEC, files=files)
    assert error.value.options == ("batch_tokens", option)


def test_field_in_a_later_row(tmp_path):
    """A later row has a field with the name of a new column, but the first 1,000 rows do not show this."""
    rows = [{"ids": [1]}] * 1001 + [{"ids": [1], "batch": 7}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SpecError, match="batches") as error:
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=SPEC, mask=MaskSpec())
    assert error.value.options == ("batch_tokens",)
