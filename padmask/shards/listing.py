"""List an output folder, and check that a run does not replace or delete files that it must keep."""

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

# Names of files in staging folders. Files of users may have the same prefix, but no 16 hexadecimal digits.
_STAGED = re.compile(rf"{UNFINISHED}[0-9a-f]{{16}}/")


@dataclass(frozen=True)
class FolderListing:
    """The files of an output folder.

    Args:
        folder: the output folder.
        files: size of each file in bytes, keyed by relative path.
        manifest: manifest of the padded dataset; None if there is no valid manifest.
        fault: reason why the manifest cannot be used, as a phrase such as `"cannot be read"`; empty if the
            manifest is valid.
        replacing: names of the data files that an interrupted commit listed: the files of earlier runs, and
            the files to commit. Empty if no commit was interrupted.
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
        return self.replacing | {file.name for record in records for file in record.files}

    @cached_property
    def staging_folders(self) -> frozenset[str]:
        """Names of the staging folders of all jobs."""
        return frozenset(name.split("/")[0] for name in self.files if _STAGED.match(name))

    def count_staged(self, suffix: str) -> int:
        """Return the number of files with a suffix in the staging folders of all jobs."""
        return sum(_STAGED.match(name) is not None and name.endswith(suffix) for name in self.files)

    def refuse_foreign_data(self, names: Collection[str]) -> None:
        """Raise an error if the folder has data files, or files in `names`, that padmask did not write.

        Args:
            names: names of the files that the run writes.

        Raises:
            OutputError: the folder contains such files.
        """
        foreign = [name for name in self.files if name not in self.owned and (name in names or is_data(name))]
        if not foreign:
            return
        if self.fault:
            manifest = display_path(self.folder.path_of(MANIFEST))
            raise OutputError(
                f"{manifest!r} {self.fault}. Therefore padmask does not know whether it may replace these "
                f"files: {join_few(foreign)}. Choose another output folder, or move these files and the "
                "manifest."
            )
        raise OutputError(
            f"The folder {str(self.folder)!r} contains files that padmask did not write: "
            f"{join_few(foreign)}. Choose another output folder, or move these files."
        )

    def refuse_lost_files(self, names: Collection[str]) -> None:
        """Raise an error if the run would delete files of an earlier run without replacing them.

        Args:
            names: names of the files that the run writes.

        Raises:
            OutputError: the folder contains such files.
        """
        lost = sorted(self.owned & self.files.keys() - set(names))
        if lost:
            raise OutputError(
                f"The folder {str(self.folder)!r} contains files that an earlier run wrote and this run "
                f"would not replace: {join_few(lost)}. Choose another folder, or delete these "
                "files with --delete."
            )


def list_output(folder: OutputFolder) -> FolderListing:
    """List an output folder, and read its manifest."""
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
    """Parse the file names that an interrupted run listed. Return an empty set if the list is corrupt."""
    try:
        return frozenset(name for name in json.loads(data or b"[]") if isinstance(name, str))
    except (ValueError, TypeError, RecursionError):
        return frozenset()
