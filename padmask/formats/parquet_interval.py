"""Read Parquet columns of type INTERVAL, which DuckDB writes and pyarrow reads as 12 bytes per value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import null_flags

_NANOSECONDS = 1_000_000

_ARROW_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def interval_columns(schema: Any) -> list[str]:
    """Return the names of the columns of type INTERVAL.

    Args:
        schema: a `pyarrow.parquet.ParquetSchema`.
    """
    leaves = map(schema.column, range(len(schema)))
    return [leaf.path for leaf in leaves if leaf.converted_type == "INTERVAL" and leaf.path == leaf.name]


def with_interval_types(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    """Return the schema, with Arrow's interval type for the columns in `names`."""
    fields = [
        field.with_type(pa.month_day_nano_interval()) if field.name in names else field for field in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)


def interval_batches(batches: Iterable[pa.RecordBatch], names: Collection[str]) -> Iterator[pa.RecordBatch]:
    """Yield the batches, with the columns in `names` converted to intervals."""
    for batch in batches:
        columns = [
            read_intervals(column) if name in names else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=with_interval_types(batch.schema, names))


def read_intervals(column: pa.Array) -> pa.Array:
    """Convert values of 12 bytes (the numbers of months, days and milliseconds) to intervals.

    >>> values = pa.array([bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]), None], pa.binary(12))
    >>> read_intervals(values).to_pylist()
    [MonthDayNano(months=1, days=2, nanoseconds=3000000), None]
    """
    valid = ~null_flags(column)
    parts = np.frombuffer(b"".join(column.fill_null(bytes(12)).to_pylist()), "<u4").reshape(-1, 3)
    rows = np.empty(len(column), _ARROW_INTERVAL)
    rows["months"], rows["days"] = parts[:, 0].astype(np.int32), parts[:, 1].astype(np.int32)
    rows["nanoseconds"] = parts[:, 2].astype(np.int64) * _NANOSECONDS
    flags = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        pa.month_day_nano_interval(), len(column), [flags, pa.py_buffer(rows.tobytes())]
    )
