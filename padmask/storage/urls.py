"""Parse addresses of remote storage, and display them without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from padmask.errors import SpecError
from padmask.spec.checks import file_path

# The patterns are strings. `re` compiles a pattern at its first use, and local paths use none.
_URL = r"(?s)(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+)://(?P<authority>[^/]*)/*(?P<path>.*)"

# A question mark starts a query only before a name and a value, because it may also be part of a pattern.
# Url.text puts a NUL before a question mark in a file name, because no path can contain a NUL.
_ESCAPE = "\0"

_QUERY = r"(?<!\0)\?(?=[A-Za-z_][\w.-]*=)"

# Schemes that Arrow implements.
NATIVE = ("s3", "gs", "gcs", "abfs", "abfss")

# Schemes of local files, as in fsspec.
LOCAL_SCHEMES = ("file", "local")

# Schemes of fsspec and other tools, as part of a regular expression.
_OTHERS = "s3[an]|az|adl|wasbs?|oci|oss|hf|https?|ftp|sftp|ssh|smb|hdfs|webhdfs|memory|github|gdrive|dbfs"

_KNOWN = "|".join((*NATIVE, *LOCAL_SCHEMES, _OTHERS))

# A path that looks like an address but is not valid. It may contain secrets.
_MISTYPED = rf"""(?xis)
    (?:{_KNOWN}):               # s3:bucket/x, s3:/bucket/x, s3::s3://bucket/x
    | [a-z][a-z0-9+.-]+:/       # other:/bucket/x
    | .*://                     # "s3://bucket/x" after a quote or a space, or an address in an address
    | (?:{_KNOWN})[^\w/]?/+[^@]*:[^@]*@  # s3//key:secret@bucket/x, s3.//key:secret@bucket/x
    | (?![./])[^?]*\?(?:.*&)?[\w-]*(?:sig|signature|token|credential|key)=  # host/x?X-Amz-Signature=secret
    | [^/.@:][^/@:]*:[^@]*@     # key:secret@bucket/x
    """

# The part of an address that may contain secrets: all text between the scheme and the last @. If the address
# has no @, the part is a name and a secret with a colon between them.
_SECRETS = rf"(?is)(?P<scheme>(?:(?:{_KNOWN}):+/*|[a-z][a-z0-9+.-]*:+/+)*)(?:.*(?:@|%40)|[^/:]+:[^/]+)"


@dataclass(frozen=True)
class Url:
    """An address in remote storage.

    >>> url = parse_url("s3://key:secret@bucket/a/b.jsonl?region=eu-west-1")
    >>> str(url), url.child("c d.jsonl").path
    ('s3://bucket/a/b.jsonl', 'a/b.jsonl/c d.jsonl')

    Args:
        scheme: lowercase scheme, such as `s3`.
        authority: bucket or host, with credentials if present.
        path: path in the bucket or host, without percent-encoding.
        query: options of the filesystem.
    """

    scheme: str
    authority: str
    path: str
    query: str = ""

    def __str__(self) -> str:
        """Return the address without secrets, for messages and reports."""
        return f"{self.scheme}://{self.authority.rpartition('@')[2]}/{self.path}"

    @property
    def text(self) -> str:
        """The complete address with secrets, as input for `parse_url`."""
        path = re.sub(_QUERY, f"{_ESCAPE}?", self.path)
        return f"{self.scheme}://{self.authority}/{path}" + (f"?{self.query}" if self.query else "")

    def child(self, name: str) -> Url:
        """Return the address of a file below this address. `name` is the relative path of the file."""
        return replace(self, path=f"{self.path.rstrip('/')}/{name}".lstrip("/"))


def is_url(path: str) -> bool:
    """Return whether a path is an address and not a local path.

    >>> is_url("s3://bucket/train"), is_url("C://x"), is_url("file:///data"), is_url("-")
    (True, False, True, False)
    """
    return "://" in path and re.match(_URL, path) is not None


def parse_url(text: str) -> Url:
    """Parse an address.

    >>> name = Url("s3", "bucket", "a?x=1.jsonl")
    >>> parse_url(name.text) == name
    True

    Raises:
        SpecError: the text is not an address, or its credentials are malformed.
    """
    found = re.match(_URL, text)
    if found is None:
        raise SpecError(f"{text!r} is not an address. Write an address as s3://bucket/path.")
    scheme, authority = found["scheme"].lower(), found["authority"]
    _, colon, port = authority.partition(":")
    if colon and "@" not in authority and "@" in found["path"] and (scheme in NATIVE or not port.isdigit()):
        # The message omits the address, because part of it is a secret.
        raise SpecError(f"The {scheme}:// address has a / in its credentials. Write %2F instead.")
    if colon and "@" not in authority and not authority.startswith("[") and port and not port.isdigit():
        raise SpecError(
            f"The {scheme}:// address has no @ between the secret and the bucket. Add the @, or set the key "
            "and the secret in the environment."
        )
    path, *query = re.split(_QUERY, found["path"], maxsplit=1)
    return Url(scheme, authority, path.replace(_ESCAPE, ""), *query)


def local_path(path: str) -> str:
    """Return the local path of a `file://` or `local://` address. Return any other path unchanged.

    >>> local_path("file:///tmp/a%20b.jsonl"), local_path("s3://bucket/a"), local_path("a.jsonl")
    ('/tmp/a b.jsonl', 's3://bucket/a', 'a.jsonl')
    >>> local_path("local:///tmp/a%20b.jsonl")
    '/tmp/a%20b.jsonl'

    Raises:
        SpecError: a `file://` address has the host of another machine.
    """
    scheme, slashes, rest = path.partition("://")
    if not slashes or scheme.lower() not in LOCAL_SCHEMES:
        return path
    if scheme.lower() == "local":
        # As in fsspec, the rest is the path, which may be relative.
        return rest or "."
    from urllib.parse import unquote

    url = parse_url(path)
    if url.authority not in ("", "localhost"):
        raise SpecError(f"{str(url)!r} names another machine. Write file:/// and a path on this machine.")
    return "/" + unquote(url.path)


def display_path(path: str) -> str:
    """Return the text of a path for messages. An address is shown without secrets.

    >>> [display_path(path) for path in ("s3://key:secret@bucket/a?region=x", "a.jsonl")]
    ['s3://bucket/a', 'a.jsonl']
    """
    if not is_mistyped(path):
        return str(parse_url(path)) if is_url(path) else path
    return re.sub(_SECRETS, r"\g<scheme>", re.split(_QUERY, path, maxsplit=1)[0])


def is_mistyped(path: str) -> bool:
    """Return whether a path looks like an address but is not a valid address.

    >>> [is_mistyped(path) for path in ("s3:/k:s@b/x", "s3::s3://b/x", "s3:b", "k:s@b/x", "s3:///k:s@b/x")]
    [True, True, True, True, True]
    >>> [is_mistyped(path) for path in ("s3://b/x", "a.jsonl", "./s3:b", "C:/x", "12:30.jsonl", "-")]
    [False, False, False, False, False, False]
    """
    if not is_url(path):
        return (":" in path or "?" in path) and re.match(_MISTYPED, path) is not None
    url = re.match(_URL, path)
    # Without a bucket, credentials would be the first part of the path.
    return url is not None and not url["authority"] and re.match("[^/]*:[^@]*@", url["path"]) is not None


def refuse_mistyped(path: str) -> None:
    """Raise an error for a local path that looks like a mistyped address.

    Raises:
        SpecError: the path looks like a mistyped address.
    """
    if is_mistyped(path):
        raise SpecError(
            f"{display_path(path)!r} looks like a mistyped address. Write an address as "
            "SCHEME://BUCKET/PATH, for example s3://bucket/data/. Start a local path with ./ or /."
        )


def checked_path(path: str | os.PathLike[str], name: str = "output") -> str:
    """Check a path from the user. Return a local path, or an address of remote storage.

    Raises:
        SpecError: the value is not a path, looks like a mistyped address, or is a `file://` address with
            another host.
    """
    text = file_path(name, path)
    refuse_mistyped(text)
    return local_path(text)


def checked_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Check one or more paths from the user with `checked_path`, and return them as a list."""
    several = paths if isinstance(paths, Iterable) and not isinstance(paths, (str, bytes)) else [paths]
    return [checked_path(path, "inputs") for path in several]
