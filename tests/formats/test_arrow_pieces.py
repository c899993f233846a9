"""Large record batches are read in pieces: the same rows, with memory for one piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from padmask import pad_file
from padmask.errors import UnreadableError
from padmask.formats import arrow, arrow_pieces
from padmask.formats.arrow import ArrowReader
from padmask.formats.arrow_pieces import LargeBatch
from padmask.formats.contract import Wanted
from padmask.spec.pad import RowPolicy
from padmask.storage.source import Source

ROWS = 403

random = np.random.default_rng(1)


def values(make: Callable[[int], Any], type_: pa.DataType) -> pa.Array:
    """Return an array with nulls whose values depend on a random number."""
    drawn = random.integers(0, 9, ROWS).tolist()
    return pa.array([None if number == 8 else make(number) for number in drawn], type_)


COLUMNS: Mapping[str, pa.Array] = {
    "int32": values(int, pa.int32()),
    "bool": values(lambda n: n % 2 == 0, pa.bool_()),
    "float16": pa.array(random.random(ROWS).astype(np.float16)),
    "decimal": values(lambda n: f"{n}.5", pa.string()).cast(pa.decimal128(30, 2)),
    "timestamp": values(int, pa.timestamp("ns", "UTC")),
    "fixed-binary": values(lambda n: b"abc", pa.binary(3)),
    "null": pa.nulls(ROWS),
    "text": values(lambda n: "é" * n, pa.string()),
    "large-binary": values(lambda n: b"ab" * n, pa.large_binary()),
    "view": values(lambda n: "y" * 5 * n, pa.string_view()),
    "list": values(lambda n: [None, *range(n)], pa.list_(pa.int64())),
    "large-list": values(lambda n: list(range(n)), pa.large_list(pa.int16())),
    "list-of-bools": values(lambda n: [True, False, None][: n % 4], pa.list_(pa.bool_())),
    "list-of-lists": values(lambda n: [[7] * n, None][: n % 3], pa.list_(pa.list_(pa.int32()))),
    "list-of-texts": values(lambda n: ["x" * n] * (n % 3), pa.list_(pa.string())),
    "list-of-views": values(lambda n: ["x" * 9 * n] * (n % 3), pa.list_(pa.string_view())),
    "list-of-vectors": values(lambda n: [[1, 2, n]] * (n % 3), pa.list_(pa.list_(pa.int32(), 3))),
    "empty-lists": pa.array([[] for _ in range(ROWS)], pa.list_(pa.list_(pa.int32()))),
    "vector": values(lambda n: [n, None, 3], pa.list_(pa.int32(), 3)),
    "struct": values(
        lambda n: {"a": n, "b": [n] * n, "c": None},
        pa.struct({"a": pa.int8(), "b": pa.list_(pa.int8()), "c": pa.struct({"d": pa.string()})}),
    ),
    "map": values(lambda n: [("k", n), ("l", None)], pa.map_(pa.string(), pa.int64())),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16] * ROWS, pa.binary(16))),
    "tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), (2,)), pa.array([[1, 2]] * ROWS, pa.list_(pa.int32(), 2))
    ),
    # Layouts that are read at once.
    "dictionary": values(str, pa.string()).dictionary_encode(),
    "list-view": values(lambda n: [n] * n, pa.list_view(pa.int32())),
}


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Read all batches in small pieces, and record the number of bytes of each read."""
    read: list[int] = []
    plain = LargeBatch._bytes

    def recorded(batch: LargeBatch, place: int, size: int) -> pa.Buffer:
        read.append(size)
        return plain(batch, place, size)

    monkeypatch.setattr(arrow, "LARGE_BODY", 0)
    monkeypatch.setattr(arrow_pieces, "LARGE_BODY", 0)
    monkeypatch.setattr(arrow_pieces, "PIECE_BYTES", 500)
    monkeypatch.setattr(LargeBatch, "_bytes", recorded)
    return read


def write(path: Path, table: pa.Table, new: Callable[..., Any] = pa.ipc.new_file, **options: Any) -> Path:
    """Write a table as one batch, and some of its rows as a second batch."""
    [batch] = table.combine_chunks().to_batches()
    with new(path, table.schema, **options) as file:
        file.write_batch(batch)
        file.write_batch(batch.slice(3, 50))
    return path


