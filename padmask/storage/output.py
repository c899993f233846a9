"""Write a file that is complete or absent, or write to standard output.

Output goes to a private temporary file beside its target and is renamed at success, so reading and writing
the same path is safe and no partial file stays.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, cast

from padmask.errors import OutputError, os_error_remedy, size
from padmask.storage.names import compression_of
from padmask.storage.output_places import descriptor_of, is_written_in_place, mode_of
from padmask.storage.remote import locate, upload
from padmask.storage.stdout import stdout_bytes
from padmask.storage.system import umask
from padmask.storage.urls import Url, is_url, local_path, parse_url


class LimitedStream:
    """A stream to write to that refuses more than there is room for.

    Args:
        stream: to write to.
        room: bytes; None for any number.
        goal: name of the output, for people.
        less: options that make the output smaller, for people.
    """

    def __init__(self, stream: BinaryIO, room: int | None, goal: str, less: str) -> None:
        self._stream, self._room, self._goal, self._less = stream, room, goal, less
        self._written = 0

    def write(self, data: Any) -> int:
        self._written += memoryview(data).nbytes
        if self._room is not None and self._written > self._room:
            name = "stdout" if self._goal == "-" else repr(self._goal)
            raise OutputError(
                f"The output {name} would take more than the {size(self._room)} that may be written. "
                f"Write less, as with a smaller {self._less}, or allow more with --max-bytes."
            )
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def open_output(
    path: str, sealed: Callable[[int], None] | None = None, final_path: str | None = None
) -> Iterator[BinaryIO]:
    """Give a stream to write; when the block ends well, the file is at its goal.

    Args:
        path: of the file; `-` is standard output. A pipe or a device is written directly, what goes to
            an address is kept in the folder for temporary files until it is whole.
        sealed: called with the descriptor of the finished file, readable, before it is at its goal; of
            what is written directly, never.
        final_path: where the file is moved later: errors of writing name this path or address.

    Raises:
        OutputError: the folder does not exist or may not be written, or the disk is full.
    """
    path, shown = local_path(path), local_path(final_path or path)
    if is_url(path):
        with _uploaded(parse_url(path), sealed, parse_url(shown)) as stream:
            yield stream
        return
    if path == "-":
        if sys.stdout is None:
            raise OutputError("stdout is closed: name an output file with -o.")
        with _write_errors("stdout"):
            stream = stdout_bytes()
            yield stream
            stream.flush()
        return
    mode = mode_of(path)
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path!r} is a folder. Name a file in it.")
    descriptor = descriptor_of(path)
    if descriptor is not None:
        # Not opened again: that would begin at the start of a file that others write to.
        with _write_errors(path), os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    if is_written_in_place(path):
        # A file that another process holds open keeps what it has.
        with _write_errors(path), open(path, "ab" if stat.S_ISREG(mode) else "wb") as stream:
            yield stream
        return
    with _write_errors(path, shown), _replaced(path, mode, sealed) as stream:
        yield stream


@contextmanager
def _uploaded(url: Url, sealed: Callable[[int], None] | None, shown: Url) -> Iterator[BinaryIO]:
    """Write here, and bring it to its address when the block ends well."""
    locate(url)
    # Without a name, where it can be read all the same: a killed run leaves nothing.
    nameless = os.path.isdir("/proc/self/fd")
    with (tempfile.TemporaryFile if nameless else tempfile.NamedTemporaryFile)(prefix="padmask-") as stream:
        with _write_errors(tempfile.gettempdir()):
            yield cast(BinaryIO, stream)
            stream.flush()
            if sealed is not None:
                sealed(stream.fileno())
        upload(f"/proc/self/fd/{stream.fileno()}" if nameless else stream.name, url, shown)


@contextmanager
def _write_errors(path: str, shown: str | None = None) -> Iterator[None]:
    """Name an output in errors of writing, which come without a name: by its path, or the path to show."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename not in (None, path):
            raise
        raise OutputError(
            f"Cannot write {shown or path!r}: {error.strerror or error}. {os_error_remedy(error)}"
        ) from error


@contextmanager
def _replaced(path: str, mode: int, sealed: Callable[[int], None] | None) -> Iterator[BinaryIO]:
    """Write beside the goal, and rename over it when the block ends well."""
    # A link keeps pointing where it points: what it points to is replaced.
    goal = os.path.realpath(path)
    descriptor, temporary = _create_beside(goal, path)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
            if sealed is not None:
                sealed(descriptor)
            os.fchmod(descriptor, stat.S_IMODE(mode) if mode else 0o666 & ~umask(os.path.dirname(goal)))
            if temporary is None:
                temporary = _name_beside(goal)
                _name(descriptor, temporary)
        try:
            os.replace(temporary, goal)
        except OSError as error:
            raise OSError(error.errno, error.strerror) from error
    except BaseException:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(goal))


