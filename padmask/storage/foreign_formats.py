"""Recognize unsupported formats by their first bytes, and suggest a command that converts the file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from padmask.errors import UnsupportedError
from padmask.storage.blank_lines import BLANK


@dataclass(frozen=True)
class ForeignFormat:
    """A format that padmask does not read.

    Args:
        title: name for messages, with an article if one is needed.
        command: command that converts a file, with the placeholders `{file}` and `{base}` (the file without
            its suffix).
        verb: verb for the command in messages, such as `Convert` or `Decompress`.
        magic: possible first bytes of a file in this format.
    """

    title: str
    command: str
    verb: str = "Convert"
    magic: Sequence[bytes] = ()


_BINARY: tuple[ForeignFormat, ...] = (
    ForeignFormat(
        "bzip2 data", "bzip2 -dc {file} > {base}", "Decompress", [b"BZh%d" % n for n in range(1, 10)]
    ),
    ForeignFormat("xz data", "xz -dc {file} > {base}", "Decompress", [b"\xfd7zXZ\0", b"\x5d\0\0\x80\0"]),
    ForeignFormat("lz4 data", "lz4 -dc {file} > {base}", "Decompress", [b"\x04\x22\x4d\x18"]),
    ForeignFormat("a .Z file of the compress tool", "gzip -dc {file} > {base}", "Decompress", [b"\x1f\x9d"]),
    ForeignFormat("a zip archive", "unzip {file}", "Unpack", [b"PK\x03\x04", b"PK\x05\x06"]),
    ForeignFormat("a 7-Zip archive", "7z x {file}", "Unpack", [b"7z\xbc\xaf\x27\x1c"]),
    ForeignFormat(
        "a NumPy array (.npy)",
        'python -c "import json, numpy; [print(json.dumps(dict(input_ids=row.tolist()))) for row in '
        "numpy.load('{file}')]\" > {base}.jsonl",
        magic=[b"\x93NUMPY"],
    ),
    ForeignFormat(
        "Feather version 1",
        "python -c \"import pyarrow.feather as f; f.write_feather(f.read_table('{file}'), '{base}.arrow')\"",
        magic=[b"FEA1"],
    ),
    ForeignFormat(
        "ORC",
        "python -c \"import pyarrow.orc as o, pyarrow.parquet as p; p.write_table(o.read_table('{file}'), "
        "'{base}.parquet')\"",
        magic=[b"ORC"],
    ),
    ForeignFormat(
        "Avro",
        "duckdb -c \"INSTALL avro; LOAD avro; COPY (FROM read_avro('{file}')) TO '{base}.parquet'\"",
        magic=[b"Obj\x01"],
    ),
    ForeignFormat("an HDF5 file", "", magic=[b"\x89HDF\r\n\x1a\n"]),
    ForeignFormat("an SQLite database", "", magic=[b"SQLite format 3\0"]),
    ForeignFormat("a pickle of Python", "", magic=[b"\x80%c" % n for n in range(2, 6)]),
    ForeignFormat(
        "UTF-16 text", "iconv -f UTF-16 -t UTF-8 {file} > {base}.utf8.jsonl", magic=[b"\xff\xfe", b"\xfe\xff"]
    ),
)

# padmask decompresses only text.
_COMPRESSED: tuple[ForeignFormat, ...] = (
    ForeignFormat("gzip data", "gzip -dc {file} > {base}", "Decompress", [b"\x1f\x8b"]),
    ForeignFormat("zstd data", "zstd -dc {file} > {base}", "Decompress", [b"\x28\xb5\x2f\xfd"]),
)

_TAR = ForeignFormat("a tar archive", "tar -xf {file}", "Unpack")

_JSON_ARRAY = ForeignFormat("one JSON array", "jq -c '.[]' {file} > {base}.jsonl")

_JSON_DOCUMENT = ForeignFormat("JSON over several lines", "jq -c . {file} > {base}.jsonl")

# DuckDB reads lists in CSV as text, so the command converts the column of tokens.
_CSV = "duckdb -c \"COPY (SELECT * REPLACE ({column}::INT[] AS {column}) FROM '{file}') TO '{base}.parquet'\""

_CSV_NAMES = re.compile(r'"?[A-Za-z_][\w .-]*"?([,;\t] *"?[A-Za-z_][\w .-]*"?)*\s*')


def recognize(start: bytes, *, typed: bool = False) -> ForeignFormat | None:
    """Return the unsupported format of a file, found from its first bytes; None if no format is recognized.

    >>> recognize(b"BZh91AY&SY").title, recognize(b'input_ids,label\\n"[1, 2]",0\\n').title
    ('bzip2 data', 'CSV')
    >>> recognize(b'{"input_ids": [1]}\\n')

    Args:
        start: first bytes of the decompressed file. Text must end with a complete line.
        typed: whether the input format is Parquet or Arrow. padmask does not decompress such files.
    """
    for format_ in (*_BINARY, *(_COMPRESSED if typed else ())):
        if start.startswith(tuple(format_.magic)):
            return format_
    return _TAR if start[257:262] == b"ustar" else _recognize_text(start)


def _recognize_text(start: bytes) -> ForeignFormat | None:
    first, newline, rest = start.lstrip(BLANK).partition(b"\n")
    first, following = first.strip(BLANK), rest.lstrip(BLANK)
    if first[:1] == b"[":
        return _JSON_ARRAY if _starts_array(first, bool(newline), following) else None
    if first == b"{" and following[:1] == b'"':
        return _JSON_DOCUMENT
    if first[:1] == b"{" and not following:
        return _recognize_object(first)
    return _recognize_csv(first, following)


def _starts_array(line: bytes, ends: bool, following: bytes) -> bool:
    """Return whether a line starts a JSON array of rows, and is not a bad row among good rows."""
    try:
        rows = json.loads(line)
    except (ValueError, RecursionError):
        # The array continues on the next lines, or is longer than the bytes that were read.
        return not ends or line[1:].lstrip()[:1] in (b"", b"{", b"[")
    return bool(rows) and isinstance(rows[0], (dict, list)) and not following


def _recognize_object(line: bytes) -> ForeignFormat | None:
    """Recognize one JSON object that contains all rows as a list of objects in its only field."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or len(found) != 1:
        return None
    [(name, rows)] = found.items()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    # One row of chat messages is a list of objects too, but without lists of tokens.
    if not rows or not any(_is_tokens(value) for value in rows[0].values()):
        return None
    field = name if re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", name) else "FIELD"
    return ForeignFormat(
        "one JSON object with a list of rows", f"jq -c '.{field}[]' {{file}} > {{base}}.jsonl"
    )


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(token, int | float) for token in value)


