"""Choose the data files of a folder, for example a folder that Hugging Face `datasets` saved.

The choice depends on the file names. The module reads only `state.json` and `dataset_dict.json`, which list
the files and the splits of a saved dataset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from padmask.errors import DataError, UnsupportedError, join_few
from padmask.storage.names import is_data, is_surely_data

# Reads a small file, given its path relative to the folder. Returns None if the file cannot be read.
ReadSmall = Callable[[str], bytes | None]

# `Dataset.save_to_disk` writes these two files to the folder of the data.
_STATE, _INFO = "state.json", "dataset_info.json"

# `DatasetDict.save_to_disk` writes this file to the parent folder of the splits.
_SPLITS = "dataset_dict.json"

# Files that describe a dataset. Users do not expect padmask to read them, so no note lists them.
_DESCRIBES = re.compile(
    r"(dataset_infos?|dataset_dict|croissant|data_args)\.json|readme(\.\w+)?|licen[cs]e(\.\w+)?",
    re.IGNORECASE,
)

# Names of the splits of a dataset, as the Hub recognizes them in the names of files and folders.
_SPLIT_NAMES = {
    name: split
    for split, names in (
        ("train", ("train", "training")),
        ("validation", ("validation", "valid", "val", "dev")),
        ("test", ("test", "testing", "eval", "evaluation")),
    )
    for name in names
}


@dataclass(frozen=True)
class DataFiles:
    """The data files of a folder, and the files that are not read, grouped by reason.

    Args:
        data: names of the data files, in the order of the names passed to `choose_data_files`.
        unknown: names of the files with a suffix that padmask does not read.
        unsure: names of files with an ambiguous suffix such as `.json`. These files are not read, because the
            folder has other data files.
        unlisted: names of data files that the `state.json` of a saved dataset does not list.
        splits: for each folder with a saved `DatasetDict`, the names of the splits that have data files.
    """

    data: Sequence[str]
    unknown: Sequence[str] = ()
    unsure: Sequence[str] = ()
    unlisted: Sequence[str] = ()
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)


def choose_data_files(
    names: Sequence[str], read: ReadSmall, wanted: Iterable[str] = (), folder: str = ""
) -> DataFiles:
    """Choose the data files of a folder.

    A `.json` file counts as data only if the folder has no other data files, because most `.json` files
    contain settings.

    >>> chosen = choose_data_files(["a.jsonl", "config.json", "README.md", "b.txt"], lambda name: None)
    >>> chosen.data, chosen.unsure, chosen.unknown
    (['a.jsonl'], ['config.json'], ['b.txt'])
    >>> choose_data_files(["a.json", "dataset_infos.json"], lambda name: None).data
    ['a.json']

    Args:
        names: paths of all files relative to the folder, without hidden files.
        read: function that reads a small file of the folder.
        wanted: names of files that are data because the user selected their suffix.
        folder: path of the folder, for messages.

    Raises:
        DataError: a file of a saved dataset is missing.
        UnsupportedError: a saved dataset selects its rows with an index file.
    """
    present, chosen = set(names), set(wanted)
    aside = _unlisted(names, present, read, folder)
    unlisted = [name for name in names if name in aside]
    left = [name for name in names if name not in aside and not _describes(name, present, name in chosen)]
    known = {name for name in left if name in chosen or is_data(name.rpartition("/")[2])}
    # If there are no other data files, all files of a known format are data.
    first = {name for name in known if name in chosen or is_surely_data(name)} or known
    return DataFiles(
        data := [name for name in left if name in first],
        [name for name in left if name not in known],
        [name for name in left if name in known and name not in first],
        unlisted,
        _splits(names, data, read),
    )


def _describes(name: str, present: set[str], is_chosen: bool) -> bool:
    """Return whether a file only describes the data, as README.md does, and is therefore skipped.

    Args:
        name: name of the file.
        present: names of all files.
        is_chosen: whether a pattern selects the file. A selected file is skipped only if its name has no
            suffix, or the suffix of a data format.
    """
    folder, _, base = name.rpartition("/")
    if base == _STATE:
        return _join(folder, _INFO) in present
    return _DESCRIBES.fullmatch(base) is not None and (is_data(base) or "." not in base or not is_chosen)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _unlisted(names: Iterable[str], present: set[str], read: ReadSmall, base: str) -> set[str]:
    """Return the data files that the `state.json` of their folder does not list, such as caches of `map`."""
    unlisted: set[str] = set()
    for state in [name for name in names if name.rpartition("/")[2] == _STATE]:
        folder = state.rpartition("/")[0]
        if _join(folder, _INFO) not in present:
            continue
        found = _object(read(state))
        if found.get("_indices_data_files"):
            raise UnsupportedError(
                f"{_join(base, state)}: the dataset selects its rows by an index, which padmask does not "
                "read. Save the dataset again with ds.flatten_indices().save_to_disk(...)."
            )
        listed = {_join(folder, name) for name in _file_names(found)}
        if missing := sorted(listed - present):
            raise DataError(
                f"{_join(base, state)} lists files that are missing: {join_few(missing)}. Copy the complete "
                "folder, or list the files to read."
            )
        beside = {name for name in names if name.rpartition("/")[0] == folder and is_surely_data(name)}
        unlisted |= beside - listed if listed else set()
    return unlisted


def _file_names(state: Mapping[str, Any]) -> list[str]:
    files = state.get("_data_files")
    entries = files if isinstance(files, list) else []
    found = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
    return [name for name in found if isinstance(name, str) and name]


def _object(text: bytes | None) -> Mapping[str, Any]:
    """Parse a JSON object. Return an empty object for any other text."""
    try:
        found = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _splits(names: Iterable[str], data: Sequence[str], read: ReadSmall) -> dict[str, list[str]]:
    """Return the splits that have data files, keyed by the folder of the saved `DatasetDict`."""
    found: dict[str, list[str]] = {}
    for marker in [name for name in names if name.rpartition("/")[2] == _SPLITS]:
        folder = marker.rpartition("/")[0]
        listed = _object(read(marker)).get("splits")
        splits = [split for split in listed if isinstance(split, str)] if isinstance(listed, list) else []
        found[folder] = [s for s in splits if any(name.startswith(_join(folder, s) + "/") for name in data)]
    return found


def split_of(name: str) -> str | None:
    """Return the dataset split that a file name contains, else the split that its folder names contain.

    >>> [split_of(name) for name in ("data/train-00000-of-00002.parquet", "dev/a.jsonl", "a.jsonl")]
    ['train', 'validation', None]
    """
    for part in reversed(name.split("/")):
        words = re.split(r"[^a-z]+", part.lower())
        found = next((_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES), None)
        if found is not None:
            return found
    return None
