"""Where bytes lie beyond this machine's folders: object stores and whatever fsspec knows, by URL.

`s3://`, `gs://` and `abfs://` go through Arrow's own filesystems, all others through fsspec where
that is installed. Knows nothing of formats or rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from padmask.errors import (
    AccessError,
    MissingExtraError,
    OutputError,
    PadmaskError,
    SpecError,
    redacted,
)

_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+)://(?P<authority>[^/]*)/*(?P<path>.*)", re.DOTALL)
# A question mark is a query's only where a name and a value follow: it may be a pattern's too. One of a
# file's own name has this before it, which no command line and no name can hold.
_OWN = "\0"
_QUERY = re.compile(r"(?<!\0)\?(?=[A-Za-z_][\w.-]*=)")
# Those that Arrow has filesystems of its own for.
NATIVE = ("s3", "gs", "gcs", "abfs", "abfss")
# Those of this machine, by the names that fsspec has for them.
LOCAL = ("file", "local")
# Others that fsspec or other tools know, as a part of a regular expression.
_OTHERS = "s3[an]|az|adl|wasbs?|oci|oss|hf|https?|ftp|sftp|ssh|smb|hdfs|webhdfs|memory|github|gdrive|dbfs"
_KNOWN = "|".join((*NATIVE, *LOCAL, _OTHERS))
# What begins like an address and is none. It may hold secrets all the same.
_MISTYPED = re.compile(
    rf"""
    (?:{_KNOWN}):               # s3:bucket/x, s3:/bucket/x, s3::s3://bucket/x
    | [a-z][a-z0-9+.-]+:/       # other:/bucket/x
    | .*://                     # "s3://bucket/x" with a quote or a space before it, or one address in another
    | (?:{_KNOWN});?/+[^@]*:[^@]*@  # s3//key:secret@bucket/x
    | [^/.@:][^/@:]*:[^@]*@     # key:secret@bucket/x
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# All that stands before the last @, but for the scheme.
_SECRETS = re.compile(
    rf"(?P<scheme>(?:(?:{_KNOWN}):+/*|[a-z][a-z0-9+.-]*:+/+)*).*@", re.IGNORECASE | re.DOTALL
)
# Bytes asked for at once: an object store answers each request late, however small it is.
BLOCK_BYTES = 8 << 20
# How long a storage is asked again that does not answer, where Arrow lets that be said.
PATIENCE_SECONDS = 15


@dataclass(frozen=True)
class Url:
    """An address in a storage.

    >>> url = parse_url("s3://key:secret@bucket/a/b.jsonl?region=eu-west-1")
    >>> str(url), url.child("c d.jsonl").path
    ('s3://bucket/a/b.jsonl', 'a/b.jsonl/c d.jsonl')

    Args:
        scheme: such as `s3`, in small letters.
        authority: bucket or host, with its credentials if it has any.
        path: below that, as it is: nothing in it is quoted.
        query: options of the filesystem.
    """

    scheme: str
    authority: str
    path: str
    query: str = ""

    def __str__(self) -> str:
        """Return the address for people and reports, without its secrets."""
        return f"{self.scheme}://{self.authority.rpartition('@')[2]}/{self.path}"

    @property
    def text(self) -> str:
        """The whole address, with its secrets, which `parse_url` reads."""
        path = _QUERY.sub(f"{_OWN}?", self.path)
        return f"{self.scheme}://{self.authority}/{path}" + (f"?{self.query}" if self.query else "")

    def child(self, name: str) -> Url:
        """Return the address of something below this one."""
        return replace(self, path=f"{self.path.rstrip('/')}/{name}".lstrip("/"))


def is_url(path: str) -> bool:
    """Tell an address in a storage from a path of this machine.

    >>> is_url("s3://bucket/train"), is_url("C://x"), is_url("file:///data"), is_url("-")
    (True, False, True, False)
    """
    return _URL.match(path) is not None


