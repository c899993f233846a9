"""The data for the benchmark: generated or real rows whose lengths have the long tail of real text.

This module runs in a separate process, so that the measuring process needs little memory:
`python data.py DATA ROWS OUTPUT...`. Each output is a .jsonl, .jsonl.gz, .jsonl.zst, .parquet or .arrow file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from real import real_blocks

SEED = 20251122
MEAN_TOKENS, MAX_TOKENS = 70, 1024
# A log-normal distribution with this spread and a mean of 70 has a median of 42.
SPREAD = 1.0
VOCABULARY = 30_522
# The first thousand ids of BERT's vocabulary are special, unused and single-letter tokens.
FIRST_WORD = 1_000
BLOCK_ROWS = 10_000
INPUT_GROUP_ROWS = 16_384


def lengths_of(
    rng: np.random.Generator, rows: int, mean: float = MEAN_TOKENS, longest: int = MAX_TOKENS
) -> Any:
    """Draw lengths from 1 to `longest` from a log-normal distribution."""
    drawn = rng.lognormal(np.log(mean) - SPREAD**2 / 2, SPREAD, rows)
    return np.clip(np.rint(drawn), 1, longest).astype(np.int64)


def tokens_of(rng: np.random.Generator, count: int) -> Any:
    """Draw ids from a Zipf distribution, like words in text."""
    ranks = (VOCABULARY - FIRST_WORD) ** rng.random(count)
    return (FIRST_WORD - 1 + ranks).astype(np.int32)


def prose(rng: np.random.Generator, characters: int = 1 << 21) -> str:
    """Return text of generated words. One in fifty different words has a letter that is not ASCII."""
    letters = list("etaoinshrdlucmfwypvbgk")
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(1, 11, 5_000)]
    words = [word + "é" if i % 50 == 7 else word for i, word in enumerate(words)]
    ranks = (len(words) ** rng.random(characters // 4)).astype(np.int64) - 1
    return " ".join(words[rank] for rank in ranks.tolist())[:characters]


def generated_blocks(rows: int) -> Iterator[dict[str, Any]]:
    """Yield the columns in blocks of rows. The first rows do not depend on the number of rows."""
    text = prose(np.random.default_rng(SEED))
    for first in range(0, rows, BLOCK_ROWS):
        rng = np.random.default_rng([SEED, first])
        lengths = lengths_of(rng, BLOCK_ROWS)
        tokens = tokens_of(rng, int(lengths.sum()))
        # About four characters of text per token.
        begins = rng.integers(0, len(text) - 4 * MAX_TOKENS, BLOCK_ROWS)
        rows_here = min(BLOCK_ROWS, rows - first)
        lengths, begins = lengths[:rows_here], begins[:rows_here]
        ends = np.cumsum(lengths)
        yield {
            "id": np.arange(first, first + rows_here),
            "text": [text[b : b + 4 * n] for b, n in zip(begins.tolist(), lengths.tolist(), strict=True)],
            "input_ids": np.split(tokens[: int(ends[-1])], ends[:-1]),
        }


def id_blocks(rows: int, mean: float, longest: int) -> Iterator[dict[str, Any]]:
    """Yield ids only, in blocks of about the same number of tokens."""
    block = max(1, BLOCK_ROWS * MEAN_TOKENS // int(mean))
    for first in range(0, rows, block):
        rng = np.random.default_rng([SEED, first])
        lengths = lengths_of(rng, min(block, rows - first), mean, longest)
        ends = np.cumsum(lengths)
        yield {"input_ids": _lists(tokens_of(rng, int(ends[-1])), ends)}


def _lists(values: Any, ends: Any) -> Any:
    """Return rows as an Arrow array of lists. NumPy arrays for millions of short rows would take minutes."""
    import pyarrow as pa

    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, values)


BLOCKS = {"generated": generated_blocks, "real": real_blocks}


def blocks_of(data: str, rows: int) -> Iterator[dict[str, Any]]:
    """Yield blocks of rows. `data` is a name in `BLOCKS`, or `MEAN:LONGEST` for rows with ids only."""
    if data in BLOCKS:
        return BLOCKS[data](rows)
    mean, longest = data.split(":")
    return id_blocks(rows, float(mean), int(longest))


def write(path: str, data: str, rows: int) -> int:
    """Write a file in the format of its suffix, and return the number of tokens."""
    return write_blocks(path, blocks_of(data, rows))


def write_blocks(path: str, blocks: Iterator[dict[str, Any]]) -> int:
    """Write blocks of rows, and return the number of tokens."""
    if path.endswith(".arrow"):
        return _write_arrow(path, blocks)
    return _write_parquet(path, blocks) if path.endswith(".parquet") else _write_jsonl(path, blocks)


def _write_jsonl(path: str, blocks: Iterator[dict[str, Any]]) -> int:
    import orjson
    import pyarrow as pa

    tokens = 0
    # The suffix determines the compression.
    with pa.output_stream(path, buffer_size=1 << 20) as out:
        for block in blocks:
            for values in zip(*block.values(), strict=True):
                row = dict(zip(block, values, strict=True))
                out.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
            tokens += sum(map(len, block["input_ids"]))
    return tokens


def _write_arrow(path: str, blocks: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa

    first = next(blocks)
    schema, tokens = pa.table(first).schema, 0
    with pa.ipc.new_file(path, schema) as out:
        for block in chain([first], blocks):
            out.write_table(pa.table(block, schema=schema))
            tokens += _tokens(block["input_ids"])
    return tokens


def _write_parquet(path: str, blocks: Iterator[dict[str, Any]]) -> int:
    """Write several row groups, so that readers can use threads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(blocks)
    held = pa.table(first).slice(0, 0)
    tokens = 0
    with pq.ParquetWriter(path, held.schema, compression="zstd") as out:
        for block in chain([first], blocks):
            held = pa.concat_tables([held, pa.table(block, schema=held.schema)])
            tokens += _tokens(block["input_ids"])
            while held.num_rows >= INPUT_GROUP_ROWS:
                out.write_table(held.slice(0, INPUT_GROUP_ROWS).combine_chunks())
                held = held.slice(INPUT_GROUP_ROWS)
        if held.num_rows:
            out.write_table(held.combine_chunks())
    return tokens


def _tokens(lists: Any) -> int:
    return len(lists.values) if hasattr(lists, "values") else sum(map(len, lists))


if __name__ == "__main__":
    print(json.dumps({path: write(path, sys.argv[1], int(sys.argv[2])) for path in sys.argv[3:]}))
