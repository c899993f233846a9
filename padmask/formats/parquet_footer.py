"""Join Parquet column chunks into one file. The chunks were encoded in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAGIC = b"PAR1"

# A Thrift struct: the type and the value of each field, by field number. A list is a pair (item type, items).
Struct = dict[int, tuple[int, Any]]

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Numbers of the FileMetaData, RowGroup, ColumnChunk and ColumnMetaData fields that this module changes.
_FILE_ROWS, _FILE_GROUPS = 3, 4

_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_START, _GROUP_COMPRESSED = 1, 2, 3, 5, 6

_CHUNK_START, _CHUNK_METADATA = 2, 3

_PAGE_STARTS = (9, 10, 11)


@dataclass(frozen=True)
class Encoded:
    """An encoded column of a row group.

    Args:
        body: bytes of the column chunks.
        chunks: ColumnChunk structs, with offsets for a body that directly follows the magic bytes.
        size: size in bytes before compression.
        rows: number of rows in the row group.
    """

    body: memoryview
    chunks: Sequence[Struct]
    size: int
    rows: int


def read_footer(file: memoryview) -> tuple[Struct, int]:
    """Return the FileMetaData struct of a file, and its offset in the file."""
    end = len(file) - len(MAGIC) - 4
    start = end - int.from_bytes(file[end : end + 4], "little")
    return _Reader(bytes(file[start:end])).struct(), start


def split_file(file: memoryview) -> Encoded:
    """Return the column chunks of a file with one row group."""
    footer, end = read_footer(file)
    (group,) = _items(footer, _FILE_GROUPS)
    size, rows = group[_GROUP_BYTES][1], group[_GROUP_ROWS][1]
    return Encoded(file[len(MAGIC) : end], _items(group, _GROUP_COLUMNS), size, rows)


def join_group(columns: Sequence[Encoded], start: int) -> Struct:
    """Return the RowGroup struct for column chunks that are written one after another from offset `start`."""
    offset, chunks = start, []
    for column in columns:
        chunks += [_moved(chunk, offset - len(MAGIC)) for chunk in column.chunks]
        offset += len(column.body)
    return {
        _GROUP_COLUMNS: (_LIST, (_STRUCT, chunks)),
        _GROUP_BYTES: (_I64, sum(column.size for column in columns)),
        _GROUP_ROWS: (_I64, columns[0].rows),
        _GROUP_START: (_I64, start),
        _GROUP_COMPRESSED: (_I64, offset - start),
    }


def write_footer(template: Struct, groups: Sequence[Struct]) -> bytes:
    """Return the end of a file: the footer, its length and the magic bytes.

    Args:
        template: footer of a file without rows.
        groups: RowGroup structs of the file.
    """
    rows = sum(group[_GROUP_ROWS][1] for group in groups)
    footer = template | {_FILE_ROWS: (_I64, rows), _FILE_GROUPS: (_LIST, (_STRUCT, list(groups)))}
    out = bytearray()
    _write_struct(out, footer)
    return bytes(out) + len(out).to_bytes(4, "little") + MAGIC


def _items(struct: Struct, field: int) -> list[Any]:
    items: list[Any] = struct[field][1][1]
    return items


def _moved(chunk: Struct, by: int) -> Struct:
    """Add `by` to the offsets in a ColumnChunk struct. Offsets that are 0 or missing do not change."""
    metadata = chunk[_CHUNK_METADATA][1]
    metadata = metadata | {
        field: (_I64, metadata[field][1] + by) for field in _PAGE_STARTS if metadata.get(field, (0, 0))[1]
    }
    moved = chunk | {_CHUNK_METADATA: (_STRUCT, metadata)}
    if chunk[_CHUNK_START][1]:
        moved[_CHUNK_START] = (_I64, chunk[_CHUNK_START][1] + by)
    return moved


class _Reader:
    """Parser for the compact protocol of Thrift."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step, type_ = divmod(head, 16)
            number = number + step if step else self._zigzag()
            fields[number] = (type_, type_ == _TRUE if type_ in (_TRUE, _FALSE) else self._value(type_))
        return fields

    def _value(self, type_: int) -> Any:
        if type_ in (_I16, _I32, _I64):
            return self._zigzag()
        if type_ == _BINARY:
            return self._bytes(self._varint())
        if type_ == _STRUCT:
            return self.struct()
        if type_ in (_LIST, _SET):
            size, items = divmod(self._byte(), 16)
            size = self._varint() if size == 15 else size
            if size > len(self._data):
                raise AssertionError("a list has more items than the footer has bytes")
            return items, [self._value(items) for _ in range(size)]
        if type_ == _DOUBLE:
            return self._bytes(8)
        if type_ in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise AssertionError(f"unknown Thrift type {type_}")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def _zigzag(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)


def _write_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number, (type_, value) in sorted(fields.items()):
        if 0 < number - last < 16:
            out.append((number - last) * 16 + type_)
        else:
            out.append(type_)
            _write_varint(out, number << 1)
        if type_ not in (_TRUE, _FALSE):
            _write_value(out, type_, value)
        last = number
    out.append(0)


def _write_value(out: bytearray, type_: int, value: Any) -> None:
    if type_ in (_I16, _I32, _I64):
        _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
    elif type_ == _BINARY:
        _write_varint(out, len(value))
        out += value
    elif type_ == _STRUCT:
        _write_struct(out, value)
    elif type_ in (_LIST, _SET):
        items, values = value
        if len(values) < 15:
            out.append(len(values) * 16 + items)
        else:
            out.append(15 * 16 + items)
            _write_varint(out, len(values))
        for item in values:
            _write_value(out, items, item)
    elif type_ == _DOUBLE:
        out += value
    else:
        out.append(value)


def _write_varint(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
