"""Encode lists of equal length, such as padded rows, as a Parquet column.

For a list column, Arrow encodes two levels for each position, which takes more time than encoding the
values. If all lists have the same length, the levels repeat. Therefore, Arrow encodes the values as a column
without lists, and this module adds the levels to each page. Bools are not encoded, because Arrow and Parquet
store them as the same bits.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from padmask.formats.parquet_footer import CHUNK_METADATA, MAGIC, Encoded, split_file
from padmask.formats.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, read_struct, varint, write_struct

# Minimum length of the lists. The levels of shorter lists would be larger than the levels that Arrow writes.
SHORTEST = 16

# Arrow checks the size of a page after about this number of values.
_STEP = 1 << 10

# Maximum number of bools in a page, about the size of the pages that Arrow writes.
_PAGE_BOOLS = 8 << 20

# Numbers of the PageHeader and DataPageHeader fields.
_PAGE_SIZE, _PAGE_COMPRESSED, _PAGE_CHECKSUM, _DATA_PAGE = 2, 3, 4, 5
_PAGE_VALUES, _PAGE_STATISTICS = 1, 5

# Numbers of the ColumnMetaData, PageEncodingStats and SizeStatistics fields.
_PATH, _CODEC, _VALUES, _SIZE, _COMPRESSED, _FIRST_PAGE = 3, 4, 5, 6, 7, 9
_PAGE_ENCODINGS, _LEVEL_COUNTS = 13, 16
_PAGES = 3
_REPETITIONS, _DEFINITIONS = 2, 3

_ZSTD = 6

# The PageHeader struct and the content of a page.
Page = tuple[Struct, memoryview]


@dataclass(frozen=True)
class _Levels:
    """The repetition and definition levels of a column whose lists have equal lengths and no nulls.

    Args:
        length: number of values in each list.
        deepest: definition level, which is the same for all values.
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
    """Encode a list column with zstd. Return None if this module cannot encode the column.

    >>> encode_equal_lists(pa.field("ids", pa.list_(pa.int32())), pa.array([[7, 8], [9]])) is None
    True

    Args:
        field: name and type of the column.
        lists: the column. The result is None if a list or a value is null, if the lists are short or have
            different lengths, or if the values are not integers, floats or bools.
    """
    length = _common_length(lists)
    if length is None:
        return None
    levels = _Levels(length, 1 + field.nullable + field.type.value_field.nullable)
    values = lists.flatten()
    if pat.is_boolean(values.type) and values.offset % 8 == 0:
        chunk, flat = _encode_bools(values, length)
    else:
        chunk, flat = _encode_values(values, length)
    pages = _compress(flat, levels)
    if pages is None:
        return None
    body, size, first_page = pages
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


def _encode_values(values: pa.Array, length: int) -> tuple[Struct, Iterable[Page]]:
    """Encode values as an uncompressed column without lists.

    Each page contains the values of whole lists. Pages are as large as the pages that Arrow writes for lists.

    Returns:
        The ColumnChunk struct and the pages.
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
    file = split_file(memoryview(sink.getvalue()))
    return file.chunks[0], _split_pages(file.body)


def _split_pages(pages: memoryview) -> Iterator[Page]:
    """Yield the header and the content of each page of a column chunk."""
    at = 0
    while at < len(pages):
        header, size = read_struct(pages[at:])
        at += size
        page = pages[at : at + header[_PAGE_SIZE][1]]
        at += len(page)
        yield header, page


def _encode_bools(bools: pa.BooleanArray, length: int) -> tuple[Struct, Iterable[Page]]:
    """Encode bools. The result has the same parts as the result of `_encode_values`.

    The pages contain the bits of the Arrow array. To obtain the statistics and a page header, Arrow encodes a
    short array with each value that occurs in `bools` (False, True, or both).
    """
    kinds = [value for value, found in ((False, bools.false_count), (True, bools.true_count)) if found]
    chunk, [(header, _)] = _encode_values(pa.array(kinds), len(kinds))
    # Each page starts with a new list and a new byte.
    step = math.lcm(length, 8)
    step *= max(1, _PAGE_BOOLS // step)
    pages = []
    for start in range(0, len(bools), step):
        page = bools[start : start + step]
        data = {key: value for key, value in header[_DATA_PAGE][1].items() if key != _PAGE_STATISTICS}
        data[_PAGE_VALUES] = (I32, len(page))
        pages.append((header | {_DATA_PAGE: (STRUCT, data)}, _bits(page)))
    (encoding,) = chunk[CHUNK_METADATA][1][_PAGE_ENCODINGS][1][1]
    metadata = chunk[CHUNK_METADATA][1] | {
        _VALUES: (I64, len(bools)),
        _PAGE_ENCODINGS: (LIST, (STRUCT, [encoding | {_PAGES: (I32, len(pages))}])),
    }
    return chunk | {CHUNK_METADATA: (STRUCT, metadata)}, pages


def _bits(bools: pa.BooleanArray) -> memoryview:
    """Return the bits of `bools`, which must start at a byte boundary. Bits after the last bool are 0."""
    start, size = bools.offset // 8, len(bools)
    bits = memoryview(bools.buffers()[1])[start : start + (size + 7) // 8].cast("B")
    if size % 8 == 0:
        return bits
    last = bits[-1] & ((1 << size % 8) - 1)
    return memoryview(bytes(bits[:-1]) + bytes([last]))


def _compress(pages: Iterable[Page], levels: _Levels) -> tuple[memoryview, int, int] | None:
    """Compress pages, and add levels to data pages.

    Returns:
        The new pages, their size before compression, and the offset of the first data page. None if a page
        ends within a list.
    """
    codec = pa.Codec("zstd")
    out, size, first_page = bytearray(), 0, None
    for header, content in pages:
        page: bytes | memoryview = content
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
