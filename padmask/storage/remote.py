"""Read and write remote storage: `s3://`, `gs://` and `abfs://` with Arrow, other schemes with fsspec.

This module does not handle file formats or rows.
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

# Bytes per request. Object stores have a high latency for requests of any size.
REMOTE_BLOCK_BYTES = 8 << 20

# Time limit for retries in seconds. Only some Arrow filesystems have this option.
RETRY_SECONDS = 15


@lru_cache(maxsize=64)
def _filesystem(scheme: str, authority: str, query: str) -> tuple[Any, str]:
    """Return the Arrow filesystem of a remote storage, and the prefix of its paths."""
    from pyarrow import fs

    root = f"{scheme}://{authority}"
    if scheme in NATIVE:
        if scheme in ("gs", "gcs") and "retry_limit_seconds=" not in query:
            # By default Arrow retries for 15 minutes, and Python handles no signals during this time.
            query = "&".join(filter(None, [query, f"retry_limit_seconds={RETRY_SECONDS}"]))
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
            f"{scheme}:// needs another package: {str(error).rstrip('.')}. Install this package with pip."
        ) from None
    except ValueError as error:
        raise SpecError(
            f"Unknown scheme {scheme}://: {str(error).rstrip('.')}. Use s3://, gs://, abfs:// or file://."
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(found)), base.rstrip("/") or base[:1]


def locate(url: Url) -> tuple[Any, str]:
    """Return the Arrow filesystem of an address, and the path of the address in this filesystem.

    Raises:
        SpecError: the scheme is unknown, or the filesystem cannot be created.
        MissingExtraError: a package that the scheme needs is not installed.
    """
    with _storage_errors(url, SpecError, "reach"):
        filesystem, base = _filesystem(url.scheme, url.authority, url.query)
    # The query of an HTTP address belongs to the path, for example as a signature.
    query = f"?{url.query}" if url.query and url.scheme in ("http", "https") else ""
    # `base` is empty for abfs://, because the paths of abfs:// include the container. Absolute paths, as with
    # sftp://, must keep their leading slash.
    joined = base + "/" * (base not in ("", "/") and bool(url.path)) + url.path
    return filesystem, joined + query


@contextmanager
def _storage_errors(url: Url, kind: type[PadmaskError], verb: str) -> Iterator[None]:
    """Convert storage errors to the error class `kind`. The message contains the address."""
    from pyarrow import ArrowException

    try:
        yield
    except PadmaskError:
        raise
    except FileNotFoundError:
        raise kind(missing_message(url)) from None
    except Exception as error:
        # The libraries behind fsspec raise their own exceptions.
        known = isinstance(error, (OSError, ValueError, NotImplementedError, ArrowException))
        if url.scheme in NATIVE and not known:
            raise
        if "bucket" in str(error).lower() and (bucket := _missing_bucket(url)) is not None:
            raise kind(_NO_BUCKET.format(bucket)) from None
        raise kind(f"Cannot {verb} {str(url)!r}: {_summarize(error)}. {_REMEDY}") from None


_NO_BUCKET = (
    "Bucket {!r} does not exist. Check the name, and the credentials, region and endpoint in the environment."
)


def missing_message(url: Url) -> str:
    """Return the error message for an address whose bucket or file does not exist."""
    bucket = _missing_bucket(url)
    if bucket is not None:
        return _NO_BUCKET.format(bucket)
    kind = "folder" if url.path.endswith("/") or not url.path else "file"
    return f"{kind.capitalize()} {str(url)!r} does not exist. Check the address."


def refuse_missing_bucket(url: Url) -> None:
    """Raise an error if the bucket of an address does not exist.

    Raises:
        AccessError: the bucket does not exist, or is not visible.
    """
    bucket = _missing_bucket(url)
    if bucket is not None:
        raise AccessError(_NO_BUCKET.format(bucket))


def _missing_bucket(url: Url) -> str | None:
    """Return the missing bucket or container of an address; None if the bucket may exist."""
    from pyarrow import ArrowException
    from pyarrow.fs import FileType

    if url.scheme not in NATIVE:
        return None
    try:
        filesystem, path = _filesystem(url.scheme, url.authority, url.query)
        bucket = "/".join(filter(None, (path, url.path))).split("/")[0]
        missing = bucket and filesystem.get_file_info(bucket).type == FileType.NotFound
    except (OSError, ValueError, ArrowException, PadmaskError):
        return None
    return bucket if missing else None


_REMEDY = "Check the address, and the credentials, region and endpoint in the environment."


def _summarize(error: Exception) -> str:
    """Return the first line of a storage error, without request IDs, details and credentials."""
    line = (str(error).splitlines() or [""])[0] or type(error).__name__
    return redacted(re.split(r" \(Request ID|; Details|\. Detail:", line)[0].rstrip(". ")[:300])


@contextmanager
def read_errors(url: Url) -> Iterator[None]:
    """Convert storage errors to AccessError. The message contains the address.

    Raises:
        AccessError: the file cannot be read.
    """
    with _storage_errors(url, AccessError, "read"):
        yield


@contextmanager
def write_errors(url: Url) -> Iterator[None]:
    """Convert storage errors to OutputError. The message contains the address.

    Raises:
        OutputError: the file cannot be written.
    """
    with _storage_errors(url, OutputError, "write"):
        yield


@dataclass(frozen=True)
class RemoteFile:
    """The metadata of a file in remote storage.

    Args:
        size: size in bytes.
        version: numbers that change if the file is written again.
    """

    size: int
    version: tuple[int, ...]


def _stored(info: Any) -> RemoteFile:
    size = info.size or 0
    return RemoteFile(size, (size, info.mtime_ns or 0))


def stat_remote(url: Url) -> RemoteFile | None:
    """Return the metadata of the file at an address; None if the address is a folder or does not exist."""
    filesystem, path = locate(url)
    with read_errors(url):
        info = filesystem.get_file_info(path)
    return _stored(info) if info.is_file else None


def is_remote_folder(url: Url) -> bool:
    """Return whether an address is a folder that contains files."""
    from pyarrow.fs import FileType

    filesystem, path = locate(url)
    with read_errors(url):
        found: bool = filesystem.get_file_info(path).type == FileType.Directory
    return found


def list_remote(url: Url) -> dict[str, RemoteFile]:
    """Return the metadata of all files below an address, keyed and sorted by relative path."""
    from pyarrow.fs import FileSelector

    filesystem, path = locate(url)
    with read_errors(url):
        found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    base = path.strip("/")
    below = {info.path.strip("/").removeprefix(base).strip("/"): info for info in found if info.is_file}
    return {name: _stored(below[name]) for name in sorted(below)}


def open_remote_stream(url: Url) -> Any:
    """Open a remote file for sequential reading."""
    filesystem, path = locate(url)
    with read_errors(url):
        return filesystem.open_input_stream(path, compression=None, buffer_size=REMOTE_BLOCK_BYTES)


def open_remote_file(url: Url) -> Any:
    """Open a remote file for random access."""
    filesystem, path = locate(url)
    with read_errors(url):
        return filesystem.open_input_file(path)


def read_at_most(url: Url, most: int) -> bytes | None:
    """Return the contents of a remote file; None if the file is larger than `most` bytes."""
    with read_errors(url), open_remote_file(url) as file:
        data = bytes(file.read(most + 1))
    return None if len(data) > most else data


def upload(file: str, url: Url, shown: Url) -> None:
    """Copy a local file to a remote address. The remote file appears only when it is complete.

    A single call, which Python cannot interrupt, copies the file. An Arrow output stream would create a
    partial file if it was interrupted.

    Args:
        file: path of the local file.
        url: address of the copy.
        shown: address to show in errors.
    """
    from pyarrow import fs

    filesystem, path = locate(url)
    with write_errors(shown):
        if isinstance(filesystem, fs.PyFileSystem) and path.rpartition("/")[0]:
            # Storage that fsspec accesses may require folders. Object stores do not have folders.
            filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        fs.copy_files(
            file,
            path,
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=filesystem,
            chunk_size=REMOTE_BLOCK_BYTES,
        )


def move_remote(source: Url, target: Url) -> None:
    """Move a file to another address in the same storage."""
    filesystem, path = locate(source)
    with write_errors(target):
        filesystem.move(path, locate(target)[1])


def delete_remote(url: Url) -> None:
    """Delete a file if it exists."""
    filesystem, path = locate(url)
    with write_errors(url):
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            return


def delete_remote_folder(url: Url) -> None:
    """Delete all files below an address."""
    filesystem, path = locate(url)
    with write_errors(url):
        try:
            filesystem.delete_dir(path)
        except FileNotFoundError:
            return
