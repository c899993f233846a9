"""Find files in a padded folder that its manifest does not list, such as a copy of a shard."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from padmask.errors import DataError
from padmask.storage.manifest_file import sizes_in


def find_unlisted_files(paths: Sequence[str], whole: Iterable[str], manifest: str) -> set[str]:
    """Return the paths of the files that a manifest in a folder above them does not list.

    A manifest counts where its folder, or a folder above it, is read as a whole, and where it lists
    another one of the files: whoever names a single file means that file.

    Args:
        paths: of all files that are read.
        whole: the folders that are named, and those that patterns begin with.
        manifest: the name that manifests have.
    """
    absolute = {path: os.path.abspath(path) for path in paths}
    roots = [os.path.abspath(folder) for folder in whole]
    # A shell gives the files of a pattern one by one.
    parents = {os.path.dirname(path) for path in absolute.values()}
    together = os.path.commonpath(parents) if len(absolute) > 1 else None
    strangers: set[str] = set()
    for folder in _marked(parents, [*roots, *([together] if together else [])], manifest):
        listed = _names_in(os.path.join(folder, manifest))
        if listed is None:
            continue
        inside = {path: whole_path for path, whole_path in absolute.items() if _is_below(whole_path, folder)}
        known = {path for path, whole_path in inside.items() if os.path.relpath(whole_path, folder) in listed}
        if known or any(_is_below(folder, root) for root in roots):
            strangers |= inside.keys() - known
    return strangers


def _marked(folders: Iterable[str], roots: Sequence[str], manifest: str) -> list[str]:
    """Return the folders with a manifest, of some and of those above them, down from the roots."""
    seen: dict[str, bool] = {}
    for folder in folders:
        while folder not in seen and any(_is_below(folder, root) for root in roots):
            seen[folder] = os.path.lexists(os.path.join(folder, manifest))
            folder = os.path.dirname(folder)
    return [folder for folder, has in seen.items() if has]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _names_in(manifest: str) -> Collection[str] | None:
    """Return the names that a manifest lists; None where it cannot be believed.

    A folder that is named is refused for such a manifest, and a pattern takes what is there.
    """
    try:
        return sizes_in(manifest)
    except DataError:
        return None
