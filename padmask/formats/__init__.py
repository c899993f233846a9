"""The registry of formats: choose one, and load its reader and its writer when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, BinaryIO

import pyarrow as pa

from padmask.errors import SpecError, join_or
from padmask.formats.contract import Batch, InputColumns, Layout, Reader, Writer, WriterOptions
from padmask.spec.formats import DEFAULT_FORMAT, FORMATS, FormatTraits, input_formats, output_formats
from padmask.storage.names import format_of
from padmask.storage.output_places import is_written_in_place
from padmask.storage.source import Source
from padmask.storage.urls import display_path

# How the columns of several inputs go together: of those whose rows are text, and of those with types.
_COLUMNS = {
    True: "padmask.formats.jsonl.columns:JsonColumns",
    False: "padmask.formats.typed_columns:TypedColumns",
}


def input_format(source: Source, asked: str | None) -> FormatTraits:
    """Return the format that was asked for, else that of the suffix, else that of the first bytes.

    Raises:
        SpecError: padmask writes the format, and does not read it.
    """
    found = FORMATS[asked] if asked else format_of(source.path) or source.sniff()[0]
    if found.reader is None:
        readable = join_or([traits.title for traits in input_formats()])
        raise SpecError(f"{source.name}: {found.title} is for output only. Give {readable}.")
    return found


def output_format(path: str, asked: str | None) -> FormatTraits:
    """Return the format of the suffix, else the one that was asked for; JSON Lines for pipes.

    Raises:
        SpecError: nothing names a format, or the two name different ones.
    """
    named = None if path == "-" else format_of(path)
    if named and asked and named.name != asked:
        raise SpecError(
            f"The output {display_path(path)!r} is named as {named.name}, and --output-format asks for "
            f"{asked}: drop one of the two.",
            options=["output_format"],
        )
    if named or asked:
        return named or FORMATS[asked or ""]
    if path == "-" or is_written_in_place(path):
        return DEFAULT_FORMAT
    suffixes = join_or([traits.suffixes[0] for traits in output_formats()])
    raise SpecError(
        f"The output {display_path(path)!r} has no suffix that names a format. End it in {suffixes}, "
        "or say --output-format; a folder's ends in /."
    )


def open_reader(format_: FormatTraits, source: Source, batch_rows: int | None) -> Reader:
    """Return the reader of a format for a source.

    Args:
        format_: of the source.
        source: where from.
        batch_rows: rows read at a time, where the format allows to choose.
    """
    reader: Reader = _load(format_.reader)(source, batch_rows)
    return reader


def open_writer(format_: FormatTraits, stream: BinaryIO, layout: Layout, options: WriterOptions) -> Writer:
    """Return the writer of a format to a stream."""
    writer: Writer = _load(format_.writer)(stream, layout, options)
    return writer


def join_columns(
    format_: FormatTraits, sources: Sequence[Source], readers: Sequence[Reader], schema: pa.Schema | None
) -> InputColumns:
    """Return the columns that inputs of a format have together.

    Args:
        format_: of the inputs.
        sources: the inputs.
        readers: of the inputs.
        schema: the columns of the larger dataset that these are a part of; None where they are all.
    """
    columns: InputColumns = _load(_COLUMNS[format_.is_text])(sources, readers, schema)
    return columns


def row_group_sizes(format_: FormatTraits, source: Source) -> list[int]:
    """Return the bytes of each row group of a file, compressed."""
    sizes: list[int] = _load(format_.row_groups)(source)
    return sizes


def format_reject(batch: Batch, row: int, reason: str) -> bytes:
    """Return the line that `--rejects` receives for a row: all of it, and why."""
    from padmask.formats.jsonl.writer import reject_line

    return reject_line(batch, row, reason)


def _load(address: str | None) -> Any:
    """Import what `"module:name"` stands for; None is no such address."""
    assert address is not None
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)
