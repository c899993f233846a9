"""List the files below a folder or matching a pattern; hidden files are skipped.

This module knows names and no formats.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from padmask.errors import AccessError, os_error_remedy

_PATTERN = re.compile(r"[*?[]")


def is_pattern(path: str) -> bool:
    """Tell whether a path stands for those that it matches.

    >>> is_pattern("data/*.jsonl"), is_pattern("data/a.jsonl")
    (True, False)
    """
    return _PATTERN.search(path) is not None


def fixed_part(pattern: str) -> str:
    """Return the folder that a pattern begins with.

    >>> fixed_part("data/year=*/*.parquet"), fixed_part("*.jsonl")
    ('data', '')
    """
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")


def files_in(folder: str, gone_through: list[str] | None = None) -> Iterator[str]:
    """Give the files below a folder, links followed, its own first and then those of its folders.

    Args:
        folder: the folder.
        gone_through: takes in the folders, this one among them.

    Raises:
        AccessError: a folder cannot be read, or is there twice.
    """
    walked, waiting = _Walked(), [(folder, _ABOVE)]
    while waiting:
        folder, above = waiting.pop()
        here, entries = walked.entries(folder, above)
        if gone_through is not None:
            gone_through.append(folder)
        yield from (entry.path for entry in entries if not entry.is_dir())
        waiting += ((entry.path, (*above, here)) for entry in reversed(entries) if entry.is_dir())


def expand(folder: str, pattern: Sequence[str]) -> Iterator[str]:
    """Give what below a folder matches a pattern, in parts: files, and folders where it ends at them.

    Raises:
        AccessError: a folder cannot be read, or is there twice.
    """
    walked = _Walked()
    waiting: list[tuple[str, Sequence[str], tuple[_Known, ...]]] = [(folder, pattern, _ABOVE)]
    while waiting:
        folder, asked, above = waiting.pop()
        here, entries = walked.entries(folder, above, asked)
        part, *rest = asked
        anywhere = part == "**"
        if anywhere and rest:
            waiting.append((folder, rest, above))
        for entry in entries:
            matched = anywhere or fnmatchcase(entry.name, part)
            if matched and (rest or anywhere) and entry.is_dir():
                waiting.append((entry.path, asked if anywhere else rest, (*above, here)))
            elif matched and not rest:
                yield entry.path


_Known = tuple[int, int]

_ABOVE: tuple[_Known, ...] = ()


class _Walked:
    """Folders that were gone through, by what the system knows them by."""

    def __init__(self) -> None:
        self._paths: dict[tuple[_Known, tuple[str, ...]], str] = {}

    def entries(
        self, folder: str, above: Sequence[_Known], asked: Sequence[str] = ()
    ) -> tuple[_Known, list[os.DirEntry[str]]]:
        """Return what a folder is, and what lies in it that is not hidden, in order of name.

        Args:
            folder: the folder.
            above: those that it lies in: a link back to one of them holds nothing new.
            asked: what is looked for in it, which may be more than one thing.

        Raises:
            AccessError: it cannot be read, so that what it holds would be missing; or it was gone through
                by another path, so that what it holds would be there twice.
        """
        try:
            known = os.stat(folder or ".")
            here = (known.st_dev, known.st_ino)
            if here in above:
                return here, []
            with os.scandir(folder or ".") as found:
                entries = sorted((e for e in found if e.name[0] not in "._"), key=lambda entry: entry.name)
        except OSError as error:
            raise AccessError(f"Cannot read {folder!r}: {error.strerror}. {os_error_remedy(error)}") from None
        other = self._paths.setdefault((here, tuple(asked)), folder)
        if other != folder:
            raise AccessError(
                f"{other!r} and {folder!r} are one folder, whose rows would be there twice. Take the link "
                "away, or name what you mean."
            )
        return here, entries


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path matches a pattern, both in parts; `**` stands for any number of folders.

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
