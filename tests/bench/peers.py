"""Other tools that do the same job: `python peers.py FORMAT NAME INPUT OUTPUT`.

The job: pad and truncate `input_ids` to 128 positions at the end, add a bool column `mask`, keep the
other fields and the order of the rows. Each peer is written as an expert in the tool would write
it, in the fastest of several tested ways. Each peer imports its own libraries.
"""

from __future__ import annotations

import sys
from typing import Any

MAXLEN = 128
# The same options as padmask: zstd at level 1, and row groups of the same size.
ZSTD_LEVEL = 1
GROUP_ROWS = 32_768


def json_script(source: str, destination: str) -> None:
    """Pad JSON Lines with the standard library."""
    import json

    with open(source, encoding="utf-8") as lines, open(destination, "w", encoding="utf-8") as out:
        for line in lines:
            row = json.loads(line)
            out.write(json.dumps(_padded(row), separators=(",", ":"), ensure_ascii=False) + "\n")


def orjson_script(source: str, destination: str) -> None:
    """Pad JSON Lines with the fastest JSON library for Python."""
    import orjson

    with open(source, "rb") as lines, open(destination, "wb", buffering=1 << 20) as out:
        for line in lines:
            out.write(orjson.dumps(_padded(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE))


def _padded(row: dict[str, Any]) -> dict[str, Any]:
    ids = row["input_ids"][:MAXLEN]
    missing = MAXLEN - len(ids)
    row["mask"] = [True] * len(ids) + [False] * missing
    row["input_ids"] = ids + [0] * missing
    return row


def _fields(source: str) -> dict[str, type]:
    """Return the type of each field of JSON Lines, from the first row. A list contains token ids."""
    import json

    with open(source, encoding="utf-8") as lines:
        return {name: type(value) for name, value in json.loads(next(lines)).items()}


_DUCKDB = f"""
    COPY (
        SELECT * REPLACE (list_resize(input_ids, {MAXLEN}, 0) AS input_ids),
            list_resize(
                list_resize([]::BOOLEAN[], least(len(input_ids), {MAXLEN}), true), {MAXLEN}, false
            ) AS mask
        FROM %s
    ) TO '%s' (%s)
"""


def duckdb_jsonl(source: str, destination: str) -> None:
    """Pad JSON Lines in SQL. DuckDB receives the types and does not have to infer them."""
    import duckdb

    types = {int: "BIGINT", str: "VARCHAR", list: "INTEGER[]"}
    columns = {name: types[kind] for name, kind in _fields(source).items()}
    read = f"read_json('{source}', format = 'newline_delimited', columns = {columns})"
    duckdb.connect().execute(_DUCKDB % (read, destination, "FORMAT json"))


def duckdb_parquet(source: str, destination: str) -> None:
    """Pad Parquet in SQL."""
    import duckdb

    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {GROUP_ROWS}"
    duckdb.connect().execute(_DUCKDB % (f"read_parquet('{source}')", destination, options))


def polars_jsonl(source: str, destination: str) -> None:
    """Pad JSON Lines in a lazy query. Polars receives the types and does not have to infer them."""
    import polars as pl

    types = {int: pl.Int64, str: pl.String, list: pl.List(pl.Int32)}
    schema = {name: types[kind] for name, kind in _fields(source).items()}
    pl.scan_ndjson(source, schema=schema).with_columns(**_polars_columns()).sink_ndjson(destination)


def polars_parquet(source: str, destination: str) -> None:
    """Pad Parquet in a lazy query."""
    import polars as pl

    pl.scan_parquet(source).with_columns(**_polars_columns()).sink_parquet(
        destination, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS
    )


def _polars_columns() -> dict[str, Any]:
    """Look up padding and masks in tables by length, in a third of the time of `repeat_by`."""
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


def datasets_jsonl(source: str, destination: str) -> None:
    """Pad JSON Lines with `datasets.map`, which receives the types and does not have to infer them."""
    import tempfile

    from datasets import Dataset, Features, List, Value

    types = {int: Value("int64"), str: Value("string"), list: List(Value("int32"))}
    features = Features({name: types[kind] for name, kind in _fields(source).items()})
    # Use a new cache. Otherwise, a second run would reuse the result.
    with tempfile.TemporaryDirectory() as cache:
        rows = Dataset.from_json(source, features=features, cache_dir=cache)
        _mapped(rows).to_json(destination, force_ascii=False, num_proc=_cores())


def datasets_parquet(source: str, destination: str) -> None:
    """Pad Parquet with `datasets.map`, which always writes snappy."""
    import tempfile

    from datasets import Dataset

    with tempfile.TemporaryDirectory() as cache:
        rows = Dataset.from_parquet(source, cache_dir=cache)
        _mapped(rows).to_parquet(destination, batch_size=GROUP_ROWS)


def _mapped(rows: Any) -> Any:
    """Pad lists with a tokenizer's `pad`, in two thirds of the time for NumPy arrays.

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


def pyarrow_parquet(source: str, destination: str) -> None:
    """Do not pad: read the input, then write a padded result that is already in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    padded = pa.ipc.open_file(pa.memory_map(result_of(source))).read_all()
    pq.read_table(source)
    pq.write_table(
        padded, destination, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=GROUP_ROWS
    )


def result_of(source: str) -> str:
    """Return the path of the padded result, for the peer that only writes the result."""
    return source + ".padded.arrow"


PEERS = {
    "jsonl": {
        "json script": json_script,
        "orjson script": orjson_script,
        "DuckDB": duckdb_jsonl,
        "Polars": polars_jsonl,
        "Hugging Face datasets": datasets_jsonl,
    },
    "parquet": {
        "DuckDB": duckdb_parquet,
        "Polars": polars_parquet,
        "Hugging Face datasets, snappy": datasets_parquet,
        "pyarrow, read and write alone": pyarrow_parquet,
    },
}

# Optional packages that some peers need.
_HUGGING_FACE = ("datasets", "transformers", "tokenizers")
NEEDS = {
    "DuckDB": ("duckdb",),
    "Polars": ("polars",),
    "Hugging Face datasets": _HUGGING_FACE,
    "Hugging Face datasets, snappy": _HUGGING_FACE,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]][sys.argv[2]](sys.argv[3], sys.argv[4])
