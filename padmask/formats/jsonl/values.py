"""Convert values to JSON text: NumPy numbers with orjson, and all other values with msgspec."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import any_type, storage_type, without_wrappers
from padmask.core.extension_types import refuse_permuted
from padmask.errors import OutputError
from padmask.formats.plain_dictionaries import as_type, of_views, plain_type

write_value = msgspec.json.Encoder().encode

_write_rows = msgspec.json.Encoder().encode_lines


def numbers_to_json(values: npt.NDArray[Any]) -> bytes:
    """Return numbers as JSON text.

    A float32 of magnitude below 2**24 becomes the shortest text that reads as the same float32. A larger
    float32 becomes the text of the float64 with the same value.

    >>> numbers_to_json(np.array([0.1, 46574712], dtype="float32"))
    b'[0.1,46574712.0]'
    """
    if values.dtype == np.float32 and values.size:
        large = np.abs(values) >= 1 << 24
        if large.any():
            # orjson would write 46574712 as 46574710.0, which is the same float32, but a different number.
            exact = np.array(orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)))
            exact[large] = values[large]
            values = exact
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)


def write_objects(rows: Sequence[Any]) -> bytes:
    """Encode objects or other values as lines. JSON text from the input stays unchanged.

    Raises:
        OutputError: JSON cannot represent the type of a value.
    """
    try:
        return _write_rows(rows)
    except TypeError as error:
        raise OutputError(f"JSON cannot represent a value: {error}. Write Parquet or Arrow.") from None


def plain_values(column: pa.Array) -> list[Any]:
    """Convert a column to Python values that msgspec can write. Nanosecond times become text."""
    refuse_permuted(column.type)
    column = without_wrappers(column)
    column = as_type(column, plain_type(column.type, of_views))
    target = _json_type(column.type)
    values: list[Any] = (column if target.equals(column.type) else column.cast(target)).to_pylist()
    return _with_exact_offsets(values) if any_type(target, _has_time_zone) else values


def _has_time_zone(type_: pa.DataType) -> bool:
    return getattr(type_, "tz", None) is not None


def _with_exact_offsets(value: Any) -> Any:
    """Convert times whose offset from UTC has seconds to UTC, at any depth of a value.

    Until about 1900, most time zones had such offsets. The text of a time has only hours and minutes.

    >>> from zoneinfo import ZoneInfo
    >>> _with_exact_offsets([datetime(1893, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))])[0].isoformat()
    '1892-12-31T23:06:32+00:00'
    """
    if isinstance(value, datetime):
        offset = value.utcoffset()
        return value if offset is None or not offset.seconds % 60 else value.astimezone(UTC)
    if isinstance(value, dict):
        return {name: _with_exact_offsets(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_exact_offsets, value))
    return value


def _json_type(type_: pa.DataType) -> pa.DataType:
    """Replace nanosecond times in a type with strings, because Python times do not support nanoseconds.

    Durations become microseconds. Casting a column to this type raises an error if a value would be rounded.
    """
    type_ = storage_type(type_)
    if pat.is_duration(type_):
        return pa.duration("us")
    if getattr(type_, "unit", None) == "ns":
        return pa.string()
    if pat.is_struct(type_):
        return pa.struct([field.with_type(_json_type(field.type)) for field in type_])
    if pat.is_list(type_) or pat.is_large_list(type_):
        return pa.list_(type_.value_field.with_type(_json_type(type_.value_type)))
    if pat.is_fixed_size_list(type_):
        return pa.list_(type_.value_field.with_type(_json_type(type_.value_type)), type_.list_size)
    return type_
