"""Convert a Parquet file to an Arrow file for memory mapping: `python keep.py PARQUET ARROW`."""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.parquet as pq

if __name__ == "__main__":
    table = pq.read_table(sys.argv[1])
    with pa.ipc.new_file(sys.argv[2], table.schema) as out:
        out.write_table(table)
