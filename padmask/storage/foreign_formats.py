"""Recognize unsupported formats by their first bytes, and suggest a command that converts the file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from padmask.errors import UnsupportedError
from padmask.storage.blank_lines import BLANK
from padmask.storage.urls import display_path

# Number of bytes to read from a file to recognize its format.
_START_BYTES = 1 << 16


@dataclass(frozen=True)
class ForeignFormat:
    """A format that padmask does not read.

    Args:
        title: name for messages, with an article if one is needed.
        command: command that converts a file, with the placeholders `{file}` and `{base}` (the file without
            its suffix).
        verb: verb for the command in messages, such as `Convert` or `Decompress`.
        magic: possible first bytes of a file in this format.
        remedy: what to do if there is no command.
        lead: sentences before the command. If empty, the verb stands before the command.
    """

    title: str
    command: str
    verb: str = "Convert"
    magic: Sequence[bytes] = ()
    remedy: str = "Convert it to Parquet or JSON Lines"
    lead: str = ""


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
    ForeignFormat("Snappy data", "", magic=[b"\xff\x06\0\0sNaPpY"], remedy="Decompress it"),
    ForeignFormat("encrypted Parquet", "", magic=[b"PARE"], remedy="Decrypt it"),
    ForeignFormat(
        "a Git LFS pointer",
        "git lfs pull --include {file}",
        "Replace",
        [b"version https://git-lfs.github.com/spec/"],
    ),
    ForeignFormat("an HDF5 file", "", magic=[b"\x89HDF\r\n\x1a\n"]),
    ForeignFormat("an SQLite database", "", magic=[b"SQLite format 3\0"]),
    ForeignFormat("a Python pickle", "", magic=[b"\x80%c" % n for n in range(2, 6)]),
    ForeignFormat(
        "UTF-32 text",
        "iconv -f UTF-32 -t UTF-8 {file} > {base}.utf8.jsonl",
        magic=[b"\xff\xfe\0\0", b"\0\0\xfe\xff"],
    ),
    ForeignFormat(
        "UTF-16 text", "iconv -f UTF-16 -t UTF-8 {file} > {base}.utf8.jsonl", magic=[b"\xff\xfe", b"\xfe\xff"]
    ),
    # Without a byte order mark, the command must name the byte order.
    ForeignFormat(
        "UTF-16 text", "iconv -f UTF-16LE -t UTF-8 {file} > {base}.utf8.jsonl", magic=[b"{\0", b"[\0"]
    ),
    ForeignFormat(
        "UTF-16 text", "iconv -f UTF-16BE -t UTF-8 {file} > {base}.utf8.jsonl", magic=[b"\0{", b"\0["]
    ),
)

# padmask decompresses only text.
_COMPRESSED: tuple[ForeignFormat, ...] = (
    ForeignFormat("gzip data", "gzip -dc {file} > {base}", "Decompress", [b"\x1f\x8b"]),
    ForeignFormat("zstd data", "zstd -dc {file} > {base}", "Decompress", [b"\x28\xb5\x2f\xfd"]),
)

_TAR = ForeignFormat("a tar archive", "tar -xf {file}", "Unpack")

_SAFETENSORS = ForeignFormat("SafeTensors", "")

_TFRECORD = ForeignFormat("TFRecord", "")

_MARKUP = ForeignFormat(
    "an HTML or XML page", "", remedy="It may be the error page of a failed download: download the data again"
)

# First bytes of a page, in lower case.
_MARKUP_STARTS = (b"<!doctype html", b"<html", b"<?xml")

_JSON_ARRAY = ForeignFormat("one JSON array", "jq -c '.[]' {file} > {base}.jsonl")

_JSON_DOCUMENT = ForeignFormat("JSON over several lines", "jq -c . {file} > {base}.jsonl")

# DuckDB reads lists in CSV as text, so the command converts the column of tokens.
_CSV = "duckdb -c \"COPY (SELECT * REPLACE ({column}::INT[] AS {column}) FROM '{file}') TO '{base}.parquet'\""

# Makes one row for each series, from lines with one step each. `{lines}` is the file, or a query that numbers
# the lines of the file.
_CSV_STEPS = (
    'duckdb -c "COPY (SELECT {key}, list({value} ORDER BY {order}) AS {column} FROM {lines} GROUP BY {key} '
    "ORDER BY {key}) TO '{base}.parquet'\""
)

_NUMBERED_LINES = "(SELECT *, row_number() OVER () AS line FROM '{file}')"

# Names of columns that give the order of the steps.
_ORDERS = ("time", "timestamp", "datetime", "date", "step", "index", "position")

_CSV_SUFFIX = re.compile(r"\.(csv|tsv)(\.gz|\.zst)?$", re.IGNORECASE)

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
    if _is_npz(start):
        return None
    for format_ in (*_BINARY, *(_COMPRESSED if typed else ())):
        if start.startswith(tuple(format_.magic)):
            return format_
    if start[257:262] == b"ustar":
        return _TAR
    # Both formats start with a length of 8 bytes.
    if start[5:8] == bytes(3) and start[8:10] == b'{"':
        return _SAFETENSORS
    if start[5:8] == bytes(3) and start[12:13] == b"\n":
        return _TFRECORD
    return _recognize_text(start)


def _is_npz(start: bytes) -> bool:
    """Return whether a zip archive starts with a NumPy array. padmask reads such archives."""
    # A zip entry has the length of its file name at byte 26, and the name at byte 30.
    name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
    return start.startswith(b"PK\x03\x04") and name.endswith(b".npy")


def _recognize_text(start: bytes) -> ForeignFormat | None:
    first, newline, rest = start.lstrip(BLANK).partition(b"\n")
    if first[:14].lower().startswith(_MARKUP_STARTS):
        return _MARKUP
    first, following = first.strip(BLANK), rest.lstrip(BLANK)
    if first[:1] == b"[":
        return _JSON_ARRAY if _starts_array(first, bool(newline), following) else None
    if first == b"{" and following[:1] == b'"':
        return _JSON_DOCUMENT
    if first[:1] == b"{" and not following:
        return _recognize_object(first)
    return _recognize_csv(first, following)


def _starts_array(line: bytes, ends: bool, following: bytes) -> bool:
    """Return whether a file is a JSON array of rows, not JSON Lines.

    Args:
        line: first line of the file.
        ends: whether a newline ends the line.
        following: bytes that follow the line.
    """
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
    return _csv(header, second)


def _csv(header: str, second: str) -> ForeignFormat:
    """Return the format of a CSV file, with the command for its columns.

    Args:
        header: first line, with the names of the columns.
        second: second line. If its values are numbers, the command combines the lines of each series.
    """
    title = "TSV" if "\t" in header else "CSV"
    names, values = ([cell.strip(' "\r') for cell in re.split(r"[,;\t]", line)] for line in (header, second))
    steps = _group_steps(dict(zip(names, values, strict=False))) if len(names) == len(values) else None
    if steps is not None:
        lead = (
            "If each line is one step of a series, combine the lines of each series into one row, as "
            "docs/series.md describes"
        )
        return ForeignFormat(title, steps, lead=lead)
    column = next((name for name in ("input_ids", "tokens") if name in names), "COLUMN")
    return ForeignFormat(title, _CSV.replace("{column}", column))


def _group_steps(cells: Mapping[str, str]) -> str | None:
    """Return the command that combines the steps of each series; None if the values are not numbers.

    Args:
        cells: values of one line, as text, keyed by column name.
    """
    names = [name for name in cells if re.fullmatch(r"[A-Za-z_]\w*", name)]
    key = next((name for name in names if re.search("(?i)(^|_)id$", name)), next(iter(names), None))
    order = next((name for name in names if name.lower() in _ORDERS and name != key), None)
    values = [name for name in names if name not in (key, order)]
    if key is None or not values or not all(_is_number(cells[name]) for name in values):
        return None
    several = len(values) > 1
    parts = {
        "key": key,
        "value": f"[{', '.join(values)}]::FLOAT[]" if several else values[0],
        "order": order or "line",
        "column": "features" if several else values[0],
        "lines": "'{file}'" if order else _NUMBERED_LINES,
    }
    return re.sub(r"\{(key|value|order|column|lines)\}", lambda part: parts[part[1]], _CSV_STEPS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# Command that writes the decompressed data of a file, by codec.
_DECOMPRESS = {"gzip": "gzip -dc {file} > {base}", "zstd": "zstd -dc {file} > {base}"}


def foreign_error(
    name: str, path: str, start: bytes, *, typed: bool = False, codec: str | None = None
) -> UnsupportedError | None:
    """Return the error for a file in an unsupported format, found from its first bytes; None for other files.

    >>> str(foreign_error("a.jsonl.xz", "a.jsonl.xz", b"\\xfd7zXZ\\0"))
    'a.jsonl.xz: the file is xz data, which padmask does not read. Decompress it: xz -dc a.jsonl.xz > a.jsonl'

    Args:
        name: name of the input, for messages.
        path: path of the input, for the command.
        start, typed: as in `recognize`.
        codec: how the file is compressed, `"gzip"` or `"zstd"`; None if it is not compressed.
    """
    found = recognize(start, typed=typed or codec is not None)
    if found is None and not typed and _CSV_SUFFIX.search(path) and start[:1] not in (b"{", b""):
        header, second = [*start.decode(errors="replace").split("\n", 2), ""][:2]
        found = _csv(header, second)
    if found is None:
        return None
    # A shell runs the command, so other names would need quotes.
    file = path if re.fullmatch(r"[\w./+=-]+", path) and path != "-" else "FILE"
    title, before = found.title, ""
    if codec is not None:
        before, file = _command(_DECOMPRESS[codec], file)
        title, before = f"{title} compressed with {codec}", f"{before} && "
    how, _ = _command(found.command, file)
    verb = f"Decompress and {found.verb.lower()}" if codec and found.verb != "Decompress" else found.verb
    remedy = f"{found.lead or f'{verb} it'}: {before}{how}" if how else found.remedy
    return UnsupportedError(
        f"{name}: the file is {title}, which padmask does not read. {remedy}", options=["input_format"]
    )


def how_to_convert(path: str) -> str:
    """Return sentences that say how to convert or rename a local file of an unknown format."""
    start = b""
    # Opening a pipe would block.
    if os.path.isfile(path):
        with suppress(OSError), open(path, "rb") as file:
            start = file.read(_START_BYTES)
    complete = start[: start.rfind(b"\n") + 1] or start
    error = foreign_error(display_path(path), path, complete)
    formats = (
        "Check the names: data files end in .jsonl (or .jsonl.gz, .jsonl.zst), .parquet, .arrow or .npz."
    )
    return formats if error is None else f"{error}"


def _command(template: str, file: str) -> tuple[str, str]:
    """Return the command for a file, and the name of the file that the command writes.

    >>> _command("jq -c '.[]' {file} > {base}.jsonl", "rows.jsonl")
    ("jq -c '.[]' rows.jsonl > rows.converted.jsonl", 'rows.converted.jsonl')
    """
    base = os.path.splitext(file)[0] if os.path.splitext(file)[1] else f"{file}.out"
    _, _, output = template.rpartition("{base}")
    suffix = re.match(r"[\w.]*", output)
    # A command must not overwrite its own input.
    if suffix is not None and base + suffix.group() == file:
        base = f"{base}.converted"
    written = base + (suffix.group() if suffix else "")
    return template.replace("{file}", file).replace("{base}", base), written
