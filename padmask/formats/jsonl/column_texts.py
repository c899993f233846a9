"""Convert columns to the JSON text of each row, and join the texts of all columns to lines.

Most of the work is done for whole columns, because Python is slow for single rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_sequence, null_flags, rows_as_array, text_offsets
from padmask.core.ragged import Ragged
from padmask.formats.jsonl.values import numbers_to_json, plain_values, write_objects, write_value

# Number of positions in the cached mask texts above which the cache is emptied after a batch.
MASK_POSITIONS = 1 << 22

# The text of each mask row, keyed by the number of positions and the packed bits.
MaskCache = dict[int, dict[bytes, bytes]]

_CLOSING, _QUOTE, _BACKSLASH = b']"\\'

# JSON strings escape all characters before this one.
_FIRST_PRINTABLE = ord(" ")


class Texts(NamedTuple):
    """The JSON texts of the rows of a column. The text of row i is `before + rows[i] + after`."""

    rows: list[bytes]
    before: bytes = b""
    after: bytes = b""


def column_texts(column: pa.Array, shape: tuple[int, ...] | None, masks: MaskCache) -> Texts:
    """Return the JSON text of each row of a column.

    >>> column_texts(pa.array(["a", 'b "c"', None]), (), {}).rows
    [b'"a"', b'"b \\\\"c\\\\""', b'null']

    Args:
        column: the rows.
        shape: shape of each row: empty if the rows are not lists, and None if the rows are sequences of
            different lengths.
        masks: cache for the text of masks.

    Raises:
        OutputError: JSON cannot represent the type of a value.
        ValueError, OverflowError, pa.ArrowException: JSON cannot represent a value.
    """
    if shape is None:
        return _sequence_texts(column)
    values = rows_as_array(column, shape) if shape else None
    if values is None or values.size == 0 or values.dtype == object:
        return _plain_texts(column)
    if values.dtype == bool and values.ndim == 2:
        return Texts(_mask_texts(values, masks))
    return _array_texts(values)


def _array_texts(values: npt.NDArray[Any]) -> Texts:
    """Return the JSON text of each row of an array with two or more axes."""
    text = numbers_to_json(values)
    closings = np.flatnonzero(np.frombuffer(text, np.uint8) == _CLOSING)
    # Number of closing brackets in each row: 1 for a row of numbers, 1 + n for a row of n lists of numbers.
    each = sum(int(np.prod(values.shape[1:axis])) for axis in range(1, values.ndim))
    ends = [-1, *closings[each - 1 : -1 : each].tolist()]
    # Before each row are two characters: the bracket of the array or a comma, and the bracket of the row.
    return Texts([text[last + 3 : end] for last, end in pairwise(ends)], b"[", b"]")


def _sequence_texts(column: pa.Array) -> Texts:
    """Return the JSON text of each sequence in a column. Numbers are formatted as in padded columns."""
    if not is_sequence(column.type):
        return _plain_texts(column)
    rows, faults = Ragged.from_arrow(column)
    if faults or rows.values.dtype.kind not in "iuf" or rows.values.dtype.itemsize < 4:
        return _plain_texts(column)
    ends = rows.starts + rows.lengths
    places = zip(rows.starts.tolist(), ends.tolist(), strict=True)
    return Texts([numbers_to_json(rows.values[start:end]) for start, end in places])


def _mask_texts(mask: npt.NDArray[np.bool_], cache: MaskCache) -> list[bytes]:
    """Return the JSON text of each mask row. Many rows are equal, so `cache` keeps their texts."""
    packed = np.packbits(mask, axis=1)
    keys: list[bytes] = packed.view(f"V{packed.shape[1]}")[:, 0].tolist()
    texts = cache.setdefault(mask.shape[1], {})
    rows = dict(zip(keys, range(len(keys)), strict=True))
    for key, row in rows.items():
        if key not in texts:
            texts[key] = numbers_to_json(mask[row])
    found = [texts[key] for key in keys]
    # Other threads add texts meanwhile, so the loop is over a copy.
    if sum(width * len(known) for width, known in list(cache.items())) > MASK_POSITIONS:
        cache.clear()
    return found


def _plain_texts(column: pa.Array) -> Texts:
    """Return the JSON text of each value of a column of any type."""
    if pat.is_string(column.type) or pat.is_large_string(column.type):
        return Texts(_string_texts(column))
    return Texts(_value_texts(column))


def _value_texts(column: pa.Array) -> list[bytes]:
    # JSON text of a value contains no line break.
    return write_objects(plain_values(column)).split(b"\n")[:-1]


def _string_texts(strings: pa.Array) -> list[bytes]:
    """Return the JSON text of each string. Strings without escapes are copied from Arrow's memory.

    The readers have checked that the strings are valid UTF-8.
    """
    raw = strings.view(pa.binary() if pat.is_string(strings.type) else pa.large_binary()).to_pylist()
    others = np.flatnonzero(_have_escapes(strings) | null_flags(strings))
    if len(others) > len(raw) // 2:
        return _value_texts(strings)
    for row in others.tolist():
        raw[row] = b""
    texts = [b'"' + text + b'"' for text in raw]
    for row in others.tolist():
        texts[row] = write_value(strings[row].as_py())
    return texts


def _have_escapes(strings: pa.Array) -> npt.NDArray[np.bool_]:
    """Return, for each string, whether it contains a character that JSON must escape."""
    found = np.zeros(len(strings), dtype=bool)
    data, ends = strings.buffers()[2], text_offsets(strings)
    if data is None:
        return found
    letters = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    escaped = (letters == _QUOTE) | (letters == _BACKSLASH) | (letters < _FIRST_PRINTABLE)
    found[np.searchsorted(ends, np.flatnonzero(escaped) + ends[0], side="right") - 1] = True
    return found


def join_lines(columns: Mapping[str, Texts]) -> bytes:
    """Join the texts of columns to one JSON object per line.

    >>> join_lines({"id": Texts([b"7", b"8"]), "ids": Texts([b"1,2", b"3"], b"[", b"]")})
    b'{"id":7,"ids":[1,2]}\\n{"id":8,"ids":[3]}\\n'
    """
    step, before = 2 * len(columns) + 1, b"{"
    parts = [b""] * step * max((len(texts.rows) for texts in columns.values()), default=0)
    for i, (name, texts) in enumerate(columns.items()):
        parts[2 * i :: step] = [before + write_value(name) + b":" + texts.before] * len(texts.rows)
        parts[2 * i + 1 :: step] = texts.rows
        before = texts.after + b","
    parts[step - 1 :: step] = [before[:-1] + b"}\n"] * (len(parts) // step)
    return b"".join(parts)
