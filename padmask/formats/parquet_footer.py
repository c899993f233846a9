"""Join Parquet column chunks into one file. The chunks were encoded in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import SEEK_END
from typing import Any, BinaryIO

from padmask.formats.thrift import I64, LIST, STRUCT, Struct, read_struct, write_struct

MAGIC = b"PAR1"

# Size of the largest footer from which the numbers of values are read, in bytes. Reading such a footer takes
# about 0.4 s.
LARGEST_FOOTER = 1 << 20

# Numbers of the FileMetaData, RowGroup, ColumnChunk and ColumnMetaData fields that this module changes.
_FILE_ROWS, _FILE_GROUPS = 3, 4

_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_START, _GROUP_COMPRESSED = 1, 2, 3, 5, 6

_CHUNK_START, CHUNK_METADATA = 2, 3

_COLUMN_PATH, _COLUMN_VALUES = 3, 5

_PAGE_STARTS = (9, 10, 11)


@dataclass(frozen=True)
class Encoded:
    """An encoded column of a row group.

    Args:
        body: bytes of the column chunks.
        chunks: ColumnChunk structs. Their offsets assume that `body` directly follows the magic bytes at the
            start of a file.
        size: size in bytes before compression.
        rows: number of rows in the row group.
    """

    body: memoryview
    chunks: Sequence[Struct]
    size: int
    rows: int


def read_footer(file: memoryview) -> tuple[Struct, int]:
    """Return the FileMetaData struct of a file, and its offset in the file."""
    end = len(file) - len(MAGIC) - 4
    start = end - int.from_bytes(file[end : end + 4], "little")
    return read_struct(file[start:end])[0], start


def read_value_counts(file: BinaryIO) -> tuple[dict[str, int], ...]:
    """Return a dict for each row group: the number of values in each column, keyed by column path.

    The numbers are not read with pyarrow, which aborts the process if the footer is broken. Column chunks
    without metadata are left out. The result is empty if the footer is larger than `LARGEST_FOOTER`, or has
    parts that this module cannot read.

    Args:
        file: a Parquet file that pyarrow can open.
    """
    tail = len(MAGIC) + 4
    start = file.seek(-tail, SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    if length > LARGEST_FOOTER:
        return ()
    file.seek(start - length)
    return _value_counts(file.read(length + tail))


@lru_cache(4)  # a file is opened for each pass and for each of its shards
def _value_counts(footer: bytes) -> tuple[dict[str, int], ...]:
    try:
        return tuple(map(_column_values, _items(read_footer(memoryview(footer))[0], _FILE_GROUPS)))
    except (LookupError, TypeError, ValueError, AssertionError):
        return ()


def _column_values(group: Struct) -> dict[str, int]:
    chunks = _items(group, _GROUP_COLUMNS)
    columns = [chunk[CHUNK_METADATA][1] for chunk in chunks if CHUNK_METADATA in chunk]
    return {b".".join(_items(column, _COLUMN_PATH)).decode(): column[_COLUMN_VALUES][1] for column in columns}


def split_file(file: memoryview) -> Encoded:
    """Return the column chunks of a file with one row group."""
    footer, end = read_footer(file)
    (group,) = _items(footer, _FILE_GROUPS)
    size, rows = group[_GROUP_BYTES][1], group[_GROUP_ROWS][1]
    return Encoded(file[len(MAGIC) : end], _items(group, _GROUP_COLUMNS), size, rows)


def join_group(columns: Sequence[Encoded], start: int) -> Struct:
    """Return the RowGroup struct for column chunks that are written one after another from offset `start`."""
    offset, chunks = start, []
    for column in columns:
        chunks += [_moved(chunk, offset - len(MAGIC)) for chunk in column.chunks]
        offset += len(column.body)
    return {
        _GROUP_COLUMNS: (LIST, (STRUCT, chunks)),
        _GROUP_BYTES: (I64, sum(column.size for column in columns)),
        _GROUP_ROWS: (I64, columns[0].rows),
        _GROUP_START: (I64, start),
        _GROUP_COMPRESSED: (I64, offset - start),
    }


def write_footer(template: Struct, groups: Sequence[Struct]) -> bytes:
    """Return the end of a file: the footer, its length and the magic bytes.

    Args:
        template: footer of a file without rows.
        groups: RowGroup structs of the file.
    """
    rows = sum(group[_GROUP_ROWS][1] for group in groups)
    footer = template | {_FILE_ROWS: (I64, rows), _FILE_GROUPS: (LIST, (STRUCT, list(groups)))}
    out = write_struct(footer)
    return out + len(out).to_bytes(4, "little") + MAGIC


def _items(struct: Struct, field: int) -> list[Any]:
    items: list[Any] = struct[field][1][1]
    return items


def _moved(chunk: Struct, by: int) -> Struct:
    """Return a copy of a ColumnChunk struct in which `by` is added to each offset other than 0."""
    metadata = chunk[CHUNK_METADATA][1]
    metadata = metadata | {
        field: (I64, metadata[field][1] + by) for field in _PAGE_STARTS if metadata.get(field, (0, 0))[1]
    }
    moved = chunk | {CHUNK_METADATA: (STRUCT, metadata)}
    if chunk[_CHUNK_START][1]:
        moved[_CHUNK_START] = (I64, chunk[_CHUNK_START][1] + by)
    return moved
