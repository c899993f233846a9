"""Compare the rows of two outputs: `python check.py OURS THEIRS`. The exit code is 1 if they differ."""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import Any


def same_jsonl(ours: str, theirs: str) -> bool:
    """Compare the lines by value, because peers write spaces and letters differently."""
    with open(ours, "rb") as a, open(theirs, "rb") as b:
        return all(
            x == y or (x is not None and y is not None and _canonical(x) == _canonical(y))
            for x, y in zip_longest(a, b)
        )


def _canonical(line: bytes) -> bytes:
    """Serialize a row again to compare it as text, because Python's == treats 1, 1.0 and true as equal."""
    import orjson

    return orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)


def same_table(ours: str, theirs: str) -> bool:
    """Compare the columns by value and type, except that large types equal plain types."""
    a, b = map(_read_table, (ours, theirs))
    if a.column_names != b.column_names or a.num_rows != b.num_rows:
        return False
    if any(_plain(x.type) != _plain(y.type) for x, y in zip(a.columns, b.columns, strict=True)):
        return False
    return all(x.equals(y.cast(x.type)) for x, y in zip(a.columns, b.columns, strict=True))


def _read_table(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(path) if path.endswith(".parquet") else pa.ipc.open_file(path).read_all()


def same_arrays(ours: str, theirs: str) -> bool:
    """Compare the arrays of npz archives by value and dtype."""
    import numpy as np

    with np.load(ours) as a, np.load(theirs) as b:
        return set(a) == set(b) and all(
            a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]) for name in a
        )


def _plain(type_: Any) -> Any:
    """Return a type with plain lists and strings instead of large ones, and with default list item names."""
    import pyarrow as pa

    if pa.types.is_large_list(type_) or pa.types.is_list(type_):
        return pa.list_(_plain(type_.value_type))
    return pa.string() if pa.types.is_large_string(type_) else type_


SAME = {"jsonl": same_jsonl, "parquet": same_table, "arrow": same_table, "npz": same_arrays}

if __name__ == "__main__":
    sys.exit(not SAME[sys.argv[1].rpartition(".")[2]](sys.argv[1], sys.argv[2]))
