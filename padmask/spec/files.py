"""Options for reading and writing files: `ReadOptions` and `FileOptions`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, optional, or_default
from padmask.spec.formats import input_formats, names_of, output_formats


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options for reading files. The result does not depend on `batch_rows` and `threads`.

    Args:
        input_format: `"jsonl"`, `"parquet"`, `"arrow"`, `"npz"` or `"npy"`; if None, the format is detected
            from the suffix or the first bytes.
        limit: maximum number of rows to read. If None, all rows are read.
        batch_rows: number of rows to process at a time.
        threads: number of batches to process in parallel.
    """

    input_format: str | None = None
    limit: int | None = None
    batch_rows: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            input_format=optional(choice(names_of(input_formats()))),
            limit=optional(at_least(0)),
            batch_rows=optional(at_least(1)),
            threads=optional(at_least(1)),
        )


@dataclass(frozen=True, kw_only=True)
class FileOptions(ReadOptions):
    """Options for reading and writing files. The options for reading are as in `ReadOptions`.

    Args:
        output_format: `"jsonl"`, `"parquet"`, `"arrow"`, `"npz"`, `"npy"` or `"tfrecord"`; if None, the
            suffix determines the format. A pipe without a suffix is written as JSON Lines.
        rejects: path of a JSON Lines file for dropped and rejected rows, with the reasons.
        fixed_size_list: whether to write fixed-size lists, which some readers do not support.
        max_bytes: maximum size of the output in bytes. If None, the limit is 90% of the free disk space, and
            there is no limit for standard output and pipes.
    """

    output_format: str | None = None
    rejects: str | None = None
    fixed_size_list: bool = False
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rejects == "":
            raise SpecError(
                "The name of the rejects file is empty. Choose a name, such as rejects.jsonl.",
                options=["rejects"],
            )
        check_fields(
            self,
            output_format=optional(choice(names_of(output_formats()))),
            rejects=optional(file_path),
            fixed_size_list=flag,
            max_bytes=optional(at_least(1)),
        )


def read_options(files: ReadOptions | None) -> ReadOptions:
    """Check the argument `files` of a function that writes no files. Convert None to `ReadOptions()`.

    >>> read_options(FileOptions(limit=3)).limit
    3
    >>> read_options(FileOptions(max_bytes=9))
    Traceback (most recent call last):
    padmask.errors.SpecError: `files` sets max_bytes, but this function writes no output. Use ReadOptions.

    Raises:
        SpecError: the argument has the wrong type, or sets an output option.
    """
    given = or_default("files", files, ReadOptions)
    reading = {field.name for field in fields(ReadOptions)}
    for field in fields(given):
        if field.name not in reading and getattr(given, field.name) != field.default:
            raise SpecError(
                f"`files` sets {field.name}, but this function writes no output. Use ReadOptions.",
                options=[field.name],
            )
    return given
