"""Column chunks that were written in steps, compared with a file that Arrow writes in one step."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.formats import parquet_footer
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.parquet import ParquetWriter
from padmask.formats.parquet_footer import MAGIC, read_footer, read_value_counts, write_footer

ROWS = 250
GROUP = 100
TABLES = {
    "padded": {
        "input_ids": pa.array(np.arange(ROWS * 4) % 97, pa.int32()).to_numpy().reshape(ROWS, 4).tolist(),
        "mask": [[True, False]] * ROWS,
    },
    "structs have several chunks": {
        "meta": [{"a": i, "b": {"c": str(i), "d": None}} for i in range(ROWS)],
        "x": [[1]] * ROWS,
    },
    "more columns than a short list holds": {f"c{i}": np.arange(ROWS) for i in range(40)},
    "nulls and odd names": {"ü. x": [None] * ROWS, "": ["a", None] * (ROWS // 2)},
    "dictionary": {"kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode()},
    "long values": {"text": ["x" * 9000 + str(i) for i in range(ROWS)]},
}


def joined(table: pa.Table, step: int, threads: int) -> bytes:
    """Write a table in steps, as the pipeline does."""
    out = io.BytesIO()
    options = WriterOptions(as_stream=False, threads=threads, folder="")
    writer = ParquetWriter(out, Layout(table.schema, {}, GROUP), options)
    for batch in table.to_batches(max_chunksize=step):
        writer.append(writer.encode(Batch(batch, "x", np.arange(batch.num_rows), "row")))
    writer.finish()
    return out.getvalue()


def whole(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        row_group_size=GROUP,
        compression="zstd",
        data_page_version="1.0",
        write_page_checksum=True,
    )
    return out.getvalue()


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> pa.Table:
    return pa.table(TABLES[request.param]).replace_schema_metadata({"padmask": "1"})


@pytest.mark.parametrize(("step", "threads"), [(100, 1), (7, 2), (33, 3), (250, 2)])
def test_joined_file_equals_whole_file(table, step, threads):
    assert joined(table, step, threads) == whole(table)


def test_empty_table_has_no_row_group(table):
    file = joined(table.slice(0, 0), 100, 2)

    assert pq.read_metadata(io.BytesIO(file)).num_row_groups == 0
    assert pq.read_schema(io.BytesIO(file)) == pq.read_schema(io.BytesIO(whole(table)))


def test_footer_round_trip(table):
    file = whole(table)
    footer, start = read_footer(memoryview(file))

    assert file.startswith(MAGIC)
    assert write_footer(footer, footer[4][1][1]) == file[start:]


def test_value_counts(table):
    file = io.BytesIO(whole(table))
    group = pq.read_metadata(file).row_group(1)

    columns = (group.column(i) for i in range(group.num_columns))
    assert read_value_counts(file)[1] == {column.path_in_schema: column.num_values for column in columns}


def test_large_footer_is_not_parsed(monkeypatch):
    file = io.BytesIO(whole(pa.table({"x": [1]})))
    monkeypatch.setattr(parquet_footer, "LARGEST_FOOTER", 8)
    assert read_value_counts(file) == ()


@pytest.mark.parametrize("reader", ["duckdb", "polars"])
def test_other_readers_read_joined_file(reader, tmp_path):
    library = pytest.importorskip(reader, reason=f"{reader} is not installed")
    table = pa.table(TABLES["padded"])
    (tmp_path / "x.parquet").write_bytes(joined(table, 50, 2))
    if reader == "duckdb":
        found = library.sql(f"select * from '{tmp_path / 'x.parquet'}'").fetchall()
        assert found == [tuple(row.values()) for row in table.to_pylist()]
    else:
        assert library.read_parquet(tmp_path / "x.parquet").to_dicts() == table.to_pylist()
