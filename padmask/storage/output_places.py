"""Find the kind of an output path: an open file descriptor, a pipe, a device, a folder or a file."""

from __future__ import annotations

import os
import re
import stat

from padmask.errors import SpecError
from padmask.spec.formats import RECOMMENDED_FORMAT
from padmask.storage.names import format_of, is_folder_format
from padmask.storage.remote import is_remote_folder
from padmask.storage.urls import display_path, is_url, local_path, parse_url

_DESCRIPTOR_FOLDER = re.compile(r"/dev/fd|/proc/(\d+)(?:/task/\d+)?/fd")

# Linux follows at most this number of links in a path.
MOST_LINKS = 40


def descriptor_of(path: str) -> int | None:
    """Return the file descriptor of this process for a path such as `/dev/stdout`; None for other paths.

    >>> descriptor_of("/dev/stdout"), descriptor_of("/dev/fd/2"), descriptor_of("/tmp/a"), descriptor_of("1")
    (1, 2, None, None)
    """
    process, descriptor = _open_file_of(path)
    return descriptor if process in (None, str(os.getpid())) else None


def _open_file_of(path: str) -> tuple[str | None, int | None]:
    """Return the process ID and the file descriptor that a path names; (None, None) for other paths.

    On systems without `/proc`, the result for a path in `/dev/fd` is (None, descriptor). None then means this
    process.
    """
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(path)
        found = _DESCRIPTOR_FOLDER.fullmatch(os.path.realpath(folder))
        if found and name.isdecimal():
            return found[1], int(name)
        if not os.path.islink(path):
            break
        path = os.path.join(folder, os.readlink(path))
    return None, None


def names_a_folder(path: str) -> bool:
    """Return whether an output path is a folder of shards: an existing folder, or a path ending in a slash.

    The result is False for a folder with the suffix of a format, such as `out.npy/`, which is one output.

    >>> names_a_folder("padded/"), names_a_folder("padded.parquet"), names_a_folder("-")
    (True, False, False)
    """
    if is_folder_format(path):
        return False
    if is_url(path) and local_path(path) == path:
        url = parse_url(path)
        return url.path.endswith("/") or not url.path or is_remote_folder(url)
    return path.endswith("/") or os.path.isdir(local_path(path))


def buckets_need_folder(output: str) -> SpecError:
    """Return the error for buckets whose output is a file or a pipe.

    >>> print(buckets_need_folder("padded.parquet"))  # doctest: +NORMALIZE_WHITESPACE
    Buckets need an output folder, because each bucket has its own files. Use -o padded/ instead of
    -o padded.parquet, with --output-format parquet if the input has another format.

    Args:
        output: path or URL of the output; `-` for standard output.
    """
    name, instead, format_ = output.rstrip("/"), f" instead of -o {display_path(output)}", ""
    known = format_of(name)
    if output == "-":
        folder, instead = "padded", ""
    elif known is None:
        folder = name
    else:
        folder = name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[0]
        # A folder with one file for each column cannot have buckets.
        other = (RECOMMENDED_FORMAT if known.is_folder else known).name
        format_ = f", with --output-format {other} if the input has another format"
    return SpecError(
        "Buckets need an output folder, because each bucket has its own files. Use "
        f"-o {display_path(folder)}/{instead}{format_}.",
        options=["buckets", "output"],
    )


def mode_of(path: str) -> int:
    """Return the file mode of a path; 0 if the path does not exist."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def is_written_in_place(path: str) -> bool:
    """Return whether padmask writes directly to a path: a pipe, a device or a file descriptor.

    For a regular file, padmask writes a temporary file, and renames the temporary file at the end of the run.

    >>> is_written_in_place("/dev/stdout"), is_written_in_place("out.jsonl")
    (True, False)
    """
    mode = mode_of(path)
    is_ordinary = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return _open_file_of(path)[1] is not None or (mode != 0 and not is_ordinary)
