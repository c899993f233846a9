"""How files are read and written: `ReadOptions` and `FileOptions`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, optional, or_default
from padmask.spec.pad import INPUT_FORMATS, OUTPUT_FORMATS


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files are read.

    Args:
        input_format: `"jsonl"`, `"parquet"` or `"arrow"`; None goes by suffix, else first bytes.
        limit: read only the first rows.
        batch_rows: rows worked on at a time; the result does not depend on it.
        threads: how many batches are worked on at once; nor on this.
    """

    input_format: str | None = None
    limit: int | None = None
    batch_rows: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            input_format=optional(choice(INPUT_FORMATS)),
            limit=optional(at_least(0)),
            batch_rows=optional(at_least(1)),
            threads=optional(at_least(1)),
        )


@dataclass(frozen=True, kw_only=True)
class FileOptions(ReadOptions):
    """How files are read and written: the fields of `ReadOptions`, and what goes for the output.

    Args:
        output_format: `"jsonl"`, `"parquet"`, `"arrow"` or `"npz"`; None goes by suffix, JSON Lines for
            pipes.
        rejects: file for the rows that are not written, whole, with their reasons, as JSON Lines.
        fixed_size_list: write fixed-size lists, which not every reader takes.
        max_bytes: the most that the output may take; None is 90% of the disk's free space, for
            standard output and pipes any number.
    """

    output_format: str | None = None
    rejects: str | None = None
    fixed_size_list: bool = False
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rejects == "":
            raise SpecError("The rejects have no name. Give one, such as rejects.jsonl.")
        check_fields(
            self,
            output_format=optional(choice(OUTPUT_FORMATS)),
            rejects=optional(file_path),
            fixed_size_list=flag,
            max_bytes=optional(at_least(1)),
        )


def read_options(files: ReadOptions | None) -> ReadOptions:
    """Return the argument `files` of a function that writes no rows, or its default.

    >>> read_options(FileOptions(limit=3)).limit
    3
    >>> read_options(FileOptions(max_bytes=9))
    Traceback (most recent call last):
    padmask.errors.SpecError: `files` sets max_bytes, but nothing is written here. Give ReadOptions.

    Raises:
        SpecError: the argument is of another type, or sets an option of the output.
    """
    given = or_default("files", files, ReadOptions)
    known = {field.name for field in fields(ReadOptions)}
    for field in fields(given):
        if field.name not in known and getattr(given, field.name) != field.default:
            raise SpecError(
                f"`files` sets {field.name}, but nothing is written here. Give ReadOptions.",
                options=[field.name],
            )
    return given
