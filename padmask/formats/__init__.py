"""The registry of formats: the reader and the writer of each."""

from __future__ import annotations

from typing import BinaryIO

from padmask.errors import SpecError
from padmask.formats.contract import Batch, Layout, Reader, Writer
from padmask.storage.names import COMPRESSIONS, format_of
from padmask.storage.output_places import is_written_in_place
from padmask.storage.source import Source
from padmask.storage.urls import display_path


def input_format(source: Source, asked: str | None) -> str:
    """Return the format that was asked for, else that of the suffix, else that of the first bytes.

    Raises:
        SpecError: npz, which is written only.
    """
    found = asked or format_of(source.path) or source.sniff()
    if found == "npz":
        raise SpecError(f"{source.name}: npz is for output only. Give JSON Lines, Parquet or Arrow.")
    return "jsonl" if found in COMPRESSIONS.values() else found


def output_format(path: str, asked: str | None) -> str:
    """Return the format of the suffix, else the one that was asked for; JSON Lines for pipes.

    Raises:
        SpecError: nothing names a format, or the two name different ones.
    """
    named = None if path == "-" else format_of(path)
    if named and asked and named != asked:
        raise SpecError(
            f"The output {display_path(path)!r} is named as {named}, and --output-format asks for {asked}: "
            "drop one of the two.",
            options=["output_format"],
        )
    if named or asked:
        return named or asked or ""
    if path == "-" or is_written_in_place(path):
        return "jsonl"
    raise SpecError(
        f"The output {display_path(path)!r} has no suffix that names a format. End it in .jsonl, "
        ".parquet, .arrow "
        "or .npz, or say --output-format; a folder's ends in /."
    )


def open_reader(format_: str, source: Source, batch_rows: int | None) -> Reader:
    """Return the reader of a format for a source."""
    if format_ == "jsonl":
        from padmask.formats.jsonl.reader import JsonlReader

        return JsonlReader(source)
    if format_ == "arrow":
        from padmask.formats.arrow import ArrowReader

        return ArrowReader(source)
    from padmask.formats.parquet import ParquetReader

    return ParquetReader(source, batch_rows)


def open_writer(
    format_: str, stream: BinaryIO, layout: Layout, *, as_stream: bool, threads: int, folder: str
) -> Writer:
    """Return the writer of a format.

    Args:
        format_: `"jsonl"`, `"parquet"`, `"arrow"` or `"npz"`.
        stream: where to.
        layout: of the rows.
        as_stream: whether the output cannot be moved about in.
        threads: how many columns may be encoded at once, where the format has such.
        folder: where temporary files go, where the format needs such.
    """
    if format_ == "jsonl":
        from padmask.formats.jsonl.writer import JsonlWriter

        return JsonlWriter(stream, layout)
    if format_ == "arrow":
        from padmask.formats.arrow import ArrowWriter

        return ArrowWriter(stream, layout, as_stream=as_stream)
    if format_ == "npz":
        from padmask.formats.npz import NpzWriter

        return NpzWriter(stream, layout, folder)
    from padmask.formats.parquet import ParquetWriter

    return ParquetWriter(stream, layout, threads)


def row_group_sizes(source: Source) -> list[int]:
    """Return the bytes of each row group of a Parquet file, compressed."""
    from padmask.formats.parquet import group_sizes

    return group_sizes(source)


def format_reject(batch: Batch, row: int, reason: str) -> bytes:
    """Return the line that `--rejects` receives for a row: all of it, and why."""
    from padmask.formats.jsonl import writer

    return writer.reject_line(batch, row, reason)
