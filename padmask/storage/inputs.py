"""Turn inputs (files, folders, patterns, addresses) into a list of files with names in the dataset.

This module reads names, and the manifests that padmask wrote; it opens no data.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from padmask.errors import AccessError, DataError, SpecError, join_few
from padmask.storage.glob import expand, files_in, fixed_part, is_pattern, matches
from padmask.storage.manifest_file import sizes_in
from padmask.storage.names import MANIFEST, REPLACING, UNFINISHED, hive_keys, is_data
from padmask.storage.remote import RemoteFile, list_remote, stat_remote
from padmask.storage.unlisted import find_unlisted_files
from padmask.storage.urls import Url, checked_path, display_path, is_url, parse_url


@dataclass(frozen=True)
class InputFile:
    """A file of a dataset.

    Args:
        path: to open it by; `-` is standard input.
        name: in the dataset: what follows the folder that was named, or the fixed part of a pattern; and
            before it the folders named as `key=value` in which that lies, for those are data too.
        stored: what its storage knows of it; None on this machine, and where nobody has asked.
        stranger: whether it is in a folder that padmask wrote, whose manifest does not list it.
    """

    path: str
    name: str
    stored: RemoteFile | None = None
    stranger: bool = False


@dataclass(frozen=True)
class InputFiles:
    """What inputs stand for.

    Args:
        files: those of the dataset.
        passed_over: files of folders and patterns that are left, for their names are not those of data. Names
            that begin with `.` or `_` are not among them: they are hidden on purpose.
    """

    files: Sequence[InputFile] = ()
    passed_over: Sequence[str] = ()


def find_inputs(inputs: Sequence[str]) -> InputFiles:
    """Return what inputs stand for, in the order given, of folders and patterns in that of names.

    Raises:
        AccessError: a folder without data files, a pattern that nothing matches.
        SpecError: standard input named twice.
    """
    found = [_found_at(checked_path(path)) for path in inputs]
    files = [file for one in found for file in one.files]
    if sum(file.path == "-" for file in files) > 1:
        raise SpecError("Standard input can be read once only: give - one time.")
    marked = _with_strangers(files, [checked_path(path) for path in inputs])
    return InputFiles(marked, [name for one in found for name in one.passed_over])


def _with_strangers(files: Sequence[InputFile], inputs: Sequence[str]) -> list[InputFile]:
    """Mark the files of this machine that the manifest of a folder they are in does not list."""
    here = [path for path in inputs if not is_url(path) and path != "-"]
    folders = [path for path in here if os.path.isdir(path)]
    patterns = [path for path in here if is_pattern(path) and not os.path.lexists(path)]
    whole = [*folders, *(fixed_part(pattern) or "." for pattern in patterns)]
    paths = [file.path for file in files if not is_url(file.path) and file.path != "-"]
    strangers = find_unlisted_files(paths, whole, MANIFEST)
    return [replace(file, stranger=True) if file.path in strangers else file for file in files]


def list_inputs(inputs: Sequence[str]) -> Sequence[InputFile]:
    """Return the files that inputs stand for, as `find_inputs`."""
    return find_inputs(inputs).files


def _found_at(path: str) -> InputFiles:
    if is_url(path):
        return _addressed(parse_url(path))
    if path == "-":
        return InputFiles([InputFile(path, "stdin")])
    if os.path.isdir(path):
        return _in_folder(path)
    if is_pattern(path) and not os.path.lexists(path):
        return _matching(path)
    return InputFiles([InputFile(path, hive_keys(os.path.dirname(path)) + os.path.basename(path))])


def _in_folder(folder: str) -> InputFiles:
    """Return the data files below a folder, and the others; names that start with `.` or `_` are neither."""
    found = {path: is_data(os.path.basename(path)) for path in _whole_files(folder)}
    names = {path: os.path.relpath(path, folder) for path in found}
    keys = hive_keys(folder)
    files = [InputFile(_refused_if_none(path), keys + names[path]) for path in found if found[path]]
    left = [names[path] for path in found if not found[path]]
    return InputFiles(_or_none(files, folder, os.listdir(folder)), left)


def _whole_files(folder: str) -> list[str]:
    """Return the files below a folder, once it is sure that none is missing that padmask put there.

    Raises:
        DataError: a run of padmask's wrote into it, or a folder in it, and it is not whole, or its manifest
            cannot be believed.
        AccessError: a folder cannot be read, or is there twice.
    """
    gone_through: list[str] = []
    found = list(files_in(folder, gone_through))
    for one in gone_through:
        marks = {name: os.path.join(one, name) for name in (REPLACING, MANIFEST)}
        there = [name for name, path in marks.items() if os.path.lexists(path)]
        _refuse_half_named(one, there)
        written = sizes_in(marks[MANIFEST]) if MANIFEST in there else {}
        sizes = {name: _size(os.path.join(one, name)) for name in written}
        _refuse_incomplete(one, written, {name: size for name, size in sizes.items() if size is not None})
    return found


def _size(path: str) -> int | None:
    """Return the size of a file; None where there is none."""
    return os.stat(path).st_size if os.path.isfile(path) else None


def _refused_if_none(path: str) -> str:
    """Return a path that was found, once it is sure that it is that of a file.

    Raises:
        AccessError: it is a pipe or a device, which would be waited for, or a link to nothing.
    """
    if not os.path.isfile(path):
        what = "a pipe or a device" if os.path.exists(path) else "a link to nothing"
        raise AccessError(f"{path!r} is {what}, and no file. Take it away, or name the others.")
    return path


def _refuse_half_named(folder: str, there: Iterable[str]) -> None:
    """Refuse a folder that a run was writing when it was killed while its shards got their names."""
    names = set(there)
    if REPLACING in names and MANIFEST not in names:
        raise DataError(
            f"The folder {folder!r} holds a part of a run's output only: the run ended while it named its "
            "files. Run that again with --resume."
        )


def _refuse_incomplete(folder: str, written: Mapping[str, int], sizes: Mapping[str, int]) -> None:
    """Refuse a folder that is not whole any more, whose rows would be missing in silence."""
    wrong = {
        "lacks": [name for name in written if name not in sizes],
        "has with another size": [
            name for name in written if sizes.get(name, written[name]) != written[name]
        ],
    }
    for what, names in wrong.items():
        if names:
            raise DataError(
                f"The folder {folder!r} {what} what its {MANIFEST} tells of: {join_few(names)}. Make "
                "it anew, "
                "or name its files with a pattern, such as '*', to take what is there."
            )


def _or_none(files: list[InputFile], folder: str, there: Iterable[str]) -> list[InputFile]:
    if not files and any(name.startswith(UNFINISHED) for name in there):
        raise DataError(
            f"The folder {folder!r} holds the beginning of a run that did not come to its end. Run that "
            "again with --resume."
        )
    if not files:
        raise AccessError(
            f"The folder {folder!r} holds no data files: check that they end in .jsonl (or .jsonl.gz, "
            ".jsonl.zst), .parquet or .arrow and begin with neither . nor _."
        )
    return files


def _matching(pattern: str) -> InputFiles:
    """Return the files, and the data files below the folders, that a pattern of this machine matches."""
    base = fixed_part(pattern)
    matched = list(_matches_of(pattern))
    found = dict.fromkeys(_refused_if_none(path) for path, meant in matched if meant)
    keys, start = hive_keys(base), base or "."
    files = [InputFile(path, keys + os.path.relpath(path, start)) for path in found]
    left = [os.path.relpath(path, start) for path, meant in matched if not meant]
    return InputFiles(_matched(files, pattern), left)


def _matches_of(pattern: str) -> Iterator[tuple[str, bool]]:
    """Give the files that a pattern matches, or whose folder it does, and whether they are meant as data."""
    base = fixed_part(pattern)
    parts = [part for part in pattern.removeprefix(base).split("/") if part]
    for path in sorted(expand(base, parts)) if os.path.isdir(base or ".") else ():
        # A folder is there already by its files, where the pattern matches them too.
        if os.path.isdir(path):
            yield from ((file, is_data(os.path.basename(file))) for file in _whole_files(path))
        else:
            yield path, _is_meant(path, pattern)


def _is_meant(path: str, pattern: str) -> bool:
    """Tell whether who wrote a pattern wants a file that it matches: by its suffix, if not by the pattern's.

    >>> [_is_meant(path, "data/*") for path in ("data/a.jsonl", "data/part-0", "data/README.md")]
    [True, True, False]
    >>> _is_meant("data/a.txt", "data/*.txt")
    True
    """
    suffix, named = os.path.splitext(path)[1], os.path.splitext(pattern)[1]
    return is_data(os.path.basename(path)) or not suffix or (bool(named) and not is_pattern(named))


def _is_hidden(name: str) -> bool:
    return any(part[0] in "._" for part in name.split("/") if part not in ("", "..", "."))


def _matched(files: list[InputFile], pattern: str) -> list[InputFile]:
    if not files:
        raise AccessError(
            f"No file matches {pattern!r}. Check the pattern; names that start with . or _ are left."
        )
    return files


def _addressed(url: Url) -> InputFiles:
    """Return the files that an address in a storage stands for."""
    # A name may hold what would be a pattern.
    known = None if url.path.endswith("/") or not url.path else stat_remote(url)
    if known is not None:
        folder, _, name = url.path.rpartition("/")
        return InputFiles([InputFile(url.text, hive_keys(folder) + name, known)])
    if is_pattern(url.path):
        return _matching_address(url)
    # One request for a thousand names: whatever is asked of the folder is asked of these.
    there = list_remote(url)
    if not there:
        raise AccessError(f"There is no file {str(url)!r}. Check the address.")
    found, strangers = [name for name in there if is_data(name)], set[str]()
    for folder in sorted({name.rpartition("/")[0] for name in there if name.endswith((MANIFEST, REPLACING))}):
        inside = f"{folder}/" if folder else ""
        sizes = {name.removeprefix(inside): there[name].size for name in there if name.startswith(inside)}
        one = url.child(folder) if folder else url
        _refuse_half_named(str(one), sizes)
        if MANIFEST in sizes:
            written = sizes_in(one.child(MANIFEST).text)
            _refuse_incomplete(str(one), written, sizes)
            strangers |= _unlisted(found, inside, written)
    left = [name for name in there if not _is_hidden(name) and not is_data(name)]
    return InputFiles(_or_none(_listed(url, there, found, strangers), str(url), there), left)


def _matching_address(pattern: Url) -> InputFiles:
    base, wanted = _split(pattern)
    there = list_remote(base)
    matched = [name for name in there if not _is_hidden(name) and matches(name.split("/"), wanted)]
    found = [name for name in matched if _is_meant(name, pattern.path)]
    left = [name for name in matched if not _is_meant(name, pattern.path)]
    listed = _listed(base, there, found, _stored_strangers(base, there, found))
    return InputFiles(_matched(listed, str(pattern)), left)


def _stored_strangers(base: Url, there: Iterable[str], matched: Sequence[str]) -> set[str]:
    """Return the files of a storage that a pattern matches and the manifest above them does not list."""
    strangers: set[str] = set()
    for manifest in [name for name in there if name.rpartition("/")[2] == MANIFEST]:
        inside = manifest.removesuffix(MANIFEST)
        # A pattern takes what is there, whatever a manifest says that cannot be believed.
        if any(name.startswith(inside) for name in matched):
            with suppress(DataError):
                strangers |= _unlisted(matched, inside, sizes_in(base.child(manifest).text))
    return strangers


def _unlisted(names: Iterable[str], inside: str, listed: Collection[str]) -> set[str]:
    """Return the names that begin with a folder, and of which the rest is not listed."""
    return {name for name in names if name.startswith(inside) and name.removeprefix(inside) not in listed}


def _split(pattern: Url) -> tuple[Url, list[str]]:
    """Return the folder that a pattern of a storage begins with, and the parts of the rest."""
    base = Url(pattern.scheme, pattern.authority, fixed_part(pattern.path), pattern.query)
    return base, pattern.path.removeprefix(base.path).strip("/").split("/")


def _listed(
    base: Url, there: Mapping[str, RemoteFile], names: Iterable[str], strangers: Collection[str]
) -> list[InputFile]:
    keys = hive_keys(base.path)
    return [InputFile(base.child(name).text, keys + name, there[name], name in strangers) for name in names]


def refuse_same_output_names(files: Iterable[InputFile]) -> None:
    """Refuse two files of one name in the dataset: where each gets an output, one would be lost.

    Raises:
        SpecError: there are two.
    """
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(file.name, file.path)
        if other != file.path:
            raise SpecError(
                f"{display_path(other)!r} and {display_path(file.path)!r} would both become "
                f"{file.name!r} in the output "
                "folder. Pad them apart, or name the folder that holds both."
            )
