"""Read JSON Lines: one object per line.

The reader splits each line into the JSON text of its values (`msgspec.Raw`). Fields that are not padded
therefore stay unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind
from padmask.errors import AccessError, DataError, Fault, Place, UnreadableError, size
from padmask.formats.contract import HEAD_BYTES, HEAD_ROWS, Batch, Chunk, Wanted
from padmask.formats.jsonl.arrow_parser import parse_columns
from padmask.formats.jsonl.chunk_buffer import ChunkBuffer
from padmask.formats.jsonl.exact_numbers import read_value
from padmask.formats.jsonl.head import Head, value_or_none
from padmask.formats.jsonl.kinds import TokenKinds
from padmask.formats.jsonl.line_faults import line_fault
from padmask.formats.jsonl.tokens import read_sequences
from padmask.formats.other_format import other_format_error
from padmask.spec.formats import DEFAULT_FORMAT
from padmask.storage.blank_lines import BLANK, blank_lines, count_newlines, filled_lines, is_blank
from padmask.storage.decompress import DAMAGED, open_decompressed
from padmask.storage.names import compression_of
from padmask.storage.source import Source
from padmask.storage.system import free_memory

# Size of a chunk in bytes. Larger chunks need more memory, and smaller chunks add overhead.
CHUNK_BYTES = 1 << 20

# Maximum size of the first chunk. padmask parses this chunk several times to find the columns.
FIRST_CHUNK_BYTES = 1 << 19

# Number of parts of a long line to read between two checks of its size. A part is at most one chunk.
LONG_LINE_PARTS = 128

# Memory that parsing a line needs, as a multiple of the size of the line.
LINE_COPIES = 16

# Average size of a line in bytes. If the average is smaller, most lines may be blank.
SHORT_LINE = 16

# Line number. If the first row is on this line or later, the reader keeps chunks in a buffer. Otherwise, the
# reader reads the blank lines before the first row twice.
FAR = 100_000

read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Object = dict[str, msgspec.Raw]


class JsonlReader:
    """Reader for one JSON Lines input."""

    def __init__(self, source: Source, batch_rows: int | None = None) -> None:
        self._source = source
        self._buffer = ChunkBuffer(source.spool_folder)
        self._rest: Iterator[Chunk] | None = None
        self._empty = False

    def schema(self) -> pa.Schema:
        """Return the types of the fields in the first rows. A list field has the type of most rows."""
        return self.head.schema

    @cached_property
    def head(self) -> Head:
        """The fields of the first rows of this input."""
        return Head.of(first_objects([self]))

    def peek(self) -> Iterator[Chunk]:
        """Yield chunks from the start. Keep them for `chunks` if a second read is impossible or slow."""
        if self._rest is None and not self._source.once:
            rest = self._cut()
            first = next(rest, None)
            self._empty = first is None
            if first is None or first.first < FAR:
                yield from (first,) if first else ()
                yield from rest
                return
            self._rest = rest
            self._buffer.add(first)
        self._rest = self._rest or self._cut()
        yield from self._buffer
        for chunk in self._rest:
            self._buffer.add(chunk)
            yield chunk

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self.peek())

    def chunks(self, wanted: Wanted | None = None) -> Iterator[Chunk]:
        """Split the input into chunks of complete lines. A pipe can be read only once."""
        if self._rest is None:
            yield from self._cut()
        elif self._source.once:
            yield from self._buffer.drain()
            yield from self._rest
        else:
            yield from self._far_chunks(self._rest)

    def _far_chunks(self, rest: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yield the chunks of a file that starts with many blank lines.

        If all chunks fit in memory, keep them for the next read.
        """
        self._rest, before = None, self._buffer
        self._buffer = buffer = ChunkBuffer(self._source.spool_folder)
        for chunk in chain(before.drain(), rest):
            if not buffer.is_full:
                buffer.add(chunk)
            yield chunk
        if buffer.is_full:
            buffer.close()
        else:
            self._rest = iter(())

    def _cut(self) -> Iterator[Chunk]:
        if self._empty:
            return
        codec = self._codec()
        with self._source.open() as raw:
            stream: Any = open_decompressed(raw, codec) if codec else raw
            parts: list[bytes] = []
            first, started, known, done = 1, False, False, 0
            path = self._plain_path() if codec is None else None
            # Read only the available bytes of a pipe. Waiting for a full block would delay the output.
            waits = codec is not None or not self._source.once
            read: Callable[[int], bytes] = getattr(stream, "read" if waits else "read1")
            most = min(CHUNK_BYTES, FIRST_CHUNK_BYTES)
            while block := self._read(read, most, first, codec):
                done, most = done + len(block), CHUNK_BYTES
                if not started:
                    block, started = block.removeprefix(b"\xef\xbb\xbf"), True
                if not known and not is_blank(block):
                    known = True
                    self._refuse_other_format(block, codec)
                end = block.rfind(b"\n") + 1
                if not end:
                    # The parts of a long line are joined once, when the line is complete.
                    if any(parts) or not is_blank(block):
                        parts.append(block)
                        self._refuse_endless(len(parts), first)
                    continue
                data = b"".join([*parts, block[:end]])
                parts = [block[end:]]
                blank, end = blank_lines(data)
                first += blank
                data = data[end:]
                if data:
                    start = done - len(parts[0]) - len(data)
                    span = None if path is None else (path, start)
                    yield Chunk(self._source.name, first, data, _tell(raw), span)
                    first += count_newlines(data)
            if any(parts):
                yield Chunk(self._source.name, first, b"".join(parts), _tell(raw))

    def _plain_path(self) -> str | None:
        """Return the path of a local file, which other processes can open; None for other inputs."""
        status = self._source.status()
        if status is None or self._source.path == "-":
            return None
        # A path such as /dev/stdin is another file in each process.
        path = os.path.realpath(self._source.path)
        try:
            return path if os.path.samestat(os.stat(path), status) else None
        except OSError:
            return None

    def _refuse_other_format(self, start: bytes, codec: str | None) -> None:
        """Raise an error if the first bytes show that the input is not JSON Lines.

        Raises:
            UnsupportedError: the input has a different format.
        """
        error = other_format_error(self._source, start, DEFAULT_FORMAT, codec)
        if error is not None:
            raise error

    def _refuse_endless(self, parts: int, line: int) -> None:
        """Raise an error if a line is too long to parse in the free memory."""
        if parts % LONG_LINE_PARTS:
            return
        free = free_memory()
        length = parts * CHUNK_BYTES
        if free is not None and length * LINE_COPIES > free:
            raise UnreadableError(
                f"{self._source.name}, line {line}: the line is longer than {size(length)}, and parsing it "
                f"needs more than the {size(free)} of free memory. Check that the file has one JSON "
                "object per line."
            )

    def _read(self, read: Callable[[int], bytes], most: int, line: int, codec: str | None) -> bytes:
        try:
            return read(most)
        except (OSError, *DAMAGED) as error:
            # Decompression errors have no errno.
            system = isinstance(error, OSError) and (error.errno or codec is None)
            remedy = "Check that the file is complete."
            if not system and not self._source.once and self._source.sniff()[1] != codec:
                remedy = f"The file name suggests {codec}, but the file is not {codec}. Rename the file."
            raise (AccessError if system else UnreadableError)(
                f"{self._source.name}: line {line} and later lines cannot be read: {error}. {remedy}"
            ) from None

    def _codec(self) -> str | None:
        """Return the compression, gzip or zstd, from the suffix or the first bytes; None if uncompressed."""
        return compression_of(self._source.path) or self._source.sniff()[1]

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        return decode_lines(chunk, wanted)

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        lines, numbers = _lines(chunk.data, chunk.first)
        if len(lines) <= rows:
            return chunk, len(lines)
        # Keep the blank lines, so that the line numbers stay correct.
        last = int(numbers[rows - 1]) - chunk.first + 1 if rows else 0
        return replace(chunk, data=b"\n".join(chunk.data.split(b"\n", last)[:last])), rows

    def lacks_end(self) -> bool:
        """Return False. JSON Lines has no end-of-stream marker."""
        return False