def parse_url(text: str) -> Url:
    """Take an address apart.

    >>> name = Url("s3", "bucket", "a?x=1.jsonl")
    >>> parse_url(name.text) == name
    True

    Raises:
        SpecError: it is none, or its credentials end in the middle.
    """
    found = _URL.match(text)
    if found is None:
        raise SpecError(f"{text!r} is no address. Write it as s3://bucket/path.")
    scheme, authority = found["scheme"].lower(), found["authority"]
    _, colon, port = authority.partition(":")
    if colon and "@" not in authority and "@" in found["path"] and (scheme in NATIVE or not port.isdigit()):
        # Not shown: half of it is a secret.
        raise SpecError(f"The {scheme}:// address has a / in its credentials: write it there as %2F.")
    path, *query = _QUERY.split(found["path"], maxsplit=1)
    return Url(scheme, authority, path.replace(_OWN, ""), *query)


def plain_path(path: str) -> str:
    """Return the path of this machine that a `file://` or `local://` address stands for; all else as it is.

    >>> plain_path("file:///tmp/a%20b.jsonl"), plain_path("s3://bucket/a"), plain_path("a.jsonl")
    ('/tmp/a b.jsonl', 's3://bucket/a', 'a.jsonl')
    >>> plain_path("local:///tmp/a%20b.jsonl")
    '/tmp/a%20b.jsonl'

    Raises:
        SpecError: the address is another machine's.
    """
    scheme, slashes, rest = path.partition("://")
    if not slashes or scheme.lower() not in LOCAL:
        return path
    if scheme.lower() == "local":
        # fsspec takes the rest as the path, relative ones too.
        return rest or "."
    from urllib.parse import unquote

    url = parse_url(path)
    if url.authority not in ("", "localhost"):
        raise SpecError(f"{str(url)!r} is on another machine. Write file:/// and the path on this one.")
    return "/" + unquote(url.path)


def shown(path: str) -> str:
    """Return a path as people should see it: an address without its secrets.

    >>> shown("s3://key:secret@bucket/a?region=x"), shown("a.jsonl"), shown("s3:/key:secret@bucket/a")
    ('s3://bucket/a', 'a.jsonl', 's3:/bucket/a')
    """
    if not is_mistyped(path):
        return str(parse_url(path)) if is_url(path) else path
    return _SECRETS.sub(r"\g<scheme>", _QUERY.split(path, maxsplit=1)[0])


def is_mistyped(path: str) -> bool:
    """Tell whether a path looks like an address, and cannot be read as one.

    >>> [is_mistyped(path) for path in ("s3:/k:s@b/x", "s3::s3://b/x", "s3:b", "k:s@b/x", "s3:///k:s@b/x")]
    [True, True, True, True, True]
    >>> [is_mistyped(path) for path in ("s3://b/x", "a.jsonl", "./s3:b", "C:/x", "12:30.jsonl", "-")]
    [False, False, False, False, False, False]
    """
    if not is_url(path):
        return _MISTYPED.match(path) is not None
    url = _URL.match(path)
    # Without a bucket, credentials would be the first part of the path.
    return url is not None and not url["authority"] and re.match("[^/]*:[^@]*@", url["path"]) is not None


def refuse_mistyped(path: str) -> None:
    """Refuse a path that looks like an address with a mistake: it would be read or made as a local folder.

    Raises:
        SpecError: it does.
    """
    if is_mistyped(path):
        raise SpecError(
            f"{shown(path)!r} looks like an address with a mistake. Write SCHEME://BUCKET/PATH, as in "
            "s3://bucket/data/. If it is a path of this machine, begin it with ./ or /."
        )


def checked_path(path: str) -> str:
    """Return a path that somebody gave as `plain_path` does.

    Raises:
        SpecError: it looks like an address with a mistake, or it is another machine's.
    """
    refuse_mistyped(path)
    return plain_path(path)


