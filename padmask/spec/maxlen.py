"""The forms of `maxlen`: a number, `"longest"`, or a percentile such as `"p95"`."""

from __future__ import annotations

import re
from fractions import Fraction

_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,6})?)")


def percentile_of(maxlen: int | str) -> str | None:
    """Return the percentile in `maxlen` as a decimal string; None if `maxlen` is not a percentile.

    >>> percentile_of("p99.9"), percentile_of(128), percentile_of("longest")
    ('99.9', None, None)
    """
    found = _PERCENTILE.fullmatch(maxlen) if isinstance(maxlen, str) else None
    return found[1] if found else None


def percentile_hint(text: str) -> str:
    """Return a question for an error message if `text` looks like a percentile; else an empty string.

    >>> percentile_hint("95%"), percentile_hint("0.995"), percentile_hint("long")
    (" Did you mean 'p95'?", " Did you mean 'p99.5'?", '')
    """
    found = re.fullmatch(r"(?:0?(\.[0-9]{1,6})|([0-9]{1,2}(?:\.[0-9]{1,6})?) ?%)", text)
    if not found:
        return ""
    percent = Fraction(found[1]) * 100 if found[1] else Fraction(found[2])
    return f" Did you mean 'p{float(percent):g}'?"


def parse_maxlen(text: str) -> int | str:
    """Convert the text of `--maxlen` to a value for `PadSpec`.

    >>> parse_maxlen("128"), parse_maxlen("p95")
    (128, 'p95')
    """
    # int() would also accept '1_000' and ' 12 '.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
