"""Write an output file atomically, or write to standard output.

The output is written to a temporary file in the folder of the output path, and renamed after success. A
failed run leaves no partial file. The output may replace an input.
"""

from __future__ import annotations

import errno
import io
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
from padmask.storage.synced_file import SyncedFile
from padmask.storage.system import umask
from padmask.storage.urls import Url, is_url, local_path, parse_url


class LimitedStream:
    """An output stream with a limit on its size.

    Args:
        stream: stream to write to.
        limit: maximum number of bytes; None for no limit.
        output: name of the output, for messages.
        options: options to suggest in the error message if the limit is exceeded.
        written: number of bytes already written to other files of the same output.
    """

    def __init__(
        self, stream: BinaryIO, limit: int | None, output: str, options: str, written: int = 0
    ) -> None:
        self._stream, self._limit, self._output, self._options = stream, limit, output, options
        self._written = written

    def write(self, data: Any) -> int:
        self._written += memoryview(data).nbytes
        if self._limit is not None and self._written > self._limit:
            name = "stdout" if self._output == "-" else repr(self._output)
            raise OutputError(
                f"The output {name} would be larger than the limit of {size(self._limit)}. "
                f"Choose a smaller {self._options}, or raise the limit with --max-bytes."
            )
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def open_output(
    path: str, sealed: Callable[[int], None] | None = None, final_path: str | None = None
) -> Iterator[BinaryIO]:
    """Open an output stream. padmask creates or replaces the file only if the `with` block succeeds.

    Args:
        path: path or address of the file; `-` is standard output. Pipes and devices are written directly. A
            remote file is first written to the folder for temporary files.
        sealed: function that is called with a readable descriptor of the complete file, before the file is
            renamed or uploaded. The function is not called for files that are written directly.
        final_path: path or address to which the caller moves the complete file. Errors show this path.

    Raises:
        OutputError: the folder does not exist or is not writable, or the disk is full.
    """
    path, shown = local_path(path), local_path(final_path or path)
    if is_url(path):
        with _uploaded(parse_url(path), sealed, parse_url(shown)) as stream:
            yield stream
        return
    if path == "-":
        if sys.stdout is None:
            raise OutputError("stdout is closed. Specify an output file with -o.")
        with output_errors("stdout"):
            stream = stdout_bytes()
            yield stream
            stream.flush()
        return
    mode = mode_of(path)
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path!r} is a folder. Specify a file in the folder.")
    descriptor = descriptor_of(path)
    if descriptor is not None:
        # The descriptor is duplicated, because opening the file again would write at its beginning.
        with output_errors(path), os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    if is_written_in_place(path):
        # padmask writes to a regular file directly only if another process has the file open. In this case,
        # padmask appends to the file.
        with output_errors(path), open(path, "ab" if stat.S_ISREG(mode) else "wb") as stream:
            yield stream
        return
    with output_errors(path, shown), _replaced(path, mode, sealed) as stream:
        yield stream


@contextmanager
def _uploaded(url: Url, sealed: Callable[[int], None] | None, shown: Url) -> Iterator[BinaryIO]:
    """Open a temporary file, and upload it if the block succeeds."""
    locate(url)
    # The system removes an unnamed file even if the process is killed, but only /proc gives the file a path.
    unnamed = os.path.isdir("/proc/self/fd")
    with (tempfile.TemporaryFile if unnamed else tempfile.NamedTemporaryFile)(prefix="padmask-") as stream:
        with output_errors(tempfile.gettempdir()):
            yield cast(BinaryIO, stream)
            stream.flush()
            if sealed is not None:
                sealed(stream.fileno())
        upload(f"/proc/self/fd/{stream.fileno()}" if unnamed else stream.name, url, shown)


@contextmanager
def output_errors(path: str, shown: str | None = None) -> Iterator[None]:
    """Convert write errors to OutputError. The message contains `shown`, or `path` if `shown` is None."""
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
    """Open a temporary file in the folder of `path`, and rename it to `path` if the block succeeds."""
    # If the path is a link, its target is replaced.
    target = os.path.realpath(path)
    descriptor, temporary = create_temporary(target, path)
    try:
        with SyncedFile(descriptor) as file, io.BufferedWriter(file) as stream:
            yield stream
            stream.flush()
            file.sync()
            if sealed is not None:
                sealed(descriptor)
            os.fchmod(descriptor, stat.S_IMODE(mode) if mode else 0o666 & ~umask(os.path.dirname(target)))
            if temporary is None:
                temporary = temporary_name(target)
                link_descriptor(descriptor, temporary)
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise OSError(error.errno, error.strerror) from error
    except BaseException:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(target))


