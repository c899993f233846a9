"""Pieces of a pipe that were looked at before their turn: held in memory, and on disk once they are many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from padmask.formats.contract import HEAD_BYTES, Chunk
from padmask.storage.source import copy_errors, open_temporary

# As much as is looked at where all rows are good.
IN_MEMORY = 2 * HEAD_BYTES


class Held:
    """Pieces in their order, to be given again.

    Args:
        folder: where a temporary file may be written; None is the system's own.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def add(self, chunk: Chunk) -> None:
        """Hold one more piece.

        Raises:
            AccessError: there is no space for it.
        """
        full = self.is_full
        self._bytes += len(chunk.data)
        if full:
            with copy_errors(chunk.source, self._folder):
                chunk = replace(chunk, data=self._write(chunk.data))
        self._chunks.append(chunk)

    @property
    def is_full(self) -> bool:
        """Whether memory holds no more."""
        return self._bytes >= IN_MEMORY

    def _write(self, data: bytes) -> slice:
        if self._file is None:
            self._file = open_temporary(self._folder)
        start = self._file.seek(0, 2)
        self._file.write(data)
        return slice(start, start + len(data))

    def __iter__(self) -> Iterator[Chunk]:
        """Give the pieces that are held by now, and keep them."""
        for chunk in list(self._chunks):
            yield self._whole(chunk)

    def take(self) -> Iterator[Chunk]:
        """Give the pieces, and hold them no longer."""
        while self._chunks:
            yield self._whole(self._chunks.pop(0))
        self.close()

    def _whole(self, chunk: Chunk) -> Chunk:
        if not isinstance(chunk.data, slice):
            return chunk
        assert self._file is not None
        self._file.seek(chunk.data.start)
        return replace(chunk, data=self._file.read(chunk.data.stop - chunk.data.start))

    def close(self) -> None:
        """Hold nothing any more."""
        self._chunks.clear()
        self._bytes = 0
        if self._file is not None:
            self._file.close()
            self._file = None
