"""The table of file formats: what other modules must know of each.

A new format is one entry here and one module that reads and writes its files. The table names the classes as
text, so that `--help` loads none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FormatTraits:
    """A file format.

    Args:
        name: as options take it.
        title: name in sentences.
        suffixes: of file names; files that padmask names get the first one.
        magic: the first bytes of a file are one of these.
        reader: `"module:class"` of its `Reader`; None where padmask does not read the format.
        writer: `"module:class"` of its `Writer`; None where padmask does not write the format.
        row_groups: `"module:function"` that returns the bytes of each row group of a source, where large
            files can be cut between row groups: the reader reads `Source.groups`. None where they cannot.
        holds: `"module:function"` that returns whether a file can hold the values of an array; None for a
            format that only holds padded columns.
        is_text: whether rows are JSON Lines: a value has no type before all rows are known, passes to another
            such file as text, and files may be compressed.
        needs_types: whether a writer needs the types of all columns before the first row.
        keeps_others: whether a file can hold the columns that are not padded.
        is_ragged: whether a file can hold rows of different lengths.
        length_column: name of the kept lengths, where every file holds them.
        bool_bytes: bytes of a bool, before compression.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...] = ()
    reader: str | None = None
    writer: str | None = None
    row_groups: str | None = None
    holds: str | None = None
    is_text: bool = False
    needs_types: bool = True
    keeps_others: bool = True
    is_ragged: bool = True
    length_column: str | None = None
    bool_bytes: float = 1 / 8


_JSON_LINES = FormatTraits(
    name="jsonl",
    title="JSON Lines",
    suffixes=(".jsonl", ".ndjson", ".json"),
    reader="padmask.formats.jsonl.reader:JsonlReader",
    writer="padmask.formats.jsonl.writer:JsonlWriter",
    holds="padmask.formats.jsonl.writer:fits_json",
    is_text=True,
    needs_types=False,
)

# In the order in which options and messages list them.
FORMATS: dict[str, FormatTraits] = {
    traits.name: traits
    for traits in (
        _JSON_LINES,
        FormatTraits(
            name="parquet",
            title="Parquet",
            suffixes=(".parquet", ".pq"),
            magic=(b"PAR1",),
            reader="padmask.formats.parquet:ParquetReader",
            writer="padmask.formats.parquet:ParquetWriter",
            row_groups="padmask.formats.parquet:group_sizes",
            holds="padmask.formats.parquet:fits_parquet",
        ),
        FormatTraits(
            name="arrow",
            title="Arrow",
            suffixes=(".arrow", ".feather", ".ipc"),
            magic=(b"ARROW1", b"\xff\xff\xff\xff"),
            reader="padmask.formats.arrow:ArrowReader",
            writer="padmask.formats.arrow:ArrowWriter",
            holds="padmask.formats.arrow:fits_arrow",
        ),
        FormatTraits(
            name="npz",
            title="npz",
            suffixes=(".npz",),
            writer="padmask.formats.npz:NpzWriter",
            needs_types=False,
            keeps_others=False,
            is_ragged=False,
            length_column="length",
            bool_bytes=1,
        ),
    )
}

# The format of pipes, and of files that no name and no magic number tells.
DEFAULT_FORMAT = _JSON_LINES


def names_of(formats: Iterable[FormatTraits]) -> list[str]:
    """Return the names of formats, as options take them.

    >>> names_of(input_formats())
    ['jsonl', 'parquet', 'arrow']
    """
    return [traits.name for traits in formats]


def input_formats() -> list[FormatTraits]:
    """Return the formats that padmask reads."""
    return [traits for traits in FORMATS.values() if traits.reader is not None]


def output_formats() -> list[FormatTraits]:
    """Return the formats that padmask writes."""
    return [traits for traits in FORMATS.values() if traits.writer is not None]


def ragged_formats() -> list[FormatTraits]:
    """Return the formats that padmask writes and that can hold rows of different lengths."""
    return [traits for traits in output_formats() if traits.is_ragged]
