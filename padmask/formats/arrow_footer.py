"""The footer of Arrow files: where the messages end, and metadata that is known only at the end."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from padmask.storage.output import BorrowedStream

# End-of-stream marker: a continuation marker and a length of 0. Arrow before 0.15 wrote only the length.
END_MARK = b"\xff\xff\xff\xff\0\0\0\0"


def file_bounds(raw: Any) -> tuple[int, int]:
    """Return two offsets in an IPC file: the end of the last message, and the start of the footer.

    The footer is a flatbuffer, and pyarrow does not expose its blocks:
    https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format. The last message may be a dictionary,
    because Polars writes dictionaries after the batches that use them.

    Args:
        raw: a file that pyarrow can open.
    """
    size = raw.size()
    raw.seek(size - 10)
    footer = size - 10 - int.from_bytes(raw.read(4), "little")
    raw.seek(footer)
    data = bytes(raw.read(size - 10 - footer))
    ends = [end for field in (_DICTIONARIES, _RECORD_BATCHES) for end in _block_ends(data, field)]
    return max(ends, default=_schema_end(raw)), footer


# Field numbers in the flatbuffer table of the footer.
_DICTIONARIES, _RECORD_BATCHES = 2, 3


def _block_ends(footer: bytes, field: int) -> list[int]:
    """Return the end offset of each message that a footer field lists."""
    table = int.from_bytes(footer[:4], "little")
    vtable = table - int.from_bytes(footer[table : table + 4], "little", signed=True)
    slot = 4 + 2 * field
    known = slot < int.from_bytes(footer[vtable : vtable + 2], "little")
    offset = int.from_bytes(footer[vtable + slot : vtable + slot + 2], "little") if known else 0
    if offset == 0:
        return []
    vector = table + offset + int.from_bytes(footer[table + offset : table + offset + 4], "little")
    blocks = 24 * int.from_bytes(footer[vector : vector + 4], "little")
    listed = struct.iter_unpack("<qi4xq", footer[vector + 4 :][:blocks])
    return [start + length + body for start, length, body in listed]


def _schema_end(raw: Any) -> int:
    """Return the end offset of the schema message.

    The message starts after the magic bytes and the length of the message.
    """
    raw.seek(8)
    mark, length = raw.read(4), raw.read(4)
    if mark == END_MARK[:4]:
        return 16 + int.from_bytes(length, "little")
    return 12 + int.from_bytes(mark, "little")


def with_space(metadata: Mapping[bytes, bytes] | None, late: Mapping[bytes, int]) -> dict[bytes, bytes]:
    """Append `late[key]` spaces to a value, so that a longer value fits later. JSON can end with spaces."""
    return {key: value + b" " * late.get(key, 0) for key, value in (metadata or {}).items()}


class FooterStream(BorrowedStream):
    """A stream that replaces metadata in the footer of an Arrow file.

    pyarrow requires the schema metadata before the first row, but some values are known only at the end.
    Readers use the copy of the schema in the footer, which Arrow writes last. This stream therefore replaces
    the values in the footer. A new value is filled with spaces to the length of the old value, so that all
    offsets stay valid.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._changes: list[tuple[bytes, bytes]] = []

    def replace_later(self, old: Mapping[bytes, bytes], new: Mapping[bytes, bytes]) -> None:
        """Replace the values of metadata in all data that is written after this call.

        If a new value is longer than the old value, the old value stays.
        """
        self._changes = [
            (old[key], value.ljust(len(old[key])))
            for key, value in new.items()
            if key in old and len(value) <= len(old[key])
        ]

    def write(self, data: Any) -> int:
        for old, new in self._changes:
            data = bytes(data).replace(old, new)
        return super().write(data)
