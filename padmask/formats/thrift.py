"""Read and write Thrift structs in the compact protocol, as in the footers and page headers of Parquet."""

from __future__ import annotations

from typing import Any

# A Thrift struct: the type and the value of each field, by field number. A list is a pair (item type, items).
Struct = dict[int, tuple[int, Any]]

_TRUE, _FALSE, _BYTE, _I16, I32, I64, _DOUBLE, BINARY, LIST, _SET, _MAP, STRUCT = range(1, 13)


def read_struct(data: memoryview) -> tuple[Struct, int]:
    """Return the struct at the start of some bytes, and its size in bytes.

    >>> read_struct(memoryview(b"\\x15\\x02\\x00"))
    ({1: (5, 1)}, 3)
    """
    reader = _Reader(data)
    return reader.struct(), reader.size


def write_struct(fields: Struct) -> bytes:
    """Return the bytes of a struct.

    >>> write_struct({1: (I32, 1)})
    b'\\x15\\x02\\x00'
    """
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


def varint(number: int) -> bytes:
    """Encode a non-negative number as a varint, as in Thrift and in Parquet's levels.

    >>> varint(300)
    b'\\xac\\x02'
    """
    out = bytearray()
    _write_varint(out, number)
    return bytes(out)


class _Reader:
    """Parser that counts the bytes that it has read."""

    def __init__(self, data: memoryview) -> None:
        # Views of Arrow buffers have signed bytes.
        self._data, self.size = data.cast("B"), 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step, type_ = divmod(head, 16)
            number = number + step if step else self._zigzag()
            fields[number] = (type_, type_ == _TRUE if type_ in (_TRUE, _FALSE) else self._value(type_))
        return fields

    def _value(self, type_: int) -> Any:
        if type_ in (_I16, I32, I64):
            return self._zigzag()
        if type_ == BINARY:
            return self._bytes(self._varint())
        if type_ == STRUCT:
            return self.struct()
        if type_ in (LIST, _SET):
            size, items = divmod(self._byte(), 16)
            size = self._varint() if size == 15 else size
            if size > len(self._data):
                raise AssertionError("a list has more items than there are bytes")
            return items, [self._value(items) for _ in range(size)]
        if type_ == _DOUBLE:
            return self._bytes(8)
        if type_ in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise AssertionError(f"unknown Thrift type {type_}")

    def _byte(self) -> int:
        self.size += 1
        return self._data[self.size - 1]

    def _bytes(self, size: int) -> bytes:
        self.size += size
        return bytes(self._data[self.size - size : self.size])

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
    if type_ in (_I16, I32, I64):
        _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
    elif type_ == BINARY:
        _write_varint(out, len(value))
        out += value
    elif type_ == STRUCT:
        _write_struct(out, value)
    elif type_ in (LIST, _SET):
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
