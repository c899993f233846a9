"""Batches of limited size, whatever the order of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.formats.arrow import SLICE_VALUES, ArrowReader
from padmask.formats.contract import Wanted
from padmask.formats.parquet import ParquetReader
from padmask.formats.parquet_batches import BATCH_VALUES, PIECES
from padmask.formats.row_sizes import regroup, row_sizes
from padmask.storage.source import Source

# Four bytes of text count as one value.
COLUMNS: dict[str, tuple[Any, list[float]]] = {
    "numbers": (pa.array([1, None, 3]), [1, 1, 1]),
    "lists": (pa.array([[1, 2], None, [3]]), [2, 0, 1]),
    "large lists": (pa.array([[1, 2], [], [3]], pa.large_list(pa.int8())), [2, 0, 1]),
    "list views": (pa.array([[1, 2], [], [3]], pa.list_view(pa.int8())), [2, 0, 1]),
    "vectors": (pa.array([[[1.0, 2.0]], [], [[1.0], []]]), [3, 0, 3]),
    "fixed vectors": (pa.array([[[1, 2]], [], [[1, 2]] * 3], pa.list_(pa.list_(pa.int8(), 2))), [2, 0, 6]),
    "texts": (pa.array(["", "abcd", None]), [1, 2, 1]),
    "lists of texts": (pa.array([["abcd"], [], ["", "abcdefgh"]]), [3, 0, 6]),
    "structs": (pa.array([{"a": [1, 2], "b": 1}, {"a": [], "b": 1}, None]), [3, 1, 1]),
    "maps": (pa.array([[(1, 1)], [], [(2, 2)] * 2], pa.map_(pa.int8(), pa.int8())), [2, 0, 4]),
    "dictionary": (pa.array(["abcd", "", "abcd"]).dictionary_encode(), [2, 1, 2]),
    "nulls": (pa.nulls(3), [1, 1, 1]),
}


@pytest.mark.parametrize(("column", "sizes"), COLUMNS.values(), ids=COLUMNS)
def test_row_sizes(column: pa.Array, sizes: list[float]) -> None:
    batch = pa.record_batch({"a": pa.concat_arrays([column, column])})
    assert row_sizes(batch).tolist() == sizes * 2
    assert row_sizes(batch.slice(2, 3)).tolist() == (sizes * 2)[2:5]


def test_regrouped_rows_keep_their_order() -> None:
    table = pa.table({"ids": [[n] * (n % 7) for n in range(200)]})
    batches = list(regroup(table.to_batches(max_chunksize=9), 20, 30))
    assert pa.Table.from_batches(batches).equals(table)
    assert max(batch.num_rows for batch in batches) <= 20
    assert max(row_sizes(batch).sum() for batch in batches) <= 30
    # Small batches are joined.
    assert sum(batch.num_rows for batch in batches) / len(batches) > 7


def test_rows_without_columns_keep_their_number() -> None:
    empty = pa.table({"a": range(50)}).select([]).to_batches()
    assert sum(batch.num_rows for batch in regroup(empty, 9, 9)) == 50


SHORT, LONG, TOKENS = 20_000, 400, 5_000


def write(path: Path, lengths: np.ndarray, rows: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(offsets[-1], np.int32)))
    table = pa.table({"input_ids": ids})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
        return
    with pa.ipc.new_file(path, table.schema) as sink:
        sink.write_table(table, max_chunksize=rows)


@pytest.mark.parametrize("rows", [1_000, 10**6], ids=["many groups", "one group"])
@pytest.mark.parametrize("order", [1, -1], ids=["long rows last", "long rows first"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_order_of_rows_does_not_matter(tmp_path: Path, suffix: str, order: int, rows: int) -> None:
    lengths = np.repeat([2, TOKENS][::order], [SHORT, LONG][::order])
    write(tmp_path / f"a.{suffix}", lengths, rows)
    source = Source(str(tmp_path / f"a.{suffix}"))
    reader = ParquetReader(source) if suffix == "parquet" else ArrowReader(source)
    chunks = list(reader.chunks(Wanted(reader.schema())))
    found = [np.diff(chunk.data.column(0).offsets.to_numpy()) for chunk in chunks]
    assert np.concatenate(found).tolist() == lengths.tolist()
    assert max(part.sum() for part in found) <= (BATCH_VALUES if suffix == "parquet" else SLICE_VALUES)
    # Short rows share a chunk.
    assert len(chunks) < 30


def test_few_long_rows_are_decoded_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    plain = pq.ParquetFile.iter_batches

    def iter_batches(file: pq.ParquetFile, *args: Any, **options: Any) -> Any:
        for batch in plain(file, *args, **options):
            decoded.append(int(row_sizes(batch).sum()))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    write(tmp_path / "a.parquet", np.repeat([2, TOKENS], [SHORT, LONG]), SHORT)
    reader = ParquetReader(Source(str(tmp_path / "a.parquet")))
    assert sum(chunk.data.num_rows for chunk in reader.chunks(Wanted(reader.schema()))) == SHORT + LONG
    assert max(decoded) <= BATCH_VALUES // PIECES
    # No row is decoded twice.
    assert sum(decoded) == 2 * SHORT + TOKENS * LONG


def test_look_reads_few_long_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", np.full(900, 8_000), 900)
    reader = ParquetReader(Source(str(tmp_path / "a.parquet")))
    first = next(reader.look(Wanted(reader.schema())))
    assert 100 < len(first) < 900
