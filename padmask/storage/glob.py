"""List the files that are below a folder or match a pattern, without hidden files.

This module does not handle file formats.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from padmask.errors import AccessError, os_error_remedy

_PATTERN = re.compile(r"[*?[]")


def is_pattern(path: str) -> bool:
    """Return whether a path contains wildcards.

    >>> is_pattern("data/*.jsonl"), is_pattern("data/a.jsonl")
    (True, False)
    """
    return _PATTERN.search(path) is not None


def fixed_part(pattern: str) -> str:
    """Return the leading folders of a pattern that have no wildcards.

    >>> fixed_part("data/year=*/*.parquet"), fixed_part("*.jsonl")
    ('data', '')
    """
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")


def files_in(folder: str, visited: list[str] | None = None) -> Iterator[str]:
    """Yield the paths of the files in a folder, then the paths of the files in its subfolders.

    The function follows links.

    Args:
        folder: path of the folder.
        visited: list to which the function appends the paths of all folders, including `folder`.

    Raises:
        AccessError: a folder cannot be read, or two paths lead to the same folder.
    """
    walk, waiting = _Walk(), [(folder, _NO_PARENTS)]
    while waiting:
        folder, parents = waiting.pop()
        here, entries = walk.entries(folder, parents)
        if visited is not None:
            visited.append(folder)
        yield from (entry.path for entry in entries if not entry.is_dir())
        waiting += ((entry.path, (*parents, here)) for entry in reversed(entries) if entry.is_dir())


def expand(folder: str, pattern: Sequence[str]) -> Iterator[str]:
    """Yield the files and folders below a folder that match a pattern.

    Args:
        folder: path of the folder.
        pattern: parts of the pattern, split at slashes.

    Raises:
        AccessError: a folder cannot be read, or two paths lead to the same folder.
    """
    walk = _Walk()
    waiting: list[tuple[str, Sequence[str], tuple[_Inode, ...]]] = [(folder, pattern, _NO_PARENTS)]
    while waiting:
        folder, wanted, parents = waiting.pop()
        here, entries = walk.entries(folder, parents, wanted)
        part, *rest = wanted
        any_depth = part == "**"
        if any_depth and rest:
            waiting.append((folder, rest, parents))
        for entry in entries:
            matched = any_depth or fnmatchcase(entry.name, part)
            if matched and (rest or any_depth) and entry.is_dir():
                waiting.append((entry.path, wanted if any_depth else rest, (*parents, here)))
            elif matched and not rest:
                yield entry.path


# Device and inode of a folder.
_Inode = tuple[int, int]

_NO_PARENTS: tuple[_Inode, ...] = ()


class _Walk:
    """A walk over folders that detects two paths to the same folder."""

    def __init__(self) -> None:
        self._paths: dict[tuple[_Inode, tuple[str, ...]], str] = {}

    def entries(
        self, folder: str, parents: Sequence[_Inode], wanted: Sequence[str] = ()
    ) -> tuple[_Inode, list[os.DirEntry[str]]]:
        """Return the inode of a folder, and its entries sorted by name, without hidden entries.

        Args:
            folder: path of the folder.
            parents: inodes of the parent folders of `folder`. If `folder` is a link to one of them, the list
                of entries is empty.
            wanted: remaining parts of the pattern. A walk may visit a folder once for each value of `wanted`.

        Raises:
            AccessError: the folder cannot be read, or the walk has already visited the folder by another
                path.
        """
        try:
            status = os.stat(folder or ".")
            here = (status.st_dev, status.st_ino)
            if here in parents:
                return here, []
            with os.scandir(folder or ".") as found:
                entries = sorted((e for e in found if e.name[0] not in "._"), key=lambda entry: entry.name)
        except OSError as error:
            raise AccessError(f"Cannot read {folder!r}: {error.strerror}. {os_error_remedy(error)}") from None
        other = self._paths.setdefault((here, tuple(wanted)), folder)
        if other != folder:
            raise AccessError(
                f"{other!r} and {folder!r} lead to the same folder through a link, so its rows would be read "
                "twice. Remove the link, or list the folders to read."
            )
        return here, entries


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a pattern. Both are split at slashes. `**` matches any number of folders.

    >>> matches(["a", "b", "c.jsonl"], ["**", "*.jsonl"]), matches(["a", "c.jsonl"], ["*.jsonl"])
    (True, False)
    """
    if not pattern:
        return not parts
    if list(pattern) == ["**"]:
        return bool(parts)
    if pattern[0] == "**":
        return any(matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])
