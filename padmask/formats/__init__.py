"""The registry of formats. Readers and writers are imported when they are first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

import pyarrow as pa

from padmask.errors import MissingExtraError, SpecError, join_or
from padmask.formats.contract import Batch, InputColumns, Layout, Reader, Writer, WriterOptions
from padmask.spec.formats import DEFAULT_FORMAT, FORMATS, FormatTraits, input_formats, output_formats
from padmask.spec.warning_names import Warned
from padmask.storage.names import format_of
from padmask.storage.output_places import is_written_in_place
from padmask.storage.source import Source
from padmask.storage.urls import display_path

# The class that combines the columns of several inputs. The key is `FormatTraits.is_text`.
_COLUMNS = {
    True: "padmask.formats.jsonl.columns:JsonColumns",
    False: "padmask.formats.typed_columns:TypedColumns",
}


def input_format(source: Source, asked: str | None) -> FormatTraits:
    """Return the requested format of an input, or detect the format from the suffix or the first bytes.

    Raises:
        SpecError: padmask can write the format, but not read it.
    """
    found = FORMATS[asked] if asked else format_of(source.path) or source.sniff()[0]
    if found.reader is None:
        readable = join_or([traits.title for traits in input_formats()])
        raise SpecError(f"{source.name}: padmask cannot read {found.title}. Use {readable}.")
    return found


def output_format(path: str, asked: str | None) -> FormatTraits:
    """Return the requested format of an output, or the format of its suffix.

    The default for pipes is JSON Lines.

    Raises:
        SpecError: the format is unknown, or the suffix and the requested format differ.
    """
    named = None if path == "-" else format_of(path)
    if named and asked and named.name != asked:
        raise SpecError(
            f"The output {display_path(path)!r} has the suffix of {named.name}, but --output-format is "
            f"{asked}. Change the suffix or --output-format.",
            options=["output_format"],
        )
    found = named or (FORMATS[asked] if asked else None)
    if found is not None and found.is_folder and named is None:
        raise SpecError(
            f"{found.title} output is a folder with the suffix {found.shown_suffix}, but the output is "
            f"{display_path(path)!r}. Choose such a folder, for example -o padded{found.shown_suffix}.",
            options=["output_format"],
        )
    if found is not None:
        refuse_missing_package(found)
        return found
    if path == "-" or is_written_in_place(path):
        return DEFAULT_FORMAT
    suffixes = join_or([traits.shown_suffix for traits in output_formats()])
    raise SpecError(
        f"The format of the output {display_path(path)!r} is unknown. Use the suffix {suffixes}, or set "
        "--output-format. If the output is a folder, end the path with /."
    )


def refuse_missing_package(format_: FormatTraits) -> None:
    """Raise an error if the writer of a format needs a package that is not installed.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if format_.package is not None and find_spec(format_.package) is None:
        raise MissingExtraError(
            f"Writing {format_.title} requires {format_.package}, which is not installed. Install it with: "
            f"pip install 'padmask[{format_.extra}]'",
            options=["output_format"],
        )


def open_reader(format_: FormatTraits, source: Source, batch_rows: int | None) -> Reader:
    """Return a reader for an input.

    Args:
        format_: format of the source.
        source: the input.
        batch_rows: number of rows to read at a time, for Parquet and NumPy arrays. None means the default.
    """
    reader: Reader = _load(format_.reader)(source, batch_rows)
    return reader


def open_writer(format_: FormatTraits, stream: BinaryIO, layout: Layout, options: WriterOptions) -> Writer:
    """Return a writer that writes a format to a stream."""
    writer: Writer = _load(format_.writer)(stream, layout, options)
    return writer


def join_columns(
    format_: FormatTraits, sources: Sequence[Source], readers: Sequence[Reader], schema: pa.Schema | None
) -> InputColumns:
    """Combine the columns of several inputs that have the same format.

    Args:
        format_: format of the inputs.
        sources: the inputs.
        readers: reader of each input.
        schema: columns of the complete dataset, if the inputs are only a part of it; otherwise None.
    """
    columns: InputColumns = _load(_COLUMNS[format_.is_text])(sources, readers, schema)
    return columns


def row_group_sizes(format_: FormatTraits, source: Source) -> list[int]:
    """Return the compressed size of each row group of a file, in bytes."""
    sizes: list[int] = _load(format_.row_groups)(source)
    return sizes


def why_not_kept(format_: FormatTraits, type_: pa.DataType) -> str | None:
    """Return why a format cannot store an unpadded column of this type; None if the format can store it."""
    why: str | None = _load(format_.keeps)(type_)
    return why


def describe_columns(
    format_: FormatTraits, column_notes: Mapping[str, str]
) -> tuple[Sequence[Warned], Sequence[str]]:
    """Convert the writer's notes on columns to two lists: warnings, and remarks that require no action."""
    if not column_notes or format_.describe is None:
        return (), ()
    warnings, remarks = _load(format_.describe)(column_notes)
    return warnings, remarks


def format_reject(batch: Batch, row: int, reason: str) -> bytes:
    """Return the line for a rejected row in the `--rejects` file, with the reason and the complete row."""
    from padmask.formats.jsonl.writer import reject_line

    return reject_line(batch, row, reason)


def other_formats(values: pa.Array) -> str:
    """Return a sentence that suggests the formats that can store the values of a column.

    >>> other_formats(pa.array([float("nan")]))
    'Write Parquet or Arrow.'
    """
    typed_first = sorted(FORMATS.values(), key=lambda traits: traits.is_text)
    able = [traits.title for traits in typed_first if traits.holds and _load(traits.holds)(values)]
    return f"Write {join_or(able)}." if able else "Convert the column or remove it."


def _load(address: str | None) -> Any:
    """Import a class or function, specified as `"module:name"`."""
    assert address is not None
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)
