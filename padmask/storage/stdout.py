"""An unbuffered standard output whose writes are complete. This module imports nothing of padmask."""

from __future__ import annotations

import io
import sys
from typing import Any, BinaryIO, cast


class UnbufferedStdout(io.RawIOBase):
    """A stream without a buffer, all of whose writes are whole.

    Unbuffered, as with PYTHONUNBUFFERED, Python writes once, and what a full disk or a pipe did not
    take then is lost without an error.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest):
            rest = rest[self._raw.write(rest) or 0 :]
        return size


def stdout_bytes() -> BinaryIO:
    """Return where bytes for standard output go."""
    stream: Any = sys.stdout.buffer
    return cast(BinaryIO, UnbufferedStdout(stream)) if isinstance(stream, io.FileIO) else stream


def replace_unbuffered_stdout() -> None:
    """Let text that goes to standard output be whole too."""
    stream: Any = sys.stdout
    if isinstance(getattr(stream, "buffer", None), io.FileIO):
        sys.stdout = io.TextIOWrapper(
            cast(BinaryIO, UnbufferedStdout(stream.buffer)),
            stream.encoding,
            stream.errors,
            write_through=True,
        )
