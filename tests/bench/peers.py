"""Other tools that do the same job: `python peers.py NAME INPUT OUTPUT [MAXLEN]`.

The job: pad and truncate `input_ids` to 128 positions at the end, add a bool column `mask`, keep the
other fields and the order of the rows. MAXLEN may also be `longest` or a percentile such as `p95`. The
suffixes of the files determine the formats. Each peer is written as an expert in the tool would write
it, in the fastest of several tested ways. Each peer imports its own libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

MAXLEN = 128
# The same options as padmask: zstd at level 1, and row groups of the same size.
ZSTD_LEVEL = 1
GROUP_ROWS = 32_768
# Rows that the script with orjson and pyarrow processes at a time.
SCRIPT_ROWS = 10_000


def suffix_of(path: str) -> str:
    """Return the suffix that names the format, such as `jsonl` for `a.jsonl` and `a.jsonl.gz`."""
    return path.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]


def _lines(source: str) -> BinaryIO:
    """Open JSON Lines, which may be compressed."""
    if source.endswith(".gz"):
        import gzip

        return gzip.open(source, "rb")  # type: ignore[return-value]
    if source.endswith(".zst"):
        import io

        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(source), 1 << 20)
    return open(source, "rb")


def json_script(source: str, destination: str, _: str) -> None:
    """Pad JSON Lines with the standard library."""
    import json

    with open(source, encoding="utf-8") as lines, open(destination, "w", encoding="utf-8") as out:
        for line in lines:
            row = _padded(json.loads(line))
            out.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")


def _padded(row: dict[str, Any]) -> dict[str, Any]:
    ids = row["input_ids"][:MAXLEN]
    missing = MAXLEN - len(ids)
    row["mask"] = [True] * len(ids) + [False] * missing
    row["input_ids"] = ids + [0] * missing
    return row


def script(source: str, destination: str, _: str) -> None:
    """Pad row by row, with the fastest JSON library for Python and with pyarrow, as most people would."""
    batches = ([_padded(row) for row in batch] for batch in _read(source))
    {"jsonl": _write_jsonl, "npz": _write_npz}.get(suffix_of(destination), _write_table)(batches, destination)


def _read(source: str) -> Iterator[list[dict[str, Any]]]:
    if suffix_of(source) == "jsonl":
        from itertools import islice

        import orjson

        with _lines(source) as lines:
            while rows := list(map(orjson.loads, islice(lines, SCRIPT_ROWS))):
                yield rows
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    if suffix_of(source) == "parquet":
        for batch in pq.ParquetFile(source).iter_batches(SCRIPT_ROWS):
            yield batch.to_pylist()
    else:
        reader = pa.ipc.open_file(pa.memory_map(source))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number).to_pylist()


def _write_jsonl(batches: Iterator[list[dict[str, Any]]], destination: str) -> None:
    import orjson

    with open(destination, "wb", buffering=1 << 20) as out:
        for rows in batches:
            for row in rows:
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _write_table(batches: Iterator[list[dict[str, Any]]], destination: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {int: pa.int64(), str: pa.string(), list: pa.list_(pa.int32())}
    writer: Any = None
    for rows in batches:
        if writer is None:
            schema = pa.schema({name: types[type(value)] for name, value in rows[0].items()})
            schema = schema.set(schema.get_field_index("mask"), pa.field("mask", pa.list_(pa.bool_())))
            options = {"compression": "zstd", "compression_level": ZSTD_LEVEL}
            is_parquet = destination.endswith(".parquet")
            writer = (
                pq.ParquetWriter(destination, schema, **options)
                if is_parquet
                else pa.ipc.new_file(destination, schema)
            )
        writer.write_table(pa.Table.from_pylist(rows, schema))
    writer.close()


def _write_npz(batches: Iterator[list[dict[str, Any]]], destination: str) -> None:
    """Write the padded ids, the mask, the lengths and the column `id`. npz has no text."""
    import numpy as np

    names = {"input_ids": np.int32, "mask": np.bool_, "id": np.int64}
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for rows in batches:
        for name, dtype in names.items():
            parts[name].append(np.array([row[name] for row in rows], dtype))
    arrays = {name: np.concatenate(found) for name, found in parts.items()}
    np.savez(destination, length=arrays["mask"].sum(axis=1, dtype=np.int32), **arrays)


def _fields(source: str) -> dict[str, type]:
    """Return the type of each field in the first row of JSON Lines. A field of type `list` has token ids."""
    import json

    with _lines(source) as lines:
        return {name: type(value) for name, value in json.loads(next(lines)).items()}


_DUCKDB = """
    COPY (
        SELECT * REPLACE (list_resize(input_ids, {maxlen}, 0) AS input_ids),
            list_resize(
                list_resize([]::BOOLEAN[], least(len(input_ids), {maxlen}), true), {maxlen}, false
            ) AS mask
        FROM {table}
    ) TO '{destination}' ({options})
