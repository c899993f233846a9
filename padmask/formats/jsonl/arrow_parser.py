"""Parse JSON rows and lists of known types with Arrow's JSON parser.

Arrow parses without Python objects and without Python's global interpreter lock, so threads parse chunks in
parallel. Arrow accepts more than padmask does, for example two objects on one line, and rounds large
numbers. This module therefore returns columns only if the result is certain. Otherwise, the rows are parsed
one by one, which also finds the lines and the reasons of errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.types as pat

from padmask.core.arrow_lists import to_arrow, to_numpy
from padmask.core.plan import Positions
from padmask.formats.contract import Wanted
from padmask.formats.jsonl.cut_ids import cut_ids
from padmask.formats.jsonl.exact_numbers import may_vanish

_NEWLINE, _RETURN, _OPEN, _CLOSE = b"\n\r{}"

# float64 represents every smaller integer exactly. Arrow rounds larger integers.
_ROUNDED = 2.0**53

_EXACT_TYPES = (pat.is_int64, pat.is_string, pat.is_boolean, pat.is_float64, pat.is_null)

# Size of the largest text that Arrow parses as one block.
_LARGEST_BLOCK = (1 << 31) - 1


@dataclass(frozen=True)
class CutLines(Sequence[bytes]):
    r"""The lines of a text. A line is copied from the text only when it is accessed.

    >>> list(CutLines(b"{}\n[]\n", np.array([0, 3]), np.array([2, 5])))
    [b'{}', b'[]']

    Args:
        text: the text.
        starts, ends: offsets of the start and the end of each line, without its newline: int64, shape
            (lines,).
    """

    text: bytes
    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, line: int) -> bytes: ...

    @overload
    def __getitem__(self, line: slice) -> CutLines: ...

    def __getitem__(self, line: int | slice) -> bytes | CutLines:
        starts, ends = self.starts[line], self.ends[line]
        return CutLines(self.text, starts, ends) if isinstance(line, slice) else self.text[starts:ends]


def parse_columns(text: bytes, wanted: Wanted) -> tuple[pa.RecordBatch, CutLines] | None:
    r"""Parse rows to the columns of `wanted.schema`. Return None if the rows must be parsed one by one.

    >>> ids, text = pa.schema([("ids", pa.list_(pa.int64()))]), pa.schema([("text", pa.string())])
    >>> columns, _ = parse_columns(b'{"text": "a", "ids": [7, 8]}\n', Wanted(ids, text))
    >>> columns.to_pydict()
    {'text': ['a'], 'ids': [[7, 8]]}
    >>> parse_columns(b'{"ids": [7, 8]} {"ids": [9]}\n', Wanted(ids, text)) is None
    True

    Args:
        text: complete lines.
        wanted: the columns, and the types of all fields of the rows.
    """
    schema = wanted.schema
    if not all(map(_is_exact, schema.types)):
        return None
    lines = _lines_of_objects(text)
    if lines is None:
        return None
    columns = _parse_rows(text, len(lines), schema)
    # Each line has at least one complete object, so equal numbers mean one object on each line.
    if columns is None or len(columns) != len(lines) or not _is_utf8(text):
        return None
    if any(_has_nulls(columns.column(name)) for name in wanted.sequences.names):
        return None
    odd = any(_are_odd(numbers, text) for column in columns.columns for numbers in _floats(column))
    return None if odd else (columns, lines)


def parse_lists(raws: Sequence[msgspec.Raw | None], type_: pa.DataType) -> tuple[pa.Array, bytes] | None:
    """Parse lists of numbers, or lists of vectors. Return None if a value has another type, or is null.

    >>> lists, _ = parse_lists([msgspec.Raw(b"[1, 2.5]"), msgspec.Raw(b"[]")], pa.list_(pa.float64()))
    >>> lists.to_pylist()
    [[1.0, 2.5], []]

    Args:
        raws: valid JSON value of each row; None if the key is missing.
        type_: list type of the rows. The numbers are int64 or float64.

    Returns:
        The lists, and the text that Arrow parsed.
    """
    if not raws:
        return pa.array([], type_), b""
    try:
        text = b'{"a":' + b'}\n{"a":'.join(raws) + b"}"  # type: ignore[arg-type]
    except TypeError:
        return None
    columns = _parse(text, pa.schema([("a", type_)]))
    if columns is None or _has_nulls(columns.column(0)):
        return None
    return columns.column(0), text


def _parse_rows(text: bytes, rows: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """Parse rows as `_parse` does. If possible, NumPy parses the lists of ids."""
    cut = cut_ids(text, rows, schema) if len(text) < _LARGEST_BLOCK else None
    rest = None if cut is None else _parse(cut.text, schema)
    filled = None if cut is None or rest is None else cut.fill(rest)
    return _parse(text, schema) if filled is None else filled


def _parse(text: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """Parse rows with Arrow. Return None if Arrow finds an error, or a field that is not in the schema."""
    if len(text) >= _LARGEST_BLOCK:
        return None
    try:
        # The size is larger than the text, so that Arrow does not split the text.
        table = pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    [columns] = table.select(schema.names).combine_chunks().to_batches()
    return columns


def _has_nulls(lists: pa.Array) -> bool:
    """Return whether a list, or a value at any depth of a list, is null."""
    return lists.null_count > 0 or (pat.is_list(lists.type) and _has_nulls(lists.flatten()))


def _is_exact(type_: pa.DataType) -> bool:
    """Return whether Arrow parses values of a type as padmask does. For floats, also call `_are_odd`.

    The result is False for lists of nulls, because Arrow creates invalid arrays for such lists. The result
    is also False for structs without fields or with fields of type null.
    """
    if pat.is_list(type_):
        return _is_exact(type_.value_type) and not pat.is_null(type_.value_type)
    if pat.is_struct(type_):
        inner = [field.type for field in type_]
        return bool(inner) and all(map(_is_exact, inner)) and not any(map(pat.is_null, inner))
    return any(is_type(type_) for is_type in _EXACT_TYPES)


def _lines_of_objects(text: bytes) -> CutLines | None:
    r"""Return the lines of a text if each line starts with `{` and ends with `}` or `}\r`; otherwise None.

    In JSON, no value may follow `}` without a comma. A line break between `}` and `{` is therefore never
    within an object.
    """
    if not text:
        return None
    letters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(letters == _NEWLINE)
    if letters[-1] != _NEWLINE:
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lasts = letters[ends - 1]
    if (lasts == _RETURN).any():
        lasts = np.where(lasts == _RETURN, letters[ends - 2], lasts)
    good = (letters[starts] == _OPEN).all() and (lasts == _CLOSE).all()
    return CutLines(text, starts, ends) if good else None


def _is_utf8(text: bytes) -> bool:
    offsets = to_arrow(np.array([0, len(text)], dtype=np.int32)).buffers()[1]
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(text)]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _floats(column: pa.Array) -> Iterator[npt.NDArray[np.float64]]:
    """Yield all floats of a column, at any depth."""
    if pat.is_list(column.type) or pat.is_struct(column.type):
        inner = column.flatten()
        for part in inner if pat.is_struct(column.type) else [inner]:
            yield from _floats(part)
    elif pat.is_floating(column.type):
        yield to_numpy(column.drop_null())


def _are_odd(numbers: npt.NDArray[np.float64], text: bytes) -> bool:
    """Return whether `read_value` might parse `text` to other floats than `numbers`, which Arrow parsed."""
    exact = np.abs(numbers) < _ROUNDED
    # Zero may be -0, or a number that is too small for float64.
    zeros = numbers == 0
    return not exact.all() or bool(zeros.any() and (np.signbit(numbers[zeros]).any() or may_vanish(text)))
