"""Find the files of a dataset. The user specifies files, folders, patterns and addresses.

This module reads file names and the manifests that padmask wrote. It does not open data files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from padmask.errors import AccessError, DataError, SpecError, join_few
from padmask.spec.warning_names import Warned
from padmask.storage.array_folder import is_array_folder
from padmask.storage.data_files import DataFiles, choose_data_files
from padmask.storage.foreign_formats import how_to_convert
from padmask.storage.glob import expand, files_in, fixed_part, is_pattern, matches
from padmask.storage.manifest_file import sizes_in
from padmask.storage.names import MANIFEST, REPLACING, UNFINISHED, hive_keys, is_folder_format
from padmask.storage.remote import (
    RemoteFile,
    list_remote,
    missing_message,
    read_at_most,
    refuse_missing_bucket,
    stat_remote,
)
from padmask.storage.system import read_small
from padmask.storage.unlisted import find_unlisted_files
from padmask.storage.urls import Url, checked_path, display_path, is_url, parse_url

# Size limit of the files that describe a saved dataset, in bytes.
MOST_DESCRIPTION = 16 << 20


@dataclass(frozen=True)
class InputFile:
    """A file of a dataset.

    Args:
        path: path or address of the file; `-` is standard input.
        name: path relative to the input folder, or to the part of the pattern before the first wildcard. If
            the path of the input folder ends in `key=value` folders, the name starts with these folders,
            because they contain the values of columns.
        stored: size and version of a remote file; None for a local file, or before padmask requests them.
        unlisted: whether padmask wrote the folder of the file, but the manifest does not list the file.
    """

    path: str
    name: str
    stored: RemoteFile | None = None
    unlisted: bool = False


@dataclass(frozen=True)
class InputFiles:
    """The files found for the inputs of a run.

    Args:
        files: files of the dataset.
        skipped_files: names of files that are not data files. Hidden files (names that start with `.` or
            `_`) are not included.
        unsure: names of files with an ambiguous suffix such as `.json`. These files are not read, because
            there are other data files.
        unlisted: names of data files that are not read because the saved dataset does not list them.
        repeated: names of files that the inputs contain more than once. `files` contains each file once.
        splits: for each folder with a saved `DatasetDict`, the names of the splits.
    """

    files: Sequence[InputFile] = ()
    skipped_files: Sequence[str] = ()
    unsure: Sequence[str] = ()
    unlisted: Sequence[str] = ()
    repeated: Sequence[str] = ()
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[Warned, ...]:
        """Warnings about files that were not read, and about repeated files."""
        unread = {
            "files of unknown formats were not read: {}": self.skipped_files,
            ".json files next to other data files were not read: {}. To read .json files, list them as "
            "inputs": self.unsure,
            "files that the saved dataset does not list were not read: {}": self.unlisted,
        }
        found = [
            Warned("files-not-read", text.format(join_few(names))) for text, names in unread.items() if names
        ]
        if self.repeated:
            text = "files that appear more than once in the inputs were read only once: {}"
            found.append(Warned("repeated-file", text.format(join_few(self.repeated))))
        return tuple(found)


def find_inputs(inputs: Sequence[str]) -> InputFiles:
    """Find the files of the inputs, in the order of the inputs.

    The files of a folder, a pattern or an address are sorted by their relative paths, as text. The order of
    the files is therefore the same for a folder and for a pattern that matches its files.

    Raises:
        AccessError: a folder has no data files, or a pattern has no matches.
        SpecError: standard input is given twice.
    """
    found = [_find_one(checked_path(path)) for path in inputs]
    files = [file for one in found for file in one.files]
    if sum(file.path == "-" for file in files) > 1:
        raise SpecError("Standard input can be read only once. Use - only once.")
    marked = _mark_unlisted(files, [checked_path(path) for path in inputs])
    once, repeated = _without_repeated(marked)
    return InputFiles(
        once,
        [name for one in found for name in one.skipped_files],
        [name for one in found for name in one.unsure],
        [name for one in found for name in one.unlisted],
        repeated,
        {folder: splits for one in found for folder, splits in one.splits.items()},
    )


def _without_repeated(files: Sequence[InputFile]) -> tuple[list[InputFile], list[str]]:
    """Return each file once, and the names of the files that appear more than once.

    A hard link or a symbolic link is a second name of the same file.
    """
    once: dict[Hashable, InputFile] = {}
    repeated: dict[str, None] = {}
    for file in files:
        first = once.setdefault(_identity(file.path), file)
        if first is not file:
            repeated[_second_name(first.path, file.path)] = None
    return list(once.values()), list(repeated)


def _identity(path: str) -> Hashable:
    """Return a key that is the same for all names of a file."""
    if path == "-" or is_url(path):
        return path
    try:
        found = os.stat(path)
    except OSError:
        # A file that does not exist is reported when it is read.
        return os.path.realpath(path)
    # Some network file systems have no reliable inodes, so two files must also have the same size and time.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _second_name(first: str, second: str) -> str:
    """Return the path of a repeated file for messages, with its second path if the two paths differ.

    >>> _second_name("a.jsonl", "./a.jsonl"), _second_name("a.jsonl", "in/b.jsonl")
    ('a.jsonl', 'a.jsonl (also named in/b.jsonl)')
    """
    folders = [os.path.realpath(os.path.dirname(path) or ".") for path in (first, second)]
    if folders[0] == folders[1] and os.path.basename(first) == os.path.basename(second):
        return display_path(first)
    return f"{display_path(first)} (also named {display_path(second)})"


def _mark_unlisted(files: Sequence[InputFile], inputs: Sequence[str]) -> list[InputFile]:
    """Return the files, with `unlisted` set for local files that the manifest in a parent folder omits."""
    local = [path for path in inputs if not is_url(path) and path != "-"]
    folders = [path for path in local if os.path.isdir(path)]
    patterns = [path for path in local if is_pattern(path) and not os.path.lexists(path)]
    folders += [fixed_part(pattern) or "." for pattern in patterns]
    paths = [file.path for file in files if not is_url(file.path) and file.path != "-"]
    unlisted = find_unlisted_files(paths, folders, MANIFEST)
    return [replace(file, unlisted=True) if file.path in unlisted else file for file in files]


def list_inputs(inputs: Sequence[str]) -> Sequence[InputFile]:
    """Return the files that `find_inputs` finds, without warnings about other files."""
    return find_inputs(inputs).files


def _find_one(path: str) -> InputFiles:
    if is_url(path):
        return _find_remote(parse_url(path))
    if path == "-":
        return InputFiles([InputFile(path, "stdin")])
    if is_folder_format(path) and is_array_folder(path):
        path = path.rstrip("/")
    elif os.path.isdir(path):
        return _find_in_folder(path)
    if is_pattern(path) and not os.path.lexists(path):
        return _find_matching(path)
    return InputFiles([InputFile(path, hive_keys(os.path.dirname(path)) + os.path.basename(path))])


def _find_in_folder(folder: str) -> InputFiles:
    """Return the data files and the other files below a folder, without hidden files."""
    paths = {os.path.relpath(path, folder): path for path in _complete_files(folder)}
    chosen = choose_data_files(sorted(paths), partial(_read_below, folder), folder=folder)
    keys = hive_keys(folder)
    files = [InputFile(_checked_file(paths[name]), keys + name) for name in chosen.data]
    others = {name: paths[name] for name in chosen.unknown}
    return _input_files(_checked_files(files, folder, os.listdir(folder), others), chosen, folder)


def _input_files(files: list[InputFile], chosen: DataFiles, folder: str) -> InputFiles:
    """Return the data files of an input, and the names of the files that are not read."""
    splits = {_below(folder, name): found for name, found in chosen.splits.items()}
    return InputFiles(files, chosen.unknown, chosen.unsure, chosen.unlisted, splits=splits)


def _below(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder


def _read_below(folder: str, name: str) -> bytes | None:
    """Return the contents of a file below a folder; None if padmask cannot read it."""
    path = os.path.join(folder, name)
    try:
        return read_small(path, MOST_DESCRIPTION) if os.path.isfile(path) else None
    except OSError:
        return None


def _complete_files(folder: str) -> list[str]:
    """Return the files below a folder. Check that all files in padmask's manifests exist.

    Raises:
        DataError: the folder or a subfolder contains incomplete output, or a manifest is not valid.
        AccessError: a folder cannot be read, or two paths lead to the same folder.
    """
    folders: list[str] = []
    found = list(files_in(folder, folders))
    for visited in folders:
        marks = {name: os.path.join(visited, name) for name in (REPLACING, MANIFEST)}
        present = [name for name, path in marks.items() if os.path.lexists(path)]
        _refuse_partial_output(visited, present)
        listed = sizes_in(marks[MANIFEST]) if MANIFEST in present else {}
        sizes = {name: _size(os.path.join(visited, name)) for name in listed}
        _refuse_incomplete(visited, listed, {name: size for name, size in sizes.items() if size is not None})
    return found


def _size(path: str) -> int | None:
    """Return the size of a file in bytes; None if the file does not exist."""
    return os.stat(path).st_size if os.path.isfile(path) else None


def _checked_file(path: str) -> str:
    """Check that a path is a file, and return the path.

    Raises:
        AccessError: the path is a broken link, or a pipe or a device that could block.
    """
    if not os.path.isfile(path):
        kind = "a pipe or a device" if os.path.exists(path) else "a broken link"
        raise AccessError(f"{path!r} is {kind}, not a file. Remove it, or list the files to read.")
    return path


def _refuse_partial_output(folder: str, names: Iterable[str]) -> None:
    """Raise an error if a run was interrupted while it renamed its output files in the folder."""
    present = set(names)
    if REPLACING in present and MANIFEST not in present:
        raise DataError(
            f"The folder {folder!r} contains incomplete output, because a run was interrupted while it "
            "renamed its files. Run the same command again with --resume."
        )


def _refuse_incomplete(folder: str, listed: Mapping[str, int], sizes: Mapping[str, int]) -> None:
    """Raise an error if files in the manifest of a folder are missing or have a different size."""
    wrong = {
        "Missing files": [name for name in listed if name not in sizes],
        "Files with a different size": [
            name for name in listed if sizes.get(name, listed[name]) != listed[name]
        ],
    }
    for problem, names in wrong.items():
        if names:
            raise DataError(
                f"The folder {folder!r} does not match its {MANIFEST}. {problem}: {join_few(names)}. "
                "Pad the data again, or read the existing files with a "
                "pattern such as 'FOLDER/*'."
            )


def _checked_files(
    files: list[InputFile], folder: str, names: Iterable[str], others: Mapping[str, str] | None = None
) -> list[InputFile]:
    """Return `files` unchanged. Raise an error if a folder has no data files.

    Args:
        files: data files of the folder.
        folder: name of the folder, for messages.
        names: names of all files and subfolders in the folder, including hidden ones.
        others: paths of the files with an unknown format, keyed by name.

    Raises:
        DataError: the folder contains the output of an interrupted run.
        AccessError: there are no data files.
    """
    if not files and any(name.startswith(UNFINISHED) for name in names):
        raise DataError(
            f"The folder {folder!r} contains the output of an interrupted run. Run the same command again "
            "with --resume."
        )
    if not files and others:
        raise AccessError(
            f"The folder {folder!r} has no data files that padmask reads. It contains "
            f"{join_few(list(others))}. {how_to_convert(next(iter(others.values())))}"
        )
    if not files:
        raise AccessError(
            f"The folder {folder!r} has no data files. Data files end in .jsonl (or .jsonl.gz, .jsonl.zst), "
            ".parquet or .arrow, and do not begin with . or _. Check the names of the files."
        )
    return files


def _find_matching(pattern: str) -> InputFiles:
    """Return the local files that match a pattern, and the data files below matching folders."""
    base = fixed_part(pattern)
    keys, start = hive_keys(base), base or "."
    matched = {os.path.relpath(path, start): (path, wanted) for path, wanted in _matches_of(pattern)}
    wanted = [name for name, (_, is_wanted) in matched.items() if is_wanted]
    chosen = choose_data_files(sorted(matched), partial(_read_below, start), wanted, start)
    files = [InputFile(_checked_file(matched[name][0]), keys + name) for name in chosen.data]
    # The user chose the splits with the pattern, so `splits` is empty and no note mentions them.
    return replace(_input_files(_checked_matches(files, pattern), chosen, start), splits={})


def _matches_of(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield each file whose path or folder matches a pattern, with the result of `_is_wanted`."""
    base = fixed_part(pattern)
    parts = [part for part in pattern.removeprefix(base).split("/") if part]
    for path in sorted(expand(base, parts)) if os.path.isdir(base or ".") else ():
        # Both a folder and its files may match. The caller removes duplicates.
        if os.path.isdir(path):
            yield from ((file, False) for file in _complete_files(path))
        else:
            yield path, _is_wanted(path, pattern)