def read(path: Path, names: list[str] | None = None) -> pa.Table:
    reader = ArrowReader(Source(str(path)))
    schema = reader.schema()
    wanted = Wanted(pa.schema([]), schema) if names is None else Wanted(pa.schema(map(schema.field, names)))
    return pa.Table.from_batches([chunk.data for chunk in reader.chunks(wanted)])


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream], ids=["file", "stream"])
@pytest.mark.parametrize("name", COLUMNS)
def test_pieces_are_the_same_rows(tmp_path: Path, sizes: list[int], name: str, new: Any) -> None:
    table = pa.table({"n": pa.array(range(ROWS)), name: COLUMNS[name]})
    path = write(tmp_path / "in.arrow", table, new)
    found, truth = read(path), pa.concat_tables([table, table.slice(3, 50)])
    assert found.equals(truth)
    assert bool(sizes) == (name not in ("dictionary", "list-view"))


def test_pieces_of_many_columns(tmp_path: Path, sizes: list[int]) -> None:
    names = [name for name in COLUMNS if name not in ("dictionary", "list-view")]
    table = pa.table({name: COLUMNS[name] for name in names})
    path = write(tmp_path / "in.arrow", table)
    assert read(path).equals(pa.concat_tables([table, table.slice(3, 50)]))
    for name in names:
        assert read(path, [name]).slice(0, ROWS).equals(table.select([name]))


def test_rows_are_counted_without_columns(tmp_path: Path, sizes: list[int]) -> None:
    assert read(write(tmp_path / "in.arrow", pa.table({"a": COLUMNS["list"]})), []).num_rows == ROWS + 50


@pytest.mark.parametrize("order", [1, -1], ids=["long rows last", "long rows first"])
def test_reads_are_small(tmp_path: Path, sizes: list[int], order: int) -> None:
    lengths = [1] * 5000 + [100] * 100
    table = pa.table({"ids": pa.array([[7] * length for length in lengths[::order]], pa.list_(pa.int32()))})
    assert read(write(tmp_path / "in.arrow", table)).num_rows == 5100 + 50
    # A piece has at least 8 rows.
    assert max(sizes) <= 8 * 100 * 4
    assert sum(sizes) > 4 * sum(lengths)


def test_compressed_batches_are_read(tmp_path: Path, sizes: list[int]) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    table = pa.table({"ids": COLUMNS["list"]})
    path = write(tmp_path / "in.arrow", table, options=options)
    assert read(path).to_pylist()[:ROWS] == table.to_pylist() and not sizes


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_output_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    names = {"ids": "large-list", "word": "text", "view": "view", "at": "timestamp", "map": "map"}
    table = pa.table({name: COLUMNS[column] for name, column in names.items()})
    options: dict[str, Any] = {"columns": ["ids"], "policy": RowPolicy(on_error="skip")}
    path = write(tmp_path / "in.arrow", table)
    pad_file(path, tmp_path / f"whole.{suffix}", **options)
    for module in (arrow, arrow_pieces):
        monkeypatch.setattr(module, "LARGE_BODY", 0)
    monkeypatch.setattr(arrow_pieces, "PIECE_BYTES", 300)
    pad_file(path, tmp_path / f"pieces.{suffix}", **options)
    assert (tmp_path / f"pieces.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_unsorted_offsets_are_refused(tmp_path: Path, sizes: list[int]) -> None:
    table = pa.table({"ids": pa.array([[1, 2], [3, 4, 5], [6]] * 20, pa.list_(pa.int32()))})
    path = write(tmp_path / "in.arrow", table)
    offsets = np.array([0, 2, 5, 6], np.int32).tobytes()
    data = path.read_bytes()
    path.write_bytes(data.replace(offsets, np.array([0, 2, -5, 6], np.int32).tobytes(), 1))
    with pytest.raises(UnreadableError, match="not a readable Arrow file"):
        read(path)


def test_bad_text_is_refused(tmp_path: Path, sizes: list[int]) -> None:
    path = write(tmp_path / "in.arrow", pa.table({"word": ["a" * 40, "b" * 40] * 20}))
    path.write_bytes(path.read_bytes().replace(b"a" * 40, b"\xff" * 40))
    with pytest.raises(UnreadableError, match="word"):
        read(path)


def test_damaged_files_raise_errors(tmp_path: Path, sizes: list[int]) -> None:
    names = ("list", "text", "view", "struct", "vector", "bool", "list-of-lists")
    data = write(tmp_path / "in.arrow", pa.table({name: COLUMNS[name] for name in names})).read_bytes()
    for seed in range(60):
        drawn = np.random.default_rng(seed)
        damaged = bytearray(data)
        for place in drawn.integers(0, len(data), 5).tolist():
            damaged[place] = int(drawn.choice([0, 1, 0x7F, 0xFF]))
        (tmp_path / "in.arrow").write_bytes(damaged)
        try:
            found = read(tmp_path / "in.arrow")
        except UnreadableError:
            continue
        json.dumps(found.to_pydict(), default=repr)
