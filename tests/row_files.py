"""Write rows to files of each format, and read them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq


def write_rows(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> Path:
    """Write rows in the format of the suffix. Typed files have several row groups or record batches."""
    table = pa.Table.from_pylist(list(rows), schema)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
    else:
        with ipc.new_file(path, schema) as out:
            out.write_table(table, max_chunksize=2)
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    # Without `partitioning=None`, the folder of a bucket adds a column.
    is_parquet = path.suffix == ".parquet"
    table = pq.read_table(path, partitioning=None) if is_parquet else ipc.open_file(path).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
