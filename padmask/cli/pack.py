"""The command `padmask pack`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from padmask.cli.commands import load_runner
from padmask.cli.config import ConfiguredCommand, setting
from padmask.cli.cut_options import overlong_of, pack_cut_options, with_cuts
from padmask.cli.dataset_options import arguments_of, output_options, writing_options
from padmask.cli.foreign_options import PADDING_OPTIONS
from padmask.cli.options import help_without_input, input_options, refuse_output_as_input, spec_of
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import ALGORITHMS, DERIVED, PackSpec
from padmask.spec.pad import RowPolicy


@click.command("pack", cls=ConfiguredCommand, unsupported=PADDING_OPTIONS)
@input_options
@output_options
@setting(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="best-fit",
    show_default=True,
    help="best-fit: the longest sequences first, each into the fullest row that has space. in-order: in "
    "input order, into 64 open rows. wrap: join all rows and cut every maxlen tokens, which splits rows.",
)
@setting(
    "--max-segments",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Maximum number of sequences in a row.  [default: no maximum]",
)
@setting(
    "--align",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Pad each sequence to a multiple of N, as context parallelism requires.  [default: 1]",
)
@setting(
    "--eos",
    type=click.IntRange(min=0),
    default=None,
    metavar="ID",
    help="Add the token ID to each row that does not end with it.",
)
@pack_cut_options
@setting(
    "--pad/--no-pad",
    "pad_rows",
    default=True,
    help="Pad all rows to maxlen. Rows without padding have no mask.  [default: on]",
)
@setting("--mask-column", default="mask", show_default=True, metavar="NAME", help="Name of the mask column.")
@setting("--no-mask/--mask", default=False, help="Do not add a mask.")
@setting(
    "--labels-from",
    default=None,
    metavar="COLUMN",
    help="Add a column labels, a copy of the packed column COLUMN with -100 at padding.",
)
@setting(
    "--boundary-labels",
    type=click.Choice(["mask", "keep"]),
    default="mask",
    show_default=True,
    help="First label of each sequence. mask: -100, so that no token predicts the next sequence. keep: "
    "unchanged.",
)
@setting(
    "--emit",
    type=click.Choice(DERIVED),
    multiple=True,
    help="Add a column that is computed from the lengths of the sequences; repeatable.",
)
@setting(
    "--source/--no-source",
    "source_row",
    default=True,
    help="Add the columns source_rows and source_starts, which locate each sequence in the input. unpad "
    "needs these columns to restore the rows and their order.  [default: on]",
)
@setting(
    "--fields",
    type=click.Choice(["list", "drop"]),
    default="list",
    show_default=True,
    help="Columns that are not packed. list: lists with one value for each sequence. drop: left out.",
)
@setting(
    "--empty-rows",
    type=click.Choice(["drop", "error"]),
    default="drop",
    show_default=True,
    help="What to do with rows without tokens.",
)
@writing_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Pack several sequences into each row, so that few positions are padding.

    Reads JSON Lines, Parquet or Arrow from files, folders or stdin (-). The column seq_lengths
    has the length of each sequence in a row. No token is lost unless an option asks for it.

    \b
    Examples:
      padmask pack train.jsonl -o packed.parquet --maxlen 2048
      padmask pack train.jsonl -o packed.parquet --maxlen 2048 --emit position_ids
      padmask pack books.jsonl -o packed.parquet --maxlen 2048 --overlong split --eos 2
      padmask pack corpus/ -o packed/ --maxlen 4096 --workers 8
      padmask unpad packed.parquet -o rows.jsonl
    """
    help_without_input(ctx, given)
    refuse_output_as_input(ctx, given)
    packing = PackSpec(
        algorithm=given["algorithm"],
        max_segments=given["max_segments"],
        align=given["align"],
        pad=given["pad_rows"],
        eos=given["eos"],
        source=given["source_row"],
        emit=given["emit"],
        boundary_labels=given["boundary_labels"],
        fields=given["fields"],
    )
    spec = with_cuts(replace(spec_of(given, given["maxlen"]), packing=packing), ctx, given)
    # Without padding, a mask would contain only True.
    has_mask = not given["no_mask"] and (given["pad_rows"] or given["align"] > 1)
    mask = MaskSpec(
        column=given["mask_column"] if has_mask else None, labels_from=given["labels_from"], named=True
    )
    policy = RowPolicy(
        overlong=overlong_of(given), empty_rows=given["empty_rows"], on_error=given["on_error"]
    )
    load_runner("pad")(arguments_of(ctx, given, spec, mask, policy))
