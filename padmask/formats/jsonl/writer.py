"""Write JSON Lines files, and the lines of the `--rejects` file.

orjson formats NumPy arrays directly. JSON text from the input is written unchanged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_sequence, rows_as_array, storage_type, to_numpy, without_wrappers
from padmask.core.extension_types import refuse_permuted
from padmask.core.ragged import Ragged
from padmask.errors import OutputError, SpecError
from padmask.formats import other_formats
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.jsonl.reader import read_object
from padmask.formats.plain_dictionaries import as_type, of_views, plain_type
from padmask.storage.blank_lines import BLANK

_write_rows = msgspec.json.Encoder().encode_lines

_write_value = msgspec.json.Encoder().encode


class JsonlWriter:
    """Writer for JSON Lines. Each row becomes a JSON object on one line."""

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        self._stream = stream
        duplicates = {name for name, times in Counter(layout.schema.names).items() if times > 1}
        if duplicates:
            raise SpecError(
                f"The input has several columns named {min(duplicates)!r}, but JSON keys must be unique. "
                "Rename all but one."
            )
        self._shapes, self._ragged = layout.shapes, layout.ragged
        self._masks: dict[tuple[int, bytes], bytes] = {}

    def encode(self, batch: Batch) -> bytes:
        """Return the rows as lines. The text of fields from JSON input stays unchanged."""
        texts: dict[str, list[Any]] = {}
        for name, column in zip(batch.columns.schema.names, batch.columns.columns, strict=True):
            shape = self._shapes.get(name, ())
            if _has_nonfinite(column):
                raise _not_json(name, batch, column)
            try:
                texts[name] = self._texts(name, column, shape)
            except (ValueError, OverflowError, pa.ArrowException):
                raise _not_json(name, batch, column) from None
        if batch.objects is not None:
            rows: list[dict[str, Any]] = list(batch.objects)
            for name, column_texts in texts.items():
                for row, text in zip(rows, column_texts, strict=True):
                    row[name] = text
        else:
            rows = [dict(zip(texts, values, strict=True)) for values in zip(*texts.values(), strict=True)]
        return write_objects(rows)

    def append(self, encoded: bytes) -> None:
        self._stream.write(encoded)

    def finish(self) -> None:
        """Do nothing. JSON Lines has no footer."""

    def abandon(self) -> None:
        """Do nothing. This writer has no buffer."""

    def _lists(self, column: pa.Array, shape: tuple[int, ...]) -> list[Any]:
        """Return the JSON text of each row of a padded column or a mask."""
        values = rows_as_array(column, shape)
        if values.size == 0 or values.dtype == object:
            return _plain_values(column)
        if values.dtype == bool and values.ndim == 2:
            return self._mask_texts(values)
        text = _numbers(values)
        opening, closing = b"[" * (values.ndim - 1), b"]" * (values.ndim - 1)
        rows = text[values.ndim : -values.ndim].split(closing + b"," + opening)
        return [msgspec.Raw(opening + row + closing) for row in rows]

    def _texts(self, name: str, column: pa.Array, shape: tuple[int, ...]) -> list[Any]:
        """Return the JSON text, or a value that msgspec can write, for each row of a column."""
        if name in self._ragged:
            return self._sequences(column)
        return self._lists(column, shape) if shape else _plain_values(column)

    def _sequences(self, column: pa.Array) -> list[Any]:
        """Return the JSON text of each row of a sequence column. Floats are written as in padded columns."""
        if not is_sequence(column.type):
            return _plain_values(column)
        rows, faults = Ragged.from_arrow(column)
        if faults or rows.values.dtype.kind not in "iuf" or rows.values.dtype.itemsize < 4:
            return _plain_values(column)
        ends = rows.starts + rows.lengths
        return [
            msgspec.Raw(_numbers(rows.values[start:end]))
            for start, end in zip(rows.starts.tolist(), ends.tolist(), strict=True)
        ]

    def _mask_texts(self, mask: npt.NDArray[np.bool_]) -> list[msgspec.Raw]:
        """Return the JSON text of each mask row. The texts are cached, because many masks are equal."""
        rows, width = mask.shape
        packed = np.packbits(mask, axis=1)
        keys, step = packed.tobytes(), packed.shape[1]
        texts = []
        for row in range(rows):
            key = (width, keys[row * step : (row + 1) * step])
            text = self._masks.get(key)
            if text is None:
                if len(self._masks) * width > 1 << 22:
                    self._masks.clear()
                text = orjson.dumps(mask[row], option=orjson.OPT_SERIALIZE_NUMPY)
                self._masks[key] = text
            texts.append(msgspec.Raw(text))
        return texts


def _numbers(values: npt.NDArray[Any]) -> bytes:
    """Return numbers as JSON text. For a float32, this is the shortest text that reads as the same float32.

    Large numbers have no exponent.

    >>> _numbers(np.array([0.1, 46574712], dtype="float32"))
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


