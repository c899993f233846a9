"""Write the start of a file to disk while the rest is computed, so that the final wait is short."""

from __future__ import annotations

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

# Number of new bytes after which a thread writes the file to disk.
EARLY_BYTES = 32 << 20

# macOS has no fdatasync.
_sync_data = getattr(os, "fdatasync", os.fsync)


class SyncedFile(io.FileIO):
    """A file open for writing. A thread flushes it to disk after every `EARLY_BYTES` bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file, SyncedFile(os.dup(file.fileno())) as synced:
    ...     _ = synced.write(b"rows")
    ...     synced.sync()

    Args:
        descriptor: descriptor of the file, which this object closes.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb")
        self._pool: ThreadPoolExecutor | None = None
        self._early: Future[None] | None = None
        self._new_bytes = 0

    def write(self, data: Any, /) -> int:
        """Write bytes, and return how many were written.

        Raises:
            OSError: the bytes, or earlier bytes, cannot be written.
        """
        count = super().write(data)
        self._new_bytes += count
        if self._new_bytes >= EARLY_BYTES and (self._early is None or self._early.done()):
            self._start()
        return count

    def sync(self) -> None:
        """Wait until all bytes are on disk.

        Raises:
            OSError: some bytes cannot be written to disk.
        """
        # The system reports an error only once, so the error of the thread must not get lost.
        if self._early is not None:
            self._early.result()
        os.fsync(self.fileno())

    def close(self) -> None:
        """Wait for the thread, and close the file."""
        if self._pool is not None:
            self._pool.shutdown()
        super().close()

    def _start(self) -> None:
        if self._early is not None:
            self._early.result()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "padmask-sync")
        self._early = self._pool.submit(_sync_data, self.fileno())
        self._new_bytes = 0
