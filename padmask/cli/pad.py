"""The command `padmask pad`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from padmask.cli.batch_options import batch_options, batches_of, source_row_of
from padmask.cli.commands import load_runner
from padmask.cli.completion import complete_columns
from padmask.cli.config import ConfiguredCommand, command_line_only, setting
from padmask.cli.cut_options import cut_options, overlong_of, window_labels_option, with_cuts
from padmask.cli.dataset_options import arguments_of, output_options, writing_options
from padmask.cli.foreign_options import PADDING_OPTIONS
from padmask.cli.options import (
    help_without_input,
    input_options,
    is_typed,
    refuse_output_as_input,
    spec_of,
)
from padmask.errors import SpecError
from padmask.spec.buckets import parse_buckets
from padmask.spec.mask import MASK_DTYPES, MASK_KINDS, POLARITIES, MaskSpec
from padmask.spec.maxlen import parse_maxlen
from padmask.spec.pad import RowPolicy
from padmask.spec.presets import PRESETS, preset_fields, preset_mask


@click.command("pad", cls=ConfiguredCommand, unsupported=PADDING_OPTIONS)
@input_options
@output_options
@setting(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=None,
    help="Columns, dtypes and mask that a framework expects. Other options override the preset. "
    "See docs/frameworks.md for a table.",
)
@setting(
    "--mask-column",
    default=None,
    metavar="NAME",
    help="Name of the mask column.  [default: attention_mask if the input has a column of this name that "
    "contains only ones, else mask]",
)
@setting(
    "--mask-dtype",
    type=click.Choice(MASK_DTYPES),
    default=None,
    help="Dtype of the mask.  [default: bool, or the dtype of the replaced mask; float32 for additive masks]",
)
@setting(
    "--mask-polarity",
    type=click.Choice(POLARITIES),
    default=None,
    help="What True or 1 means in the mask: a real token, or padding as in PyTorch's "
    "key_padding_mask.  [default: real]",
)
@setting(
    "--mask-kind",
    type=click.Choice(MASK_KINDS),
    default=None,
    help="Values of the mask. binary: True and False, or 1 and 0. additive: 0 at real tokens, and the lowest "
    "finite number at padding.  [default: binary]",
)
@setting("--no-mask/--mask", default=False, help="Do not add a mask.")
@command_line_only(
    "--overwrite-mask/--no-overwrite-mask",
    because="replaces a column of the data",
    default=False,
    help="Replace an existing column with the same name as the mask column.",
)
@setting(
    "--length-column",
    default=None,
    metavar="NAME",
    help="Add a column with the number of real tokens in each row.",
)
@setting(
    "--position-ids/--no-position-ids",
    default=None,
    help="Add a column named position_ids: the positions 0, 1, ... of the real tokens, and 0 at padding.",
)
@setting(
    "--labels-from",
    default=None,
    metavar="COLUMN",
    shell_complete=complete_columns,
    help="Add a column named labels: a copy of the padded column COLUMN, with -100 at padding, and "
    "where a completion_mask, assistant_masks or loss_mask of the input is 0.",
)
@command_line_only(
    "--allow-padded/--no-allow-padded",
    because="pads padded data again",
    default=False,
    help="Pad columns that are already padded. All positions count as tokens, and a new mask replaces the "
    "old mask.",
)
@setting(
    "--own-length",
    "own_lengths",
    multiple=True,
    metavar="NAME[=MAXLEN]",
    shell_complete=complete_columns,
    help="Pad a column, such as the labels of translations, to its own maxlen; repeatable. MAXLEN "
    "accepts the same values as --maxlen.  [default: longest]",
)
@setting(
    "--own-mask",
    "own_masks",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Add a mask for the column NAME of --own-length, as the new column COLUMN; repeatable.",
)
@cut_options
@window_labels_option
@batch_options
@setting(
    "--buckets",
    default=None,
    metavar="N|E1,E2,...",
    help="Pad each row to one of several lengths, called edges: the smallest edge that the row fits in. "
    "Write one folder per edge. N: find the N edges with the least padding. With N, --maxlen limits the last "
    "edge. E1,E2,...: use these edges. The last edge is the maxlen. Requires an output folder.",
)
@setting(
    "--source/--no-source",
    "source_row",
    default=True,
    help="Add the column source_row, the number of the row in the input, to buckets and batches. unpad needs "
    "this column to restore the order of the rows.  [default: on]",
)
@setting(
    "--empty-rows",
    type=click.Choice(["keep", "drop", "error"]),
    default="keep",
    show_default=True,
    help="What to do with rows without tokens. Kept rows contain only padding.",
)
@setting(
    "--fixed-size-list/--no-fixed-size-list",
    default=False,
    help="Write fixed-size lists, which some readers do not support.",
)
@writing_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Pad or truncate sequences to the same length, and add a mask.

    Reads JSON Lines, Parquet, Arrow or npz from files, folders or stdin (-). Several inputs form
    one dataset. The added mask column is True at real tokens and False at padding.

    \b
    Examples:
      padmask pad sample_data/jargon.jsonl -o padded.parquet --maxlen 128
      zcat big.jsonl.gz | padmask pad - --maxlen 64 | jq -c .mask | head
      padmask pad train.parquet -o out.parquet -c input_ids -c labels=-100 --maxlen p95
      padmask pad train.jsonl -o hf.parquet --preset hf
      padmask pad train.jsonl -o cut.parquet --maxlen 512 --keep-last 1
      padmask pad books.jsonl -o windows.parquet --maxlen 512 --overlong window --overlap 128
      padmask pad train.jsonl -o batches.parquet --batch-tokens 8192 --shuffle-batches 1
      padmask pad data/ -o padded/ --maxlen p99 --workers 8
      padmask pad data/ -o padded/ --buckets 8
      padmask pad s3://bucket/train/ -o s3://bucket/padded/ --cluster tcp://scheduler:8786
    """
    help_without_input(ctx, given)
    refuse_output_as_input(ctx, given)
    _refuse_mask_options(ctx, given)
    spec = replace(
        spec_of(given, _maxlen(ctx, given)),
        own_lengths=_own_lengths(given["own_lengths"]),
        batches=batches_of(ctx, given),
        buckets=given["buckets"],
        source_row=source_row_of(ctx, given),
        **preset_fields(given["preset"]),
    )
    policy = RowPolicy(
        overlong=overlong_of(given), empty_rows=given["empty_rows"], on_error=given["on_error"]
    )
    load_runner("pad")(arguments_of(ctx, given, with_cuts(spec, ctx, given), _mask_of(given), policy))


