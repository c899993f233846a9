"""Collect the rows of NumPy arrays in a temporary file, and write each array as npy data.

Arrays arrive in blocks of rows, but an npy file starts with the number of rows and the dtype of all rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class _Block:
    """Consecutive rows of an array: their offset in the temporary file, their shape and their dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass
class ArraySpool:
    """Arrays whose rows are still being added. One unnamed temporary file contains the blocks of all arrays.

    >>> import io
    >>> spool = ArraySpool("/tmp")
    >>> spool.add("x", np.array([1, 2]))
    >>> spool.add("x", np.array([3]))
    >>> out = io.BytesIO()
    >>> spool.write("x", out)
    >>> _ = out.seek(0)
    >>> np.load(out).tolist()
    [1, 2, 3]
    >>> spool.close()

    Args:
        folder: folder for the temporary file.
    """

    folder: str
    _blocks: dict[str, list[_Block]] = field(default_factory=dict)
    _end: int = 0

    def __post_init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="padmask-", dir=self.folder)  # noqa: SIM115

    def __contains__(self, name: str) -> bool:
        return name in self._blocks

    def add(self, name: str, array: npt.NDArray[Any]) -> None:
        """Append rows to an array. The blocks of an array may have different dtypes."""
        blocks = self._blocks.setdefault(name, [])
        if not len(array) and blocks:
            return
        blocks.append(_Block(self._end, array.shape, array.dtype))
        as_bytes = array.size == 0 or array.dtype.kind == "U"
        self._file.write(array.tobytes() if as_bytes else np.ascontiguousarray(array).data)
        self._end += array.nbytes

    def drop(self, name: str) -> None:
        """Discard the rows of an array."""
        self._blocks.pop(name, None)

    def write(self, name: str, out: Any, dtype: npt.DTypeLike | None = None) -> None:
        """Write all rows of an array as npy data.

        Args:
            name: name of the array.
            out: stream to write to.
            dtype: dtype of the array. By default, the smallest dtype that holds the values of all blocks. A
                text dtype is as wide as the longest text.
        """
        blocks = self._blocks[name]
        # An empty block determines the dtype only if there are no rows.
        filled = [block for block in blocks if block.shape[0]] or blocks
        target = np.dtype(dtype) if dtype is not None else np.result_type(*(block.dtype for block in filled))
        rows = sum(block.shape[0] for block in blocks)
        header = {"descr": np.lib.format.dtype_to_descr(target), "fortran_order": False}
        np.lib.format.write_array_header_2_0(out, header | {"shape": (rows, *blocks[0].shape[1:])})
        for block in blocks:
            for data in self._read(block):
                out.write(data if block.dtype == target else _cast(data, block.dtype, target))

    def _read(self, block: _Block) -> Iterable[bytes]:
        """Yield the bytes of a block in pieces that contain only complete values."""
        size = block.dtype.itemsize
        left = int(np.prod(block.shape, dtype=np.int64)) * size
        self._file.seek(block.offset)
        while left:
            data = self._file.read(min(left, max(1, _COPY_BYTES // size) * size))
            left -= len(data)
            yield data

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


def _cast(data: bytes, old: np.dtype[Any], new: np.dtype[Any]) -> bytes:
    return np.frombuffer(data, dtype=old).astype(new).tobytes()
