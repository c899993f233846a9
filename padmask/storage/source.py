"""Open one input: a file, standard input or a remote file; find its format from its first bytes.

A source can be opened more than once: a pipe is copied to a private temporary file when needed. This module
knows no rows.
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
from padmask.storage.blank_lines import filled_lines, is_blank
from padmask.storage.inputs import InputFile, list_inputs
from padmask.storage.remote import RemoteFile, open_remote_file, open_remote_stream, read_errors, stat_remote
from padmask.storage.urls import Url, display_path, is_url, parse_url

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

_COPY_BYTES = 1 << 20


@dataclass
class Source:
    """One input: a file, or something that can be read once only, such as a pipe.

    Args:
        path: as the user wrote it; `-` is standard input.
        spool_folder: where a pipe is copied to if it must be read again.
        stored: what a storage knows of the file, where it was asked already.
        groups: the first of the row groups that are read and the one after the last; None reads all.
        label: what people call it, where that is not the path.
        stranger: whether it is in a folder that padmask wrote, whose manifest does not list it.
    """

    path: str
    spool_folder: str | None = None
    stored: RemoteFile | None = None
    groups: tuple[int, int] | None = None
    label: str | None = None
    stranger: bool = False
    _pipe: BinaryIO | None = field(default=None, repr=False)
    _spool: BinaryIO | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return "stdin" if self.path == "-" else self.label or display_path(self.path)

    @property
    def url(self) -> Url | None:
        """The address in a storage; None of what this machine has."""
        return parse_url(self.path) if is_url(self.path) else None

    @property
    def is_pipe(self) -> bool:
        """Whether the bytes can be had only once."""
        if self.path == "-":
            return True
        if is_url(self.path):
            return False
        try:
            return not stat.S_ISREG(os.stat(self.path).st_mode)
        except OSError as error:
            raise unreadable(self.path, error) from None

    @property
    def once(self) -> bool:
        """Whether the bytes can be had only once, as things stand."""
        return self._spool is None and self.is_pipe

    @property
    def size(self) -> int | None:
        """Bytes of the file as it lies on disk or in its storage; None where nobody knows."""
        url = self.url
        if url is not None:
            self.stored = self.stored or _look_up(url)
            return self.stored.size
        return None if self.is_pipe else os.stat(self.path).st_size

    def version(self) -> tuple[int, ...] | None:
        """Return what changes when the file is written or replaced; None for what is no plain file."""
        url = self.url
        if url is not None:
            return _look_up(url).version
        file = self.status()
        if file is None:
            return None
        # A program can write in place and set the modification time back, but not the change time.
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns

    def first_version(self) -> tuple[int, ...] | None:
        """Return the version as of when the file was listed, where that is known."""
        return self.version() if self.stored is None else self.stored.version

    def shared_version(self, version: tuple[int, ...]) -> tuple[int, ...]:
        """Return the part of a version that is the same on every machine: each numbers its devices itself."""
        return version if is_url(self.path) else version[1:]

    def status(self) -> os.stat_result | None:
        """Return what the system knows of the file; None for what is no plain file of this machine."""
        if is_url(self.path):
            return None
        try:
            known = os.fstat(sys.stdin.fileno()) if self.path == "-" else os.stat(self.path)
        except (OSError, ValueError, AttributeError) as error:
            if self.path == "-" or not isinstance(error, OSError):
                return None
            raise unreadable(self.path, error) from None
        return known if stat.S_ISREG(known.st_mode) else None

    def open(self) -> BinaryIO:
        """Return the bytes from the start; of a pipe, once only unless it was spooled."""
        if self._spool is not None:
            self._spool.seek(0)
            return cast(BinaryIO, _Kept(self._spool))
        if self._pipe is None and self.path == "-":
            if sys.stdin is None:
                raise AccessError("stdin is closed: name an input file.")
            self._pipe = sys.stdin.buffer
        if self._pipe is not None:
            return cast(BinaryIO, _Kept(self._pipe))
        if self.url is not None:
            return cast(BinaryIO, open_remote_stream(self.url))
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise unreadable(self.path, error) from None

    def open_arrow(self) -> Any:
        """Return the bytes from the start as a file of Arrow's, which needs to move about in it."""
        import pyarrow as pa

        if self.url is not None:
            return open_remote_file(self.url)
        self.spool()
        if self._spool is not None:
            return pa.PythonFile(self.open(), mode="r")
        try:
            # As bytes, for a name may be no UTF-8.
            return pa.OSFile(os.fsencode(self.path))
        except OSError as error:
            raise unreadable(self.path, error) from None

    def first_bytes(self) -> bytes:
        """Return the first bytes without using them up."""
        try:
            return self._first_bytes()
        except OSError as error:
            raise unreadable(self.path, error) from None

    def _first_bytes(self) -> bytes:
        if self.is_pipe and self._spool is None:
            raw = self._pipe or self.open()
            start = raw.read(8)
            self._pipe = cast(BinaryIO, _Prefixed(start, raw))
            return start
        if self.url is not None:
            with read_errors(self.url), open_remote_file(self.url) as file:
                return bytes(file.read(8))
        with self.open() as stream:
            return stream.read(8)

    def spool(self, lines: int | None = None) -> None:
        """Copy a pipe to a temporary file, so that it can be read again and anywhere.

        Args:
            lines: how many lines that are not blank to copy; None copies everything.
        """
        if not self.is_pipe or self._spool is not None:
            return
        with copy_errors(self.name, self.spool_folder):
            spool = open_temporary(self.spool_folder)
            # Before it is opened: a named pipe can be opened once only.
            whole = lines is None or not self._shows_lines()
            with self.open() as stream:
                if whole or lines is None:
                    shutil.copyfileobj(stream, spool, _COPY_BYTES)
                else:
                    _copy_lines(stream, spool, lines)
            spool.flush()
        self._spool = spool

    def _shows_lines(self) -> bool:
        """Tell whether the first bytes are those of lines of text, not compressed."""
        shown, compression = self.sniff()
        return shown.is_text and compression is None

    def sniff(self) -> tuple[FormatTraits, str | None]:
        """Return the format and the compression that the first bytes show; without such bytes JSON Lines."""
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
    """Open a temporary file that nobody else can open, and that goes when it is closed.

    Args:
        folder: where; None is the system's own.
    """
    return cast(BinaryIO, tempfile.TemporaryFile(prefix="padmask-", dir=folder))