def _create_beside(goal: str, path: str) -> tuple[int, str | None]:
    """Create a private file in the goal's folder; without a name where that can be had.

    A file without a name goes with the process, even one that is killed.
    """
    folder = os.path.dirname(goal)
    try:
        # A name that cannot be is found out now, and not when other outputs are there already.
        with suppress(FileNotFoundError):
            os.lstat(goal)
        with suppress(OSError):
            if _can_be_named_later(folder):
                return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
        temporary = _name_beside(goal)
        return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), temporary
    except OSError as error:
        shown = os.path.dirname(path) or folder
        if isinstance(error, FileNotFoundError):
            said = f"the folder {shown!r} does not exist. Create it first, with mkdir -p."
        elif isinstance(error, NotADirectoryError):
            said = f"{shown!r} is no folder. Choose another place."
        else:
            said = f"{error.strerror} for the folder {shown!r}. {os_error_remedy(error)}"
        raise OutputError(f"Cannot write {path!r}: {said}") from None


def _can_be_named_later(folder: str) -> bool:
    """Tell whether a file without a name can get one: some file systems only know the first half."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    probe = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    name = os.path.join(folder, f".padmask-{os.urandom(8).hex()}.tmp")
    try:
        _name(probe, name)
        return True
    finally:
        # Here, for a signal may come right after it was named.
        with suppress(OSError):
            os.unlink(name)
        os.close(probe)


def _name(descriptor: int, path: str) -> None:
    """Give an open file without a name its first one."""
    # Named from inside a folder: Python follows the link of an open file only then.
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        os.link(str(descriptor), path, src_dir_fd=folder, follow_symlinks=True)
    except OSError as error:
        # Without the names, which tell a person nothing.
        raise OSError(error.errno, error.strerror) from error
    finally:
        os.close(folder)


def _name_beside(goal: str) -> str:
    """Return a name in the goal's folder that readers of folders take for no data, and nobody has."""
    folder, name = os.path.split(goal)
    # A name may be as long as names may be, so only its beginning goes in.
    return os.path.join(folder, f".{name[:64]}.{os.urandom(8).hex()}.tmp")


def _sync_folder(folder: str) -> None:
    """Make the rename itself last through a power cut, where the file system lets us."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # A folder may be written and not read.
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def open_compressed(stream: BinaryIO, path: str) -> Iterator[BinaryIO]:
    """Wrap a stream by its path's suffix, `.gz` or `.zst`; the bytes depend on nothing but the data."""
    codec = compression_of(path)
    if codec == "gzip":
        import gzip

        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as out:
            yield cast(BinaryIO, out)
    elif codec == "zstd":
        import pyarrow as pa

        lent = BorrowedStream(stream)
        sink: Any = pa.CompressedOutputStream(pa.PythonFile(lent, mode="w"), "zstd")
        try:
            yield sink
        except BaseException:
            lent.abandon()
            raise
        finally:
            sink.close()
    else:
        yield stream


class BorrowedStream:
    """A stream that Arrow may close without closing ours, and that can be cut off.

    Arrow's writers write their footer even when they are thrown away; after `abandon` that
    goes nowhere.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.closed = False
        self._abandoned = False

    def write(self, data: Any) -> int:
        return len(data) if self._abandoned else self._stream.write(data)

    def flush(self) -> None:
        if not self._abandoned:
            self._stream.flush()

    def abandon(self) -> None:
        self._abandoned = True

    def close(self) -> None:
        self.closed = True


class SideFile(AbstractContextManager["SideFile"]):
    """Something written beside the output, whose reader may leave: the rest goes nowhere, the run goes on.

    Args:
        path: as for `open_goal`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stack = ExitStack()
        self._left = False

    def __enter__(self) -> SideFile:
        with ExitStack() as stack:
            goal = stack.enter_context(open_output(self._path))
            self._stream = stack.enter_context(open_compressed(goal, self._path))
            self._stack = stack.pop_all()
        return self

    def write(self, data: bytes) -> None:
        if self._left:
            return
        try:
            self._stream.write(data)
        except BrokenPipeError:
            self._left = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with suppress(BrokenPipeError):
            self._stack.close()