def _is_wanted(path: str, pattern: str) -> bool:
    """Return whether a pattern selects a file as data: the file has no suffix, or the pattern has a suffix.

    >>> [_is_wanted(path, "data/*") for path in ("data/a.jsonl", "data/part-0", "data/README.md")]
    [False, True, False]
    >>> _is_wanted("data/a.txt", "data/*.txt")
    True
    """
    suffix, named = os.path.splitext(path)[1], os.path.splitext(pattern)[1]
    return not suffix or (bool(named) and not is_pattern(named))


def _is_hidden(name: str) -> bool:
    return any(part[0] in "._" for part in name.split("/") if part not in ("", "..", "."))


def _checked_matches(files: list[InputFile], pattern: str) -> list[InputFile]:
    if not files:
        raise AccessError(
            f"No file matches {pattern!r}. Check the pattern. Names that begin with . or _ never match."
        )
    return files


def _find_remote(url: Url) -> InputFiles:
    """Return the files of a remote address, which may be a file, a folder or a pattern."""
    # The name of an existing file may contain wildcards.
    known = None if url.path.endswith("/") or not url.path else stat_remote(url)
    if known is not None:
        folder, _, name = url.path.rpartition("/")
        return InputFiles([InputFile(url.text, hive_keys(folder) + name, known)])
    if is_pattern(url.path):
        return _find_matching_remote(url)
    # All checks use this listing, because each listing needs one request per thousand files.
    files = list_remote(url)
    if not files:
        raise AccessError(missing_message(url))
    shown = [name for name in files if not _is_hidden(name)]
    chosen = choose_data_files(shown, partial(_read_remote, url), folder=str(url))
    found, unlisted = chosen.data, set[str]()
    for folder in sorted({name.rpartition("/")[0] for name in files if name.endswith((MANIFEST, REPLACING))}):
        prefix = f"{folder}/" if folder else ""
        sizes = {name.removeprefix(prefix): files[name].size for name in files if name.startswith(prefix)}
        address = url.child(folder) if folder else url
        _refuse_partial_output(str(address), sizes)
        if MANIFEST in sizes:
            listed = sizes_in(address.child(MANIFEST).text)
            _refuse_incomplete(str(address), listed, sizes)
            unlisted |= _unlisted(found, prefix, listed)
    return _input_files(
        _checked_files(_listed(url, files, found, unlisted), str(url), files), chosen, str(url)
    )