def write_objects(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode objects as lines. JSON text from the input stays unchanged.

    Raises:
        OutputError: JSON cannot represent the type of a value.
    """
    try:
        return _write_rows(rows)
    except TypeError as error:
        raise OutputError(f"JSON cannot represent a value: {error}. Write Parquet or Arrow.") from None


def _not_json(name: str, batch: Batch, column: pa.Array) -> OutputError:
    row = next((row for row in range(len(column)) if not fits_json(column.slice(row, 1))), 0)
    kind = "NaN or infinity" if _has_nonfinite(column.slice(row, 1)) else f"a {column.type}"
    return OutputError(
        f"{batch.place(row)}: column {name!r} contains {kind}, which JSON cannot represent. "
        f"{other_formats(column.slice(row, 1)).rstrip('.')}, or fix the data."
    )


def fits_json(values: pa.Array) -> bool:
    """Return whether JSON can represent an array. Times outside Python's range have no JSON form."""
    try:
        return bool(_write_value(_plain_values(values))) and not _has_nonfinite(values)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return False


def _plain_values(column: pa.Array) -> list[Any]:
    """Convert a column to Python values that msgspec can write. Nanosecond times become text."""
    refuse_permuted(column.type)
    column = without_wrappers(column)
    column = as_type(column, plain_type(column.type, of_views))
    target = _json_type(column.type)
    values: list[Any] = (column if target.equals(column.type) else column.cast(target)).to_pylist()
    return values


def _json_type(type_: pa.DataType) -> pa.DataType:
    """Replace nanosecond times in a type with strings, because Python times do not support nanoseconds.

    Durations become microseconds. A cast that would round a value raises an error.
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


def _holds_floats(type_: pa.DataType) -> bool:
    """Return whether a type contains floats at any depth."""
    type_ = storage_type(type_)
    inner = [type_.field(i).type for i in range(type_.num_fields)]
    return bool(pat.is_floating(type_)) or any(map(_holds_floats, inner))


def _has_nonfinite(column: pa.Array) -> bool:
    """Return whether a column contains NaN or infinity. msgspec would write them as null."""
    if not _holds_floats(column.type):
        return False
    column = without_wrappers(column)
    if pat.is_floating(column.type):
        return not bool(np.isfinite(to_numpy(column.drop_null())).all())
    if pat.is_struct(column.type):
        return any(map(_has_nonfinite, column.flatten()))
    if hasattr(column, "flatten") and not pat.is_map(column.type):
        return _has_nonfinite(column.flatten())
    return _nonfinite_within(column.to_pylist())


def _nonfinite_within(value: Any) -> bool:
    """Return whether a Python value contains NaN or infinity. This is slow, but works for all Arrow types."""
    if isinstance(value, float):
        return not math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(map(_nonfinite_within, parts))


def reject_line(batch: Batch, row: int, reason: str) -> bytes:
    """Return the line for a rejected row in the `--rejects` file, with the reason and the complete row.

    The key of the row is `row` if the row is valid JSON, `bytes` if the row is not valid UTF-8, and `text`
    otherwise.
    """
    unit = "line" if batch.unit == "line" else "row_number"
    # File names may not be valid Unicode.
    source, reason = (text.encode(errors="backslashreplace").decode() for text in (batch.source, reason))
    out: dict[str, Any] = {"source": source, unit: int(batch.numbers[row]), "reason": reason}
    if batch.lines is None:
        record = batch.columns.slice(row, 1)
        out["row"] = {
            name: _plain_values(column)[0] if fits_json(column) else column.to_string(skip_new_lines=True)
            for name, column in zip(record.schema.names, record.columns, strict=True)
        }
    else:
        line = batch.lines[row]
        try:
            read_object(line)
            line.decode()
            out["row"] = msgspec.Raw(line.strip(BLANK))
        except (ValueError, RecursionError):
            try:
                out["text"] = line.decode()
            except UnicodeDecodeError:
                out["bytes"] = list(line)
    return _write_value(out) + b"\n"