def _maxlen(ctx: click.Context, given: Mapping[str, Any]) -> str:
    """Return the value of --maxlen. Edges in --buckets override `maxlen` in pyproject.toml.

    Raises:
        SpecError: the command line sets both the edges and maxlen, or pyproject.toml sets both.
    """
    maxlen: str = given["maxlen"]
    if given["buckets"] is None or isinstance(parse_buckets(given["buckets"]), int):
        return maxlen
    source = ctx.get_parameter_source("maxlen")
    if source is click.core.ParameterSource.DEFAULT or (
        is_typed(ctx, "buckets") and not is_typed(ctx, "maxlen")
    ):
        return "longest"
    raise SpecError(
        f"The last edge of --buckets {given['buckets']} is the maxlen, so --maxlen {maxlen} cannot be used. "
        "Remove --maxlen, or replace the edges with the number of buckets, such as --buckets 4.",
        options=["maxlen", "buckets"],
    )


def _mask_of(given: Mapping[str, Any]) -> MaskSpec:
    """Create a `MaskSpec` from the parameters. Options that are set take precedence over the preset."""
    asked = {
        "column": given["mask_column"],
        "dtype": given["mask_dtype"],
        "length_column": given["length_column"],
        "overwrite": given["overwrite_mask"],
        # `MaskSpec` treats every name except "mask" as requested.
        "named": True if given["mask_column"] == "mask" else None,
        "allow_padded": given["allow_padded"],
        "own": _own_masks(given["own_masks"]),
        "polarity": given["mask_polarity"],
        "kind": given["mask_kind"],
        "position_ids": given["position_ids"],
        "labels_from": given["labels_from"],
    }
    fields = preset_mask(given["preset"], given["padding"], asked)
    return MaskSpec(**{**fields, "column": None} if given["no_mask"] else fields)


def _own_lengths(texts: Sequence[str]) -> list[tuple[str, int | str]]:
    """Parse the values of --own-length: `NAME[=MAXLEN]`. If MAXLEN is given, NAME may contain `=`."""
    found: list[tuple[str, int | str]] = []
    for text in texts:
        name, equals, maxlen = text.rpartition("=")
        found.append((name, parse_maxlen(maxlen)) if equals else (text, "longest"))
    _refuse_twice("--own-length", [name for name, _ in found], "own_lengths")
    return found


def _own_masks(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Parse the values of --own-mask: `NAME=COLUMN`, where COLUMN is the name of the mask for column NAME."""
    found = []
    for text in texts:
        name, _, column = text.partition("=")
        if not name or not column:
            raise SpecError(
                f"--own-mask {text!r:.80} is not NAME=COLUMN. Specify a column and its mask, such as "
                "labels=labels_mask.",
                options=["own_masks"],
            )
        found.append((name, column))
    _refuse_twice("--own-mask", [name for name, _ in found], "own_masks")
    return found


def _refuse_twice(option: str, names: Sequence[str], parameter: str) -> None:
    """Raise an error if an option names a column twice."""
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{option} names {name!r} twice. Remove the duplicate.", options=[parameter])


def _refuse_mask_options(ctx: click.Context, given: Mapping[str, Any]) -> None:
    """Raise an error if an option of the mask has no effect because of --no-mask.

    If the command line sets --no-mask, mask options in pyproject.toml are ignored.
    """
    if not given["no_mask"]:
        return
    for name in ("mask_column", "mask_dtype", "mask_polarity", "mask_kind"):
        # The other options also apply to the masks of --own-mask.
        used = name != "mask_column" and given["own_masks"]
        if given[name] is not None and not used and (is_typed(ctx, name) or not is_typed(ctx, "no_mask")):
            option = f"--{name.replace('_', '-')}"
            raise SpecError(
                f"--no-mask adds no mask, so {option} has no effect. Remove one of the two options.",
                options=["no_mask", name],
            )
