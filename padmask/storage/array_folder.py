"""Write a folder of arrays atomically, and return the size and the version of a folder.

The files have no names, or temporary names, until all files are complete. Then they are moved to a new
folder next to the output path, and the new folder is renamed to this path. A failed run leaves no folder.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import BinaryIO, cast

from padmask.errors import OutputError
from padmask.storage.output import (
    LimitedStream,
    create_temporary,
    link_descriptor,
    output_errors,
    sync_folder,
    temporary_name,
)
from padmask.storage.synced_file import SyncedFile
from padmask.storage.system import umask
from padmask.storage.urls import display_path

# Name of the file that describes the columns of a folder of arrays. `_padmask.json` marks a folder of shards.
DESCRIPTION = "_columns.json"


def array_files(folder: str) -> list[str]:
    """Return the names of the files in a folder of arrays, sorted."""
    return sorted(name for name in os.listdir(folder) if name.endswith(".npy") or name == DESCRIPTION)


def folder_size(folder: str) -> int:
    """Return the size of all files in a folder of arrays, in bytes."""
    return sum(os.stat(os.path.join(folder, name)).st_size for name in array_files(folder))


def folder_version(folder: str) -> tuple[int, ...]:
    """Return numbers that change when a file of the folder is written or replaced.

    Only the first number depends on the machine: the device number, which is the same for all files.
    """
    paths = [folder, *(os.path.join(folder, name) for name in array_files(folder))]
    found = [os.stat(path) for path in paths]
    numbers = [(file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns) for file in found]
    return (found[0].st_dev, *chain.from_iterable(numbers))


class NewFolder:
    """A folder of arrays that is being written.

    Args:
        path: path of the folder.
        limit: maximum number of bytes of all files; None for no limit.
        options: options to suggest in the error message if the limit is exceeded.
    """

    def __init__(self, path: str, limit: int | None, options: str) -> None:
        self._path, self._limit, self._options = path, limit, options
        self._files: dict[str, tuple[int, str | None]] = {}
        self._written = 0

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Create a file of the folder. The file is complete at the end of the `with` block."""
        target = os.path.join(os.path.dirname(self._path), name)
        descriptor, temporary = create_temporary(target, self._path)
        self._files[name] = descriptor, temporary
        with SyncedFile(os.dup(descriptor)) as raw, io.BufferedWriter(raw) as file:
            stream = LimitedStream(
                cast(BinaryIO, file), self._limit, display_path(self._path), self._options, self._written
            )
            yield cast(BinaryIO, stream)
            file.flush()
            raw.sync()
            self._written += file.tell()

    def move_to(self, folder: str) -> None:
        """Move the files to an existing folder, where they get their final names."""
        for name, (descriptor, temporary) in self._files.items():
            path = os.path.join(folder, name)
            os.fchmod(descriptor, 0o666 & ~umask(folder))
            if temporary is None:
                link_descriptor(descriptor, path)
            else:
                os.rename(temporary, path)
            self._files[name] = descriptor, path
        sync_folder(folder)

    def remove(self) -> None:
        """Remove the files that have a temporary or final name. The system removes unnamed files."""
        for _, path in self._files.values():
            if path is not None:
                with suppress(OSError):
                    os.unlink(path)

    def close(self) -> None:
        for descriptor, _ in self._files.values():
            os.close(descriptor)


@contextmanager
def open_folder(path: str, limit: int | None, options: str) -> Iterator[NewFolder]:
    """Open a folder of arrays for writing. The folder appears only if the `with` block succeeds.

    Args:
        path: path of the folder. An existing folder is replaced if it contains only arrays.
        limit, options: as in `NewFolder`.

    Raises:
        OutputError: the path is not a folder of arrays, the parent folder is not writable, or the disk is
            full.
    """
    target = os.path.realpath(path)
    _refuse_other_contents(target, path)
    folder = NewFolder(target, limit, options)
    with output_errors(path), ExitStack() as stack:
        stack.callback(folder.close)
        # If the parent folder is not writable, raise the error now, before the rows are read.
        descriptor, temporary = create_temporary(target, path)
        os.close(descriptor)
        if temporary is not None:
            os.unlink(temporary)
        try:
            yield folder
            _refuse_other_contents(target, path)
            _replace(target, folder)
        except BaseException:
            folder.remove()
            raise


def _refuse_other_contents(target: str, path: str) -> None:
    """Raise an error if a path exists and is not a folder that contains only arrays."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise OutputError(f"Cannot write {path!r}: the path is a file, not a folder. Choose another name.")
    known = array_files(target)
    for name in sorted(os.listdir(target)):
        if name not in known or not stat.S_ISREG(os.lstat(os.path.join(target, name)).st_mode):
            raise OutputError(
                f"Cannot replace the folder {path!r}, because it contains {name!r}, which is not an .npy "
                "file. Choose another name, or remove the folder."
            )


def _replace(target: str, folder: NewFolder) -> None:
    """Create the folder under a temporary name, rename it to `target`, and remove the replaced folder."""
    new, old = temporary_name(target), temporary_name(target)
    os.mkdir(new)
    try:
        folder.move_to(new)
        if os.path.isdir(target):
            os.rename(target, old)
        os.rename(new, target)
    except BaseException:
        folder.remove()
        with suppress(OSError):
            os.rmdir(new)
        if os.path.isdir(old):
            os.rename(old, target)
        raise
    sync_folder(os.path.dirname(target))
    if os.path.isdir(old):
        _remove(old, array_files(old))


def _remove(folder: str, names: Sequence[str]) -> None:
    for name in names:
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


def is_array_folder(path: str) -> bool:
    """Return whether a path is a folder that contains arrays."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode) and bool(array_files(path))
    except OSError:
        return False
