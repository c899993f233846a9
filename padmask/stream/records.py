"""Write Python objects with large arrays to private files, and read them. The arrays are not copied."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

# Arrow buffers start at multiples of this number of bytes.
ALIGNMENT = 64


@dataclass(frozen=True)
class Record:
    """The location of an object in a file.

    Args:
        start: offset of the first byte.
        sizes: size of the pickled object and of each of its buffers, in bytes.
    """

    start: int
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Number of bytes that the object takes in the file, including the space between its buffers."""
        return sum(map(_aligned, self.sizes))


class Pickled:
    """A pickled object whose buffers are not copied.

    Args:
        content: the object.
    """

    def __init__(self, content: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
        self._parts = [memoryview(data), *(buffer.raw() for buffer in buffers)]

    def at(self, start: int) -> Record:
        """Return the location of the object after it is written at the offset `start`."""
        return Record(start, tuple(part.nbytes for part in self._parts))

    def write(self, file: BinaryIO) -> None:
        """Write the object at the current position of a file."""
        for part in self._parts:
            file.write(part)
            file.write(bytes(_aligned(part.nbytes) - part.nbytes))
        file.flush()


def read_record(file: BinaryIO, record: Record) -> Any:
    """Read an object from a private file. Any thread may call this function.

    Raises:
        OSError: the file cannot be read.
    """
    data = memoryview(pa.allocate_buffer(record.bytes))
    done = 0
    while done < len(data):
        read = os.preadv(file.fileno(), [data[done:]], record.start + done)
        if not read:
            raise OSError("a temporary file is shorter than expected")
        done += read
    parts, start = [], 0
    for size in record.sizes:
        parts.append(data[start : start + size])
        start += _aligned(size)
    return pickle.loads(parts[0], buffers=parts[1:])


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
