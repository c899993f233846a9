"""Unbuffered standard output that writes every byte. This module does not import padmask."""

from __future__ import annotations

import io
import sys
from typing import Any, BinaryIO, cast


class UnbufferedStdout(io.RawIOBase):
    """A binary stream for unbuffered stdout. Its write() writes every byte.

    With PYTHONUNBUFFERED, Python calls write(2) once. If a full disk or a pipe accepts only some of the
    bytes, Python silently drops the others.
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
    """Return a binary stream for standard output. Its write() writes every byte."""
    stream: Any = sys.stdout.buffer
    return cast(BinaryIO, UnbufferedStdout(stream)) if isinstance(stream, io.FileIO) else stream


def replace_unbuffered_stdout() -> None:
    """Replace an unbuffered sys.stdout with a stream that writes every byte."""
    stream: Any = sys.stdout
    if isinstance(getattr(stream, "buffer", None), io.FileIO):
        sys.stdout = io.TextIOWrapper(
            cast(BinaryIO, UnbufferedStdout(stream.buffer)),
            stream.encoding,
            stream.errors,
            write_through=True,
        )
