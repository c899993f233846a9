"""A buffer for chunks that are read ahead from a pipe.

The buffer uses memory first, then a temporary file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from padmask.formats.contract import HEAD_BYTES, Chunk
from padmask.storage.source import copy_errors, open_temporary

# Maximum size of the chunks in memory, in bytes. The first rows of an input fit if no row is bad.
IN_MEMORY = 2 * HEAD_BYTES


class ChunkBuffer:
    """A first-in, first-out buffer for chunks.

    Args:
        folder: folder for a temporary file. If None, the system's folder for temporary files is used.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def add(self, chunk: Chunk) -> None:
        """Append a chunk.

        Raises:
            AccessError: the chunk cannot be written to the temporary file.
        """
        full = self.is_full
        self._bytes += len(chunk.data)
        if full:
            with copy_errors(chunk.source, self._folder):
                chunk = replace(chunk, data=self._write(chunk.data))
        self._chunks.append(chunk)

    @property
    def is_full(self) -> bool:
        """Whether the memory limit is reached.

        A full buffer writes further chunks to a temporary file.
        """
        return self._bytes >= IN_MEMORY

    def _write(self, data: bytes) -> slice:
        if self._file is None:
            self._file = open_temporary(self._folder)
        start = self._file.seek(0, 2)
        self._file.write(data)
        return slice(start, start + len(data))

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over the buffered chunks without removing them."""
        for chunk in list(self._chunks):
            yield self._load(chunk)

    def drain(self) -> Iterator[Chunk]:
        """Iterate over the buffered chunks, and remove them."""
        while self._chunks:
            yield self._load(self._chunks.pop(0))
        self.close()

    def _load(self, chunk: Chunk) -> Chunk:
        if not isinstance(chunk.data, slice):
            return chunk
        assert self._file is not None
        self._file.seek(chunk.data.start)
        return replace(chunk, data=self._file.read(chunk.data.stop - chunk.data.start))

    def close(self) -> None:
        """Remove all chunks and delete the temporary file."""
        self._chunks.clear()
        self._bytes = 0
        if self._file is not None:
            self._file.close()
            self._file = None
