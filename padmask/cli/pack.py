"""The command `padmask pack`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import click

from padmask.cli.commands import load_runner
from padmask.cli.completion import complete_columns
from padmask.cli.config import ConfiguredCommand, setting
from padmask.cli.cut_options import overlong_of, pack_cut_options, window_labels_option, with_cuts
from padmask.cli.dataset_options import arguments_of, ragged_output_options, writing_options
from padmask.cli.foreign_options import PACKING_OPTIONS
from padmask.cli.options import (
    help_without_input,
    is_typed,
    pack_input_options,
    refuse_output_as_input,
    spec_of,
)
from padmask.errors import SpecError
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import ALGORITHMS, BOUNDARY_LABELS, DERIVED, PackSpec
from padmask.spec.pack_defaults import pack_mask
from padmask.spec.pack_presets import PACK_PRESETS, PackPreset
from padmask.spec.pad import PadSpec, RowPolicy


@click.command("pack", cls=ConfiguredCommand, unsupported=PACKING_OPTIONS)
@pack_input_options
@ragged_output_options
@setting(
    "--dialect",
    type=click.Choice(list(PACK_PRESETS)),
    default=None,
    help="Columns, dtypes and padding that a trainer expects. Other options override the dialect. See "
    "docs/packing.md for the settings that each trainer needs.",
)
@setting(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="best-fit",
    show_default=True,
    help="How to fill the rows. best-fit: place the longest sequences first, each in the fullest row with "
    "enough space. in-order: place sequences in input order, each in one of 64 rows that are not yet full. "
    "wrap: join all rows, and cut the result every maxlen tokens.",
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
    help="Pad each sequence to a length that is a multiple of N, as context parallelism "
    "requires.  [default: 1]",
)
@setting(
    "--eos",
    type=click.IntRange(min=0),
    default=None,
    metavar="ID",
    help="Append the end token ID to each row that does not already end with this token.",
)
@pack_cut_options
@window_labels_option
@setting(
    "--pad/--no-pad",
    "pad_rows",
    default=True,
    help="Pad all rows to maxlen. --no-pad also leaves out the mask, unless --align adds padding.  [default: "
    "on; off for trl and bridge]",
)
@setting(
    "--mask-column",
    default="mask",
    metavar="NAME",
    help="Name of the mask column.  [default: mask; attention_mask for llm-foundry]",
)
@setting(
    "--no-mask/--mask",
    default=False,
    help="Do not add a mask.  [default: off; on for all dialects except llm-foundry]",
)
@setting(
    "--labels-from",
    default=None,
    metavar="COLUMN",
    shell_complete=complete_columns,
    help="Add a column named labels: a copy of the packed column COLUMN, with -100 at padding, and "
    "where a completion_mask, assistant_masks or loss_mask of the input is 0.",
)
@setting(
    "--boundary-labels",
    type=click.Choice(BOUNDARY_LABELS),
    default="mask",
    help="Labels at the start of a sequence. mask: the first label is -100, so that no token predicts the "
    "next sequence. keep: no change. shift: each label moves one position to the left, for trainers that do "
    "not shift labels.  [default: mask; shift for torchtune]",
)
@setting(
    "--emit",
    type=click.Choice(DERIVED),
    multiple=True,
    help="Add one of these columns, computed from the lengths of the sequences; repeatable.",
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
    help="What to do with columns that are not packed. list: write lists with one value for each sequence. "
    "drop: leave out the columns.",
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

    Reads JSON Lines, Parquet, Arrow or npz from files, folders or stdin (-). The column seq_lengths
    contains the length of each sequence in a row. No token is lost unless an option asks for it.

    \b
    Examples:
      padmask pack train.jsonl -o packed.parquet --maxlen 2048
      padmask pack train.jsonl -o packed.parquet --maxlen 2048 --emit position_ids
      padmask pack books.jsonl -o packed.parquet --maxlen 2048 --overlong split --eos 2
      padmask pack train.jsonl -o packed.parquet --maxlen 4096 --dialect trl
      padmask pack corpus/ -o packed/ --maxlen 4096 --workers 8
      padmask unpad packed.parquet -o rows.jsonl
    """
    help_without_input(ctx, given)
    refuse_output_as_input(ctx, given)
    preset = PackPreset() if given["dialect"] is None else PACK_PRESETS[given["dialect"]]
    packing = _packing_of(ctx, given, preset)
    spec = replace(spec_of(given, given["maxlen"]), packing=packing, **preset.pad)
    policy = RowPolicy(
        overlong=overlong_of(given), empty_rows=given["empty_rows"], on_error=given["on_error"]
    )
    mask = _mask_of(ctx, given, preset, spec)
    load_runner("pad")(arguments_of(ctx, given, with_cuts(spec, ctx, given), mask, policy))
    if preset.needs and not given["quiet"]:
        # The output is complete, so a closed stderr is not an error.
        with suppress(OSError):
            click.echo(preset.needs, err=True)


def _packing_of(ctx: click.Context, given: Mapping[str, Any], preset: PackPreset) -> PackSpec:
    """Create a `PackSpec` from the parameters. Options that are set take precedence over the dialect."""
    asked = {
        "algorithm": given["algorithm"],
        "max_segments": given["max_segments"],
        "align": given["align"],
        "eos": given["eos"],
        "source": given["source_row"],
        "fields": given["fields"],
        **preset.packing,
    }
    for option, name in (("pad_rows", "pad"), ("boundary_labels", "boundary_labels")):
        if _is_set(ctx, option):
            asked[name] = given[option]
    # --emit adds columns to those of the dialect.
    asked["emit"] = tuple(dict.fromkeys([*asked.get("emit", ()), *given["emit"]]))
    packing = PackSpec(**asked)
    preset.refuse_padding(str(given["dialect"]), packing)
    return packing


def _mask_of(ctx: click.Context, given: Mapping[str, Any], preset: PackPreset, spec: PadSpec) -> MaskSpec:
    """Create a `MaskSpec` from the parameters. Options that are set take precedence over the dialect."""
    usual = pack_mask(None, spec)
    fields = {} if given["dialect"] is None else dict(preset.mask)
    if usual.column is None and not given["no_mask"]:
        for name, option in (("no_mask", "--mask"), ("mask_column", "--mask-column")):
            if is_typed(ctx, name):
                raise SpecError(
                    f"Without padding, pack adds no mask, so {option} has no effect. Remove {option}, or "
                    "pad the rows with --pad.",
                    options=["mask_column", "pad"],
                )
    if _is_set(ctx, "mask_column") or _is_set(ctx, "no_mask"):
        named = given["mask_column"] if _is_set(ctx, "mask_column") else fields.get("column")
        no_mask = given["no_mask"] or usual.column is None
        fields["column"] = None if no_mask else named or given["mask_column"]
    if given["labels_from"] is not None:
        fields |= {"labels_from": given["labels_from"], "if_missing": ()}
    return replace(usual, **fields)


def _is_set(ctx: click.Context, name: str) -> bool:
    """Return whether the command line or a pyproject.toml sets an option."""
    return ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
