"""Decompress gzip and zstd while reading."""

from __future__ import annotations

import zlib
from typing import Any

# Number of compressed bytes to read at a time.
BLOCK_BYTES = 1 << 18

# Value of `wbits` with which zlib expects the header and the checksum of gzip.
_GZIP = 31

# Errors that a damaged stream raises. These errors have no errno.
DAMAGED = (EOFError, zlib.error)


def open_decompressed(raw: Any, codec: str) -> Any:
    """Return a stream that decompresses `raw`.

    Args:
        raw: compressed stream with `read`.
        codec: `"gzip"` or `"zstd"`.
    """
    if codec == "gzip":
        return GzipStream(raw)
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)


class GzipStream:
    """A reader of gzip data with one or more members. Like gzip, the reader ignores zeros after a member.

    Tapes, block devices and some object stores fill the last block with zeros. Arrow's reader fails on zeros.

    >>> import gzip, io
    >>> GzipStream(io.BytesIO(gzip.compress(b"a") + gzip.compress(b"b") + bytes(9))).read(9)
    b'ab'
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._member: Any = None
        self._rest = b""
        self._members = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes. Return fewer bytes only at the end of the data.

        Raises:
            EOFError: the data ends within a member.
            zlib.error: the data is not gzip, or is damaged.
        """
        parts: list[bytes] = []
        while size > 0 and self._advance():
            part = self._member.decompress(self._rest, size)
            self._rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _advance(self) -> bool:
        """Load compressed data if none is left. Return False at the end of the data."""
        if self._member is not None and self._member.eof:
            self._member = None
        while not self._rest or (self._member is None and self._members and not self._rest.strip(b"\0")):
            self._rest = bytes(self._raw.read(BLOCK_BYTES))
            if not self._rest:
                if self._member is not None:
                    raise EOFError("the compressed data ends too early")
                return False
        if self._member is None:
            self._rest = self._rest.lstrip(b"\0") if self._members else self._rest
            self._member = zlib.decompressobj(_GZIP)
            self._members += 1
        return True