def decode_lines(chunk: Chunk, wanted: Wanted) -> Batch:
    """Parse the lines of a chunk, and convert the sequences to columns.

    If all types are known and Arrow can parse all rows, the other fields become columns too, and `objects` of
    the result is None.
    """
    parsed = None if wanted.others is None else parse_columns(chunk.data, wanted)
    if parsed is not None:
        columns, cut = parsed
        numbers = np.arange(chunk.first, chunk.first + len(cut))
        return Batch(columns, chunk.source, numbers, "line", lines=cut)
    lines, numbers = _lines(chunk.data, chunk.first)
    objects, faults = _parse(chunk.data, lines)
    arrays: dict[str, pa.Array] = {}
    bad = {fault.row for fault in faults}
    for name, type_ in zip(wanted.sequences.names, wanted.sequences.types, strict=True):
        texts = [row.get(name) for row in objects]
        array, found = read_sequences(texts, type_, name in wanted.dtype_requested)
        if name in wanted.optional:
            found = [f for f in found if bytes(texts[f.row] or b"null") != b"null"]
        faults += [replace(f, column=name) for f in found if f.row not in bad]
        bad.update(fault.row for fault in found)
        arrays[name] = array
    return Batch(
        pa.RecordBatch.from_arrays(list(arrays.values()), schema=wanted.sequences),
        chunk.source,
        numbers,
        "line",
        objects,
        lines,
        sorted(faults, key=lambda fault: fault.row),
    )


