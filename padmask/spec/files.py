"""Options for reading and writing files: `FileOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, optional
from padmask.spec.formats import input_formats, names_of, output_formats


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options for reading and writing files. The output does not depend on `batch_rows` and `threads`.

    Args:
        input_format: `"jsonl"`, `"parquet"` or `"arrow"`; None uses the suffix, else the first bytes.
        output_format: one of these or `"npz"`; None uses the suffix, and JSON Lines for pipes.
        limit: number of rows to read; None reads all rows.
        rejects: JSON Lines file for the rows that are left out, with the reasons.
        fixed_size_list: write fixed-size lists, which some readers do not support.
        batch_rows: number of rows to process at a time.
        threads: number of batches to process in parallel.
        max_bytes: maximum size of the output; None allows 90% of the free disk space, and any size for
            standard output and pipes.
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
            raise SpecError(
                "The file name of the rejects is empty. Give a name, such as rejects.jsonl.",
                options=["rejects"],
            )
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
