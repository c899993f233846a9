"""Write JSON Lines files, and the lines of the `--rejects` file.

orjson formats NumPy arrays directly. JSON text from the input is written unchanged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

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


# Number of positions in the cached mask texts above which the cache is emptied after a batch.
MASK_POSITIONS = 1 << 22


class _Texts(NamedTuple):
    """The JSON text of each row of a column: `before`, an element of `rows`, and `after`."""

    rows: list[bytes]
    before: bytes = b""
    after: bytes = b""


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
        # The text of each mask row, keyed by the number of positions and the packed bits.
        self._masks: dict[int, dict[bytes, bytes]] = {}
        self._cached = 0

    def encode(self, batch: Batch) -> bytes:
        """Return the rows as lines. The text of fields from JSON input stays unchanged."""
        columns: dict[str, _Texts] = {}
        for name, column in zip(batch.columns.schema.names, batch.columns.columns, strict=True):
            shape = self._shapes.get(name, ())
            if _has_nonfinite(column):
                raise _not_json(name, batch, column)
            try:
                columns[name] = self._texts(name, column, shape)
            except (ValueError, OverflowError, pa.ArrowException):
                raise _not_json(name, batch, column) from None
        if batch.objects is None:
            return _join(columns)
        rows: list[dict[str, Any]] = list(batch.objects)
        for name, texts in columns.items():
            for row, text in zip(rows, texts.rows, strict=True):
                row[name] = msgspec.Raw(texts.before + text + texts.after)
        return write_objects(rows)

    def append(self, encoded: bytes) -> None:
        self._stream.write(encoded)

    def finish(self) -> None:
        """Do nothing. JSON Lines has no footer."""

    def abandon(self) -> None:
        """Do nothing. This writer has no buffer."""

    def _texts(self, name: str, column: pa.Array, shape: tuple[int, ...]) -> _Texts:
        """Return the JSON text of each row of a column."""
        if name in self._ragged:
            return self._sequences(column)
        return self._lists(column, shape) if shape else _plain_texts(column)

    def _lists(self, column: pa.Array, shape: tuple[int, ...]) -> _Texts:
        """Return the JSON text of each row of a padded column or a mask."""
        values = rows_as_array(column, shape)
        if values.size == 0 or values.dtype == object:
            return _plain_texts(column)
        if values.dtype == bool and values.ndim == 2:
            return _Texts(self._mask_texts(values))
        text = _numbers(values)
        opening, closing = b"[" * (values.ndim - 1), b"]" * (values.ndim - 1)
        rows = text[values.ndim : -values.ndim].split(closing + b"," + opening)
        return _Texts(rows, opening, closing)

    def _sequences(self, column: pa.Array) -> _Texts:
        """Return the JSON text of each row of a sequence column. Floats are written as in padded columns."""
        if not is_sequence(column.type):
            return _plain_texts(column)
        rows, faults = Ragged.from_arrow(column)
        if faults or rows.values.dtype.kind not in "iuf" or rows.values.dtype.itemsize < 4:
            return _plain_texts(column)
        ends = rows.starts + rows.lengths
        places = zip(rows.starts.tolist(), ends.tolist(), strict=True)
        return _Texts([_numbers(rows.values[start:end]) for start, end in places])

    def _mask_texts(self, mask: npt.NDArray[np.bool_]) -> list[bytes]:
        """Return the JSON text of each mask row. The texts are cached, because many masks are equal."""
        width = mask.shape[1]
        packed = np.packbits(mask, axis=1)
        keys: list[bytes] = packed.view(f"V{packed.shape[1]}")[:, 0].tolist()
        texts = self._masks.setdefault(width, {})
        rows = dict(zip(keys, range(len(keys)), strict=True))
        for key, row in rows.items():
            if key not in texts:
                texts[key] = orjson.dumps(mask[row], option=orjson.OPT_SERIALIZE_NUMPY)
                self._cached += width
        found = [texts[key] for key in keys]
        if self._cached > MASK_POSITIONS:
            self._masks, self._cached = {}, 0
        return found


def _join(columns: Mapping[str, _Texts]) -> bytes:
    """Join the texts of columns to one JSON object per line.

    >>> _join({"id": _Texts([b"7", b"8"]), "ids": _Texts([b"1,2", b"3"], b"[", b"]")})
    b'{"id":7,"ids":[1,2]}\\n{"id":8,"ids":[3]}\\n'
    """
    step, before = 2 * len(columns) + 1, b"{"
    parts = [b""] * step * max((len(texts.rows) for texts in columns.values()), default=0)
    for i, (name, texts) in enumerate(columns.items()):
        parts[2 * i :: step] = [before + _write_value(name) + b":" + texts.before] * len(texts.rows)
        parts[2 * i + 1 :: step] = texts.rows
        before = texts.after + b","
    parts[step - 1 :: step] = [before[:-1] + b"}\n"] * (len(parts) // step)
    return b"".join(parts)


def _numbers(values: npt.NDArray[Any]) -> bytes:
    """Return numbers as JSON text. A float32 becomes the shortest text that reads as the same float32.

    A float32 of at least 2**24 becomes the text of the float64 with the same value.

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


def _plain_texts(column: pa.Array) -> _Texts:
    """Return the JSON text of each value of a column."""
    # JSON text of a value contains no line break.
    return _Texts(write_objects(_plain_values(column)).split(b"\n")[:-1])


def write_objects(rows: Sequence[Any]) -> bytes:
    """Encode objects or other values as lines. JSON text from the input stays unchanged.

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

    The line stores the row under the key `row` if the row is valid JSON, `bytes` if it is not valid UTF-8,
    and `text` otherwise.
    """
    unit = "line" if batch.unit == "line" else "row_number"
    # File names can contain invalid Unicode.
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
