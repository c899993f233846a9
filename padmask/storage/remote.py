"""Read and write remote storage: `s3://`, `gs://` and `abfs://` through Arrow, other schemes through fsspec.

This module knows no formats and no rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from padmask.errors import AccessError, MissingExtraError, OutputError, PadmaskError, SpecError, redacted
from padmask.storage.urls import NATIVE, Url

# Bytes asked for at once: an object store answers each request late, however small it is.
REMOTE_BLOCK_BYTES = 8 << 20

# How long a storage is asked again that does not answer, where Arrow lets that be said.
PATIENCE_SECONDS = 15


@lru_cache(maxsize=64)
def _filesystem(scheme: str, authority: str, query: str) -> tuple[Any, str]:
    """Return the filesystem that a storage is reached by, and what its paths begin with."""
    from pyarrow import fs

    root = f"{scheme}://{authority}"
    if scheme in NATIVE:
        if scheme in ("gs", "gcs") and "retry_limit_seconds=" not in query:
            # Arrow would try for a quarter of an hour, in which no signal reaches Python.
            query = "&".join(filter(None, [query, f"retry_limit_seconds={PATIENCE_SECONDS}"]))
        filesystem, base = fs.FileSystem.from_uri(f"{root}/" + (f"?{query}" if query else ""))
        return filesystem, base.rstrip("/")
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError(
            f"{scheme}:// needs fsspec. Install it with: pip install 'padmask[remote]'"
        ) from None
    try:
        found, base = url_to_fs(f"{root}/")
    except ImportError as error:
        raise MissingExtraError(
            f"{scheme}:// needs another package: {str(error).rstrip('.')}. Install it with pip."
        ) from None
    except ValueError as error:
        raise SpecError(
            f"There is no storage {scheme}://: {str(error).rstrip('.')}. Choose s3://, gs://, abfs:// or file://."
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(found)), base.rstrip("/") or base[:1]


def locate(url: Url) -> tuple[Any, str]:
    """Return the Arrow filesystem of an address and the path in it.

    Raises:
        SpecError: there is no such storage.
        MissingExtraError: what reaches it is not installed.
    """
    with _storage_errors(url, SpecError, "reach"):
        filesystem, base = _filesystem(url.scheme, url.authority, url.query)
    # What is signed is signed with its query, which is no option of the filesystem there.
    query = f"?{url.query}" if url.query and url.scheme in ("http", "https") else ""
    # Of abfs://account/container/... all that there is stands in the path. Where paths begin with a
    # slash, as on the machine behind sftp://, they must keep it: they would be relative ones.
    joined = base + "/" * (base not in ("", "/") and bool(url.path)) + url.path
    return filesystem, joined + query


@contextmanager
def _storage_errors(url: Url, kind: type[PadmaskError], verb: str) -> Iterator[None]:
    """Turn a storage's own errors into one sentence about an address."""
    from pyarrow import ArrowException

    try:
        yield
    except PadmaskError:
        raise
    except FileNotFoundError:
        raise kind(f"There is no file {str(url)!r}. Check the address.") from None
    except (OSError, ValueError, NotImplementedError, ArrowException) as error:
        raise kind(f"Cannot {verb} {str(url)!r}: {_in_short(error)}. {_REMEDY}") from None


_REMEDY = "Check address and bucket, and the credentials, region and endpoint in the environment."


def _in_short(error: Exception) -> str:
    """Return what a storage said, without its request's number and its own words of advice."""
    said = (str(error).splitlines() or [""])[0] or type(error).__name__
    return redacted(re.split(r" \(Request ID|; Details|\. Detail:", said)[0].rstrip(". ")[:300])


@contextmanager
def read_errors(url: Url) -> Iterator[None]:
    """Name the address in errors of reading.

    Raises:
        AccessError: it cannot be read.
    """
    with _storage_errors(url, AccessError, "read"):
        yield


@contextmanager
def write_errors(url: Url) -> Iterator[None]:
    """Name the address in errors of writing.

    Raises:
        OutputError: it cannot be written.
    """
    with _storage_errors(url, OutputError, "write"):
        yield


@dataclass(frozen=True)
class RemoteFile:
    """What a storage knows of a file.

    Args:
        size: in bytes.
        version: what changes when the file is written anew.
    """

    size: int
    version: tuple[int, ...]


def _stored(info: Any) -> RemoteFile:
    size = info.size or 0
    return RemoteFile(size, (size, info.mtime_ns or 0))


def stat_remote(url: Url) -> RemoteFile | None:
    """Return what is known of the file at an address; None where there is none, or a folder."""
    filesystem, path = locate(url)
    with read_errors(url):
        info = filesystem.get_file_info(path)
    return _stored(info) if info.is_file else None


def is_remote_folder(url: Url) -> bool:
    """Tell whether something lies below an address."""
    from pyarrow.fs import FileType

    filesystem, path = locate(url)
    with read_errors(url):
        found: bool = filesystem.get_file_info(path).type == FileType.Directory
    return found


def list_remote(url: Url) -> dict[str, RemoteFile]:
    """Return all files below an address, by their names from there on, in order of name."""
    from pyarrow.fs import FileSelector

    filesystem, path = locate(url)
    with read_errors(url):
        found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    base = path.strip("/")
    below = {info.path.strip("/").removeprefix(base).strip("/"): info for info in found if info.is_file}
    return {name: _stored(below[name]) for name in sorted(below)}


def open_remote_stream(url: Url) -> Any:
    """Open a file to read from its start to its end."""
    filesystem, path = locate(url)
    with read_errors(url):
        return filesystem.open_input_stream(path, compression=None, buffer_size=REMOTE_BLOCK_BYTES)


def open_remote_file(url: Url) -> Any:
    """Open a file to move about in."""
    filesystem, path = locate(url)
    with read_errors(url):
        return filesystem.open_input_file(path)


def read_at_most(url: Url, most: int) -> bytes | None:
    """Return what a file holds; None where it holds more than `most` bytes."""
    with read_errors(url), open_remote_file(url) as file:
        data = bytes(file.read(most + 1))
    return None if len(data) > most else data


def upload(file: str, url: Url, shown: Url) -> None:
    """Copy a file of this machine to an address, where it appears when all of it is there.

    In one call that nothing interrupts: a stream of Arrow's that is thrown away in the middle
    would still complete what it had begun.

    Args:
        file: its path.
        url: where to.
        shown: the address that errors name.
    """
    from pyarrow import fs

    filesystem, path = locate(url)
    with write_errors(shown):
        if isinstance(filesystem, fs.PyFileSystem) and path.rpartition("/")[0]:
            # Stores of objects have no folders; of what lies behind fsspec nobody knows.
            filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        fs.copy_files(
            file,
            path,
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=filesystem,
            chunk_size=REMOTE_BLOCK_BYTES,
        )


def move_remote(source: Url, goal: Url) -> None:
    """Give a file another address in the same storage."""
    filesystem, path = locate(source)
    with write_errors(goal):
        filesystem.move(path, locate(goal)[1])


def delete_remote(url: Url) -> None:
    """Take a file away; one that is not there is away already."""
    filesystem, path = locate(url)
    with write_errors(url):
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            return


def delete_remote_folder(url: Url) -> None:
    """Take everything below an address away."""
    filesystem, path = locate(url)
    with write_errors(url):
        try:
            filesystem.delete_dir(path)
        except FileNotFoundError:
            return
