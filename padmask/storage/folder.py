"""An output folder, local or remote: list, read, write, move and remove its files.

This module does not know what the files hold.
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
    """A folder that files are written into, by their names in it.

    >>> import tempfile
    >>> folder = OutputFolder(tempfile.mkdtemp())
    >>> folder.write("a/b.txt", b"here")
    >>> folder.move("a/b.txt", "c.txt")
    >>> folder.names(), folder.read("c.txt"), folder.read("a/b.txt")
    ({'c.txt': 4}, b'here', None)

    Args:
        path: of this machine, or an address.
    """

    path: str

    def __str__(self) -> str:
        return display_path(self.path)

    @property
    def url(self) -> Url | None:
        """The address; None of a folder of this machine."""
        return parse_url(self.path) if is_url(self.path) else None

    def path_of(self, name: str) -> str:
        """Return what opens a file of the folder."""
        url = self.url
        return os.path.join(self.path, name) if url is None else url.child(name).text

    def make(self) -> None:
        """Make the folder where it is not there; a storage needs none.

        Raises:
            OutputError: it cannot be made.
        """
        if self.url is not None:
            return
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise OutputError(f"{self.path!r} is a file, and no folder. Choose another name.")
        with _write_errors(self.path):
            os.makedirs(self.path, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs on this machine out while the block lasts; in a storage nobody can.

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
                    f"Another run is writing into {self.path!r}. Wait for it to end, or choose another "
                    "folder."
                ) from None
            except OSError:
                pass  # A file system that knows no locks.
            yield
        finally:
            os.close(descriptor)

    def names(self, below: str = "") -> dict[str, int]:
        """Return the sizes of all files, or of those below a name, by their names in the folder."""
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
        """Return what a small file holds; None where there is none.

        Raises:
            OutputError: it holds more than `most` bytes, so that padmask has not written it.
        """
        held = bytearray()
        try:
            whole = 0 if self.url is not None else os.lstat(self.path_of(name)).st_size
            for block in self.blocks(name) if whole <= most else ():
                held += block
                if len(held) > most:
                    break
        except (OSError, ValueError):
            return None
        if max(whole, len(held)) > most:
            raise OutputError(
                f"{display_path(self.path_of(name))!r} is larger than {size(most)}, the most that "
                "padmask reads of "
                "it. Move it away, or choose another folder."
            )
        return bytes(held)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Give what a file holds, in pieces; a link is not followed, nor a pipe waited for.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableError: the storage does not give it.
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
        """Tell whether there is a file, and no link, pipe or device."""
        try:
            return self.url is not None or stat.S_ISREG(os.lstat(self.path_of(name)).st_mode)
        except OSError:
            return False

    def refuse_unfit(self, names: Collection[str]) -> None:
        """Refuse names that files of the folder cannot get, before there is work in them.

        Raises:
            OutputError: one is too long, a folder, below a file or a link, or where nobody may write.
        """
        folders = {folder for name in names for folder in _folders_of(name)}
        for name in sorted(folders & set(names)):
            raise OutputError(f"{name!r} would be a file and a folder in {str(self)!r}: pad them apart.")
        if self.url is not None:
            return
        longest = os.pathconf(self.path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        for name in names:
            path = self.path_of(name)
            if any(len(os.fsencode(part)) > longest for part in name.split("/")):
                raise OutputError(f"Cannot write {path!r}: File name too long. Choose a shorter one.")
            if os.path.isdir(path):
                raise OutputError(f"{path!r} is a folder, and a file would come there. Move it away.")
        for path in map(self.path_of, sorted(folders)):
            if os.path.islink(path):
                raise OutputError(f"{path!r} is a link: what lies behind it is not touched. Take it away.")
            if os.path.lexists(path) and not os.path.isdir(path):
                raise OutputError(f"{path!r} is a file, and a folder would come there. Move it away.")
            if os.path.isdir(path) and not os.access(path, os.W_OK | os.X_OK):
                raise OutputError(f"Nobody may write into {path!r}. Check its permissions.")

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, which is there whole or not at all."""
        self.make_parent(name)
        if os.path.lexists(self.path_of(name)) and not self.is_plain(name):
            # What a link points to, or who waits at a pipe, is none of the folder's.
            self.remove(name)
        with open_output(self.path_of(name)) as stream:
            stream.write(data)

    def make_parent(self, name: str) -> None:
        """Make what a file of this name lies in."""
        if self.url is None:
            with _write_errors(self.path):
                os.makedirs(os.path.dirname(self.path_of(name)), exist_ok=True)

    def move(self, name: str, goal: str) -> None:
        """Give a file another name in the folder, in place of what has it."""
        url = self.url
        if url is not None:
            move_remote(url.child(name), url.child(goal))
            return
        self.make_parent(goal)
        with _write_errors(self.path_of(goal)):
            os.replace(self.path_of(name), self.path_of(goal))

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        url = self.url
        if url is not None:
            delete_remote(url.child(name))
            return
        with _write_errors(self.path_of(name)), suppress(FileNotFoundError):
            os.unlink(self.path_of(name))

    def remove_below(self, name: str) -> None:
        """Take away what lies below a name, and the name."""
        url = self.url
        if url is not None:
            delete_remote_folder(url.child(name))
            return
        with _write_errors(self.path_of(name)), suppress(FileNotFoundError):
            shutil.rmtree(self.path_of(name))

    def remove_if_empty(self) -> None:
        """Take the folder away where it holds nothing; what is in use, or not ours, stays."""
        if self.url is None:
            with suppress(OSError):
                os.rmdir(self.path)

    def sync(self, names: Iterator[str]) -> None:
        """Make the moves into the folders of these names last through a power cut."""
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
    """Return the folders that a file lies in, as names in the folder.

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
