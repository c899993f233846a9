"""The command `padmask unpad`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from padmask.cli.allow import allow_option
from padmask.cli.arguments import Output
from padmask.cli.commands import load_runner
from padmask.cli.completion import complete_columns
from padmask.cli.config import PASSES_BAD_ROWS, WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    SideChoice,
    help_without_input,
    input_format_option,
    inputs_argument,
    limit_option,
    mask_options,
    max_bytes_option,
    output_of,
    quiet_options,
    refuse_output_as_input,
    rejects_option,
    report_option,
    suffix_help,
    threads_option,
)
from padmask.spec.formats import names_of, ragged_formats
from padmask.spec.unpad import UnpadSpec


@dataclass(frozen=True, kw_only=True)
class UnpadArguments:
    """Options of `padmask unpad`.

    Args:
        to: inputs, output and report.
        columns: padded columns.
        spec: columns that mark the padding, and whether to keep them.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
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
    shell_complete=complete_columns,
    help="Padded column; repeatable. Also accepts NAME:DTYPE=VALUE, as in pad.  [default: from metadata, "
    "else input_ids, else tokens, else the only list column]",
)
@mask_options
@setting(
    "--length-column",
    default=None,
    metavar="NAME",
    shell_complete=complete_columns,
    help="Column with the number of tokens in each row. If there is also a mask, the two must agree.  "
    "[default: from metadata]",
)
@setting(
    "--padding",
    type=SideChoice(),
    default=None,
    help="Side of the padding, if there is a length column but no mask.  [default: from metadata]",
)
@setting(
    "--keep-mask/--no-keep-mask",
    default=False,
    help="Keep the mask and length columns, and remove the padding from the mask. Mask and length columns "
    "that other padded columns still need are always kept unchanged.",
)
@setting(
    "--join-windows/--no-join-windows",
    default=True,
    help="Join windows, and the pieces of split rows in packed rows, into the original rows.  [default: on]",
)
@setting(
    "--restore-order/--no-restore-order",
    default=True,
    help="Write the rows of packed, batched and bucketed input in their original order, without the columns "
    "source_row and batch.  [default: on]",
)
@setting(
    "--align",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="The value of --align that pack used. Required only if packed rows have no metadata, no mask and no "
    "other column that shows the padding.",
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
    help=f"Output file, or - for stdout. {suffix_help(ragged_formats())}  [default: -]",
)
@setting(
    "--output-format",
    type=click.Choice(names_of(ragged_formats())),
    default=None,
    help="Output format, if the suffix does not determine it.  [default: jsonl]",
)
@command_line_only(
    "--on-error",
    because=PASSES_BAD_ROWS,
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with bad rows: null rows, and rows whose mask has gaps or a wrong length.",
)
@rejects_option
@report_option
@threads_option
@max_bytes_option
@allow_option()
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Remove padding from padded sequences, and unpack packed rows.

    Reads padded or packed JSON Lines, Parquet, Arrow or npz from files, folders or stdin (-).
    Several inputs form one dataset. A mask column or a length column marks the padding.
    The output does not contain these columns. Values keep the dtype of the padded column.

    \b
    Examples:
      padmask unpad padded.parquet -o rows.parquet
      padmask unpad padded.jsonl -c input_ids -c labels -o rows.jsonl
      padmask unpad hf.parquet --mask-column attention_mask | head
      padmask unpad lengths.jsonl --length-column length --padding post
      padmask unpad packed.parquet -o rows.parquet
    """
    help_without_input(ctx, given)
    refuse_output_as_input(ctx, given)
    arguments = UnpadArguments(
        to=output_of(given),
        columns=given["columns"],
        spec=UnpadSpec(
            mask_column=given["mask_column"],
            mask_polarity=given["mask_polarity"],
            mask_kind=given["mask_kind"],
            length_column=given["length_column"],
            padding=given["padding"],
            keep_mask=given["keep_mask"],
            join_windows=given["join_windows"],
            restore_order=given["restore_order"],
            align=given["align"],
        ),
        on_error=given["on_error"],
    )
    load_runner("unpad")(arguments)
