"""Read Parquet timestamps of type INT96, the default of Spark, Hive and Impala, as microseconds.

INT96 stores a Julian day number and the nanoseconds of the day. padmask uses microseconds, because a
timestamp with 64-bit nanoseconds cannot represent times after 2262, and Spark does not support nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import null_flags, to_numpy
from padmask.core.foreign_metadata import SPARK
from padmask.errors import UnsupportedError

# Keys of the file metadata that only Spark writes. The INT96 timestamps in Spark files are in UTC.
_SPARK_KEYS = (SPARK, b"org.apache.spark.version")

_MICROSECONDS = pa.timestamp("us")

_UTC = pa.timestamp("us", "UTC")


def int96_columns(schema: Any) -> dict[str, int]:
    """Return the columns with INT96 values: a dict from column name to number of INT96 leaf columns.

    Args:
        schema: a `pyarrow.parquet.ParquetSchema`.
    """
    leaves = map(schema.column, range(len(schema)))
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    names = schema.to_arrow_schema().names if paths else []
    counts = {name: sum(path == name or path.startswith(f"{name}.") for path in paths) for name in names}
    return {name: count for name, count in counts.items() if count}


def with_time_zone(
    schema: pa.Schema, columns: Mapping[str, int], metadata: Mapping[bytes, bytes] | None
) -> pa.Schema:
    """Return the schema, with the time zone UTC for INT96 timestamps if Spark wrote the file.

    Args:
        schema: columns of the file, in which INT96 timestamps have the unit microseconds.
        columns: columns with INT96 values, from `int96_columns`.
        metadata: metadata of the file.
    """
    if not any(key in (metadata or {}) for key in _SPARK_KEYS):
        return schema
    fields = [
        # If a column also has other timestamps, the INT96 timestamps cannot be identified.
        field.with_type(_in_utc(field.type)) if columns.get(field.name) == _count_naive(field.type) else field
        for field in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)


def _count_naive(type_: pa.DataType) -> int:
    """Return the number of timestamp types without a time zone in a type, at any depth."""
    if type_ == _MICROSECONDS:
        return 1
    return sum(_count_naive(type_.field(i).type) for i in range(type_.num_fields))


def _in_utc(type_: pa.DataType) -> pa.DataType:
    """Return a type in which all timestamps without a time zone get the time zone UTC."""
    if type_ == _MICROSECONDS:
        return _UTC
    if pat.is_struct(type_):
        return pa.struct([field.with_type(_in_utc(field.type)) for field in type_])
    if pat.is_map(type_):
        return pa.map_(_in_utc(type_.key_type), _in_utc(type_.item_type))
    if pat.is_list(type_):
        return pa.list_(type_.value_field.with_type(_in_utc(type_.value_type)))
    return type_


def exact_batches(
    batches: Iterable[pa.RecordBatch], nanoseconds: Iterable[pa.RecordBatch], schema: pa.Schema, name: str
) -> Iterator[pa.RecordBatch]:
    """Cast batches to the types of `schema`, and check that no INT96 timestamp was rounded to microseconds.

    Args:
        batches: rows with INT96 values read as microseconds.
        nanoseconds: the INT96 columns of the same rows, read as nanoseconds.
        schema: the columns of the file, from `with_time_zone`.
        name: name of the file, for the error.

    Raises:
        UnsupportedError: an INT96 timestamp has a fraction of a microsecond.
    """
    read = iter(nanoseconds)
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        # The two readers may split the rows differently.
        while sum(part.num_rows for part in pending) < batch.num_rows:
            pending.append(next(read))
        rows = pa.Table.from_batches(pending)
        _refuse_finer(batch, rows.slice(0, batch.num_rows).combine_chunks(), name)
        pending = rows.slice(batch.num_rows).to_batches()
        yield _with_types(batch, schema)


def _with_types(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    fields = [schema.field(place) for place in map(schema.get_field_index, batch.schema.names)]
    columns = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _refuse_finer(batch: pa.RecordBatch, nanoseconds: pa.Table, file: str) -> None:
    for name in nanoseconds.schema.names:
        column = nanoseconds.column(name)
        fine = _leaves(column.chunk(0)) if column.num_chunks else ()
        for exact, coarse in zip(fine, _leaves(batch.column(name)), strict=False):
            # Nanoseconds out of the range of 64 bits wrap around, and so does this product.
            if exact.type != coarse.type and (_integers(exact) != _integers(coarse) * 1000).any():
                raise UnsupportedError(
                    f"{file}: column {name!r} has INT96 timestamps with fractions of a microsecond, but "
                    "padmask reads INT96 as microseconds. Write the column as INT64 nanoseconds."
                )


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """Yield the innermost arrays, which contain no other arrays."""
    if pat.is_struct(array.type):
        parts = array.flatten()
    elif pat.is_map(array.type):
        parts = [array.keys, array.items]
    elif pat.is_list(array.type):
        parts = [array.flatten()]
    else:
        yield array
        return
    for part in parts:
        yield from _leaves(part)


def _integers(times: pa.Array) -> npt.NDArray[np.int64]:
    """Return timestamps as integers, with 0 for null."""
    return np.where(null_flags(times), 0, to_numpy(times.view(pa.int64()).fill_null(0)))