def _read_remote(folder: Url, name: str) -> bytes | None:
    """Return the contents of a file below an address; None if the file is too large."""
    return read_at_most(folder.child(name), MOST_DESCRIPTION)


def _find_matching_remote(pattern: Url) -> InputFiles:
    base, parts = _split(pattern)
    files = list_remote(base)
    if not files:
        refuse_missing_bucket(base)
    matched = [name for name in files if not _is_hidden(name) and matches(name.split("/"), parts)]
    wanted = [name for name in matched if _is_wanted(name, pattern.path)]
    chosen = choose_data_files(matched, partial(_read_remote, base), wanted, str(base))
    listed = _listed(base, files, chosen.data, _unlisted_remote(base, files, chosen.data))
    return replace(_input_files(_checked_matches(listed, str(pattern)), chosen, str(base)), splits={})


def _unlisted_remote(base: Url, names: Iterable[str], matched: Sequence[str]) -> set[str]:
    """Return the remote files that match a pattern but are not in the manifest of a parent folder."""
    unlisted: set[str] = set()
    for manifest in [name for name in names if name.rpartition("/")[2] == MANIFEST]:
        prefix = manifest.removesuffix(MANIFEST)
        # For the files of a pattern, an invalid manifest is ignored.
        if any(name.startswith(prefix) for name in matched):
            with suppress(DataError):
                unlisted |= _unlisted(matched, prefix, sizes_in(base.child(manifest).text))
    return unlisted


