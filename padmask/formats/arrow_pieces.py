"""Read large Arrow record batches in pieces of rows, so that the memory does not depend on their size.

pyarrow reads a record batch as a whole, and some tools write a complete file as one batch. The layout of the
buffers is described in https://arrow.apache.org/docs/format/Columnar.html.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.formats.flatbuffer import FlatTable

# Batches with larger bodies are read in pieces. The complete body of a smaller batch is read at once.
LARGE_BODY = 16 << 20

# Number of bytes in a piece. A single row may have more.
PIECE_BYTES = 4 << 20

# Pieces start at a multiple of this number of rows, because flags are stored as bits.
BITS = 8

# Maximum size of the metadata of a message, in bytes.
MOST_METADATA = 16 << 20

# Type of the header of a message that contains a record batch.
_RECORD_BATCH = 3

# Mark before the length of the metadata of a message. Arrow before 0.15 wrote only the length.
_CONTINUES = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class _Column:
    """A column of a record batch, or a part of a nested column.

    Args:
        type: type of the column, without extension types.
        length: number of values.
        nulls: number of nulls.
        buffers: position in the file and size of each buffer, in bytes.
        children: parts of a nested column.
    """

    type: pa.DataType
    length: int
    nulls: int
    buffers: Sequence[tuple[int, int]]
    children: Sequence[_Column]


class _UnknownLayoutError(Exception):
    """This module cannot read the layout of a batch."""


@dataclass(frozen=True)
class LargeBatch:
    """A record batch that is too large to be read at once.

    Args:
        raw: file that pyarrow opened.
        schema: columns to read.
        columns: layout of these columns.
        rows: number of rows.
        body: position in the file of the first buffer.
        end: position in the file after the batch.
    """

    raw: Any
    schema: pa.Schema
    columns: Sequence[_Column]
    rows: int
    body: int
    end: int
    _texts: dict[int, pa.Buffer] = field(default_factory=dict)

    def pieces(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the rows in pieces, each with the position in the file up to which the batch was read.

        Raises:
            ArrowException: the buffers are not valid.
        """
        start, rows = 0, BITS + PIECE_BYTES * self.rows // max(1, self.end - self.body) // BITS * BITS
        nulls = [0] * len(self.columns)
        while start < self.rows:
            rows = self._choose_rows(start, rows)
            stop = min(start + rows, self.rows)
            arrays = [
                _with_type(self._read(column, start, stop), part.type)
                for column, part in zip(self.columns, self.schema, strict=True)
            ]
            nulls = [count + array.null_count for count, array in zip(nulls, arrays, strict=True)]
            if stop == self.rows and nulls != [column.nulls for column in self.columns]:
                raise pa.ArrowInvalid("the number of nulls in a column is wrong")
            position = self.body + (self.end - self.body) * stop // self.rows
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema), position
            start, rows = stop, 2 * rows

    def _choose_rows(self, start: int, rows: int) -> int:
        """Return a number of rows that has at most `PIECE_BYTES` bytes, if possible."""
        while rows > BITS:
            stop = min(start + rows, self.rows)
            if sum(self._size(column, start, stop) for column in self.columns) <= PIECE_BYTES:
                break
            rows = max(BITS, rows // 2 // BITS * BITS)
        return rows

    def _size(self, column: _Column, start: int, stop: int) -> int:
        """Return the number of bytes in a range of values, without reading the values."""
        if start == stop:
            return 0
        if _has_offsets(column.type):
            first, end = self._offset(column, start), self._offset(column, stop)
            own = (stop - start) * _offset_dtype(column.type).itemsize
            return own + (self._size(column.children[0], first, end) if column.children else end - first)
        if column.children:
            size = _values_per_row(column.type)
            return sum(self._size(child, start * size, stop * size) for child in column.children)
        return (stop - start) * _bits_of(column.type) // 8

    def _read(self, column: _Column, start: int, stop: int) -> pa.Array:
        """Read a range of values. `start` is a multiple of `BITS`."""
        type_, count = column.type, stop - start
        if not 0 <= start <= stop <= column.length:
            raise pa.ArrowInvalid("a column has too few values")
        if pat.is_null(type_) or count == 0:
            return pa.nulls(count, type_)
        valid = None
        if column.nulls and column.buffers[0][1]:
            valid = self._values(column, 0, start, stop, 1)
        if _has_offsets(type_):
            dtype = _offset_dtype(type_)
            offsets = np.frombuffer(self._values(column, 1, start, stop + 1, 8 * dtype.itemsize), dtype)
            if offsets[0] < 0 or (np.diff(offsets) < 0).any():
                raise pa.ArrowInvalid("the offsets of a column are not sorted")
            first, end = int(offsets[0]), int(offsets[-1])
            begin = first // BITS * BITS if column.children else first
            buffers = [valid, pa.py_buffer((offsets - begin).astype(dtype))]
            if not column.children:
                text = self._values(column, 2, first, end, 8)
                return pa.Array.from_buffers(type_, count, [*buffers, text])
            child = self._read(column.children[0], begin, end)
            return pa.Array.from_buffers(type_, count, buffers, children=[child])
        if column.children or pat.is_struct(type_):
            size = _values_per_row(type_)
            children = [self._read(child, start * size, stop * size) for child in column.children]
            return pa.Array.from_buffers(type_, count, [valid], children=children)
        values = self._values(column, 1, start, stop, _bits_of(type_))
        # The views of all pieces share the buffers with the text, because views have no order.
        texts = [self._text(place, size) for place, size in column.buffers[2:]]
        return pa.Array.from_buffers(type_, count, [valid, values, *texts])

    def _offset(self, column: _Column, at: int) -> int:
        dtype = _offset_dtype(column.type)
        value = int(np.frombuffer(self._values(column, 1, at, at + 1, 8 * dtype.itemsize), dtype)[0])
        if value < 0:
            raise pa.ArrowInvalid("a column has a negative offset")
        return value

    def _values(self, column: _Column, number: int, start: int, stop: int, bits: int) -> pa.Buffer:
        """Read a range of a buffer whose values have this number of bits."""
        place, size = column.buffers[number]
        first, end = start * bits // 8, -(-stop * bits // 8)
        if end > size:
            raise pa.ArrowInvalid("a buffer of a column is too short")
        return self._bytes(place + first, max(0, end - first))

    def _text(self, place: int, size: int) -> pa.Buffer:
        if place not in self._texts:
            self._texts[place] = self._bytes(place, size)
        return self._texts[place]

    def _bytes(self, place: int, size: int) -> pa.Buffer:
        data = self.raw.read_at(size, place)
        if len(data) < size:
            raise pa.ArrowInvalid("the file is too short")
        return pa.py_buffer(data)


def _has_offsets(type_: pa.DataType) -> bool:
    kinds = (pat.is_list, pat.is_large_list, pat.is_map, pat.is_string, pat.is_binary)
    return any(is_kind(type_) for is_kind in (*kinds, pat.is_large_string, pat.is_large_binary))


def _offset_dtype(type_: pa.DataType) -> np.dtype[Any]:
    is_large = pat.is_large_list(type_) or pat.is_large_string(type_) or pat.is_large_binary(type_)
    return np.dtype("<i8" if is_large else "<i4")


def _values_per_row(type_: pa.DataType) -> int:
    """Return the number of values of each child in a row of a struct or a fixed-size list."""
    return int(type_.list_size) if pat.is_fixed_size_list(type_) else 1


def _is_view(type_: pa.DataType) -> bool:
    return bool(pat.is_string_view(type_) or pat.is_binary_view(type_))


def _bits_of(type_: pa.DataType) -> int:
    """Return the number of bits of each value. A view has 16 bytes."""
    if pat.is_null(type_) or pat.is_struct(type_):
        return 0
    return 128 if _is_view(type_) else int(type_.bit_width)


def _with_type(storage: pa.Array, type_: pa.DataType) -> pa.Array:
    """Return an array with the type of its column, which may be an extension type."""
    is_extension = isinstance(type_, pa.BaseExtensionType)
    return pa.ExtensionArray.from_storage(type_, storage) if is_extension else storage


def find_large_batch(
    raw: Any, start: int, schema: pa.Schema, names: Collection[str] | None
) -> LargeBatch | None:
    """Return the record batch of a message if the batch is large, not compressed, and has a known layout.

    Args:
        raw: file that pyarrow opened.
        start: position of the message in the file.
        schema: columns of the file.
        names: names of the columns to read. If None, all columns are read.
    """
    try:
        return _find_large_batch(raw, start, schema, names)
    except (_UnknownLayoutError, StopIteration, struct.error):
        # Arrow reads all layouts, and reports corrupt metadata.
        return None


def _find_large_batch(
    raw: Any, start: int, schema: pa.Schema, names: Collection[str] | None
) -> LargeBatch | None:
    head = bytes(raw.read_at(8, start))
    skip = 8 if head.startswith(_CONTINUES) else 4
    size = int.from_bytes(head[skip - 4 : skip], "little")
    if not 0 < size <= MOST_METADATA:
        return None
    message = FlatTable.root(bytes(raw.read_at(size, start + skip)))
    body, length = start + skip + size, message.number(3, "q")
    batch = message.table(2)
    if message.number(1, "B") != _RECORD_BATCH or batch is None or length < LARGE_BODY:
        return None
    if batch.table(3) is not None:
        # Each buffer is compressed as a whole.
        return None
    buffers = [(body + place, size) for place, size in batch.structs(2, "qq")]
    if body + length > raw.size() or any(
        (place - body) % 8 or place < body or size < 0 or place + size > body + length
        for place, size in buffers
    ):
        return None
    layout = _Layout(
        iter(batch.structs(1, "qq")), iter(buffers), iter([count for (count,) in batch.structs(4, "q")])
    )
    columns, rows = [layout.column(_storage(part.type)) for part in schema], batch.number(0, "q")
    if not columns or any(column.length != rows for column in columns):
        return None
    chosen = [i for i, name in enumerate(schema.names) if names is None or name in names]
    # A batch without columns would have no rows.
    chosen = chosen or [0]
    wanted = pa.schema([schema.field(i) for i in chosen], metadata=schema.metadata)
    return LargeBatch(raw, wanted, [columns[i] for i in chosen], rows, body, body + length)


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


@dataclass(frozen=True)
class _Layout:
    """The numbers of values and the buffers of a record batch, which columns of all depths consume in order.

    Args:
        nodes: number of values and of nulls of each column.
        buffers: position and size of each buffer.
        views: number of text buffers of each column of views.
    """

    nodes: Iterator[tuple[int, ...]]
    buffers: Iterator[tuple[int, int]]
    views: Iterator[int]

    def column(self, type_: pa.DataType) -> _Column:
        """Return the layout of the next column."""
        if not _is_known(type_):
            raise _UnknownLayoutError
        length, nulls = next(self.nodes)
        if pat.is_null(type_):
            return _Column(type_, length, nulls, (), ())
        parts = [type_.field(i).type for i in range(type_.num_fields)]
        # The flags of nulls, offsets, values, and the text of views.
        count = 1 + _has_offsets(type_) + (not parts and not pat.is_struct(type_))
        texts = next(self.views) if _is_view(type_) else 0
        if texts < 0:
            raise _UnknownLayoutError
        count += texts
        buffers = [next(self.buffers) for _ in range(count)]
        _check_sizes(type_, length, nulls, [size for _, size in buffers])
        children = [self.column(part) for part in parts]
        least = 0 if _has_offsets(type_) else length * _values_per_row(type_)
        if any(child.length < least for child in children):
            raise _UnknownLayoutError
        return _Column(type_, length, nulls, buffers, children)


def _check_sizes(type_: pa.DataType, length: int, nulls: int, sizes: Sequence[int]) -> None:
    """Raise an error if a column has more nulls than values, or if a buffer is too short for the values."""
    needed = [-(-length // 8) if sizes[0] else 0]
    if _has_offsets(type_):
        needed.append((length + 1) * _offset_dtype(type_).itemsize if length else 0)
    elif len(sizes) > 1:
        needed.append(-(-length * _bits_of(type_) // 8))
    if not 0 <= nulls <= length or any(size < least for size, least in zip(sizes, needed, strict=False)):
        raise _UnknownLayoutError


def _is_known(type_: pa.DataType) -> bool:
    if _has_offsets(type_) or _is_view(type_) or pat.is_null(type_):
        return True
    nested = pat.is_struct(type_) or pat.is_fixed_size_list(type_)
    fixed = pat.is_primitive(type_) or pat.is_decimal(type_) or pat.is_fixed_size_binary(type_)
    return bool((nested or fixed) and not isinstance(type_, pa.BaseExtensionType))