def checked_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return one path or several that somebody gave, each as `checked_path` does."""
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return [checked_path(os.fspath(path)) for path in several]


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
    with _said_of(url, SpecError, "reach"):
        filesystem, base = _filesystem(url.scheme, url.authority, url.query)
    # What is signed is signed with its query, which is no option of the filesystem there.
    query = f"?{url.query}" if url.query and url.scheme in ("http", "https") else ""
    # Of abfs://account/container/... all that there is stands in the path. Where paths begin with a
    # slash, as on the machine behind sftp://, they must keep it: they would be relative ones.
    joined = base + "/" * (base not in ("", "/") and bool(url.path)) + url.path
    return filesystem, joined + query


@contextmanager
def _said_of(url: Url, kind: type[PadmaskError], verb: str) -> Iterator[None]:
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
def reading(url: Url) -> Iterator[None]:
    """Name the address in errors of reading.

    Raises:
        AccessError: it cannot be read.
    """
    with _said_of(url, AccessError, "read"):
        yield


@contextmanager
def writing(url: Url) -> Iterator[None]:
    """Name the address in errors of writing.

    Raises:
        OutputError: it cannot be written.
    """
    with _said_of(url, OutputError, "write"):
        yield


@dataclass(frozen=True)
class Stored:
    """What a storage knows of a file.

    Args:
        size: in bytes.
        version: what changes when the file is written anew.
    """

    size: int
    version: tuple[int, ...]


def _stored(info: Any) -> Stored:
    size = info.size or 0
    return Stored(size, (size, info.mtime_ns or 0))


def look_up(url: Url) -> Stored | None:
    """Return what is known of the file at an address; None where there is none, or a folder."""
    filesystem, path = locate(url)
    with reading(url):
        info = filesystem.get_file_info(path)
    return _stored(info) if info.is_file else None


def is_folder(url: Url) -> bool:
    """Tell whether something lies below an address."""
    from pyarrow.fs import FileType

    filesystem, path = locate(url)
    with reading(url):
        found: bool = filesystem.get_file_info(path).type == FileType.Directory
    return found


def files_below(url: Url) -> dict[str, Stored]:
    """Return all files below an address, by their names from there on, in order of name."""
    from pyarrow.fs import FileSelector

    filesystem, path = locate(url)
    with reading(url):
        found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    base = path.strip("/")
    below = {info.path.strip("/").removeprefix(base).strip("/"): info for info in found if info.is_file}
    return {name: _stored(below[name]) for name in sorted(below)}


def open_stream(url: Url) -> Any:
    """Open a file to read from its start to its end."""
    filesystem, path = locate(url)
    with reading(url):
        return filesystem.open_input_stream(path, compression=None, buffer_size=BLOCK_BYTES)


def open_anywhere(url: Url) -> Any:
    """Open a file to move about in."""
    filesystem, path = locate(url)
    with reading(url):
        return filesystem.open_input_file(path)


def read_at_most(url: Url, most: int) -> bytes | None:
    """Return what a file holds; None where it holds more than `most` bytes."""
    with reading(url), open_anywhere(url) as file:
        data = bytes(file.read(most + 1))
    return None if len(data) > most else data


def upload(file: str, url: Url) -> None:
    """Copy a file of this machine to an address, where it appears when all of it is there.

    In one call that nothing interrupts: a stream of Arrow's that is thrown away in the middle
    would still complete what it had begun.

    Args:
        file: its path.
        url: where to.
    """
    from pyarrow import fs

    filesystem, path = locate(url)
    with writing(url):
        if isinstance(filesystem, fs.PyFileSystem) and path.rpartition("/")[0]:
            # Stores of objects have no folders; of what lies behind fsspec nobody knows.
            filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        fs.copy_files(
            file,
            path,
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=filesystem,
            chunk_size=BLOCK_BYTES,
        )


def move(source: Url, goal: Url) -> None:
    """Give a file another address in the same storage."""
    filesystem, path = locate(source)
    with writing(goal):
        filesystem.move(path, locate(goal)[1])


def delete(url: Url) -> None:
    """Take a file away; one that is not there is away already."""
    filesystem, path = locate(url)
    with writing(url):
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            return


def delete_below(url: Url) -> None:
    """Take everything below an address away."""
    filesystem, path = locate(url)
    with writing(url):
        try:
            filesystem.delete_dir(path)
        except FileNotFoundError:
            return
