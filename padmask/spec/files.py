"""How files are read and written: `FileOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, optional
from padmask.spec.formats import input_formats, names_of, output_formats


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How files are read and written.

    Args:
        input_format: `"jsonl"`, `"parquet"` or `"arrow"`; None goes by suffix, else first bytes.
        output_format: these or `"npz"`; None goes by suffix, JSON Lines for pipes.
        limit: read only the first rows.
        rejects: file for the rows that are not written, whole, with their reasons, as JSON Lines.
        fixed_size_list: write fixed-size lists, which not every reader takes.
        batch_rows: rows worked on at a time; the result does not depend on it.
        threads: how many batches are worked on at once; nor on this.
        max_bytes: the most that the output may take; None is 90% of the disk's free space, for
            standard output and pipes any number.
    """

    input_format: str | None = None
    output_format: str | None = None
    limit: int | None = None
    rejects: str | None = None
    fixed_size_list: bool = False
    batch_rows: int | None = None
    threads: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.rejects == "":
            raise SpecError("The rejects have no name. Give one, such as rejects.jsonl.")
        check_fields(
            self,
            input_format=optional(choice(names_of(input_formats()))),
            output_format=optional(choice(names_of(output_formats()))),
            limit=optional(at_least(0)),
            rejects=optional(file_path),
            fixed_size_list=flag,
            batch_rows=optional(at_least(1)),
            threads=optional(at_least(1)),
            max_bytes=optional(at_least(1)),
        )
