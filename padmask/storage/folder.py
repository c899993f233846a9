"""List, read, write, move and remove the files of an output folder, local or remote.

This module does not interpret the contents of the files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from padmask.errors import OutputError, os_error_remedy, size
from padmask.storage.manifest_file import MOST_MANIFEST_BYTES
from padmask.storage.output import open_output
from padmask.storage.remote import (
    delete_remote,
    delete_remote_folder,
    list_remote,
    move_remote,
    open_remote_file,
)
from padmask.storage.urls import Url, display_path, is_url, parse_url

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class OutputFolder:
    """An output folder, local or remote. Files are identified by their path relative to the folder.

    >>> import tempfile
    >>> folder = OutputFolder(tempfile.mkdtemp())
    >>> folder.write("a/b.txt", b"here")
    >>> folder.move("a/b.txt", "c.txt")
    >>> folder.names(), folder.read("c.txt"), folder.read("a/b.txt")
    ({'c.txt': 4}, b'here', None)

    Args:
        path: local path or address of the folder.
    """

    path: str

    def __str__(self) -> str:
        return display_path(self.path)

    @property
    def url(self) -> Url | None:
        """Address of the folder; None for a local folder."""
        return parse_url(self.path) if is_url(self.path) else None

    def path_of(self, name: str) -> str:
        """Return the path or address of a file in the folder."""
        url = self.url
        return os.path.join(self.path, name) if url is None else url.child(name).text

    def make(self) -> None:
        """Create a local folder if it does not exist. Remote storage needs no folders.

        Raises:
            OutputError: the folder cannot be created.
        """
        if self.url is not None:
            return
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise OutputError(f"{self.path!r} is a file, not a folder. Choose another name.")
        with _write_errors(self.path):
            os.makedirs(self.path, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock a local folder against other runs during the `with` block. Remote storage has no locks.

        Raises:
            OutputError: another run is writing into the folder.
        """
        if self.url is not None or os.name != "posix":
            yield
            return
        import fcntl

        with _write_errors(self.path):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"Another run is writing into {self.path!r}. Wait until it ends, or choose another "
                    "folder."
                ) from None
            except OSError:
                pass  # The file system does not support locks.
            yield
        finally:
            os.close(descriptor)

    def names(self, below: str = "") -> dict[str, int]:
        """Return the size of each file in bytes, keyed by relative path. `below` selects a subfolder."""
        url = self.url
        prefix = f"{below}/" if below else ""
        if url is not None:
            found = list_remote(url.child(below) if below else url)
            return {prefix + name: stored.size for name, stored in found.items()}
        sizes = {}
        for root, _, files in os.walk(os.path.join(self.path, below), onerror=_refuse_unreadable):
            for file in files:
                path = os.path.join(root, file)
                sizes[os.path.relpath(path, self.path)] = os.lstat(path).st_size
        return dict(sorted(sizes.items()))

    def read(self, name: str, most: int = MOST_MANIFEST_BYTES) -> bytes | None:
        """Return the contents of a small file; None if the file does not exist.

        Raises:
            OutputError: the file is larger than `most` bytes, so padmask did not write it.
        """
        data = bytearray()
        try:
            total = 0 if self.url is not None else os.lstat(self.path_of(name)).st_size
            for block in self.blocks(name) if total <= most else ():
                data += block
                if len(data) > most:
                    break
        except (OSError, ValueError):
            return None
        if max(total, len(data)) > most:
            raise OutputError(
                f"{display_path(self.path_of(name))!r} is larger than {size(most)}, the limit for this file. "
                "Move the file to another folder, or choose another output folder."
            )
        return bytes(data)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the contents of a regular file in blocks. Links are not followed, and pipes are not opened.

        Raises:
            FileNotFoundError: there is no regular file of this name.
            UnreadableError: the remote storage cannot read the file.
        """
        url = self.url
        if url is not None:
            with open_remote_file(url.child(name)) as file:
                while block := file.read(READ_BYTES):
                    yield bytes(block)
            return
        if not self.is_plain(name):
            raise FileNotFoundError(errno.ENOENT, "No such file", self.path_of(name))
        with open(self.path_of(name), "rb") as stream:
            while block := stream.read(READ_BYTES):
                yield block

    def is_plain(self, name: str) -> bool:
        """Return whether a path is a regular file. Links, pipes and devices are not regular files."""
        try:
            return self.url is not None or stat.S_ISREG(os.lstat(self.path_of(name)).st_mode)
        except OSError:
            return False

    def refuse_unfit(self, names: Collection[str]) -> None:
        """Raise an error if a file cannot be written at one of the relative paths `names`.

        Raises:
            OutputError: a path is too long or is a folder, a parent of a path is a file or a link, or the
                folder of a path has no write permission.
        """
        folders = {folder for name in names for folder in _folders_of(name)}
        for name in sorted(folders & set(names)):
            raise OutputError(
                f"{name!r} would be both a file and a folder in {str(self)!r}. Pad the inputs separately."
            )
        if self.url is not None:
            return
        longest = os.pathconf(self.path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        for name in names:
            path = self.path_of(name)
            if any(len(os.fsencode(part)) > longest for part in name.split("/")):
                raise OutputError(f"Cannot write {path!r}: the file name is too long. Choose a shorter name.")
            if os.path.isdir(path):
                raise OutputError(
                    f"Cannot write the file {path!r}: the path is a folder. Move or remove the folder."
                )
        for path in map(self.path_of, sorted(folders)):
            if os.path.islink(path):
                raise OutputError(
                    f"{path!r} is a link, and padmask does not write into linked folders. Remove the link."
                )
            if os.path.lexists(path) and not os.path.isdir(path):
                raise OutputError(
                    f"Cannot create the folder {path!r}: the path is a file. Move or remove the file."
                )
            if os.path.isdir(path) and not os.access(path, os.W_OK | os.X_OK):
                raise OutputError(f"Cannot write into {path!r}: permission denied. Check the permissions.")

    def write(self, name: str, data: bytes) -> None:
        """Write a small file atomically. Other programs never see an incomplete file."""
        self.make_parent(name)
        if os.path.lexists(self.path_of(name)) and not self.is_plain(name):
            # Remove a link or a pipe first. Otherwise, the target of the link or the reader of the pipe would
            # receive the data.
            self.remove(name)
        with open_output(self.path_of(name)) as stream:
            stream.write(data)

    def make_parent(self, name: str) -> None:
        """Create the parent folder of a file."""
        if self.url is None:
            with _write_errors(self.path):
                os.makedirs(os.path.dirname(self.path_of(name)), exist_ok=True)

    def move(self, name: str, new_name: str) -> None:
        """Rename a file in the folder, and replace a file that has the new name."""
        url = self.url
        if url is not None:
            move_remote(url.child(name), url.child(new_name))
            return
        self.make_parent(new_name)
        with _write_errors(self.path_of(new_name)):
            os.replace(self.path_of(name), self.path_of(new_name))

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        url = self.url
        if url is not None:
            delete_remote(url.child(name))
            return
        with _write_errors(self.path_of(name)), suppress(FileNotFoundError):
            os.unlink(self.path_of(name))

    def remove_below(self, name: str) -> None:
        """Remove a subfolder with its contents if it exists."""
        url = self.url
        if url is not None:
            delete_remote_folder(url.child(name))
            return
        with _write_errors(self.path_of(name)), suppress(FileNotFoundError):
            shutil.rmtree(self.path_of(name))

    def remove_if_empty(self) -> None:
        """Remove a local folder if it is empty. Errors are ignored."""
        if self.url is None:
            with suppress(OSError):
                os.rmdir(self.path)

    def sync(self, names: Iterator[str]) -> None:
        """Flush the folders of the files `names` to disk, so that renames survive a power failure."""
        if self.url is not None:
            return
        for parent in {os.path.dirname(self.path_of(name)) for name in names}:
            with suppress(OSError):
                descriptor = os.open(parent, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def _folders_of(name: str) -> list[str]:
    """Return the parent folders of a relative path.

    >>> _folders_of("a/b/c.jsonl")
    ['a', 'a/b']
    """
    parts = name.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _refuse_unreadable(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return
    raise OutputError(f"Cannot read {error.filename!r}: {error.strerror}. {os_error_remedy(error)}")


@contextmanager
def _write_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"Cannot write {path!r}: {error.strerror}. {os_error_remedy(error)}") from None
