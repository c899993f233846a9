"""Find the format and the compression of a file from the file name, and tell data files from other files."""

from __future__ import annotations

import os
import re

from padmask.spec.formats import DEFAULT_FORMAT, FORMATS, FormatTraits
from padmask.storage.urls import is_url, parse_url

# Prefix of the files that padmask writes into an output folder in addition to the data.
RESERVED = "_padmask"

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

# Prefix of the folders of unfinished runs in an output folder.
UNFINISHED = "_padmask-"

# Suffix of the files that describe finished shards, in the folder of an unfinished run.
RECORD = ".record"

# Files in an output folder. A run creates the first file before it renames its shards, and the second file
# afterwards.
REPLACING, MANIFEST = "_padmask.replacing", "_padmask.json"

_KEY = re.compile(r"[^\W_]\w*=[^=]*")


def format_of(path: str) -> FormatTraits | None:
    """Return the format for the suffix of a path, ignoring `.gz` and `.zst`; None for an unknown suffix.

    >>> [found and found.title for found in map(format_of, ["a/b.jsonl.gz", "c.parquet", "d"])]
    ['JSON Lines', 'Parquet', None]
    """
    stem, suffix = os.path.splitext(_without_query(path))
    if suffix.lower() in COMPRESSIONS:
        found = _format_of_suffix(os.path.splitext(stem)[1]) or DEFAULT_FORMAT
        return found if found.is_text else None
    return _format_of_suffix(suffix)


def is_folder_format(path: str) -> bool:
    """Return whether a path, without a final slash, has the suffix of a format that is a folder.

    >>> is_folder_format("out.npy/"), is_folder_format("out.npz"), is_folder_format("out/")
    (True, False, False)
    """
    found = format_of(path.rstrip("/"))
    return found is not None and found.is_folder


def _format_of_suffix(suffix: str) -> FormatTraits | None:
    suffix = suffix.lower()
    return next((traits for traits in FORMATS.values() if suffix in traits.suffixes), None)


def compression_of(path: str) -> str | None:
    """Return the compression for the suffix of a path; None if the file is not compressed.

    >>> compression_of("a.jsonl.GZ"), compression_of("s3://b/a.zst?region=x"), compression_of("a.jsonl")
    ('gzip', 'zstd', None)
    """
    return COMPRESSIONS.get(os.path.splitext(_without_query(path))[1].lower())


def _without_query(path: str) -> str:
    return parse_url(path).path if is_url(path) else path


def hive_keys(folder: str) -> str:
    """Return the `key=value` folders at the end of a path, each with a trailing slash.

    >>> hive_keys("/data/year=2024/month=1"), hive_keys("run=3/data"), hive_keys("/data")
    ('year=2024/month=1/', '', '')
    """
    keys: list[str] = []
    for part in reversed([part for part in folder.split("/") if part]):
        if not _KEY.fullmatch(part):
            break
        keys.insert(0, f"{part}/")
    return "".join(keys)


def is_data(name: str) -> bool:
    """Return whether a relative path in a folder names a data file.

    >>> is_data("year=2024/a.parquet"), is_data("_padmask/a.parquet"), is_data("README.md")
    (True, False, False)
    """
    hidden = any(part[0] in "._" for part in name.split("/") if part)
    found = None if hidden else format_of(name)
    return found is not None and found.reader is not None and not found.is_folder


def is_surely_data(name: str) -> bool:
    """Return whether the suffix of a data file is used only for data, unlike `.json`.

    >>> is_surely_data("a.jsonl"), is_surely_data("config.json"), is_surely_data("a.json.gz")
    (True, False, True)
    """
    found = format_of(name)
    return found is not None and os.path.splitext(name)[1].lower() not in found.unsure_suffixes
