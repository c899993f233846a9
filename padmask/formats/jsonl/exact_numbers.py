"""Refuse JSON numbers that are too small for float64, because parsers read them as 0."""

from __future__ import annotations

import re
from typing import Any

import msgspec

# The smallest positive float64 is 5e-324. The text of a smaller number has an exponent of three digits, or
# many zeros.
_SMALL = ((b"e-", re.compile(rb"e-\d{3}")), (b"E-", re.compile(rb"E-\d{3}")))

# A number with this many zeros may be too small. `in` is much faster than a regular expression.
_ZEROS = b"0" * 200

_read_plain = msgspec.json.Decoder().decode


def may_vanish(text: bytes) -> bool:
    """Return whether JSON text may contain a number that would be read as 0. The text is not parsed.

    >>> may_vanish(b"[0.0, 1e-05]"), may_vanish(b"[1e-400]")
    (False, True)
    """
    return _ZEROS in text or any(start in text and pattern.search(text) for start, pattern in _SMALL)


def _read_float(text: str) -> float:
    number = float(text)
    if number == 0 and text.lower().split("e")[0].strip("-.0"):
        shown = text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"
        raise ValueError(f"{shown} does not fit float64; no dtype can represent the number")
    return number


_read_exact = msgspec.json.Decoder(float_hook=_read_float).decode


def read_value(text: Any) -> Any:
    """Parse JSON text.

    >>> read_value(b"[0.0, 1e-400]")
    Traceback (most recent call last):
        ...
    msgspec.ValidationError: 1e-400 does not fit float64; no dtype can represent the number - at `$[1]`

    Raises:
        msgspec.ValidationError: a number is too large or too small for float64.
        msgspec.DecodeError: the text is not JSON.
        RecursionError: the value is nested too deeply.
    """
    return (_read_exact if may_vanish(bytes(text)) else _read_plain)(text)


def vanishing_number(error: Exception) -> str:
    """Return the message for a number that is too small, or an empty string for any other parse error.

    >>> try:
    ...     read_value(b"[[0.5, 1e-400]]")
    ... except msgspec.DecodeError as error:
    ...     vanishing_number(error)
    'position 0: in the vector: 1e-400 does not fit float64; no dtype can represent the number'
    """
    reason, found, path = str(error).partition(" - at `$[")
    if "does not fit float64" not in reason or not found:
        return ""
    position, _, inner = path.rstrip("`]").partition("][")
    return f"position {position}: {'in the vector: ' if inner else ''}{reason}"