"""


def duckdb(source: str, destination: str, maxlen: str) -> None:
    """Pad in SQL. DuckDB receives the types of JSON fields and does not have to infer them."""
    import duckdb

    database = duckdb.connect()
    table = f"read_parquet('{source}')"
    if suffix_of(source) == "jsonl":
        types = {int: "BIGINT", str: "VARCHAR", list: "INTEGER[]"}
        columns = {name: types[kind] for name, kind in _fields(source).items()}
        table = f"read_json('{source}', format = 'newline_delimited', columns = {columns})"
    if not maxlen.isdigit():
        share = 1.0 if maxlen == "longest" else int(maxlen[1:]) / 100
        query = f"SELECT quantile_disc(len(input_ids), {share}) FROM {table}"
        maxlen = str(database.execute(query).fetchone()[0])
    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {GROUP_ROWS}"
    if suffix_of(destination) == "jsonl":
        options = "FORMAT json"
    database.execute(_DUCKDB.format(maxlen=maxlen, table=table, destination=destination, options=options))


def duckdb_lengths(source: str, *_: str) -> None:
    """Compute quantiles and the histogram of the lengths, without padding."""
    import duckdb

    lengths = f"SELECT len(input_ids) AS n FROM read_parquet('{source}')"
    shares = [0.5, 0.9, 0.95, 0.99, 1.0]
    query = f"SELECT count(*), sum(n), quantile_disc(n, {shares}), histogram(n) FROM ({lengths})"
    duckdb.connect().execute(query).fetchall()


def polars(source: str, destination: str, maxlen: str) -> None:
    """Pad in a lazy query. Polars receives the types of JSON fields and does not have to infer them."""
    import polars as pl

    if suffix_of(source) == "jsonl":
        types = {int: pl.Int64, str: pl.String, list: pl.List(pl.Int32)}
        schema = {name: types[kind] for name, kind in _fields(source).items()}
        rows = pl.scan_ndjson(source, schema=schema)
    else:
        rows = pl.scan_parquet(source) if suffix_of(source) == "parquet" else pl.scan_ipc(source)
    if not maxlen.isdigit():
        share = 1.0 if maxlen == "longest" else int(maxlen[1:]) / 100
        lengths = pl.col("input_ids").list.len().sort()
        # The same definition of a percentile (nearest rank) as in DuckDB and padmask.
        rank = (pl.len() * share).ceil().cast(pl.Int64) - 1
        maxlen = str(rows.select(lengths.gather(rank)).collect(engine="streaming").item())
    padded = rows.with_columns(**_polars_columns(int(maxlen)))
    if suffix_of(destination) == "jsonl":
        padded.sink_ndjson(destination)
    elif suffix_of(destination) == "parquet":
        padded.sink_parquet(
            destination, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS
        )
    else:
        padded.sink_ipc(destination, compression="uncompressed", compat_level=pl.CompatLevel.oldest())


def _polars_columns(maxlen: int) -> dict[str, Any]:
    """Return expressions that look up the padding and the mask for each length in a table.

    The alternative, `repeat_by`, takes three times as long.
    """
    import polars as pl

    lengths = range(maxlen + 1)
    padding = pl.Series([[0] * (maxlen - kept) for kept in lengths], dtype=pl.List(pl.Int32))
    masks = pl.Series([[True] * kept + [False] * (maxlen - kept) for kept in lengths])
    ids = pl.col("input_ids")
    kept = ids.list.len().clip(upper_bound=maxlen)
    return {
        "input_ids": ids.list.head(maxlen).list.concat(pl.lit(padding).gather(kept)),
        "mask": pl.lit(masks).gather(kept),
    }


def datasets_jsonl(source: str, destination: str, _: str) -> None:
    """Pad JSON Lines with `datasets.map`, which receives the types and does not have to infer them."""
    import tempfile

    from datasets import Dataset, Features, List, Value

    types = {int: Value("int64"), str: Value("string"), list: List(Value("int32"))}
    features = Features({name: types[kind] for name, kind in _fields(source).items()})
    # Use a new cache. Otherwise, a second run would reuse the result.
    with tempfile.TemporaryDirectory() as cache:
        rows = Dataset.from_json(source, features=features, cache_dir=cache)
        _mapped(rows).to_json(destination, force_ascii=False, num_proc=_cores())


def datasets_parquet(source: str, destination: str, _: str) -> None:
    """Pad Parquet with `datasets.map`, which always writes snappy."""
    import tempfile

    from datasets import Dataset

    with tempfile.TemporaryDirectory() as cache:
        rows = Dataset.from_parquet(source, cache_dir=cache)
        _mapped(rows).to_parquet(destination, batch_size=GROUP_ROWS)


def _mapped(rows: Any) -> Any:
    """Pad lists with a tokenizer's `pad`, which takes two thirds of the time that NumPy arrays take.

    The tokenizer is created here, so that nothing is downloaded. `pad` needs only its pad token.
    """
    from datasets import Features, List, Value, disable_progress_bars
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    disable_progress_bars()
    words = WordLevel({"[PAD]": 0}, unk_token="[PAD]")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), pad_token="[PAD]")

    def pad(batch: dict[str, Any]) -> dict[str, Any]:
        # A tokenizer's `pad` does not truncate.
        kept = {"input_ids": [ids[:MAXLEN] for ids in batch["input_ids"]]}
        padded = tokenizer.pad(kept, padding="max_length", max_length=MAXLEN)
        masks = [list(map(bool, mask)) for mask in padded["attention_mask"]]
        return {"input_ids": padded["input_ids"], "mask": masks}

    features = Features(rows.features | {"mask": List(Value("bool"))})
    return rows.map(pad, batched=True, features=features, num_proc=_cores())


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def pyarrow_parquet(source: str, destination: str, _: str) -> None:
    """Do not pad: read the input, then write a padded result that is already in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    padded = pa.ipc.open_file(pa.memory_map(result_of(source))).read_all()
    pq.read_table(source)
    pq.write_table(
        padded, destination, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS
    )


