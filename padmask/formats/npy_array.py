"""Read one NumPy array from an npy stream, a few rows at a time, as an Arrow column.

padmask reads the header with NumPy, and never unpickles objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import to_lists
from padmask.errors import UnreadableError, UnsupportedError

# Readers of the header, by format version. Version 3 is only for dtypes with several fields.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class ArrayHeader:
    """The header of an npy stream.

    Args:
        file: name of the input, for messages.
        name: name of the array.
        shape: shape of the array. The first axis contains the rows.
        dtype: dtype of the values in the stream.
    """

    file: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def row_values(self) -> int:
        """Number of values in a row."""
        return int(np.prod(self.shape[1:], dtype=object))

    @property
    def row_bytes(self) -> int:
        """Size of a row in bytes."""
        return self.row_values * self.dtype.itemsize

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column: a number, a bool, a string, or lists of them."""
        kind = self.dtype.kind
        type_ = pa.string() if kind == "U" else pa.from_numpy_dtype(self.dtype.newbyteorder("="))
        for _ in self.shape[1:]:
            type_ = pa.list_(type_)
        return type_

    def column(self, data: bytes, rows: int) -> pa.Array:
        """Convert the bytes of some rows to an Arrow column.

        Raises:
            UnreadableError: the bytes are not valid values of the dtype.
        """
        shape = (rows, *self.shape[1:])
        if self.dtype.kind == "U":
            return to_lists(self._texts(data, shape), "string")
        values = np.frombuffer(data, dtype=self.dtype).reshape(shape)
        if self.dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
            raise self.damaged("a bool is neither 0 nor 1")
        return to_lists(values.astype(self.dtype.newbyteorder("="), copy=False), self.dtype.name)

    def _texts(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        if self.dtype.itemsize == 0:
            return np.full(shape, "", dtype=object)
        codes = np.frombuffer(data, dtype=np.dtype(np.uint32).newbyteorder(self.dtype.byteorder))
        if np.any((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))):
            raise self.damaged("a string contains an invalid character")
        return np.frombuffer(data, dtype=self.dtype).reshape(shape).astype(object)

    def damaged(self, why: str) -> UnreadableError:
        return UnreadableError(f"{self.file}: array {self.name!r}: {why}. Check that the file is complete.")


def read_header(stream: BinaryIO, file: str, name: str, size: int) -> ArrayHeader:
    """Read the header of an npy stream. The stream is then at the first byte of the values.

    Args:
        stream: stream at its start.
        file: name of the input, for messages.
        name: name of the array.
        size: size of the stream in bytes.

    Raises:
        UnreadableError: the header is not valid, or the size of the stream does not match the header.
        UnsupportedError: padmask does not read arrays of this shape, order or dtype.
    """
    counted = _Counted(stream)
    damaged = ArrayHeader(file, name, (0,), np.dtype(bool)).damaged
    try:
        version = np.lib.format.read_magic(counted)
        if version not in _HEADERS:
            raise _unsupported(file, name, f"npy version {version[0]}.{version[1]}")
        shape, fortran, dtype = _HEADERS[version](counted)
    except UnsupportedError:
        raise
    except (ValueError, EOFError, TypeError, OverflowError, RecursionError, MemoryError):
        raise damaged("the header is not valid") from None
    header = ArrayHeader(file, name, shape, dtype)
    if dtype.hasobject:
        raise _unsupported(file, name, "Python objects, which are pickled")
    if not (dtype.kind in "biufU" and dtype.itemsize <= 8) and dtype.kind != "U":
        raise _unsupported(file, name, f"dtype {dtype}")
    if not shape:
        raise _unsupported(file, name, "a single value, not rows")
    if min(shape) < 0 or header.row_bytes * header.rows != size - counted.read_bytes:
        raise damaged(f"the shape {shape} does not match the size of the data")
    if fortran and sum(length != 1 for length in shape) > 1:
        raise UnsupportedError(
            f"{file}: array {name!r} is in Fortran order (columns first), which padmask does not read. Save "
            f"numpy.ascontiguousarray({name}) instead.",
            options=["input_format"],
        )
    return header


def _unsupported(file: str, name: str, found: str) -> UnsupportedError:
    return UnsupportedError(
        f"{file}: array {name!r} has {found}. padmask reads arrays of numbers, bools and text, with one "
        "entry for each row. Convert the array, or leave it out.",
        options=["input_format"],
    )


class _Counted:
    """A stream that counts the bytes that are read.

    Args:
        stream: stream to read from.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.read_bytes = stream, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.read_bytes += len(data)
        return data
