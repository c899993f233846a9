"""What people use instead, each doing the same job: `python peers.py FORMAT NAME INPUT OUTPUT`.

The job: `input_ids` padded and cut to 128 places after the tokens, a bool column `mask`, the
other fields as they are, rows in order. Each is written as one who knows the tool would write
it, the quickest of the ways that were tried. Libraries are imported by the peer that needs them.
"""

from __future__ import annotations

import sys
from typing import Any

MAXLEN = 128
# As padmask writes: zstd at its first level, and row groups of the same size.
ZSTD_LEVEL = 1
GROUP_ROWS = 32_768


def json_script(source: str, goal: str) -> None:
    """Pad JSON Lines with the standard library."""
    import json

    with open(source, encoding="utf-8") as lines, open(goal, "w", encoding="utf-8") as out:
        for line in lines:
            row = json.loads(line)
            out.write(json.dumps(_padded(row), separators=(",", ":"), ensure_ascii=False) + "\n")


def orjson_script(source: str, goal: str) -> None:
    """Pad JSON Lines with the quickest JSON library for Python."""
    import orjson

    with open(source, "rb") as lines, open(goal, "wb", buffering=1 << 20) as out:
        for line in lines:
            out.write(orjson.dumps(_padded(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE))


def _padded(row: dict[str, Any]) -> dict[str, Any]:
    ids = row["input_ids"][:MAXLEN]
    missing = MAXLEN - len(ids)
    row["mask"] = [True] * len(ids) + [False] * missing
    row["input_ids"] = ids + [0] * missing
    return row


_DUCKDB = f"""
    COPY (
        SELECT * REPLACE (list_resize(input_ids, {MAXLEN}, 0) AS input_ids),
            list_resize(
                list_resize([]::BOOLEAN[], least(len(input_ids), {MAXLEN}), true), {MAXLEN}, false
            ) AS mask
        FROM %s
    ) TO '%s' (%s)
"""


def duckdb_jsonl(source: str, goal: str) -> None:
    """Pad JSON Lines in SQL; DuckDB is told the types and need not find them."""
    import duckdb

    columns = "{id: 'BIGINT', text: 'VARCHAR', input_ids: 'INTEGER[]'}"
    read = f"read_json('{source}', format = 'newline_delimited', columns = {columns})"
    duckdb.connect().execute(_DUCKDB % (read, goal, "FORMAT json"))


def duckdb_parquet(source: str, goal: str) -> None:
    """Pad Parquet in SQL."""
    import duckdb

    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {GROUP_ROWS}"
    duckdb.connect().execute(_DUCKDB % (f"read_parquet('{source}')", goal, options))


def polars_jsonl(source: str, goal: str) -> None:
    """Pad JSON Lines in a lazy query; Polars is told the types and need not find them."""
    import polars as pl

    schema = {"id": pl.Int64, "text": pl.String, "input_ids": pl.List(pl.Int32)}
    pl.scan_ndjson(source, schema=schema).with_columns(**_polars_columns()).sink_ndjson(goal)


def polars_parquet(source: str, goal: str) -> None:
    """Pad Parquet in a lazy query."""
    import polars as pl

    pl.scan_parquet(source).with_columns(**_polars_columns()).sink_parquet(
        goal, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS
    )


def _polars_columns() -> dict[str, Any]:
    """Padding and masks from tables by length, which took a third of `repeat_by`'s time."""
    import polars as pl

    lengths = range(MAXLEN + 1)
    padding = pl.Series([[0] * (MAXLEN - kept) for kept in lengths], dtype=pl.List(pl.Int32))
    masks = pl.Series([[True] * kept + [False] * (MAXLEN - kept) for kept in lengths])
    ids = pl.col("input_ids")
    kept = ids.list.len().clip(upper_bound=MAXLEN)
    return {
        "input_ids": ids.list.head(MAXLEN).list.concat(pl.lit(padding).gather(kept)),
        "mask": pl.lit(masks).gather(kept),
    }


def pyarrow_parquet(source: str, goal: str) -> None:
    """No padding at all: read the input, then write a result that lies in memory, padded already."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    padded = pa.ipc.open_file(pa.memory_map(result_of(source))).read_all()
    pq.read_table(source)
    pq.write_table(padded, goal, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS)


def result_of(source: str) -> str:
    """Return where the padded result of a Parquet input lies, for the peer that only writes it."""
    return source + ".padded.arrow"


PEERS = {
    "jsonl": {
        "json script": json_script,
        "orjson script": orjson_script,
        "DuckDB": duckdb_jsonl,
        "Polars": polars_jsonl,
    },
    "parquet": {
        "DuckDB": duckdb_parquet,
        "Polars": polars_parquet,
        "pyarrow, read and write alone": pyarrow_parquet,
    },
}

if __name__ == "__main__":
    PEERS[sys.argv[1]][sys.argv[2]](sys.argv[3], sys.argv[4])
