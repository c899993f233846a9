"""The supported file formats and their properties.

To add a format, add an entry here and a module with its reader and writer. The entries contain class paths as
text, so that `--help` does not import the classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FormatTraits:
    """The properties of a file format.

    Args:
        name: name of the format in options, such as `jsonl`.
        title: name of the format in messages, such as `JSON Lines`.
        suffixes: file name suffixes. Files that padmask creates in a folder get the first suffix.
        unsure_suffixes: suffixes that settings files also have. In a folder, a file with such a suffix
            counts as data only if there are no other data files.
        magic: byte strings that files of this format start with; empty if the first bytes are not fixed.
        reader: `"module:class"` of the reader; None if padmask does not read the format.
        writer: `"module:class"` of the writer; None if padmask does not write the format.
        row_groups: `"module:function"` of a function that returns the size of each row group in bytes; None
            if files of this format cannot be split.
        holds: `"module:function"` of a function that returns whether a file can store the values of an array.
            Messages use the function to suggest another format. None for a format that is never suggested.
        is_text: whether rows are JSON text. In such formats, the type of a field is unknown until all rows
            are read, fields are copied to other JSON files as text, and files may be compressed.
        needs_types: whether the writer needs the types of all columns before the first row.
        keeps: `"module:function"` of a function that checks the type of a column that is not padded. The
            function returns the name of the type if a file cannot store the column, else None. If a file can
            store all columns, `keeps` is None.
        describe: `"module:function"` of a function that converts the writer's notes on columns to warnings
            and remarks for the summary; None if the writer has no notes.
        has_metadata: whether a file stores the metadata of the schema, such as class label names.
        is_ragged: whether a file can contain rows of different lengths.
        length_column: default name of the length column, which every file of this format has. None if the
            format does not require a length column.
        bool_bytes: size of a bool in bytes, before compression.
        package: optional Python package that the writer needs; None if the writer needs no optional package.
        extra: extra of padmask that installs the package.
        is_folder: whether a dataset of this format is a folder of files with fixed names, not one file.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    unsure_suffixes: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    reader: str | None = None
    writer: str | None = None
    row_groups: str | None = None
    holds: str | None = None
    is_text: bool = False
    needs_types: bool = True
    keeps: str | None = None
    describe: str | None = None
    has_metadata: bool = True
    is_ragged: bool = True
    length_column: str | None = None
    bool_bytes: float = 1 / 8
    package: str | None = None
    extra: str = ""
    is_folder: bool = False

    @property
    def shown_suffix(self) -> str:
        """The usual suffix of outputs, with a slash if the output is a folder."""
        return self.suffixes[0] + ("/" if self.is_folder else "")


_JSON_LINES = FormatTraits(
    name="jsonl",
    title="JSON Lines",
    suffixes=(".jsonl", ".ndjson", ".json"),
    unsure_suffixes=(".json",),
    reader="padmask.formats.jsonl.reader:JsonlReader",
    writer="padmask.formats.jsonl.writer:JsonlWriter",
    holds="padmask.formats.jsonl.writer:fits_json",
    is_text=True,
    needs_types=False,
    has_metadata=False,
)

# Options and messages list the formats in this order.
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
            magic=(b"PK\x03\x04", b"PK\x05\x06"),
            reader="padmask.formats.npz_reader:NpzReader",
            writer="padmask.formats.npz:NpzWriter",
            needs_types=False,
            keeps="padmask.formats.scalar_numbers:why_no_number",
            describe="padmask.formats.scalar_numbers:describe_left_out",
            has_metadata=False,
            is_ragged=False,
            length_column="length",
            bool_bytes=1,
        ),
        FormatTraits(
            name="npy",
            title="npy",
            suffixes=(".npy",),
            reader="padmask.formats.npy_folder:NpyFolderReader",
            writer="padmask.formats.npy_folder:NpyFolderWriter",
            needs_types=False,
            keeps="padmask.formats.scalar_numbers:why_no_number",
            describe="padmask.formats.scalar_numbers:describe_left_out",
            has_metadata=False,
            is_ragged=False,
            length_column="length",
            bool_bytes=1,
            is_folder=True,
        ),
        FormatTraits(
            name="tfrecord",
            title="TFRecord",
            suffixes=(".tfrecord", ".tfrecords"),
            writer="padmask.formats.tfrecord:TFRecordWriter",
            keeps="padmask.formats.tf_features:why_no_feature",
            describe="padmask.formats.tf_features:describe_features",
            has_metadata=False,
            bool_bytes=1,
            package="tensorflow",
            extra="verify",
        ),
    )
}

# The format of pipes, and of files whose suffix and first bytes indicate no format.
DEFAULT_FORMAT = _JSON_LINES

# The format of the outputs in recommended commands: typed, compressed, and supported by most tools.
RECOMMENDED_FORMAT = FORMATS["parquet"]


def names_of(formats: Iterable[FormatTraits]) -> list[str]:
    """Return the names of formats, as used in options.

    >>> names_of(input_formats())
    ['jsonl', 'parquet', 'arrow', 'npz', 'npy']
    """
    return [traits.name for traits in formats]


def input_formats() -> list[FormatTraits]:
    """Return the formats that padmask reads."""
    return [traits for traits in FORMATS.values() if traits.reader is not None]


def output_formats() -> list[FormatTraits]:
    """Return the formats that padmask writes."""
    return [traits for traits in FORMATS.values() if traits.writer is not None]


def ragged_formats() -> list[FormatTraits]:
    """Return the formats that padmask writes and that can contain rows of different lengths."""
    return [traits for traits in output_formats() if traits.is_ragged]
