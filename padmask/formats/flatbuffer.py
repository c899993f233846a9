"""Read tables of flatbuffers, the metadata encoding of Arrow IPC, which pyarrow does not expose."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class FlatTable:
    """A table in a flatbuffer. Its methods raise a `struct.error` if the data are too short.

    Args:
        data: the flatbuffer.
        start: position of the table in the data.
    """

    data: bytes
    start: int

    @classmethod
    def root(cls, data: bytes) -> FlatTable:
        """Return the root table of a flatbuffer."""
        return cls(data, struct.unpack_from("<I", data)[0])

    def _place(self, field: int) -> int | None:
        """Return the position of a field; None if the table does not have the field."""
        vtable = self.start - struct.unpack_from("<i", self.data, self.start)[0]
        slot = 4 + 2 * field
        if vtable < 0 or slot >= struct.unpack_from("<H", self.data, vtable)[0]:
            return None
        offset: int = struct.unpack_from("<H", self.data, vtable + slot)[0]
        return self.start + offset if offset else None

    def number(self, field: int, code: str) -> int:
        """Return a number with the `struct` format `code`; 0 if the table does not have the field."""
        place = self._place(field)
        return 0 if place is None else int(struct.unpack_from(f"<{code}", self.data, place)[0])

    def table(self, field: int) -> FlatTable | None:
        """Return a nested table; None if the table does not have the field."""
        place = self._place(field)
        if place is None:
            return None
        return FlatTable(self.data, place + struct.unpack_from("<I", self.data, place)[0])

    def structs(self, field: int, code: str) -> list[tuple[int, ...]]:
        """Return the elements of a vector of structs with the `struct` format `code`."""
        vector = self.table(field)
        if vector is None:
            return []
        size = struct.calcsize(f"<{code}")
        count = struct.unpack_from("<I", self.data, vector.start)[0]
        first = vector.start + 4
        return list(struct.iter_unpack(f"<{code}", self.data[first : first + size * count]))
