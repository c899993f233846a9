"""JSON Lines: one object a line.

Reads each line into the text of its values (msgspec's `Raw`), so that untouched fields
keep every byte, and turns token lists into Arrow without a Python object a token where
they are plain. Writes rectangles with orjson, which formats NumPy arrays directly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.types as pat

from padmask.errors import (
    AccessError,
    DataError,
    Fault,
    OutputError,
    SpecError,
    UnreadableError,
    size,
)
from padmask.formats.batch import HEAD_BYTES, HEAD_ROWS, Batch, Chunk, Layout, Wanted, rectangle
from padmask.formats.blanklines import BLANK, blank_lines, filled_lines, is_blank
from padmask.formats.held import Held
from padmask.formats.jsonkinds import TokenKinds, value_type
from padmask.formats.jsontokens import read_sequences
from padmask.formats.listing import COMPRESSIONS, compression_of
from padmask.formats.source import Source
from padmask.machine import free_memory
from padmask.ragged import Kind, Ragged, is_sequence, plain, storage, to_numpy

# Bytes of lines worked on at a time: enough to keep per-chunk costs small, little enough
# for the rows of a chunk to stay in the cache.
CHUNK_BYTES = 1 << 18

# How often a long line is looked at, in chunks, and how many times over memory must hold it.
LONG_LINE_PARTS = 256
LINE_COPIES = 16

# Where lines are shorter than this on average, in bytes, most of them may be blank.
SHORT_LINE = 16
# A first row on a line like this: the blank lines before it are not read once more to find it.
FAR = 100_000

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_value = msgspec.json.Decoder().decode
_write_rows = msgspec.json.Encoder().encode_lines
_write_value = msgspec.json.Encoder().encode

Object = dict[str, msgspec.Raw]


class JsonlReader:
    """Reads one source of JSON Lines."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._head: pa.Schema | None = None
        self._kinds: dict[str, TokenKinds] = {}
        self._held = Held(source.spool_folder)
        self._rest: Iterator[Chunk] | None = None
        self._empty = False

    def schema(self) -> pa.Schema:
        """Return the types of the first rows' fields; what most rows of a list field hold is its type."""
        if self._head is None:
            fields: dict[str, list[Any]] = {}
            for row in self._head_objects():
                for name, raw in row.items():
                    fields.setdefault(name, []).append(_value_or_none(raw))
            self._kinds = {
                name: TokenKinds(value for value in values if isinstance(value, list))
                for name, values in fields.items()
            }
            self._head = pa.schema(
                [(name, _head_type(values, self._kinds[name])) for name, values in fields.items()]
            )
        return self._head

    def sequence_type(self, name: str, kind: Kind | None) -> pa.DataType | None:
        """Return the list type of a field's tokens as far as the first rows show them; else None.

        Args:
            name: of the field.
            kind: what the tokens shall be; None goes by the rows.
        """
        self.schema()
        return self._kinds[name].sequence(kind) if name in self._kinds else None

    def _head_objects(self) -> list[Object]:
        rows: list[Object] = []
        seen = 0
        for chunk in self._peek():
            rows += _good_objects(chunk.data, _lines(chunk.data, chunk.first)[0])
            seen += len(chunk.data)
            # However much is bad before it, one good row is waited for.
            if len(rows) >= HEAD_ROWS or (rows and seen >= HEAD_BYTES):
                break
        return rows[:HEAD_ROWS]

    def _peek(self) -> Iterator[Chunk]:
        """Give the chunks from the start; what cannot be read again, or not soon, is held for `chunks`."""
        if self._rest is None and not self._source.once:
            rest = self._cut()
            first = next(rest, None)
            self._empty = first is None
            if first is None or first.first < FAR:
                yield from (first,) if first else ()
                yield from rest
                return
            self._rest = rest
            self._held.add(first)
        self._rest = self._rest or self._cut()
        yield from self._held
        for chunk in self._rest:
            self._held.add(chunk)
            yield chunk

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        return (self.decode(chunk, wanted) for chunk in self._peek())

    def chunks(self, wanted: Wanted | None = None) -> Iterator[Chunk]:
        """Give the input in pieces of whole lines; a pipe's once only."""
        if self._rest is None:
            yield from self._cut()
        elif self._source.once:
            yield from self._held.take()
            yield from self._rest
        else:
            yield from self._far_chunks(self._rest)

    def _far_chunks(self, rest: Iterator[Chunk]) -> Iterator[Chunk]:
        """Give the chunks of a file whose first row comes late, and hold them again where they are few."""
        self._rest, before = None, self._held
        self._held = kept = Held(self._source.spool_folder)
        for chunk in chain(before.take(), rest):
            if not kept.is_full:
                kept.add(chunk)
            yield chunk
        if kept.is_full:
            kept.close()
        else:
            self._rest = iter(())

    def _cut(self) -> Iterator[Chunk]:
        if self._empty:
            return
        codec = self._codec()
        with self._source.open() as raw:
            stream: Any = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec) if codec else raw
            parts: list[bytes] = []
            first, started = 1, False
            # Of a pipe, what there is: waiting for a full block would hold up who writes slowly.
            waits = codec is not None or not self._source.once
            read: Callable[[int], bytes] = getattr(stream, "read" if waits else "read1")
            while block := self._read(read, first, codec):
                if not started:
                    block, started = block.removeprefix(b"\xef\xbb\xbf"), True
                end = block.rfind(b"\n") + 1
                if not end:
                    # A long line: its parts are joined once, when its end is there.
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
                    yield Chunk(self._source.name, first, data, _tell(raw))
                    first += data.count(b"\n")
            if any(parts):
                yield Chunk(self._source.name, first, b"".join(parts), _tell(raw))

    def _refuse_endless(self, parts: int, line: int) -> None:
        """Refuse a line that memory cannot hold several times over, as reading it takes."""
        if parts % LONG_LINE_PARTS:
            return
        free = free_memory()
        length = parts * CHUNK_BYTES
        if free is not None and length * LINE_COPIES > free:
            raise UnreadableError(
                f"{self._source.name}, line {line}: longer than {size(length)}, which does not fit into the "
                f"{size(free)} of free memory. Is this JSON Lines, with an object a line?"
            )

    def _read(self, read: Callable[[int], bytes], line: int, codec: str | None) -> bytes:
        try:
            return read(CHUNK_BYTES)
        except (OSError, EOFError) as error:
            # What takes compressed bytes apart has no error number of the system's.
            system = isinstance(error, OSError) and (error.errno or codec is None)
            raise (AccessError if system else UnreadableError)(
                f"{self._source.name}: cannot be read on from line {line}: {error}. Is the file whole?"
            ) from None

    def _codec(self) -> str | None:
        """Return gzip or zstd, told by suffix or first bytes."""
        found = compression_of(self._source.path) or self._source.sniff()
        return found if found in COMPRESSIONS.values() else None

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        lines, numbers = _lines(chunk.data, chunk.first)
        objects, faults = _parse(chunk.data, lines)
        arrays: dict[str, pa.Array] = {}
        bad = {fault.row for fault in faults}
        for name, type_ in zip(wanted.sequences.names, wanted.sequences.types, strict=True):
            array, found = read_sequences([row.get(name) for row in objects], type_, name in wanted.whole)
            faults += [Fault(f.row, f"column {name!r}: {f.reason}") for f in found if f.row not in bad]
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

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        lines, numbers = _lines(chunk.data, chunk.first)
        if len(lines) <= rows:
            return chunk, len(lines)
        # Blank lines stay, so that the numbers stay right.
        last = int(numbers[rows - 1]) - chunk.first + 1 if rows else 0
        return replace(chunk, data=b"\n".join(chunk.data.split(b"\n", last)[:last])), rows

    def warnings(self) -> list[str]:
        """Nothing: what is wrong with such a file is an error."""
        return []