def create_temporary(target: str, path: str) -> tuple[int, str | None]:
    """Create a private file in the folder of `target`. The file has no name if the file system supports this.

    The system removes an unnamed file even if the process is killed.

    Args:
        target: path of the output, without links.
        path: path of the output, for messages.

    Returns:
        The file descriptor, and the path of the file; None if the file has no name.
    """
    folder = os.path.dirname(target)
    try:
        # Report an invalid name now, before other outputs are complete.
        with suppress(FileNotFoundError):
            os.lstat(target)
        with suppress(OSError):
            if _can_link_unnamed(folder):
                return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
        temporary = temporary_name(target)
        return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), temporary
    except OSError as error:
        shown = os.path.dirname(path) or folder
        if isinstance(error, FileNotFoundError):
            reason = f"the folder {shown!r} does not exist. Create the folder with mkdir -p."
        elif isinstance(error, NotADirectoryError):
            reason = f"{shown!r} is not a folder. Choose another folder."
        else:
            reason = f"{error.strerror} for the folder {shown!r}. {os_error_remedy(error)}"
        raise OutputError(f"Cannot write {path!r}: {reason}") from None


def _can_link_unnamed(folder: str) -> bool:
    """Return whether the file system can create an unnamed file and name the file later."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    probe = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    name = os.path.join(folder, f".padmask-{os.urandom(8).hex()}.tmp")
    try:
        link_descriptor(probe, name)
        return True
    finally:
        # A signal may arrive right after the link, so the file is removed in a finally block.
        with suppress(OSError):
            os.unlink(name)
        os.close(probe)


def link_descriptor(descriptor: int, path: str) -> None:
    """Give an open unnamed file a path."""
    # os.link follows the link /proc/self/fd/N to the open file only if it receives a folder descriptor.
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        os.link(str(descriptor), path, src_dir_fd=folder, follow_symlinks=True)
    except OSError as error:
        # Create the error again without the names of the temporary files.
        raise OSError(error.errno, error.strerror) from error
    finally:
        os.close(folder)


def temporary_name(target: str) -> str:
    """Return an unused path in the folder of `target`. The name is hidden, so readers skip the file."""
    folder, name = os.path.split(target)
    # The name of the target may have the maximum length, so the new name uses only its start.
    return os.path.join(folder, f".{name[:64]}.{os.urandom(8).hex()}.tmp")


def sync_folder(folder: str) -> None:
    """Flush a folder to disk if the file system supports this, so that a rename survives a power failure."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # The folder may be writable but not readable.
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def open_compressed(stream: BinaryIO, path: str) -> Iterator[BinaryIO]:
    """Compress a stream if `path` ends in `.gz` or `.zst`. The compressed bytes depend only on the data."""
    codec = compression_of(path)
    if codec == "gzip":
        import gzip

        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as out:
            yield cast(BinaryIO, out)
    elif codec == "zstd":
        import pyarrow as pa

        borrowed = BorrowedStream(stream)
        sink: Any = pa.CompressedOutputStream(pa.PythonFile(borrowed, mode="w"), "zstd")
        try:
            yield sink
        except BaseException:
            borrowed.abandon()
            raise
        finally:
            sink.close()
    else:
        yield stream


class BorrowedStream:
    """Wrapper for a stream. When Arrow closes the wrapper, the stream stays open.

    Arrow's writers write a footer even after an error. After `abandon`, the wrapper discards all writes.
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
    """An additional output file, such as the file of rejected rows.

    If the file is a pipe and its reader closes the pipe, the run continues.

    Args:
        path: path of the file, as for `open_output`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stack = ExitStack()
        self._reader_closed = False

    def __enter__(self) -> SideFile:
        with ExitStack() as stack:
            output = stack.enter_context(open_output(self._path))
            self._stream = stack.enter_context(open_compressed(output, self._path))
            self._stack = stack.pop_all()
        return self

    def write(self, data: bytes) -> None:
        if self._reader_closed:
            return
        try:
            self._stream.write(data)
        except BrokenPipeError:
            self._reader_closed = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with suppress(BrokenPipeError):
            self._stack.close()
