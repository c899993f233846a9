"""List an output folder, and refuse to replace or delete files that padmask must keep."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from padmask.errors import OutputError, join_few
from padmask.shards.manifest import Manifest
from padmask.storage.folder import OutputFolder
from padmask.storage.names import MANIFEST, REPLACING, UNFINISHED, is_data
from padmask.storage.urls import display_path

# padmask does not own other names with the same prefix.
_STAGED = re.compile(rf"{UNFINISHED}[0-9a-f]{{16}}/")


@dataclass(frozen=True)
class FolderListing:
    """The files of an output folder, with the files that padmask wrote.

    Args:
        folder: the output folder.
        files: sizes of the files in bytes, by name.
        manifest: manifest of the committed dataset; None without a valid manifest.
        fault: reason why the manifest cannot be read, as the end of a sentence; empty otherwise.
        replacing: names of the data files in an unfinished commit. A commit lists them before it moves files.
    """

    folder: OutputFolder
    files: Mapping[str, int]
    manifest: Manifest | None
    fault: str
    replacing: frozenset[str]

    @cached_property
    def owned(self) -> frozenset[str]:
        """Names of the data files that earlier runs wrote."""
        records = self.manifest.records if self.manifest is not None else ()
        return self.replacing | {record.name for record in records if record.name}

    @cached_property
    def staging_folders(self) -> frozenset[str]:
        """Names of the staging folders of all jobs."""
        return frozenset(name.split("/")[0] for name in self.files if _STAGED.match(name))

    def refuse_foreign_data(self, names: Collection[str]) -> None:
        """Refuse data files that padmask did not write, and other files that the run would replace.

        Args:
            names: names of the files that the run writes.

        Raises:
            OutputError: the folder has such files.
        """
        foreign = [name for name in self.files if name not in self.owned and (name in names or is_data(name))]
        if not foreign:
            return
        if self.fault:
            manifest = display_path(self.folder.path_of(MANIFEST))
            raise OutputError(
                f"{manifest!r} {self.fault}. Without a manifest, padmask does not know which of these files "
                f"it wrote: {join_few(foreign)}. Move them and the manifest away, or choose another folder."
            )
        raise OutputError(
            f"The folder {str(self.folder)!r} contains data that padmask did not put there: "
            f"{join_few(foreign)}. Choose another folder, or move them away."
        )

    def refuse_lost_files(self, names: Collection[str]) -> None:
        """Refuse a run that would delete files of an earlier run without replacing them.

        Args:
            names: names of the files that the run writes.

        Raises:
            OutputError: the folder has such files.
        """
        lost = sorted(self.owned & self.files.keys() - set(names))
        if lost:
            raise OutputError(
                f"The folder {str(self.folder)!r} contains files of an earlier run that this run does not "
                f"replace: {join_few(lost)}. Choose another folder, or delete them with --delete."
            )


def list_output(folder: OutputFolder) -> FolderListing:
    """List an output folder, and read the names of the files that padmask wrote."""
    files, manifest, fault = folder.names(), None, ""
    if MANIFEST in files:
        data = folder.read(MANIFEST)
        try:
            manifest = None if data is None else Manifest.of_bytes(data)
            fault = "cannot be read" if data is None else ""
        except ValueError as error:
            fault = str(error)
    replacing = _parse_names(folder.read(REPLACING)) if REPLACING in files else frozenset[str]()
    return FolderListing(folder, files, manifest, fault, replacing)


def _parse_names(data: bytes | None) -> frozenset[str]:
    """Return the names in the list of an unfinished commit; an empty set if the list is corrupt."""
    try:
        return frozenset(name for name in json.loads(data or b"[]") if isinstance(name, str))
    except (ValueError, TypeError, RecursionError):
        return frozenset()