def complete(batch: Batch, others: pa.Schema) -> Batch:
    """Return a batch of JSON rows with all its fields as columns, in the order of `others`.

    Not done in `decode`, since only rows that will be written must go with the types.
    """
    assert batch.objects is not None
    have = dict(zip(batch.columns.schema.names, batch.columns.columns, strict=True))
    columns = {
        field.name: have[field.name]
        if field.name in have
        else pa.array(values_of(batch.objects, field.name, batch.place), type=field.type)
        for field in others
    }
    columns |= {name: array for name, array in have.items() if name not in columns}
    return replace(batch, columns=pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))


def _tell(raw: BinaryIO) -> int:
    try:
        return raw.tell()
    except (OSError, ValueError):
        return 0


def _lines(data: bytes, first: int) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Split into lines and their numbers, without the blank ones."""
    if data.count(b"\n") * SHORT_LINE > len(data):
        filled, starts, ends = filled_lines(data)
        places = zip(starts.tolist(), ends.tolist(), strict=True)
        return [data[start:end] for start, end in places], filled + first
    lines = data.split(b"\n")
    numbers = np.arange(first, first + len(lines))
    kept = [i for i, line in enumerate(lines) if line and (line[0] > 32 or line.strip(BLANK))]
    if len(kept) < len(lines):
        lines = [lines[i] for i in kept]
        numbers = numbers[kept]
    return lines, numbers


def line_place(chunk: Chunk, row: int) -> str:
    """Say where a row of a chunk stands."""
    return f"{chunk.source}, line {_lines(chunk.data, chunk.first)[1][row]}"


def read_objects(data: bytes) -> list[Object] | None:
    """Return the object of each line that is not blank; None where a line is none.

    >>> [bytes(row["a"]) for row in read_objects(b'{"a": 1}\\n\\n{"a": [2]}\\n')]
    [b'1', b'[2]']
    """
    return _all_objects(data, _lines(data, 1)[0])


def _all_objects(data: bytes, lines: list[bytes]) -> list[Object] | None:
    try:
        # msgspec does not look at the characters of text that it passes on.
        data.decode()
        return list(map(_read_object, lines))
    except (ValueError, RecursionError):
        return None


def _parse(data: bytes, lines: list[bytes]) -> tuple[list[Object], list[Fault]]:
    """Read each line's object; of a line that is none, an empty object and the fault."""
    all_objects = _all_objects(data, lines)
    if all_objects is not None:
        return all_objects, []
    objects, faults = [], []
    for i, (row, fault) in enumerate(_objects(lines)):
        objects.append(row)
        if fault is not None:
            faults.append(Fault(i, fault))
    return objects, faults


