"""Whether two outputs hold the same rows: `python check.py OURS THEIRS`, exit 1 where they do not."""

from __future__ import annotations

import sys
from itertools import zip_longest


def same_jsonl(ours: str, theirs: str) -> bool:
    """Compare line by line, by value: peers differ in how they write spaces and letters."""
    import orjson

    with open(ours, "rb") as a, open(theirs, "rb") as b:
        return all(
            x == y or (x is not None and y is not None and orjson.loads(x) == orjson.loads(y))
            for x, y in zip_longest(a, b)
        )


def same_parquet(ours: str, theirs: str) -> bool:
    """Compare column by column, by value: peers differ in large and plain types."""
    import pyarrow.parquet as pq

    a, b = pq.read_table(ours), pq.read_table(theirs)
    if a.column_names != b.column_names or a.num_rows != b.num_rows:
        return False
    return all(a[name].equals(b[name].cast(a[name].type)) for name in a.column_names)


if __name__ == "__main__":
    same = same_jsonl if sys.argv[1].endswith(".jsonl") else same_parquet
    sys.exit(not same(sys.argv[1], sys.argv[2]))
