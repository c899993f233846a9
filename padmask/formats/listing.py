"""Which files inputs stand for: folders, patterns and addresses, and each file's name in the dataset.

Knows names only; opens nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from padmask.errors import DataError, SpecError, UnreadableError, what_to_do
from padmask.formats.storage import (
    Stored,
    Url,
    files_below,
    is_folder,
    is_url,
    look_up,
    parse_url,
    plain_path,
    shown,
)

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".npz": "npz",
}
# What begins so in an output folder waits for the end of the run.
UNFINISHED = "_padmask-"
# Where the first of these stands without the second, some of the shards have their names and some have not.
REPLACING, MANIFEST = "_padmask.replacing", "_padmask.json"
_PATTERN = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Listed:
    """A file of a dataset.

    Args:
        path: to open it by; `-` is standard input.
        name: in the dataset: what follows the folder that was named, or the fixed part of a pattern.
        stored: what its storage knows of it; None on this machine, and where nobody has asked.
    """

    path: str
    name: str
    stored: Stored | None = None


def format_of(path: str) -> str | None:
    """Return the format that a path's suffix names, looking through `.gz` and `.zst`.

    >>> format_of("a/b.jsonl.gz"), format_of("c.parquet"), format_of("d")
    ('jsonl', 'parquet', None)
    """
    stem, suffix = os.path.splitext(_without_query(path))
    if suffix.lower() in COMPRESSIONS:
        found = SUFFIXES.get(os.path.splitext(stem)[1].lower(), "jsonl")
        return found if found == "jsonl" else None
    return SUFFIXES.get(suffix.lower())


def compression_of(path: str) -> str | None:
    """Return what a path's suffix says the bytes are compressed with.

    >>> compression_of("a.jsonl.GZ"), compression_of("s3://b/a.zst?region=x"), compression_of("a.jsonl")
    ('gzip', 'zstd', None)
    """
    return COMPRESSIONS.get(os.path.splitext(_without_query(path))[1].lower())


def _without_query(path: str) -> str:
    return parse_url(path).path if is_url(path) else path


def list_inputs(inputs: Sequence[str]) -> list[Listed]:
    """Return the files that inputs stand for, in the order given, of folders and patterns in that of names.

    Raises:
        DataError: a folder without data files, a pattern that nothing matches.
        SpecError: standard input named twice.
    """
    found = [file for path in inputs for file in _files_of(plain_path(path))]
    if sum(file.path == "-" for file in found) > 1:
        raise SpecError("Standard input can be read once only: give - one time.")
    return found


def passed_over(inputs: Sequence[str]) -> list[str]:
    """Return the files in the folders among inputs that are left, for their names are not those of data.

    Those that begin with `.` or `_` are not among them: whoever names them so wants them left.
    """
    left: list[str] = []
    for path in map(plain_path, inputs):
        if is_url(path):
            url = parse_url(path)
            left += (name for name in files_below(url) if not _is_hidden(name)) if is_folder(url) else ()
        elif os.path.isdir(path):
            left += (os.path.relpath(file, path) for file in _below(path))
    return [name for name in left if not is_data(name)]


def _files_of(path: str) -> list[Listed]:
    if is_url(path):
        return _addressed(parse_url(path))
    if path == "-":
        return [Listed(path, "stdin")]
    if os.path.isdir(path):
        files, there = _data_files(path), os.listdir(path)
        _refuse_half_named(path, there)
        _or_none(files, path, there)
        return [Listed(file, os.path.relpath(file, path)) for file in files]
    if _PATTERN.search(path) and not os.path.lexists(path):
        return _matching(path)
    return [Listed(path, os.path.basename(path))]


def _data_files(folder: str) -> list[str]:
    """Return the data files below a folder; names that start with `.` or `_` are no data."""
    return [path for path in _below(folder) if is_data(os.path.basename(path))]


def _below(folder: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Give the files below a folder, links followed, its own first and then those of its folders.

    Args:
        folder: the folder.
        above: the folders that it lies in: a link back to one of them holds nothing new.
    """
    here, entries = _entries(folder)
    if here in above:
        return
    for entry in entries:
        if not entry.is_dir():
            yield entry.path
    for entry in entries:
        if entry.is_dir():
            yield from _below(entry.path, above | {here})


def _entries(folder: str) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """Return what a folder is, and what lies in it that is not hidden, in order of name.

    Raises:
        UnreadableError: it cannot be read: whatever it holds would be missing.
    """
    try:
        known = os.stat(folder or ".")
        with os.scandir(folder or ".") as found:
            entries = sorted((e for e in found if e.name[0] not in "._"), key=lambda entry: entry.name)
    except OSError as error:
        raise UnreadableError(f"Cannot read {folder!r}: {error.strerror}. {what_to_do(error)}") from None
    return (known.st_dev, known.st_ino), entries


