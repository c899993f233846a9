"""Find files that the manifest of their folder does not list, such as a copy of a shard."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from padmask.errors import DataError
from padmask.storage.manifest_file import sizes_in


def find_unlisted_files(paths: Sequence[str], folders: Iterable[str], manifest: str) -> set[str]:
    """Return the paths of input files that the manifest in a parent folder does not list.

    A manifest is used only if its folder is in an input folder, or if the manifest lists another input file.
    If the only input is a file, the result is empty.

    Args:
        paths: paths of all input files.
        folders: input folders, and the part of each input pattern before the first wildcard.
        manifest: file name of manifests.
    """
    absolute = {path: os.path.abspath(path) for path in paths}
    roots = [os.path.abspath(folder) for folder in folders]
    # The shell may have expanded a pattern, so the common parent of all files is treated as an input folder.
    parents = {os.path.dirname(path) for path in absolute.values()}
    common = os.path.commonpath(parents) if len(absolute) > 1 else None
    unlisted: set[str] = set()
    for folder in _with_manifest(parents, [*roots, *([common] if common else [])], manifest):
        listed = _names_in(os.path.join(folder, manifest))
        if listed is None:
            continue
        inside = {path: full for path, full in absolute.items() if _is_below(full, folder)}
        known = {path for path, full in inside.items() if os.path.relpath(full, folder) in listed}
        if known or any(_is_below(folder, root) for root in roots):
            unlisted |= inside.keys() - known
    return unlisted


def _with_manifest(folders: Iterable[str], roots: Sequence[str], manifest: str) -> list[str]:
    """Return the folders that have a manifest among `folders` and their parents, up to `roots`."""
    seen: dict[str, bool] = {}
    for folder in folders:
        while folder not in seen and any(_is_below(folder, root) for root in roots):
            seen[folder] = os.path.lexists(os.path.join(folder, manifest))
            folder = os.path.dirname(folder)
    return [folder for folder, has in seen.items() if has]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _names_in(manifest: str) -> Collection[str] | None:
    """Return the names that a manifest lists; None if the manifest is not valid.

    An invalid manifest raises no error here. If the input is a folder, another check reports the manifest. If
    the input is a pattern, the manifest is ignored.
    """
    try:
        return sizes_in(manifest)
    except DataError:
        return None
