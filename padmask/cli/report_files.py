"""Open report files. After a run, a report file never contains the report of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from padmask.render.html import start_of_page
from padmask.storage.output import open_output
from padmask.storage.output_places import is_written_in_place
from padmask.storage.urls import is_url, local_path

# The first bytes of reports: of `verify` as JSON, JUnit XML and HTML, and of `pad` and `unpad` as JSON.
STARTS = (
    b'{\n  "verdict": ',
    b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="padmask ',
    start_of_page("verify").encode(),
    b'{\n  "version": ',
)


@contextmanager
def open_report(path: str, unfinished: bytes) -> Iterator[BinaryIO]:
    """Context manager: write the report `unfinished` to a file, and then open the file for the final report.

    The final report replaces `unfinished` if the `with` block succeeds. If the run is interrupted or crashes
    in native code, the process cannot write a final report, so `unfinished` stays in the file.

    If `path` is an existing local file that is not a report, `unfinished` is not written, because the run may
    still read this file.

    Args:
        path: path or address of the file, as for `open_output`.
        unfinished: report of a run that has not finished.

    Raises:
        OutputError: the file cannot be written.
    """
    if _may_replace(path):
        with open_output(path) as stream:
            stream.write(unfinished)
    with open_output(path) as stream:
        yield stream


def _may_replace(path: str) -> bool:
    """Return whether a file may be replaced before the run: it is missing, remote or an earlier report."""
    path = local_path(path)
    if path == "-" or is_url(path):
        return path != "-"
    if is_written_in_place(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(max(map(len, STARTS))).startswith(STARTS)
    except FileNotFoundError:
        return True
    except OSError:
        return False