def add_other_columns(batch: Batch, wanted: Wanted) -> Batch:
    """Add columns for the fields that `decode` left as JSON text. Sort all columns as in `wanted.others`.

    Bad rows must be removed before this call, because a field of a bad row may have another type.

    Raises:
        OtherTypesError: `wanted.check` finds rows with other types.
    """
    assert wanted.others is not None
    if batch.objects is None:
        return batch
    have = dict(zip(batch.columns.schema.names, batch.columns.columns, strict=True))
    # A field of type null has no value in any row, or a new column will replace its values.
    fields = [field for field in wanted.others if field.name not in have]
    values = {
        field.name: field_values(batch.objects, field.name, batch.place)
        for field in fields
        if not pa.types.is_null(field.type)
    }
    if wanted.check is not None:
        wanted.check(batch, values)
    made = {
        field.name: pa.array(values[field.name], field.type) if field.name in values else pa.nulls(len(batch))
        for field in fields
    }
    columns = {name: have[name] if name in have else made[name] for name in wanted.others.names} | have
    return replace(
        batch, columns=pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), objects=None
    )


def _tell(raw: BinaryIO) -> int:
    try:
        return raw.tell()
    except (OSError, ValueError):
        return 0


def _lines(data: bytes, first: int) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Return the lines that are not blank, and their line numbers."""
    lines = data.split(b"\n")
    if (len(lines) - 1) * SHORT_LINE > len(data):
        filled, starts, ends = filled_lines(data)
        places = zip(starts.tolist(), ends.tolist(), strict=True)
        return [data[start:end] for start, end in places], filled + first
    numbers = np.arange(first, first + len(lines))
    kept = [i for i, line in enumerate(lines) if line and (line[0] > 32 or line.strip(BLANK))]
    if len(kept) < len(lines):
        lines = [lines[i] for i in kept]
        numbers = numbers[kept]
    return lines, numbers


def line_place(chunk: Chunk, row: int) -> Place:
    """Return the location of a row of a chunk."""
    return Place(chunk.source, "line", int(_lines(chunk.data, chunk.first)[1][row]))


def read_objects(data: bytes) -> list[Object] | None:
    """Parse all lines that are not blank. Return None if a line is not a JSON object.

    >>> [bytes(row["a"]) for row in read_objects(b'{"a": 1}\\n\\n{"a": [2]}\\n')]
    [b'1', b'[2]']
    """
    return _all_objects(data, _lines(data, 1)[0])


def _all_objects(data: bytes, lines: list[bytes]) -> list[Object] | None:
    try:
        # msgspec does not validate the UTF-8 of values that stay Raw.
        data.decode()
        return list(map(read_object, lines))
    except (ValueError, RecursionError):
        return None


def _parse(data: bytes, lines: list[bytes]) -> tuple[list[Object], list[Fault]]:
    """Parse each line. For a line that is not a JSON object, return an empty dict and a `Fault`."""
    all_objects = _all_objects(data, lines)
    if all_objects is not None:
        return all_objects, []
    objects: list[Object] = []
    faults = []
    for i, line in enumerate(lines):
        try:
            line.decode()
            objects.append(read_object(line))
        except (ValueError, RecursionError) as error:
            objects.append({})
            faults.append(Fault(i, *line_fault(line, error), options=("input_format",)))
    return objects, faults


def _good_objects(data: bytes, lines: list[bytes]) -> list[Object]:
    """Parse the lines that are JSON objects, and skip all other lines."""
    found = _all_objects(data, lines)
    if found is None:
        found = []
        for line in lines:
            with suppress(ValueError, RecursionError):
                line.decode()
                found.append(read_object(line))
    return found


def first_objects(readers: Iterable[JsonlReader]) -> list[Object]:
    """Return the first good rows of several inputs, read one after another."""
    rows: list[Object] = []
    seen = 0
    for reader in readers:
        for chunk in reader.peek():
            rows += _good_objects(chunk.data, _lines(chunk.data, chunk.first)[0])
            seen += len(chunk.data)
            # Continue until there is a good row, even after many bad rows.
            if len(rows) >= HEAD_ROWS or (rows and seen >= HEAD_BYTES):
                return rows[:HEAD_ROWS]
    return rows


def first_list_type(objects: Sequence[Object], name: str, kind: Kind | None = None) -> pa.DataType | None:
    """Return the list type of a field in the rows; None if the field contains no tokens.

    Args:
        objects: rows as dicts from keys to JSON text.
        name: name of the field.
        kind: requested kind of token. If None, the kind is detected from the rows.
    """
    values = (value_or_none(row.get(name, b"null")) for row in objects)
    return TokenKinds(value for value in values if isinstance(value, list)).sequence(kind)


def field_values(objects: Sequence[Object], name: str, place: Callable[[int], Place]) -> list[Any]:
    """Return the values of one field. The value is None for rows without the field.

    Raises:
        DataError: a number is out of range, or a value is nested too deeply. The message starts with
            `place(row)`.
    """
    texts = [row.get(name, b"null") for row in objects]
    try:
        values: list[Any] = read_value(b"[" + b",".join(texts) + b"]")
    except (msgspec.DecodeError, RecursionError):
        row = next(row for row, text in enumerate(texts) if _is_unreadable(text))
        raise DataError(
            f"{place(row)}, field {name!r}: a number is too large or too small for float64, or the value is "
            "nested too deeply. Fix the value, or choose JSON Lines as the "
            "output format, which keeps the value unchanged.",
            options=["output_format"],
        ) from None
    return values


def _is_unreadable(text: Any) -> bool:
    try:
        read_value(text)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False