def _expand(
    folder: str, pattern: Sequence[str], above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[str]:
    """Give what below a folder matches a pattern, in parts; links are followed as in `_below`."""
    here, entries = _entries(folder)
    if here in above:
        return
    part, *rest = pattern
    anywhere = part == "**"
    if anywhere and rest:
        yield from _expand(folder, rest, above)
    for entry in entries:
        path = os.path.join(folder, entry.name)
        matched = anywhere or fnmatchcase(entry.name, part)
        if matched and (rest or anywhere) and entry.is_dir():
            yield from _expand(path, pattern if anywhere else rest, above | {here})
        elif matched and not rest:
            yield path


def is_data(name: str) -> bool:
    """Tell whether a file found in a folder holds data, by its name from there on.

    >>> is_data("year=2024/a.parquet"), is_data("_padmask/a.parquet"), is_data("README.md")
    (True, False, False)
    """
    hidden = any(part[0] in "._" for part in name.split("/") if part)
    return not hidden and format_of(name) not in (None, "npz")


def _refuse_half_named(folder: str, there: Iterable[str]) -> None:
    """Refuse a folder that a run was writing when it was killed while its shards got their names."""
    names = set(there)
    if REPLACING in names and MANIFEST not in names:
        raise DataError(
            f"The folder {folder!r} holds a part of a run's output only: the run ended while it named its "
            "files. Run that again with --resume."
        )


def _or_none(files: list[str], folder: str, there: Iterable[str]) -> list[str]:
    if not files and any(name.startswith(UNFINISHED) for name in there):
        raise DataError(
            f"The folder {folder!r} holds the beginning of a run that did not come to its end. Run that "
            "again with --resume."
        )
    if not files:
        raise DataError(
            f"The folder {folder!r} holds no data files: check that they end in .jsonl (or .jsonl.gz, "
            ".jsonl.zst), .parquet or .arrow and begin with neither . nor _."
        )
    return files


def fixed_part(pattern: str) -> str:
    """Return the folder that a pattern begins with.

    >>> fixed_part("data/year=*/*.parquet"), fixed_part("*.jsonl")
    ('data', '')
    """
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if _PATTERN.search(part))
    return "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")


def _matching(pattern: str) -> list[Listed]:
    """Return the files, and the data files below the folders, that a pattern of this machine matches."""
    base = fixed_part(pattern)
    found: dict[str, None] = {}
    parts = [part for part in pattern.removeprefix(base).split("/") if part]
    for path in sorted(_expand(base, parts)) if os.path.isdir(base or ".") else ():
        # A folder is there already by its files, where the pattern matches them too.
        found |= dict.fromkeys(_data_files(path) if os.path.isdir(path) else [path])
    return _matched([Listed(path, os.path.relpath(path, base or ".")) for path in found], pattern)


def _is_hidden(name: str) -> bool:
    return any(part[0] in "._" for part in name.split("/") if part not in ("", "..", "."))


def _matched(files: list[Listed], pattern: str) -> list[Listed]:
    if not files:
        raise DataError(
            f"No file matches {pattern!r}. Check the pattern; names that start with . or _ are left."
        )
    return files


def _addressed(url: Url) -> list[Listed]:
    """Return the files that an address in a storage stands for."""
    # A name may hold what would be a pattern.
    known = None if url.path.endswith("/") or not url.path else look_up(url)
    if known is not None:
        return [Listed(url.text, url.path.rpartition("/")[2], known)]
    if _PATTERN.search(url.path):
        base = Url(url.scheme, url.authority, fixed_part(url.path), url.query)
        wanted = url.path.removeprefix(base.path).strip("/").split("/")
        return _matched(
            _listed(base, lambda name: not _is_hidden(name) and matches(name.split("/"), wanted)), str(url)
        )
    found = _listed(url, is_data)
    _refuse_half_named(str(url), [name for name in (REPLACING, MANIFEST) if look_up(url.child(name))])
    there = {} if found else files_below(url)
    if not found and not there:
        raise DataError(f"There is no file {str(url)!r}. Check the address.")
    _or_none([file.path for file in found], str(url), there)
    return found


def _listed(base: Url, wanted: Callable[[str], bool]) -> list[Listed]:
    return [
        Listed(base.child(name).text, name, stored)
        for name, stored in files_below(base).items()
        if wanted(name)
    ]


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path matches a pattern, both in parts; `**` stands for any number of folders.

    >>> matches(["a", "b", "c.jsonl"], ["**", "*.jsonl"]), matches(["a", "c.jsonl"], ["*.jsonl"])
    (True, False)
    """
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])


def refuse_same_names(files: Iterable[Listed]) -> None:
    """Refuse two files of one name in the dataset: where each gets an output, one would be lost.

    Raises:
        SpecError: there are two.
    """
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(file.name, file.path)
        if other != file.path:
            raise SpecError(
                f"{shown(other)!r} and {shown(file.path)!r} would both become {file.name!r} in the output "
                "folder. Pad them apart, or name the folder that holds both."
            )
