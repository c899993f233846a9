"""Recognize inputs whose format differs from their suffix or from `--input-format`."""

from __future__ import annotations

from padmask.errors import UnsupportedError
from padmask.spec.formats import DEFAULT_FORMAT, FORMATS, FormatTraits
from padmask.storage.foreign_formats import foreign_error
from padmask.storage.source import Source


def other_format_error(
    source: Source, start: bytes, expected: FormatTraits, codec: str | None = None
) -> UnsupportedError | None:
    """Return the error for an input whose first bytes show a format other than `expected`; else None.

    Args:
        source: the input.
        start: first bytes of the input. If `codec` is set, these are the first decompressed bytes.
        expected: the format in which the input is read.
        codec: how the input is compressed, `"gzip"` or `"zstd"`; None if it is not compressed.
    """
    if start.startswith(tuple(expected.magic)):
        return None
    foreign = foreign_error(source.name, source.path, start, typed=not expected.is_text, codec=codec)
    if foreign is not None:
        return foreign
    other = next((traits for traits in FORMATS.values() if start.startswith(tuple(traits.magic))), None)
    if other is None and not expected.is_text and start.lstrip()[:1] == b"{":
        other = DEFAULT_FORMAT
    if other is None:
        return None
    remedy = f"Use the suffix {other.suffixes[0]} or --input-format {other.name}"
    if codec is not None:
        remedy = "Decompress it"
    return UnsupportedError(
        f"{source.name}: the file is {other.title}, not {expected.title}. {remedy}.",
        options=["input_format"],
    )
