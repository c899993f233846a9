"""Open an input, and detect its format from its first bytes.

An input is a file, standard input or a remote file. To open a pipe several times, the source first copies
it to a private temporary file. This module does not handle rows.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, cast

from padmask.errors import AccessError, os_error_remedy
from padmask.spec.formats import DEFAULT_FORMAT, FORMATS, FormatTraits
from padmask.storage.array_folder import folder_size, folder_version
from padmask.storage.blank_lines import filled_lines, is_blank
from padmask.storage.inputs import InputFile, list_inputs
from padmask.storage.remote import (
    RemoteFile,
    missing_message,
    open_remote_file,
    open_remote_stream,
    read_errors,
    stat_remote,
)
from padmask.storage.urls import Url, display_path, is_url, parse_url

# A stream of zstd may begin with a skippable frame, which has one of 16 magic numbers.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"} | {
    b"%c\x2a\x4d\x18" % number: "zstd" for number in range(0x50, 0x60)
}

_COPY_BYTES = 1 << 20

# Number of bytes that show the format of a file. A tar archive has its mark at byte 257.
FIRST_BYTES = 512


@dataclass
class Source:
    """An input: a file, or a stream that can be read only once, such as a pipe.

    Args:
        path: path or address as the user wrote it; `-` is standard input.
        spool_folder: folder for the copy of a pipe that must be read again.
        stored: metadata of a remote file; None for other inputs, or before padmask requests the metadata.
        groups: half-open range of the row groups to read. If None, all row groups are read.
        label: name of the input in messages. If None, the path is used.
        unlisted: whether padmask wrote the folder of the file, but the manifest does not list the file.
    """

    path: str
    spool_folder: str | None = None
    stored: RemoteFile | None = None
    groups: tuple[int, int] | None = None
    label: str | None = None
    unlisted: bool = False
    _pipe: BinaryIO | None = field(default=None, repr=False)
    _spool: BinaryIO | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return "stdin" if self.path == "-" else self.label or display_path(self.path)

    @property
    def url(self) -> Url | None:
        """Address of a remote file; None for local inputs."""
        return parse_url(self.path) if is_url(self.path) else None

    @property
    def is_pipe(self) -> bool:
        """Whether the input is a stream that can be read only once."""
        if self.path == "-":
            return True
        if is_url(self.path):
            return False
        try:
            mode = os.stat(self.path).st_mode
            return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        except OSError as error:
            raise unreadable(self.path, error) from None

    @property
    def is_folder(self) -> bool:
        """Whether the input is a folder of arrays."""
        return self.path != "-" and not is_url(self.path) and os.path.isdir(self.path)

    @property
    def once(self) -> bool:
        """Whether the input is a pipe that has not been copied to a temporary file."""
        return self._spool is None and self.is_pipe

    @property
    def size(self) -> int | None:
        """Size in bytes of the local or remote file; None for a pipe."""
        url = self.url
        if url is not None:
            self.stored = self.stored or _look_up(url)
            return self.stored.size
        if self.is_folder:
            return folder_size(self.path)
        return None if self.is_pipe else os.stat(self.path).st_size

    def version(self) -> tuple[int, ...] | None:
        """Return numbers that change if the file is written or replaced; None if the input is not a file."""
        url = self.url
        if url is not None:
            return _look_up(url).version
        if self.is_folder:
            return folder_version(self.path)
        file = self.status()
        if file is None:
            return None
        # A program can reset the modification time after a write, but not the change time.
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns

    def first_version(self) -> tuple[int, ...] | None:
        """Return the version from the listing of the remote folder. Without a listing, return `version()`."""
        return self.version() if self.stored is None else self.stored.version

    def shared_version(self, version: tuple[int, ...]) -> tuple[int, ...]:
        """Return `version` without the device number, which differs between machines."""
        return version if is_url(self.path) else version[1:]

    def status(self) -> os.stat_result | None:
        """Return the status of the input; None if the input is not a local regular file."""
        if is_url(self.path):
            return None
        try:
            status = os.fstat(sys.stdin.fileno()) if self.path == "-" else os.stat(self.path)
        except (OSError, ValueError, AttributeError) as error:
            if self.path == "-" or not isinstance(error, OSError):
                return None
            raise unreadable(self.path, error) from None
        return status if stat.S_ISREG(status.st_mode) else None

    def open(self) -> BinaryIO:
        """Open the input at its start. A pipe can be opened only once, unless `spool` has copied the pipe."""
        if self._spool is not None:
            self._spool.seek(0)
            return cast(BinaryIO, _NonClosing(self._spool))
        if self._pipe is None and self.path == "-":
            if sys.stdin is None:
                raise AccessError("stdin is closed. Specify an input file.")
            self._pipe = sys.stdin.buffer
        if self._pipe is not None:
            return cast(BinaryIO, _NonClosing(self._pipe))
        if self.url is not None:
            return cast(BinaryIO, open_remote_stream(self.url))
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise unreadable(self.path, error) from None

    def open_arrow(self) -> Any:
        """Open the input at its start as an Arrow file with random access."""
        import pyarrow as pa

        if self.url is not None:
            return open_remote_file(self.url)
        self.spool()
        if self._spool is not None:
            return pa.PythonFile(self.open(), mode="r")
        try:
            # The path is passed as bytes, because it can contain invalid UTF-8.
            return pa.OSFile(os.fsencode(self.path))
        except OSError as error:
            raise unreadable(self.path, error) from None

    def first_bytes(self) -> bytes:
        """Return the first bytes without consuming them."""
        try:
            return self._first_bytes()
        except OSError as error:
            raise unreadable(self.path, error) from None

    def _first_bytes(self) -> bytes:
        if self.is_pipe and self._spool is None:
            raw = self._pipe or self.open()
            # A pipe may have only a few bytes yet.
            start = raw.read(8)
            self._pipe = cast(BinaryIO, _Prefixed(start, raw))
            return start
        if self.url is not None:
            with read_errors(self.url), open_remote_file(self.url) as file:
                return bytes(file.read(FIRST_BYTES))
        with self.open() as stream:
            return stream.read(FIRST_BYTES)

    def spool(self, lines: int | None = None) -> None:
        """Copy a pipe to a temporary file, for repeated reads and random access.

        Args:
            lines: number of non-blank lines to copy. The complete input is copied if `lines` is None, or if
                the input is compressed or not text.
        """
        if not self.is_pipe or self._spool is not None:
            return
        with copy_errors(self.name, self.spool_folder):
            spool = open_temporary(self.spool_folder)
            # Sniff before opening the pipe: a named pipe can be opened only once.
            complete = lines is None or not self._shows_lines()
            with self.open() as stream:
                if complete or lines is None:
                    shutil.copyfileobj(stream, spool, _COPY_BYTES)
                else:
                    _copy_lines(stream, spool, lines)
            spool.flush()
        self._spool = spool

    def _shows_lines(self) -> bool:
        """Return whether the first bytes show an uncompressed text format."""
        shown, compression = self.sniff()
        return shown.is_text and compression is None

    def sniff(self) -> tuple[FormatTraits, str | None]:
        """Detect the format and the compression from the first bytes. The default is JSON Lines."""
        start = self.first_bytes()
        shown = next(
            (traits for traits in FORMATS.values() if start.startswith(traits.magic)), DEFAULT_FORMAT
        )
        return shown, next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def open_temporary(folder: str | None) -> BinaryIO:
    """Open a private temporary file that is deleted when closed.

    Args:
        folder: folder of the file. If None, the system's folder for temporary files is used.
    """
    return cast(BinaryIO, tempfile.TemporaryFile(prefix="padmask-", dir=folder))


@contextmanager
def copy_errors(name: str, folder: str | None) -> Iterator[None]:
    """Convert errors to AccessError while an input is copied to a temporary file.

    Raises:
        AccessError: the disk is full, or the folder is not writable.
    """
    try:
        yield
    except OSError as error:
        raise AccessError(
            f"{name} cannot be copied to a temporary file in {folder or tempfile.gettempdir()!r}: "
            f"{error.strerror}. {os_error_remedy(error)}"
        ) from None


def _copy_lines(stream: BinaryIO, spool: IO[bytes], lines: int) -> None:
    """Copy `lines` non-blank lines, and do not read the rest of the pipe, which may be endless."""
    incomplete = False
    while lines > 0 and (block := stream.read1(_COPY_BYTES)):  # type: ignore[attr-defined]
        if is_blank(block) and not incomplete:
            spool.write(block)
            continue
        filled, _, found = filled_lines(block)
        ends: list[int] = found.tolist()
        if incomplete and (not ends or filled[0] > 0):
            # The first line of the block continues a non-blank line of the previous block.
            ends.insert(0, first if (first := block.find(b"\n")) >= 0 else len(block))
        # Count an incomplete line in the block in which it ends.
        incomplete = bool(ends) and ends[-1] == len(block)
        complete = ends[:-1] if incomplete else ends
        if len(complete) >= lines:
            spool.write(block[: complete[lines - 1] + 1])
            return
        spool.write(block)
        lines -= len(complete)


class _NonClosing(io.BufferedIOBase):
    """Wrapper for a stream. When the wrapper is closed, the stream stays open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def read(self, size: int | None = -1, /) -> bytes:
        return self._stream.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return the available bytes, and do not wait for more."""
        block: bytes = self._stream.read1(size)  # type: ignore[attr-defined]
        return block

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class _Prefixed(io.BufferedIOBase):
    """A stream that returns bytes that were already read, and then the rest."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        start, self._start = self._start, b""
        if size is None or size < 0:
            return start + self._rest.read()
        if len(start) >= size:
            start, self._start = start[:size], start[size:]
            return start
        return start + self._rest.read(size - len(start))

    def read1(self, size: int = -1, /) -> bytes:
        if self._start:
            return self.read(min(size, len(self._start)) if size > 0 else len(self._start))
        block: bytes = self._rest.read1(size)  # type: ignore[attr-defined]
        return block


def _look_up(url: Url) -> RemoteFile:
    found = stat_remote(url)
    if found is None:
        raise AccessError(missing_message(url))
    return found


def unreadable(path: str, error: OSError) -> AccessError:
    """Return the error for an input that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        folder = os.path.dirname(path)
        is_missing = folder and not os.path.isdir(folder)
        where = f": the folder {display_path(folder)!r} does not exist" if is_missing else ""
        return AccessError(
            f"File {display_path(path)!r} does not exist{where}. Check the path, or use - for standard input."
        )
    return AccessError(f"Cannot read {display_path(path)!r}: {error.strerror}. {os_error_remedy(error)}")


def find_sources(inputs: Sequence[str], spool_folder: str | None = None) -> list[Source]:
    """Return sources for the data files of the inputs. Files in a folder are sorted by name.

    Raises:
        AccessError: a folder has no data files, or a pattern has no matches.
        SpecError: standard input is given twice.
    """
    return sources_of(list_inputs(inputs), spool_folder)


def sources_of(files: Iterable[InputFile], spool_folder: str | None = None) -> list[Source]:
    """Return a source for each file."""
    return [Source(file.path, spool_folder, file.stored, unlisted=file.unlisted) for file in files]
