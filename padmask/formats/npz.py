"""Write NumPy npz archives with the padded columns, the mask and the lengths as plain arrays.

The comment of the archive is the description of the padding, as in the metadata of Parquet files.

The writer first writes each array to a temporary file, because an archive is written one array at a time.
Strings become fixed-width text, so that reading the arrays does not require pickle.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import empty_batch, rows_as_array
from padmask.core.metadata import METADATA_KEY
from padmask.errors import OutputError
from padmask.formats.contract import Batch, Layout, WriterOptions

_COPY_BYTES = 1 << 20


@dataclass
class _Member:
    """An incomplete array. A temporary file contains blocks of rows, which may have different dtypes."""

    file: IO[bytes]
    blocks: list[tuple[tuple[int, ...], np.dtype[Any]]] = field(default_factory=list)

    def add(self, array: npt.NDArray[Any]) -> None:
        self.blocks.append((array.shape, array.dtype))
        self.file.write(
            np.ascontiguousarray(array).data if array.size and array.dtype.kind != "U" else array.tobytes()
        )

    def write(self, out: Any) -> None:
        """Write all rows as one npy array. A text dtype is as wide as the longest text in all blocks."""
        dtype = np.result_type(*(dtype for _, dtype in self.blocks))
        rows = sum(shape[0] for shape, _ in self.blocks)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        np.lib.format.write_array_header_2_0(out, header | {"shape": (rows, *self.blocks[0][0][1:])})
        self.file.seek(0)
        if all(block == dtype for _, block in self.blocks):
            shutil.copyfileobj(self.file, out, _COPY_BYTES)
            return
        for shape, block in self.blocks:
            data = self.file.read(int(np.prod(shape)) * block.itemsize)
            out.write(np.frombuffer(data, dtype=block).astype(dtype).tobytes())


def _text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert strings to fixed-width text. NumPy pads this text with NUL, so a final NUL would be lost."""
    if any(text.endswith("\0") for text in array.reshape(-1)):
        raise OutputError(
            "A string ends with a NUL character, which NumPy text cannot store. Write Parquet or JSON Lines."
        )
    return array.astype(str)


def refuse_unsafe_names(names: Collection[str], output: str) -> None:
    """Raise an error for an array name that is unsafe or ambiguous as a file name in an archive.

    >>> refuse_unsafe_names(["../ids"], "out.npz")
    Traceback (most recent call last):
        ...
    padmask.errors.OutputError: out.npz: npz cannot store a column named '../ids': ...

    Raises:
        OutputError: a name leads out of the extraction folder, is not a valid file name, or is the file name
            of another array.
    """
    for name in names:
        parts = name.split("/")
        leads_out = name.startswith("/") or any(part in ("", ".", "..") for part in parts)
        if leads_out or "\\" in name or not name.isprintable() or re.match("[A-Za-z]:", name):
            why = "a file with this name could be extracted outside the target folder"
        elif name.endswith(".npy") and name.removesuffix(".npy") in names:
            why = f"numpy.load cannot distinguish this name from {name.removesuffix('.npy')!r}"
        else:
            continue
        raise OutputError(
            f"{output}: npz cannot store a column named {name!r}: {why}. Rename the column, or write Parquet."
        )


class NpzWriter:
    """Writer for an uncompressed npz archive, the format of `numpy.savez`."""

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        self._stream = stream
        self._layout = layout
        refuse_unsafe_names([*layout.shapes, *layout.copies], layout.name)
        # These files have no name, and are deleted when they are closed.
        self._members = {
            name: _Member(tempfile.TemporaryFile(prefix="padmask-", dir=options.folder))  # noqa: SIM115
            for name in [*layout.shapes, *layout.copies]
        }
        # An output without rows still needs a shape and a dtype.
        self.append(self.encode(Batch(empty_batch(layout.schema), "", np.empty(0, np.int64), "row")))

    def encode(self, batch: Batch) -> dict[str, npt.NDArray[Any]]:
        arrays = {
            name: rows_as_array(batch.columns.column(name), shape)
            for name, shape in self._layout.shapes.items()
        }
        arrays |= {copy: arrays[name] for copy, name in self._layout.copies.items()}
        return {name: _text(array) if array.dtype == object else array for name, array in arrays.items()}

    def append(self, encoded: dict[str, npt.NDArray[Any]]) -> None:
        for name, array in encoded.items():
            if len(array) or not self._members[name].blocks:
                self._members[name].add(array)

    def abandon(self) -> None:
        for member in self._members.values():
            member.file.close()

    def finish(self) -> None:
        with zipfile.ZipFile(self._stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            description = (self._layout.schema.metadata or {}).get(METADATA_KEY, b"")
            # A longer comment would be truncated, and would no longer be valid JSON.
            archive.comment = description if len(description) <= zipfile.ZIP_MAX_COMMENT else b""
            for name, member in self._members.items():
                # The date is fixed, so that the same rows result in the same bytes.
                info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                with archive.open(info, "w", force_zip64=True) as out, member.file:
                    member.write(out)
