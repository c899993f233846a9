"""Write JSON Lines files, and the lines of the `--rejects` file.

orjson formats NumPy arrays directly. JSON text from the input is written unchanged.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import any_type, to_numpy, without_wrappers
from padmask.errors import OutputError, SpecError
from padmask.formats import other_formats
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.jsonl.column_texts import MaskCache, Texts, column_texts, join_lines
from padmask.formats.jsonl.reader import read_object
from padmask.formats.jsonl.values import plain_values, write_objects, write_value
from padmask.storage.blank_lines import BLANK


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
        self._masks: MaskCache = {}

    def encode(self, batch: Batch) -> bytes:
        """Return the rows as lines. The text of fields from JSON input stays unchanged."""
        columns: dict[str, Texts] = {}
        for name, column in zip(batch.columns.schema.names, batch.columns.columns, strict=True):
            shape = None if name in self._ragged else self._shapes.get(name, ())
            if _has_nonfinite(column):
                raise _not_json(name, batch, column)
            try:
                columns[name] = column_texts(column, shape, self._masks)
            except (ValueError, OverflowError, pa.ArrowException):
                raise _not_json(name, batch, column) from None
        if batch.objects is None:
            return join_lines(columns)
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
        return bool(write_value(plain_values(values))) and not _has_nonfinite(values)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return False


def _has_nonfinite(column: pa.Array) -> bool:
    """Return whether a column contains NaN or infinity. msgspec would write them as null."""
    if not any_type(column.type, pat.is_floating):
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
            name: plain_values(column)[0] if fits_json(column) else column.to_string(skip_new_lines=True)
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
    return write_value(out) + b"\n"
