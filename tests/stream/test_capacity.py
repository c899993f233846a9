"""The size of the output is predicted, or limited if it cannot be predicted."""

import gzip
import json
import os

import pytest
from raised import raises_error

import padmask
from padmask.core.columns import PadColumn
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Plan
from padmask.errors import OutputError, PadmaskError, SpecError, UnreadableError
from padmask.formats.jsonl import reader as jsonl
from padmask.spec.columns import Column
from padmask.spec.formats import FORMATS
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec
from padmask.stream import capacity as bounds
from padmask.stream.capacity import available_bytes, bytes_per_position, predict_bytes

BOMB = [3] * 300 + [2000] + [5] * 300


@pytest.fixture
def bomb(tmp_path):
    """Write 600 short rows, and a row of 2,000 tokens in line 301."""
    path = tmp_path / "bomb.jsonl"
    path.write_text("".join(json.dumps({"input_ids": [10_000 + i for i in range(n)]}) + "\n" for n in BOMB))
    return path


def pad(source, output, **files):
    return padmask.pad_file(source, output, files=padmask.FileOptions(**files))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "npz"])
def test_longest_row_is_named(bomb, tmp_path, suffix):
    output = tmp_path / f"out.{suffix}"
    longest = [f"{bomb}, line 301", "2,000 tokens", "601 rows"]
    with raises_error(SpecError, *longest, "97.7 KiB", "--maxlen p99 (5 positions", option="maxlen"):
        pad(bomb, output, max_bytes=100_000)

    assert not output.exists()
    # The suggested options work.
    padmask.pad_file(bomb, output, spec=PadSpec(maxlen="p99"), files=padmask.FileOptions(max_bytes=100_000))


def test_longest_row_of_typed_file(bomb, tmp_path):
    table = tmp_path / "bomb.parquet"
    pad(bomb, tmp_path / "rows.jsonl")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"input_ids": [[7] * n for n in BOMB]}), table)
    with raises_error(SpecError, "bomb.parquet, row 300", "2,000 tokens"):
        pad(table, tmp_path / "out.parquet", max_bytes=100_000)


@pytest.mark.parametrize(
    ("suffix", "columns", "mask"),
    [
        ("jsonl", ["input_ids"], MaskSpec()),
        ("jsonl", [Column("input_ids", value=-100)], MaskSpec(dtype="int8")),
        ("npz", [Column("input_ids", "int64")], MaskSpec()),
        ("npz", ["input_ids"], MaskSpec(dtype="int32")),
        ("arrow", ["input_ids"], MaskSpec()),
    ],
)
def test_prediction_equals_output(bomb, tmp_path, suffix, columns, mask):
    output = tmp_path / f"out.{suffix}"
    padmask.pad_file(bomb, output, columns=columns, mask=mask)

    column = columns[0] if isinstance(columns[0], Column) else Column(columns[0])
    chosen = PadColumn("input_ids", "int", column.dtype or "int32", column.value or 0)
    predicted = predict_bytes(
        LengthStats.of(BOMB),
        Plan(2000, "longest", 2000),
        PadSpec(),
        bytes_per_position([chosen], mask, FORMATS[suffix]),
    )
    # The prediction does not include other fields, names and offsets.
    assert predicted == pytest.approx(output.stat().st_size, rel=0.02)


def test_huge_maxlen_is_refused(bomb, tmp_path):
    for spec in (PadSpec(maxlen=10**12), PadSpec(maxlen="longest", pad_to_multiple_of=10**12)):
        with raises_error(SpecError, "memory", "`maxlen`", option="maxlen"):
            padmask.pad_file(bomb, tmp_path / "out.jsonl", spec=spec)
    assert os.listdir(tmp_path) == ["bomb.jsonl"]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet", "arrow", "npz"])
def test_max_bytes_stops_the_output(bomb, tmp_path, suffix):
    output = tmp_path / f"out.{suffix}"
    with raises_error(PadmaskError, "1,000 B", "--maxlen"):
        padmask.pad_file(
            bomb, output, spec=PadSpec(maxlen=64), files=padmask.FileOptions(max_bytes=1000, threads=1)
        )
    assert os.listdir(tmp_path) == ["bomb.jsonl"]


def test_suggestions_have_room_for_ends(bomb, tmp_path):
    # With maxlen p99, the kept tokens would not fit in a row.
    spec = PadSpec(maxlen="p100", windows=padmask.WindowSpec(overlap=1000))
    with raises_error(SpecError, "100 B", "smaller --maxlen", option="maxlen"):
        padmask.pad_file(bomb, tmp_path / "out.npz", spec=spec, files=padmask.FileOptions(max_bytes=100))


def test_default_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "free_disk", lambda path: 1000)
    assert available_bytes(str(tmp_path / "x"), None) == 900
    assert available_bytes(str(tmp_path / "x"), 5) == 5
    assert available_bytes("-", None) is None
    assert available_bytes("/dev/null", None) is None


def test_small_disk_is_refused_first(bomb, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "free_disk", lambda path: 100_000)
    with raises_error(SpecError, "bomb.jsonl, line 301", option="maxlen"):
        pad(bomb, tmp_path / "out.jsonl")


def test_endless_compressed_line(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "free_memory", lambda: 1 << 30)
    source = tmp_path / "zeros.jsonl.gz"
    with gzip.open(source, "wb", compresslevel=1) as stream:
        stream.write(b'{"input_ids": [')
        for _ in range(200):
            stream.write(b"0," * (1 << 19))
    assert source.stat().st_size < 2_000_000

    with raises_error(UnreadableError, "zeros.jsonl.gz, line 1", "128.0 MiB"):
        pad(source, tmp_path / "out.jsonl")


def test_max_bytes_must_be_positive():
    with raises_error(SpecError, option="max_bytes"):
        padmask.FileOptions(max_bytes=0)


def test_stdout_ends_at_the_limit(bomb, capsysbinary):
    with raises_error(OutputError, "stdout", "50 B"):
        padmask.pad_file(bomb, "-", spec=PadSpec(maxlen=4), files=padmask.FileOptions(max_bytes=50))