def _unlisted(names: Iterable[str], prefix: str, listed: Collection[str]) -> set[str]:
    """Return the names below the folder `prefix` whose relative path is not in `listed`."""
    return {name for name in names if name.startswith(prefix) and name.removeprefix(prefix) not in listed}


def _split(pattern: Url) -> tuple[Url, list[str]]:
    """Split a remote pattern: the folder before the first wildcard, and the parts of the remaining path."""
    base = Url(pattern.scheme, pattern.authority, fixed_part(pattern.path), pattern.query)
    return base, pattern.path.removeprefix(base.path).strip("/").split("/")


def _listed(
    base: Url, files: Mapping[str, RemoteFile], names: Iterable[str], unlisted: Collection[str]
) -> list[InputFile]:
    keys = hive_keys(base.path)
    return [InputFile(base.child(name).text, keys + name, files[name], name in unlisted) for name in names]


def refuse_same_output_names(files: Iterable[InputFile]) -> None:
    """Raise an error if two input files would have the same output file.

    Raises:
        SpecError: two files have the same name in the dataset.
    """
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(file.name, file.path)
        if other != file.path:
            raise SpecError(
                f"{display_path(other)!r} and {display_path(file.path)!r} would both become {file.name!r} in "
                "the output folder. Pad the files separately, or specify the folder that contains both files."
            )