def _good_objects(data: bytes, lines: list[bytes]) -> list[Object]:
    """Read each line's object, but for lines that are none."""
    found = _all_objects(data, lines)
    if found is None:
        found = []
        for line in lines:
            with suppress(ValueError, RecursionError):
                line.decode()
                found.append(_read_object(line))
    return found


def _objects(lines: list[bytes]) -> Iterator[tuple[Object, str | None]]:
    for line in lines:
        try:
            line.decode()
            yield _read_object(line), None
        except (ValueError, RecursionError) as error:
            yield {}, _what_is_wrong(line, error)


def _what_is_wrong(line: bytes, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}; convert the file to UTF-8, with iconv for example"
    if isinstance(error, RecursionError):
        return "nested too deeply to be read"
    if isinstance(error, msgspec.ValidationError):
        said = str(error).split("got ")[-1].strip("`")
        hint = (
            "; if the file is one JSON array, make lines of it with jq -c '.[]'" if line[:1] == b"[" else ""
        )
        return f"the line holds a JSON {said} where an object belongs{hint}"
    if "truncated" in str(error):
        return (
            "the line ends in the middle of its JSON (the file may be cut off) or holds half a surrogate pair"
        )
    return f"the line is no JSON object: {str(error).removeprefix('JSON is malformed: ')}"


def first_type(objects: Sequence[Object], name: str, kind: Kind | None = None) -> pa.DataType | None:
    """Return the list type that a field's rows show; None where they hold no token.

    Args:
        objects: the rows.
        name: of the field.
        kind: what the tokens shall be; None goes by the rows.
    """
    values = (_value_or_none(row.get(name, b"null")) for row in objects)
    return TokenKinds(value for value in values if isinstance(value, list)).sequence(kind)


