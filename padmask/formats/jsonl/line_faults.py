"""Describe the error in a line that is not a JSON object."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

# The parts of JSON that matter here: strings, brackets, commas, colons, and words without quotes.
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[-+]?[A-Za-z_]+(?![\w.])')

# Old Mac files end lines with a carriage return alone.
_RETURN_BETWEEN = re.compile(rb"\}[ \t]*\r\s*\{")

# Words that other programs write but JSON does not support, with the JSON word to write instead.
_NUMBERS = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity"}

_JSON_WORDS = {"None": "null", "True": "true", "False": "false", "undefined": "null", "NULL": "null"}


def line_fault(line: bytes, error: Exception) -> tuple[str, str | None]:
    """Return a description of the error in a line, and the field with the error (None if unknown).

    >>> line_fault(b'{"ids": [1], "score": NaN}', msgspec.DecodeError("invalid character (byte 23)"))
    ('NaN is not a JSON value; write a number or null', 'score')

    Args:
        line: text of the line.
        error: error of the parser.
    """
    if isinstance(error, UnicodeDecodeError):
        return (
            f"byte {error.start} is not valid UTF-8; convert the file to UTF-8, for example with iconv",
            None,
        )
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply", None
    if isinstance(error, msgspec.ValidationError):
        found = str(error).split("got ")[-1].strip("`")
        hint = (
            "; if the file is one JSON array, convert it to lines with jq -c '.[]'"
            if line[:1] == b"["
            else ""
        )
        return f"expected a JSON object, found a JSON {found}{hint}", None
    if _RETURN_BETWEEN.search(line):
        return (
            "the line has a carriage return between two objects; convert the line ends with tr '\\r' '\\n'",
            None,
        )
    word = _foreign_word(line.decode())
    if word is not None:
        return word
    if "truncated" in str(error):
        return "the JSON is incomplete, or contains half a surrogate pair; the file may be truncated", None
    if "trailing characters" in str(error):
        return "the line has more text after its JSON object; write each object on a separate line", None
    return f"the line is not a JSON object: {str(error).removeprefix('JSON is malformed: ')}", None


def _foreign_word(line: str) -> tuple[str, str | None] | None:
    """Describe the first word that is not valid in JSON, such as NaN, and return the name of its field."""
    for word, field, position, in_list in _words(line):
        where = "" if position is None else f"position {position}: "
        sign, bare = ("-" if word[0] == "-" else ""), word.lstrip("+-")
        if (number := _NUMBERS.get(bare.lower())) is not None:
            shown = word if number == bare else f"{word} ({sign if number == 'Infinity' else ''}{number})"
            # In a list of tokens, null is an error too.
            allowed = "a number" if in_list else "a number or null"
            return f"{where}{shown} is not a JSON value; write {allowed}", field
        if bare in _JSON_WORDS:
            return f"{where}{word} is not a JSON value; write {_JSON_WORDS[bare]}", field
    return None


def _words(line: str) -> Iterator[tuple[str, str | None, int | None, bool]]:
    """Yield each unquoted word of a line, its field, its position in a list, and whether it is in a list.

    The field is None before the first field. The position is None if the word is not in a flat list.
    """
    opened: list[str] = []
    field, last, position = None, "", 0
    for part in _PARTS.findall(line):
        if part in "{[":
            opened.append(part)
            position = 0
        elif part in "]}":
            opened = opened[:-1]
        elif part == ":" and len(opened) == 1:
            field = last
        elif part == ",":
            position += len(opened) == 2
        elif part[0] == '"':
            last = _text(part)
        else:
            yield part, field, position if opened == ["{", "["] else None, "[" in opened


def _text(quoted: str) -> str:
    try:
        return str(msgspec.json.decode(quoted.encode()))
    except (ValueError, msgspec.DecodeError):
        return quoted.strip('"')