@contextmanager
def copy_errors(name: str, folder: str | None) -> Iterator[None]:
    """Name the input that cannot be copied to a temporary file, and the folder.

    Raises:
        AccessError: there is no space, or no right to write there.
    """
    try:
        yield
    except OSError as error:
        raise AccessError(
            f"{name} cannot be copied to a temporary file in {folder or tempfile.gettempdir()!r}: "
            f"{error.strerror}. {os_error_remedy(error)}"
        ) from None


def _copy_lines(stream: BinaryIO, spool: IO[bytes], lines: int) -> None:
    """Copy this many lines that are not blank; an endless pipe ends there."""
    begun = False
    while lines > 0 and (block := stream.read1(_COPY_BYTES)):  # type: ignore[attr-defined]
        if is_blank(block) and not begun:
            spool.write(block)
            continue
        filled, _, found = filled_lines(block)
        ends: list[int] = found.tolist()
        if begun and (not ends or filled[0] > 0):
            # The first line here is the rest of one that is not blank.
            ends.insert(0, first if (first := block.find(b"\n")) >= 0 else len(block))
        # One that has no end yet is counted where it ends.
        begun = bool(ends) and ends[-1] == len(block)
        whole = ends[:-1] if begun else ends
        if len(whole) >= lines:
            spool.write(block[: whole[lines - 1] + 1])
            return
        spool.write(block)
        lines -= len(whole)


class _Kept(io.BufferedIOBase):
    """Lends a stream: closing this leaves the stream open, for its owner to close."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def read(self, size: int | None = -1, /) -> bytes:
        return self._stream.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return what there is, without waiting for more."""
        block: bytes = self._stream.read1(size)  # type: ignore[attr-defined]
        return block

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class _Prefixed(io.BufferedIOBase):
    """A stream of which some bytes were read already."""

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
        raise AccessError(f"There is no file {str(url)!r}. Check the address.")
    return found


def unreadable(path: str, error: OSError) -> AccessError:
    """Return the error for an input that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return AccessError(
            f"There is no file {display_path(path)!r}. Check the name, or use - for standard input."
        )
    return AccessError(f"Cannot read {display_path(path)!r}: {error.strerror}. {os_error_remedy(error)}")


def find_sources(inputs: Sequence[str], spool_folder: str | None = None) -> list[Source]:
    """Turn paths into sources, folders into the data files in them, in order of name.

    Raises:
        AccessError: a folder without data files, a pattern that nothing matches.
        SpecError: standard input named twice.
    """
    return sources_of(list_inputs(inputs), spool_folder)


def sources_of(files: Iterable[InputFile], spool_folder: str | None = None) -> list[Source]:
    """Turn files that were found into sources."""
    return [Source(file.path, spool_folder, file.stored, stranger=file.stranger) for file in files]
