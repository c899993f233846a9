"""Whether two outputs hold the same rows: `python check.py OURS THEIRS`, exit 1 where they do not."""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import Any


def same_jsonl(ours: str, theirs: str) -> bool:
    """Compare line by line, by value: peers differ in how they write spaces and letters."""
    with open(ours, "rb") as a, open(theirs, "rb") as b:
        return all(
            x == y or (x is not None and y is not None and _canonical(x) == _canonical(y))
            for x, y in zip_longest(a, b)
        )


def _canonical(line: bytes) -> bytes:
    """Write a row anew: Python would take 1, 1.0 and true for the same."""
    import orjson

    return orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)


def same_parquet(ours: str, theirs: str) -> bool:
    """Compare column by column, by value and type: peers differ in large and plain types only."""
    import pyarrow.parquet as pq

    a, b = pq.read_table(ours), pq.read_table(theirs)
    if a.column_names != b.column_names or a.num_rows != b.num_rows:
        return False
    if any(_plain(x.type) != _plain(y.type) for x, y in zip(a.columns, b.columns, strict=True)):
        return False
    return all(x.equals(y.cast(x.type)) for x, y in zip(a.columns, b.columns, strict=True))


def _plain(type_: Any) -> Any:
    """Return a type as it is without large offsets and names of items."""
    import pyarrow as pa

    if pa.types.is_large_list(type_) or pa.types.is_list(type_):
        return pa.list_(_plain(type_.value_type))
    return pa.string() if pa.types.is_large_string(type_) else type_


if __name__ == "__main__":
    same = same_jsonl if sys.argv[1].endswith(".jsonl") else same_parquet
    sys.exit(not same(sys.argv[1], sys.argv[2]))
