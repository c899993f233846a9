"""`padmask pad`."""

from __future__ import annotations

from typing import Any

import click

from padmask.cli.config import ConfiguredCommand
from padmask.cli.options import (
    help_without_input,
    input_options,
    max_bytes_option,
    open_progress,
    quiet_options,
    rejects_option,
    report_option,
    spec_of,
    threads_option,
)
from padmask.cli.outputs import write_and_tell
from padmask.spec import MASK_DTYPES, MaskSpec, RowPolicy


@click.command("pad", cls=ConfiguredCommand)
@input_options
@click.option(
    "-o",
    "--output",
    default="-",
    type=click.Path(),
    metavar="PATH",
    help="Where to; - is stdout. The format goes by the suffix: .jsonl, .parquet, .arrow, .npz, and .gz or "
    ".zst after .jsonl.  [default: -]",
)
@click.option(
    "--output-format",
    type=click.Choice(["jsonl", "parquet", "arrow", "npz"]),
    default=None,
    help="Format of the output where no suffix names it.  [default: jsonl]",
)
@click.option(
    "--mask-column",
    default="mask",
    show_default=True,
    metavar="NAME",
    help="Name of the mask. Hugging Face users want --mask-column attention_mask --mask-dtype int64.",
)
@click.option(
    "--mask-dtype",
    type=click.Choice(MASK_DTYPES),
    default="bool",
    show_default=True,
    help="True or 1 is a real token.",
)
@click.option("--no-mask/--mask", default=False, help="Write no mask.")
@click.option(
    "--overwrite-mask/--no-overwrite-mask",
    default=False,
    help="Replace a column that has the mask's name already.",
)
@click.option("--length-column", default=None, metavar="NAME", help="Add the kept length of each row.")
@click.option(
    "--overlong",
    type=click.Choice(["truncate", "drop", "error"]),
    default="truncate",
    show_default=True,
    help="What becomes of rows longer than maxlen.",
)
@click.option(
    "--empty-rows",
    type=click.Choice(["keep", "drop", "error"]),
    default="keep",
    show_default=True,
    help="What becomes of rows without a token; a kept one is fully masked.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What becomes of rows that cannot be padded: null rows, missing keys, values that do not fit.",
)
@rejects_option
@report_option
@click.option(
    "--fixed-size-list/--no-fixed-size-list",
    default=False,
    help="Write fixed-size lists, which not every reader takes.",
)
@click.option(
    "--batch-rows",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Rows padded at a time; the result does not depend on it.",
)
@threads_option
@max_bytes_option
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Pad or cut sequences to one length, with masks.

    Reads JSON Lines, Parquet or Arrow from files, folders or stdin (-), several as one
    dataset. A mask column is added: True at real tokens, False at padding.

    \b
    Examples:
      padmask pad sample_data/jargon.jsonl -o padded.parquet --maxlen 128
      zcat big.jsonl.gz | padmask pad - --maxlen 64 | jq -c .mask | head
      padmask pad train.parquet -o out.parquet -c input_ids -c labels=-100 --maxlen p95
    """
    help_without_input(ctx, given)
    write_and_tell(given, _pad, lambda result: _summary(result, given))


def _summary(result: Any, given: dict[str, Any]) -> list[str]:
    from padmask.render import summary

    return summary(result, given["output"], given["rejects"])


def _pad(given: dict[str, Any]) -> Any:
    spec = spec_of(given, given["maxlen"])
    mask = MaskSpec(
        column=None if given["no_mask"] else given["mask_column"],
        dtype=given["mask_dtype"],
        length_column=given["length_column"],
        overwrite=given["overwrite_mask"],
    )
    policy = RowPolicy(overlong=given["overlong"], empty_rows=given["empty_rows"], on_error=given["on_error"])
    names = (
        "input_format",
        "output_format",
        "limit",
        "rejects",
        "fixed_size_list",
        "batch_rows",
        "threads",
        "max_bytes",
    )
    from padmask.files import FileOptions
    from padmask.pipeline import pad_file

    files = FileOptions(**{name: given[name] for name in names})
    with open_progress(given) as progress:
        return pad_file(
            given["inputs"] or ["-"],
            given["output"],
            columns=given["columns"],
            spec=spec,
            mask=mask,
            policy=policy,
            files=files,
            progress=progress,
        )
