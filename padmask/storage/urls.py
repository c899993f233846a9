"""Addresses of remote storage: parse them, and show them without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from padmask.errors import SpecError
from padmask.spec.checks import file_path

# The patterns are text: `re` compiles and keeps those that are used, and a path of this machine uses none.
_URL = r"(?s)(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+)://(?P<authority>[^/]*)/*(?P<path>.*)"

# A question mark is a query's only where a name and a value follow: it may be a pattern's too. One of a
# file's own name has this before it, which no command line and no name can hold.
_OWN = "\0"

_QUERY = r"(?<!\0)\?(?=[A-Za-z_][\w.-]*=)"

# Those that Arrow has filesystems of its own for.
NATIVE = ("s3", "gs", "gcs", "abfs", "abfss")

# Those of this machine, by the names that fsspec has for them.
LOCAL_SCHEMES = ("file", "local")

# Others that fsspec or other tools know, as a part of a regular expression.
_OTHERS = "s3[an]|az|adl|wasbs?|oci|oss|hf|https?|ftp|sftp|ssh|smb|hdfs|webhdfs|memory|github|gdrive|dbfs"

_KNOWN = "|".join((*NATIVE, *LOCAL_SCHEMES, _OTHERS))

# What begins like an address and is none. It may hold secrets all the same.
_MISTYPED = rf"""(?xis)
    (?:{_KNOWN}):               # s3:bucket/x, s3:/bucket/x, s3::s3://bucket/x
    | [a-z][a-z0-9+.-]+:/       # other:/bucket/x
    | .*://                     # "s3://bucket/x" with a quote or a space before it, or one address in another
    | (?:{_KNOWN})[^\w/]?/+[^@]*:[^@]*@  # s3//key:secret@bucket/x, s3.//key:secret@bucket/x
    | (?![./])[^?]*\?(?:.*&)?[\w-]*(?:sig|signature|token|credential|key)=  # host/x?X-Amz-Signature=secret
    | [^/.@:][^/@:]*:[^@]*@     # key:secret@bucket/x
    """

# All that stands before the last @, but for the scheme; without an @, a name and a secret.
_SECRETS = rf"(?is)(?P<scheme>(?:(?:{_KNOWN}):+/*|[a-z][a-z0-9+.-]*:+/+)*)(?:.*(?:@|%40)|[^/:]+:[^/]+)"


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
        path = re.sub(_QUERY, f"{_OWN}?", self.path)
        return f"{self.scheme}://{self.authority}/{path}" + (f"?{self.query}" if self.query else "")

    def child(self, name: str) -> Url:
        """Return the address of something below this one."""
        return replace(self, path=f"{self.path.rstrip('/')}/{name}".lstrip("/"))


def is_url(path: str) -> bool:
    """Tell an address in a storage from a path of this machine.

    >>> is_url("s3://bucket/train"), is_url("C://x"), is_url("file:///data"), is_url("-")
    (True, False, True, False)
    """
    return "://" in path and re.match(_URL, path) is not None


def parse_url(text: str) -> Url:
    """Take an address apart.

    >>> name = Url("s3", "bucket", "a?x=1.jsonl")
    >>> parse_url(name.text) == name
    True

    Raises:
        SpecError: it is none, or its credentials end in the middle.
    """
    found = re.match(_URL, text)
    if found is None:
        raise SpecError(f"{text!r} is no address. Write it as s3://bucket/path.")
    scheme, authority = found["scheme"].lower(), found["authority"]
    _, colon, port = authority.partition(":")
    if colon and "@" not in authority and "@" in found["path"] and (scheme in NATIVE or not port.isdigit()):
        # Not shown: half of it is a secret.
        raise SpecError(f"The {scheme}:// address has a / in its credentials: write it there as %2F.")
    if colon and "@" not in authority and not authority.startswith("[") and port and not port.isdigit():
        raise SpecError(
            f"The {scheme}:// address has no @ between the secret and the bucket. Write one "
            "there, or leave key and secret to the environment."
        )
    path, *query = re.split(_QUERY, found["path"], maxsplit=1)
    return Url(scheme, authority, path.replace(_OWN, ""), *query)


def local_path(path: str) -> str:
    """Return the path of this machine that a `file://` or `local://` address stands for; all else as it is.

    >>> local_path("file:///tmp/a%20b.jsonl"), local_path("s3://bucket/a"), local_path("a.jsonl")
    ('/tmp/a b.jsonl', 's3://bucket/a', 'a.jsonl')
    >>> local_path("local:///tmp/a%20b.jsonl")
    '/tmp/a%20b.jsonl'

    Raises:
        SpecError: the address is another machine's.
    """
    scheme, slashes, rest = path.partition("://")
    if not slashes or scheme.lower() not in LOCAL_SCHEMES:
        return path
    if scheme.lower() == "local":
        # fsspec takes the rest as the path, relative ones too.
        return rest or "."
    from urllib.parse import unquote

    url = parse_url(path)
    if url.authority not in ("", "localhost"):
        raise SpecError(f"{str(url)!r} is on another machine. Write file:/// and the path on this one.")
    return "/" + unquote(url.path)


def display_path(path: str) -> str:
    """Return a path as people should see it: an address without its secrets.

    >>> [display_path(path) for path in ("s3://key:secret@bucket/a?region=x", "a.jsonl")]
    ['s3://bucket/a', 'a.jsonl']
    """
    if not is_mistyped(path):
        return str(parse_url(path)) if is_url(path) else path
    return re.sub(_SECRETS, r"\g<scheme>", re.split(_QUERY, path, maxsplit=1)[0])


def is_mistyped(path: str) -> bool:
    """Tell whether a path looks like an address, and cannot be read as one.

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
    """Refuse a path that looks like an address with a mistake: it would be read or made as a local folder.

    Raises:
        SpecError: it does.
    """
    if is_mistyped(path):
        raise SpecError(
            f"{display_path(path)!r} looks like an address with a mistake. Write SCHEME://BUCKET/PATH, as in "
            "s3://bucket/data/. If it is a path of this machine, begin it with ./ or /."
        )


def checked_path(path: str | os.PathLike[str], name: str = "output") -> str:
    """Return a path that somebody gave as `local_path` does.

    Raises:
        SpecError: it is no path, looks like an address with a mistake, or is another machine's.
    """
    text = file_path(name, path)
    refuse_mistyped(text)
    return local_path(text)


def checked_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return one path or several that somebody gave, each as `checked_path` does."""
    several = paths if isinstance(paths, Iterable) and not isinstance(paths, (str, bytes)) else [paths]
    return [checked_path(path, "inputs") for path in several]
