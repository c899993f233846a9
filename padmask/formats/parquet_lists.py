"""Encode lists of equal length, such as padded rows, as a Parquet column.

For a list column, Arrow encodes two levels for each position, which takes more time than encoding the
values. If all lists have the same length, the levels repeat. In this module, Arrow encodes the values as a
column without lists, and the levels are added to each page.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from padmask.formats.parquet_footer import CHUNK_METADATA, MAGIC, Encoded, split_file
from padmask.formats.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, read_struct, varint, write_struct

# The levels of shorter lists would be larger than those that Arrow encodes.
SHORTEST = 16

# Arrow checks the size of a page after about this number of values.
_STEP = 1 << 10

# Numbers of the PageHeader fields, and of the first DataPageHeader field.
_PAGE_SIZE, _PAGE_COMPRESSED, _PAGE_CHECKSUM, _DATA_PAGE = 2, 3, 4, 5
_PAGE_VALUES = 1

# Numbers of the ColumnMetaData and SizeStatistics fields.
_PATH, _CODEC, _SIZE, _COMPRESSED, _FIRST_PAGE, _LEVEL_COUNTS = 3, 4, 6, 7, 9, 16
_REPETITIONS, _DEFINITIONS = 2, 3

_ZSTD = 6


@dataclass(frozen=True)
class _Levels:
    """The levels of lists of equal length without nulls.

    Args:
        length: number of values in each list.
        deepest: definition level of every value.
    """

    length: int
    deepest: int

    def encode(self, values: int) -> bytes:
        """Return the levels of a page with `values` values, as runs of equal levels."""
        ones = varint((self.length - 1) << 1) + b"\x01"
        repetitions = (varint(1 << 1) + b"\x00" + ones) * (values // self.length)
        definitions = varint(values << 1) + bytes([self.deepest])
        parts = (len(part).to_bytes(4, "little") + part for part in (repetitions, definitions))
        return b"".join(parts)

    def counts(self, values: int) -> Struct:
        """Return a SizeStatistics struct: how often each level occurs in `values` values."""
        lists = values // self.length
        return {
            _REPETITIONS: (LIST, (I64, [lists, values - lists])),
            _DEFINITIONS: (LIST, (I64, [*[0] * self.deepest, values])),
        }


def encode_equal_lists(field: pa.Field, lists: pa.Array) -> Encoded | None:
    """Encode a list column with zstd. Return None if Arrow must encode the column.

    >>> encode_equal_lists(pa.field("ids", pa.list_(pa.int32())), pa.array([[7, 8], [9]])) is None
    True

    Args:
        field: name and type of the column.
        lists: the column. The result is None for nulls, for lists that are short or of different lengths, and
            for values other than integers, floats and bools.
    """
    length = _common_length(lists)
    if length is None:
        return None
    levels = _Levels(length, 1 + field.nullable + field.type.value_field.nullable)
    flat = split_file(_encode_values(lists.flatten(), length))
    pages = _compress(flat.body, levels)
    if pages is None:
        return None
    body, size, first_page = pages
    (chunk,) = flat.chunks
    metadata = chunk[CHUNK_METADATA][1] | {
        _PATH: (LIST, (BINARY, [field.name.encode(), b"list", b"element"])),
        _CODEC: (I32, _ZSTD),
        _SIZE: (I64, size),
        _COMPRESSED: (I64, len(body)),
        _FIRST_PAGE: (I64, len(MAGIC) + first_page),
        _LEVEL_COUNTS: (STRUCT, levels.counts(length * len(lists))),
    }
    chunk = chunk | {CHUNK_METADATA: (STRUCT, metadata)}
    return Encoded(body, [chunk], size, len(lists))


def _common_length(lists: pa.Array) -> int | None:
    """Return the length that all lists have; None if this module cannot encode them."""
    type_ = lists.type
    if not (pat.is_list(type_) or pat.is_large_list(type_)) or not len(lists) or lists.null_count:
        return None
    tokens = type_.value_type
    if not (pat.is_integer(tokens) or pat.is_floating(tokens) or pat.is_boolean(tokens)):
        return None
    lengths = np.diff(lists.offsets.to_numpy())
    length = int(lengths[0])
    if length < SHORTEST or (lengths != length).any() or lists.flatten().null_count:
        return None
    return length


def _encode_values(values: pa.Array, length: int) -> memoryview:
    """Return a Parquet file with the values as a column without lists, without compression.

    Each page contains the values of whole lists. Pages are as large as the pages that Arrow writes for lists.
    """
    schema = pa.schema([pa.field("values", values.type, nullable=False)])
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="none",
        data_page_version="1.0",
        write_batch_size=length * max(1, _STEP // length),
        max_rows_per_page=len(values),
        store_schema=False,
    ) as writer:
        writer.write_table(pa.Table.from_arrays([values], schema=schema), row_group_size=len(values))
    return memoryview(sink.getvalue())


def _compress(pages: memoryview, levels: _Levels) -> tuple[memoryview, int, int] | None:
    """Compress pages, and add levels to data pages.

    Returns:
        The new pages, their size before compression, and the offset of the first data page. None if a page
        ends within a list.
    """
    codec = pa.Codec("zstd")
    out, size, first_page, at = bytearray(), 0, None, 0
    while at < len(pages):
        header, header_size = read_struct(pages[at:])
        at += header_size
        page: bytes | memoryview = pages[at : at + header[_PAGE_SIZE][1]]
        at += len(page)
        if _DATA_PAGE in header:
            values = header[_DATA_PAGE][1][_PAGE_VALUES][1]
            if values % levels.length:
                return None
            first_page = len(out) if first_page is None else first_page
            page = levels.encode(values) + page
        compressed = codec.compress(page)
        start = write_struct(
            header
            | {
                _PAGE_SIZE: (I32, len(page)),
                _PAGE_COMPRESSED: (I32, len(compressed)),
                _PAGE_CHECKSUM: (I32, _checksum(compressed)),
            }
        )
        out += start
        out += memoryview(compressed)
        size += len(start) + len(page)
    return memoryview(out), size, first_page or 0


def _checksum(page: pa.Buffer) -> int:
    """Return the CRC-32 of a page as a signed integer, because Thrift integers are signed."""
    crc = zlib.crc32(page)
    return crc - 2**32 if crc >= 2**31 else crc
