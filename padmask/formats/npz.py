"""Write NumPy npz archives: the padded columns, the mask, the lengths, and columns of numbers and bools.

Strings become fixed-width text, so that reading the arrays does not require pickle.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import empty_batch, rows_as_array
from padmask.core.metadata import METADATA_KEY
from padmask.errors import OutputError
from padmask.formats.array_spool import ArraySpool
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.scalar_numbers import Numbers, scalar_numbers

# Maximum size of the comment of a zip archive, in bytes.
MOST_COMMENT = 65_535


def _text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert strings to fixed-width text, or raise an error if a string ends with NUL.

    NumPy pads fixed-width text with NUL, so it cannot store a NUL at the end of a string.
    """
    if any(text.endswith("\0") for text in array.reshape(-1)):
        raise OutputError(
            "A string ends with a NUL character, which NumPy text cannot store. Write Parquet or JSON Lines."
        )
    return array.astype(str)


def why_unsafe(name: str, names: Collection[str]) -> str | None:
    """Return why an array name is unsafe or ambiguous as a file name; None if the name is safe.

    >>> why_unsafe("../ids", ["../ids"])
    'a file with this name could be extracted outside the target folder'
    >>> why_unsafe("ids.npy", ["ids", "ids.npy"])
    "numpy.load cannot distinguish this name from 'ids'"

    Args:
        name: name of the array.
        names: names of all arrays.
    """
    parts = name.split("/")
    leads_out = name.startswith("/") or any(part in ("", ".", "..") for part in parts)
    if leads_out or "\\" in name or not name.isprintable() or re.match("[A-Za-z]:", name):
        return "a file with this name could be extracted outside the target folder"
    if name.endswith(".npy") and name.removesuffix(".npy") in names:
        return f"numpy.load cannot distinguish this name from {name.removesuffix('.npy')!r}"
    return None


@dataclass(frozen=True)
class _Encoded:
    """Rows as arrays.

    Args:
        padded: padded columns, masks and lengths, keyed by name.
        others: for each other column, its numbers, or the reason why an array cannot store the column.
        place: location of the first row, for messages; empty if there are no rows.
    """

    padded: dict[str, npt.NDArray[Any]]
    others: dict[str, Numbers | str] = field(default_factory=dict)
    place: str = ""


class ArrayWriter:
    """Base class of writers that store each column as a NumPy array."""

    # Name of the format, for messages.
    title: ClassVar[str] = "npz"

    def __init__(self, layout: Layout, options: WriterOptions) -> None:
        self._layout, self._notes = layout, options.column_notes
        # Threads read this set while `append` replaces it.
        self._left_out: frozenset[str] = frozenset()
        self._padded, self._late = list(layout.shapes), options.metadata
        for name in self._padded:
            self.refuse_name(name, self._padded)
        self._spool = ArraySpool(options.folder)
        self._others: dict[str, Numbers] = {}
        self._first_place = ""
        # An output without rows still needs a shape and a dtype.
        self.append(self.encode(Batch(empty_batch(layout.schema), "", np.empty(0, np.int64), "row")))

    def refuse_name(self, name: str, names: Collection[str]) -> None:
        """Raise an error if a padded column cannot have this name.

        Raises:
            OutputError: the name is a path outside the target folder, is not a valid file name, or is the
                file name of another array.
        """
        if (why := self.why_unsafe(name, names)) is not None:
            raise OutputError(
                f"{self._layout.name}: {self.title} cannot store a column named {name!r}: {why}. Rename the "
                "column, or write Parquet."
            )

    @staticmethod
    def why_unsafe(name: str, names: Collection[str]) -> str | None:
        """Return why an array name cannot be used; None if the name can be used."""
        return why_unsafe(name, names)

    def encode(self, batch: Batch) -> _Encoded:
        arrays = {
            name: rows_as_array(batch.columns.column(name), shape)
            for name, shape in self._layout.shapes.items()
        }
        padded = {name: _text(array) if array.dtype == object else array for name, array in arrays.items()}
        # A column that was left out once stays left out.
        others = dict(scalar_numbers(batch, {*arrays, *self._left_out}))
        return _Encoded(padded, others, str(batch.place(0)) if len(batch) else "")

    def append(self, encoded: _Encoded) -> None:
        for name, array in encoded.padded.items():
            self._spool.add(name, array)
        for name, found in encoded.others.items():
            self._append_other(name, found)
        for name in self._others.keys() - encoded.others.keys() if encoded.place else ():
            self._leave_out(name, f"null in {encoded.place}")
        self._first_place = self._first_place or encoded.place

    def _append_other(self, name: str, found: Numbers | str) -> None:
        if name in self._left_out:
            return
        known = self._others.get(name)
        if isinstance(found, str):
            self._leave_out(name, found)
        elif known is None and self._first_place:
            self._leave_out(name, f"null in {self._first_place}")
        elif (why := self.why_unsafe(name, [*self._padded, name.removesuffix(".npy")])) is not None:
            self._leave_out(name, why)
        else:
            self._others[name] = found if known is None else known + found
            self._spool.add(name, found.values)

    def _leave_out(self, name: str, why: str) -> None:
        self._notes[name] = why
        self._left_out |= {name}
        self._others.pop(name, None)
        self._spool.drop(name)

    def arrays(self) -> dict[str, np.dtype[Any] | None]:
        """Return the dtype of each array to write, keyed by name; None if the values keep their dtype."""
        found: dict[str, np.dtype[Any] | None] = dict.fromkeys(self._padded)
        for name, numbers in list(self._others.items()):
            dtype = numbers.dtype()
            if isinstance(dtype, str):
                self._leave_out(name, dtype)
            else:
                found[name] = dtype
        return found

    def metadata(self, most: int | None = None) -> bytes:
        """Return the description of the padding, as JSON.

        Args:
            most: maximum size in bytes; None for no maximum. A longer description is returned without the
                row counts that are known only at the end.
        """
        text: bytes = (self._layout.schema.metadata or {}).get(METADATA_KEY, b"")
        late = self._late.get(METADATA_KEY, text)
        return late if most is None or len(late) <= most else text

    def abandon(self) -> None:
        self._spool.close()


class NpzWriter(ArrayWriter):
    """Writer for an uncompressed npz archive, the format of `numpy.savez`.

    The comment of the archive describes the padding.
    """

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        super().__init__(layout, options)
        self._stream = stream
        if len(self.metadata()) > MOST_COMMENT:
            self.abandon()
            raise OutputError(
                f"{layout.name}: the description of {len(layout.shapes)} columns is too long for an npz "
                "archive. Write Parquet."
            )

    def finish(self) -> None:
        arrays = self.arrays()
        with zipfile.ZipFile(self._stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.comment = self.metadata(MOST_COMMENT)
            for name, dtype in arrays.items():
                # The date is fixed, so that the same rows result in the same bytes.
                info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                with archive.open(info, "w", force_zip64=True) as out:
                    self._spool.write(name, out, dtype)
        self._spool.close()
