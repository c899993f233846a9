"""`padmask unpad`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from padmask.cli.arguments import Output
from padmask.cli.commands import load_runner
from padmask.cli.config import PASSES_BAD_ROWS, WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    help_without_input,
    input_format_option,
    inputs_argument,
    limit_option,
    mask_column_option,
    max_bytes_option,
    output_of,
    quiet_options,
    rejects_option,
    report_option,
    suffix_help,
    threads_option,
)
from padmask.spec.formats import names_of, ragged_formats
from padmask.spec.unpad import UnpadSpec


@dataclass(frozen=True, kw_only=True)
class UnpadArguments:
    """What `padmask unpad` was asked for.

    Args:
        to: where it writes.
        columns: padded columns.
        spec: what tells padding from tokens.
        on_error: `"fail"` or `"skip"`.
    """

    to: Output
    columns: Sequence[str]
    spec: UnpadSpec
    on_error: Any


@click.command("unpad", cls=ConfiguredCommand)
@inputs_argument
@setting(
    "-c",
    "--column",
    "columns",
    multiple=True,
    metavar="NAME",
    help="A padded column; repeatable. Of pad's short form NAME:DTYPE=VALUE the name counts. Default: all "
    "that the file says, else input_ids, else tokens, else the only list column.",
)
@mask_column_option
@setting(
    "--length-column",
    default=None,
    metavar="NAME",
    help="Lengths of the rows, where there is no mask; beside one they must say the same.  [default: what "
    "the file says]",
)
@setting(
    "--padding",
    type=click.Choice(["post", "pre"]),
    default=None,
    help="Side of the padding, for lengths without a mask.  [default: what the file says]",
)
@setting(
    "--keep-mask/--no-keep-mask",
    default=False,
    help="Keep the mask, which is then all true and as long as its row, and the lengths.",
)
@input_format_option
@limit_option
@command_line_only(
    "-o",
    "--output",
    because=WRITES,
    default="-",
    type=PathOrAddress(),
    metavar="PATH",
    help=f"Where to; - is stdout. {suffix_help(ragged_formats())}  [default: -]",
)
@setting(
    "--output-format",
    type=click.Choice(names_of(ragged_formats())),
    default=None,
    help="Format of the output where no suffix names it.  [default: jsonl]",
)
@command_line_only(
    "--on-error",
    because=PASSES_BAD_ROWS,
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What becomes of rows that cannot be unpadded: a mask with a hole or of another length, a null.",
)
@rejects_option
@report_option
@threads_option
@max_bytes_option
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Take the padding away again.

    Reads padded JSON Lines, Parquet or Arrow (not npz) from files, folders or stdin (-),
    several as one dataset. The mask tells padding from tokens, or the lengths do; both are
    left out of the output. Values stay in the dtype they were padded in. A row that cannot
    be unpadded ends the run with exit code 1.

    \b
    Examples:
      padmask unpad padded.parquet -o rows.parquet
      padmask unpad padded.jsonl -c input_ids -c labels -o rows.jsonl
      padmask unpad hf.parquet --mask-column attention_mask | head
      padmask unpad lengths.jsonl --length-column length --padding post
    """
    help_without_input(ctx, given)
    arguments = UnpadArguments(
        to=output_of(given),
        columns=given["columns"],
        spec=UnpadSpec(
            mask_column=given["mask_column"],
            length_column=given["length_column"],
            padding=given["padding"],
            keep_mask=given["keep_mask"],
        ),
        on_error=given["on_error"],
    )
    load_runner("unpad")(arguments)