def _value_or_none(text: Any) -> Any:
    try:
        return _read_value(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def values_of(objects: Sequence[Object], name: str, place: Callable[[int], str]) -> list[Any]:
    """Return one field of all rows as Python values, None where it is missing.

    Raises:
        DataError: a number or a nesting is beyond what Python reads; `place` says of a row where it is.
    """
    texts = [row.get(name, b"null") for row in objects]
    try:
        values: list[Any] = _read_value(b"[" + b",".join(texts) + b"]")
    except (msgspec.DecodeError, RecursionError):
        row = next(i for i, text in enumerate(texts) if text != b"null" and _value_or_none(text) is None)
        raise DataError(
            f"{place(row)}, field {name!r}: a number or a nesting beyond what a column can hold. "
            "Mend it, or write JSON Lines, which keeps it as it is."
        ) from None
    return values


def _head_type(values: list[Any], kinds: TokenKinds) -> pa.DataType:
    """Return a type for a field by its rows or its first value: enough to choose columns by."""
    if any(isinstance(value, list) for value in values):
        return kinds.list_type() or pa.list_(pa.null())
    first = next((value for value in values if value is not None), None)
    return pa.null() if first is None else value_type(first)


class JsonlWriter:
    """Writes objects, a row each."""

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._stream = stream
        twice = {name for name, times in Counter(layout.schema.names).items() if times > 1}
        if twice:
            raise SpecError(
                f"There are several columns named {min(twice)!r}, and an object's keys are unique: "
                "rename all but one."
            )
        self._shapes, self._ragged = layout.shapes, layout.ragged
        self._masks: dict[tuple[int, bytes], bytes] = {}

    def encode(self, batch: Batch) -> bytes:
        """Return the rows as lines; fields that were read from JSON keep their text."""
        texts: dict[str, list[Any]] = {}
        for name, column in zip(batch.columns.schema.names, batch.columns.columns, strict=True):
            shape = self._shapes.get(name, ())
            if _has_nonfinite(column):
                raise _no_json(name, batch, column)
            try:
                texts[name] = self._texts(name, column, shape)
            except (ValueError, OverflowError, pa.ArrowException):
                raise _no_json(name, batch, column) from None
        if batch.objects is not None:
            rows: list[dict[str, Any]] = list(batch.objects)
            for name, column_texts in texts.items():
                for row, text in zip(rows, column_texts, strict=True):
                    row[name] = text
        else:
            rows = [dict(zip(texts, values, strict=True)) for values in zip(*texts.values(), strict=True)]
        return write_objects(rows)

    def append(self, piece: bytes) -> None:
        self._stream.write(piece)

    def finish(self) -> None:
        """Nothing comes last in JSON Lines."""

    def abandon(self) -> None:
        """Nothing is held back that would have to be thrown away."""

    def _lists(self, column: pa.Array, shape: tuple[int, ...]) -> list[Any]:
        """Return the text of a padded column or a mask, a row each."""
        values = rectangle(column, shape)
        if values.size == 0 or values.dtype == object:
            return _plain_values(column)
        if values.dtype == bool:
            return self._mask_texts(values)
        text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
        opening, closing = b"[" * (values.ndim - 1), b"]" * (values.ndim - 1)
        rows = text[values.ndim : -values.ndim].split(closing + b"," + opening)
        return [msgspec.Raw(opening + row + closing) for row in rows]

    def _texts(self, name: str, column: pa.Array, shape: tuple[int, ...]) -> list[Any]:
        """Return what stands for a column's values, a row each."""
        if name in self._ragged:
            return self._sequences(column)
        return self._lists(column, shape) if shape else _plain_values(column)

    def _sequences(self, column: pa.Array) -> list[Any]:
        """Return the text of sequences of any lengths, a row each; floats as short as in padded columns."""
        if not is_sequence(column.type):
            return _plain_values(column)
        rows, faults = Ragged.from_arrow(column)
        if faults or rows.values.dtype.kind not in "iuf" or rows.values.dtype.itemsize < 4:
            return _plain_values(column)
        ends = rows.starts + rows.lengths
        return [
            msgspec.Raw(orjson.dumps(rows.values[start:end], option=orjson.OPT_SERIALIZE_NUMPY))
            for start, end in zip(rows.starts.tolist(), ends.tolist(), strict=True)
        ]

    def _mask_texts(self, mask: npt.NDArray[np.bool_]) -> list[msgspec.Raw]:
        """Format each mask once: there are hardly more of them than lengths."""
        rows, width = mask.shape
        packed = np.packbits(mask, axis=1)
        keys, step = packed.tobytes(), packed.shape[1]
        texts = []
        for row in range(rows):
            key = (width, keys[row * step : (row + 1) * step])
            text = self._masks.get(key)
            if text is None:
                if len(self._masks) * width > 1 << 22:
                    self._masks.clear()
                text = orjson.dumps(mask[row], option=orjson.OPT_SERIALIZE_NUMPY)
                self._masks[key] = text
            texts.append(msgspec.Raw(text))
        return texts


def write_objects(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return objects as lines; text that was read from JSON is written as it is.

    Raises:
        OutputError: a value of a type that JSON does not have.
    """
    try:
        return _write_rows(rows)
    except TypeError as error:
        raise OutputError(f"A column holds what JSON cannot say: {error}. Write Parquet or Arrow.") from None


def _no_json(name: str, batch: Batch, column: pa.Array) -> OutputError:
    row = next((row for row in range(len(column)) if not _is_sayable(column.slice(row, 1))), 0)
    what = "NaN or infinity" if _has_nonfinite(column.slice(row, 1)) else f"a {column.type}"
    return OutputError(
        f"{batch.place(row)}: column {name!r} holds {what}, which JSON cannot say. "
        "Write Parquet or Arrow, or mend the data."
    )


def _is_sayable(value: pa.Array) -> bool:
    """Tell whether an array of one value can be said in JSON: times may be beyond those of Python."""
    try:
        return bool(_write_value(_plain_values(value))) and not _has_nonfinite(value)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return False


def _plain_values(column: pa.Array) -> list[Any]:
    """Return values that msgspec writes: times finer than Python's become text."""
    column = plain(column)
    sayable = _sayable(column.type)
    values: list[Any] = (column if sayable.equals(column.type) else column.cast(sayable)).to_pylist()
    return values


def _sayable(type_: pa.DataType) -> pa.DataType:
    """Return the type with strings in place of times that are finer than Python's."""
    type_ = storage(type_)
    if getattr(type_, "unit", None) == "ns":
        return pa.string()
    if pat.is_struct(type_):
        return pa.struct([field.with_type(_sayable(field.type)) for field in type_])
    if pat.is_list(type_) or pat.is_large_list(type_):
        return pa.list_(type_.value_field.with_type(_sayable(type_.value_type)))
    if pat.is_fixed_size_list(type_):
        return pa.list_(type_.value_field.with_type(_sayable(type_.value_type)), type_.list_size)
    return type_


def _holds_floats(type_: pa.DataType) -> bool:
    """Tell whether there are floats anywhere in a type."""
    type_ = storage(type_)
    inner = [type_.field(i).type for i in range(type_.num_fields)]
    return bool(pat.is_floating(type_)) or any(map(_holds_floats, inner))


def _has_nonfinite(column: pa.Array) -> bool:
    """Tell whether there is a NaN or an infinity, which msgspec would write as null."""
    if not _holds_floats(column.type):
        return False
    column = plain(column)
    if pat.is_floating(column.type):
        return not bool(np.isfinite(to_numpy(column.drop_null())).all())
    if pat.is_struct(column.type):
        return any(map(_has_nonfinite, column.flatten()))
    if hasattr(column, "flatten") and not pat.is_map(column.type):
        return _has_nonfinite(column.flatten())
    return _nonfinite_within(column.to_pylist())


def _nonfinite_within(value: Any) -> bool:
    """The slow way, for maps, unions and what else Arrow has."""
    if isinstance(value, float):
        return not math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(map(_nonfinite_within, parts))


def reject_line(batch: Batch, row: int, reason: str) -> bytes:
    """Return the line that `--rejects` receives for a row: all of it, and why.

    The row stands under `row` where it is JSON, else under `text`, or `bytes` where it is not UTF-8.
    """
    unit = "line" if batch.unit == "line" else "row_number"
    # Names of files need not be Unicode.
    source, reason = (text.encode(errors="backslashreplace").decode() for text in (batch.source, reason))
    out: dict[str, Any] = {"source": source, unit: int(batch.numbers[row]), "reason": reason}
    if batch.lines is None:
        record = batch.columns.slice(row, 1)
        out["row"] = {
            name: _plain_values(column)[0] if _is_sayable(column) else column.to_string(skip_new_lines=True)
            for name, column in zip(record.schema.names, record.columns, strict=True)
        }
    else:
        line = batch.lines[row]
        try:
            _read_object(line)
            line.decode()
            out["row"] = msgspec.Raw(line.strip(BLANK))
        except (ValueError, RecursionError):
            try:
                out["text"] = line.decode()
            except UnicodeDecodeError:
                out["bytes"] = list(line)
    return _write_value(out) + b"\n"