def _recognize_csv(first: bytes, following: bytes) -> ForeignFormat | None:
    try:
        header = first.decode()
    except UnicodeDecodeError:
        return None
    # A line of words in a JSON Lines file is only a bad row, so check the second line too.
    if not following or following[:1] == b"{" or not _CSV_NAMES.fullmatch(header):
        return None
    separator = next((mark for mark in "\t;," if mark in header), "")
    if following[:1] == b"[" and separator in ("", ","):
        return None
    second = following.partition(b"\n")[0].decode(errors="replace")
    if not separator and not second.startswith('"['):
        return None
    if separator and separator not in second:
        return None
    names = [name.strip(' "') for name in re.split(r"[,;\t]", header)]
    column = next((name for name in ("input_ids", "tokens") if name in names), "COLUMN")
    return ForeignFormat("TSV" if separator == "\t" else "CSV", _CSV.replace("{column}", column))


def foreign_error(name: str, path: str, start: bytes, *, typed: bool = False) -> UnsupportedError | None:
    """Return the error for a file in an unsupported format, found from its first bytes; None for other files.

    >>> str(foreign_error("a.jsonl.xz", "a.jsonl.xz", b"\\xfd7zXZ\\0"))
    'a.jsonl.xz: the file is xz data, which padmask does not read. Decompress it: xz -dc a.jsonl.xz > a.jsonl'

    Args:
        name: name of the input, for messages.
        path: path of the input, for the command.
        start, typed: as in `recognize`.
    """
    found = recognize(start, typed=typed)
    if found is None:
        return None
    # A shell runs the command, so other names would need quotes.
    file = path if re.fullmatch(r"[\w./+=-]+", path) and path != "-" else "FILE"
    base = os.path.splitext(file)[0] if os.path.splitext(file)[1] else f"{file}.out"
    how = found.command.replace("{file}", file).replace("{base}", base)
    remedy = f"{found.verb} it: {how}" if how else "Convert it to Parquet or JSON Lines"
    return UnsupportedError(
        f"{name}: the file is {found.title}, which padmask does not read. {remedy}", options=["input_format"]
    )
