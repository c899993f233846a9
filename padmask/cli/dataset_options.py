"""The options of commands that write a dataset, and the dataclass for their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from padmask.cli.allow import allow_option
from padmask.cli.arguments import Output, Workers
from padmask.cli.config import PASSES_BAD_ROWS, WRITES, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    Size,
    cluster_option,
    is_typed,
    max_bytes_option,
    output_of,
    quiet_options,
    rejects_option,
    report_option,
    suffix_help,
    threads_option,
    workers_of,
    workers_option,
)
from padmask.spec.formats import FormatTraits, names_of, output_formats, ragged_formats
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy

Command = TypeVar("Command", bound=Callable[..., Any])

FOR_FOLDERS = ("cluster", "resume", "delete", "shard_bytes")


@dataclass(frozen=True, kw_only=True)
class PadArguments:
    """Options of `padmask pad` and `padmask pack`.

    Args:
        to: inputs, output and report.
        columns: columns to pad.
        spec: padding options.
        mask: options of the mask.
        policy: what to do with overlong, empty and bad rows.
        where: processes or cluster that pad the files of an output folder.
        resume: whether to resume an incomplete run in the output folder.
        delete: whether to delete files of an earlier dataset in the output folder.
        shard_bytes: size above which a Parquet file is split, in bytes. If None, the default size is used.
        file_workers: number of processes that parse rows if the output is a single file: the value of
            --workers on the command line, not in a pyproject.toml. If None, the number depends on the input
            and is at most `where.workers`.
        folder_options: names of the options that the command line sets and that require an output folder.
    """

    to: Output
    columns: Sequence[str]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    where: Workers
    resume: bool
    delete: bool
    shard_bytes: int | None
    file_workers: int | None
    folder_options: Sequence[str]


def output_options(command: Command) -> Command:
    """Add the options for the output to a command that writes rows of the same length."""
    return _output_options(command, output_formats())


def ragged_output_options(command: Command) -> Command:
    """Add the options for the output to a command that writes lists of different lengths."""
    return _output_options(command, ragged_formats())


def _output_options(command: Command, formats: Sequence[FormatTraits]) -> Command:
    for option in reversed(
        (
            command_line_only(
                "-o",
                "--output",
                because=WRITES,
                default="-",
                type=PathOrAddress(),
                metavar="PATH",
                help=f"Output file, or - for stdout. {suffix_help(formats)} A folder, or a name "
                "that ends in /, gets one file per input file.  [default: -]",
            ),
            setting(
                "--output-format",
                type=click.Choice(names_of(formats)),
                default=None,
                help="Output format, if the suffix does not determine it.  [default: jsonl; in a folder, the "
                "input format]",
            ),
        )
    ):
        command = option(command)
    return command


def writing_options(command: Command) -> Command:
    """Add the options for bad rows, reports, processes and limits to a command."""
    for option in reversed(
        (
            command_line_only(
                "--on-error",
                because=PASSES_BAD_ROWS,
                type=click.Choice(["fail", "skip"]),
                default="fail",
                show_default=True,
                help="What to do with bad rows: null rows, JSON rows that lack a column (-c), and rows "
                "with values that do not fit the dtype.",
            ),
            rejects_option,
            report_option,
            setting(
                "--batch-rows",
                type=click.IntRange(min=1),
                default=None,
                metavar="N",
                help="Number of rows that are read and processed together.",
            ),
            threads_option,
            workers_option(
                "work on the files of a dataset, or parse the rows of one JSON Lines file",
                single="1, or up to 4 for a large JSON Lines file",
            ),
            cluster_option,
            command_line_only(
                "--resume/--no-resume",
                because="trusts files in the output folder as finished work",
                default=False,
                help="Resume an incomplete run in the output folder.",
            ),
            command_line_only(
                "--delete/--no-delete",
                because="deletes files",
                default=False,
                help="In the output folder, delete the files of an earlier dataset that the new dataset does "
                "not replace.",
            ),
            setting(
                "--shard-bytes",
                type=Size(min=1),
                default=None,
                help="Split Parquet inputs larger than SIZE into several output files, between "
                "row groups.  [default: 256MiB]",
            ),
            max_bytes_option,
            allow_option(),
            quiet_options,
        )
    ):
        command = option(command)
    return command


def arguments_of(
    ctx: click.Context, given: Mapping[str, Any], spec: PadSpec, mask: MaskSpec, policy: RowPolicy
) -> PadArguments:
    """Create a `PadArguments` object from the parameters of a command."""
    return PadArguments(
        to=output_of(given),
        columns=given["columns"],
        spec=spec,
        mask=mask,
        policy=policy,
        where=workers_of(ctx, given),
        resume=given["resume"],
        delete=given["delete"],
        shard_bytes=given["shard_bytes"],
        file_workers=given["workers"] if is_typed(ctx, "workers") else None,
        # pyproject.toml may set folder options, so a file output only conflicts with options on the command
        # line.
        folder_options=[name for name in FOR_FOLDERS if given[name] and is_typed(ctx, name)],
    )
