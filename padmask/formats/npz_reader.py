"""Read npz archives, which `numpy.savez` and `padmask pad` write, without loading complete arrays."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import BinaryIO, cast

from padmask.errors import UnreadableError, UnsupportedError
from padmask.formats.array_reader import ArrayFiles, ArrayReader
from padmask.formats.other_format import other_format_error
from padmask.spec.formats import FORMATS
from padmask.storage.foreign_formats import foreign_error
from padmask.storage.names import format_of
from padmask.storage.source import Source

_SUFFIX = ".npy"

# First bytes of an archive without files. The zip module cannot read such an archive from an Arrow file if
# the archive has no comment.
_EMPTY_ARCHIVE = b"PK\x05\x06"


class _Archive:
    """The arrays of an open archive."""

    def __init__(self, archive: zipfile.ZipFile, source: Source) -> None:
        self._archive, self._source = archive, source

    def sizes(self) -> Mapping[str, int]:
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        others = [info.filename for info in infos if not info.filename.endswith(_SUFFIX)]
        if infos and len(others) == len(infos):
            foreign = foreign_error(self._source.name, self._source.path, self._source.first_bytes())
            if foreign is not None:
                raise foreign
        if others:
            raise UnsupportedError(
                f"{self._source.name}: the archive contains {others[0]!r}, which is not a NumPy array. "
                "Remove the file from the archive.",
                options=["input_format"],
            )
        names = [info.filename.removesuffix(_SUFFIX) for info in infos]
        twice = next((name for name, times in Counter(names).items() if times > 1), None)
        if twice is not None or not names:
            raise _bad_content(self._source, "no arrays" if not names else f"several arrays named {twice!r}")
        return {name: info.file_size for name, info in zip(names, infos, strict=True)}

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._archive.open(name + _SUFFIX))

    def description(self) -> bytes:
        """Return the comment of the archive, if padmask wrote the comment."""
        comment = self._archive.comment
        try:
            found = json.loads(comment)
        except (ValueError, RecursionError):
            return b""
        return comment if isinstance(found, dict) and "columns" in found else b""


def _bad_content(source: Source, content: str) -> UnreadableError:
    """Return the error for an archive with arrays that padmask cannot read as columns."""
    return UnreadableError(
        f"{source.name}: the archive contains {content}. Save the file again with numpy.savez.",
        options=["input_format"],
    )


class NpzReader(ArrayReader):
    """Reader for an npz archive. The arrays may be compressed."""

    title = "npz"

    def files(self, stack: ExitStack) -> ArrayFiles:
        # An archive ends with its directory, so a pipe must be copied.
        self._source.spool()
        start = self._source.first_bytes()
        if not start:
            raise UnreadableError(
                f"{self._source.name}: the file is empty (0 bytes), not npz. Check that the file is "
                "complete.",
                options=["input_format"],
            )
        if start.startswith(_EMPTY_ARCHIVE):
            raise _bad_content(self._source, "no arrays")
        other = other_format_error(self._source, start, FORMATS["npz"])
        if format_of(self._source.path) is not FORMATS["npz"]:
            # Any zip archive starts with the same bytes.
            other = other or foreign_error(self._source.name, self._source.path, start)
        if other is not None:
            raise other
        raw = stack.enter_context(self._source.open_arrow())
        return _Archive(stack.enter_context(zipfile.ZipFile(raw)), self._source)
