"""Read and write folders with one npy file for each column, for `numpy.load(..., mmap_mode="r")`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO

from padmask.errors import UnreadableError, UnsupportedError
from padmask.formats.array_reader import ArrayFiles, ArrayReader
from padmask.formats.contract import Layout, WriterOptions
from padmask.formats.npz import ArrayWriter
from padmask.storage.array_folder import DESCRIPTION, NewFolder, array_files
from padmask.storage.foreign_formats import foreign_error
from padmask.storage.system import read_small

_SUFFIX = ".npy"

# Maximum size of the description of the columns, in bytes.
_MOST_DESCRIPTION = 16 << 20

# Maximum length of a file name in bytes, on common file systems.
_MOST_NAME = 255


class NpyFolderWriter(ArrayWriter):
    """Writer for a folder with one npy file for each column, and a JSON file that describes the columns."""

    title = "npy"

    def __init__(self, stream: NewFolder, layout: Layout, options: WriterOptions) -> None:
        super().__init__(layout, options)
        self._folder = stream

    @staticmethod
    def why_unsafe(name: str, names: Collection[str]) -> str | None:
        if "/" in name or len(f"{name}{_SUFFIX}".encode()) > _MOST_NAME:
            return "the name is not a valid file name"
        return ArrayWriter.why_unsafe(name, names)

    def finish(self) -> None:
        arrays = self.arrays()
        for name, dtype in arrays.items():
            with self._folder.create(name + _SUFFIX) as out:
                self._spool.write(name, out, dtype)
        described = json.loads(self.metadata() or b"null")
        with self._folder.create(DESCRIPTION) as out:
            out.write(json.dumps({"order": list(arrays), "padmask": described}, indent=2).encode() + b"\n")
        self._spool.close()


class _Folder:
    """The arrays of a folder."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._described = self._read_description()

    def _read_description(self) -> Mapping[str, Any]:
        path = os.path.join(self._path, DESCRIPTION)
        if not os.path.lexists(path):
            return {}
        try:
            found = json.loads(read_small(path, _MOST_DESCRIPTION) or b"")
            if not isinstance(found["order"], list) or not isinstance(found["padmask"], dict | None):
                raise ValueError("the fields have unexpected types")
        except (ValueError, KeyError, TypeError, RecursionError, OSError):
            raise UnreadableError(
                f"{self._name}/{DESCRIPTION} is not valid. Write the folder again, or remove this file.",
                options=["input_format"],
            ) from None
        return dict(found)

    def sizes(self) -> Mapping[str, int]:
        found = [name for name in array_files(self._path) if name != DESCRIPTION]
        sizes = {name: os.stat(os.path.join(self._path, name)).st_size for name in found}
        order = [f"{name}{_SUFFIX}" for name in self._described.get("order", ())]
        missing = next((name for name in order if name not in sizes), None)
        if missing is not None or not sizes:
            what = "contains no npy files" if missing is None else f"lacks the file {missing!r}"
            raise UnreadableError(
                f"{self._name}: the folder {what}. Check that the folder is complete.",
                options=["input_format"],
            )
        ordered = dict.fromkeys([*order, *found])
        return {name.removesuffix(_SUFFIX): sizes[name] for name in ordered}

    def open(self, name: str) -> BinaryIO:
        return open(os.path.join(self._path, name + _SUFFIX), "rb")

    def description(self) -> bytes:
        described = self._described.get("padmask")
        return json.dumps(described).encode() if described else b""


class NpyFolderReader(ArrayReader):
    """Reader for a folder with one npy file for each column."""

    title = "npy"

    def files(self, stack: ExitStack) -> ArrayFiles:
        source = self._source
        if not source.is_folder:
            foreign = foreign_error(source.name, source.path, source.first_bytes(), typed=True)
            raise foreign or UnsupportedError(
                f"{source.name}: the input is a file, not a folder of npy files. Use another --input-format.",
                options=["input_format"],
            )
        return _Folder(source.path, source.name)