def read_alone(source: str, *_: str) -> None:
    """Only read all columns."""
    import pyarrow.parquet as pq

    pq.read_table(source)


def result_of(source: str) -> str:
    """Return the path of a result that is already padded, for the peer that only writes its rows."""
    return source + ".padded.arrow"


SCRIPT = "orjson and pyarrow script"
PEERS = {
    "json script": json_script,
    "orjson script": script,
    SCRIPT: script,
    "DuckDB": duckdb,
    "Polars": polars,
    "Hugging Face datasets": datasets_jsonl,
    "Hugging Face datasets, snappy": datasets_parquet,
    "pyarrow, read and write alone": pyarrow_parquet,
    "DuckDB, quantiles and histogram": duckdb_lengths,
    "pyarrow, read alone": read_alone,
}

# The peers of each pair of formats.
BY_FORMATS = {
    ("jsonl", "jsonl"): ["json script", "orjson script", "DuckDB", "Polars", "Hugging Face datasets"],
    ("parquet", "parquet"): [
        "DuckDB",
        "Polars",
        "Hugging Face datasets, snappy",
        "pyarrow, read and write alone",
        SCRIPT,
    ],
    ("jsonl", "parquet"): ["DuckDB", "Polars", SCRIPT],
    ("jsonl", "arrow"): ["Polars", SCRIPT],
    ("jsonl", "npz"): [SCRIPT],
    ("parquet", "jsonl"): ["DuckDB", "Polars", SCRIPT],
    ("parquet", "arrow"): ["Polars", SCRIPT],
    ("parquet", "npz"): [SCRIPT],
    ("arrow", "jsonl"): ["Polars", SCRIPT],
    ("arrow", "parquet"): ["Polars", SCRIPT],
    ("arrow", "arrow"): ["Polars", SCRIPT],
}

# Optional packages that some peers need.
_HUGGING_FACE = ("datasets", "transformers", "tokenizers")
NEEDS = {
    "DuckDB": ("duckdb",),
    "DuckDB, quantiles and histogram": ("duckdb",),
    "Polars": ("polars",),
    "Hugging Face datasets": _HUGGING_FACE,
    "Hugging Face datasets, snappy": _HUGGING_FACE,
}

if __name__ == "__main__":
    name, source, destination, *maxlen = sys.argv[1:]
    PEERS[name](source, destination, *(maxlen or [str(MAXLEN)]))
