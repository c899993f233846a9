"""`padmask pad`."""

from __future__ import annotations

from typing import Any

import click

from padmask.cli.config import PASSES_BAD_ROWS, WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    Size,
    cluster_option,
    help_without_input,
    input_options,
    is_typed,
    max_bytes_option,
    open_executor,
    open_progress,
    quiet_options,
    rejects_option,
    report_option,
    settle_workers,
    spec_of,
    threads_option,
    workers_option,
)
from padmask.cli.outputs import write_and_tell
from padmask.errors import SpecError
from padmask.spec.pad import MASK_DTYPES, MaskSpec, RowPolicy

FOR_FOLDERS = ("workers", "cluster", "resume", "delete", "shard_bytes")


@click.command("pad", cls=ConfiguredCommand)
@input_options
@command_line_only(
    "-o",
    "--output",
    because=WRITES,
    default="-",
    type=PathOrAddress(),
    metavar="PATH",
    help="Where to; - is stdout. The format goes by the suffix: .jsonl, .parquet, .arrow, .npz, and .gz or "
    ".zst after .jsonl. A folder, or a name that ends in /, gets a file for each of the input.  [default: -]",
)
@setting(
    "--output-format",
    type=click.Choice(["jsonl", "parquet", "arrow", "npz"]),
    default=None,
    help="Format of the output where no suffix names it.  [default: jsonl; in a folder that of the input]",
)
@setting(
    "--mask-column",
    default="mask",
    show_default=True,
    metavar="NAME",
    help="Name of the mask. Hugging Face users want --mask-column attention_mask --mask-dtype int64.",
)
@setting(
    "--mask-dtype",
    type=click.Choice(MASK_DTYPES),
    default="bool",
    show_default=True,
    help="True or 1 is a real token.",
)
@setting("--no-mask/--mask", default=False, help="Write no mask.")
@command_line_only(
    "--overwrite-mask/--no-overwrite-mask",
    because="replaces a column of the data",
    default=False,
    help="Replace a column that has the mask's name already.",
)
@setting("--length-column", default=None, metavar="NAME", help="Add the kept length of each row.")
@setting(
    "--overlong",
    type=click.Choice(["truncate", "drop", "error"]),
    default="truncate",
    show_default=True,
    help="What becomes of rows longer than maxlen.",
)
@setting(
    "--empty-rows",
    type=click.Choice(["keep", "drop", "error"]),
    default="keep",
    show_default=True,
    help="What becomes of rows without a token; a kept one is fully masked.",
)
@command_line_only(
    "--on-error",
    because=PASSES_BAD_ROWS,
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What becomes of rows that cannot be padded: null rows, missing keys, values that do not fit.",
)
@rejects_option
@report_option
@setting(
    "--fixed-size-list/--no-fixed-size-list",
    default=False,
    help="Write fixed-size lists, which not every reader takes.",
)
@setting(
    "--batch-rows",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Rows padded at a time; the result does not depend on it.",
)
@threads_option
@workers_option
@cluster_option
@command_line_only(
    "--resume/--no-resume",
    because="takes files in the output folder for finished work",
    default=False,
    help="Go on with a run into the folder that ended before it was done.",
)
@command_line_only(
    "--delete/--no-delete",
    because="deletes files",
    default=False,
    help="Delete files of a dataset that stood in the folder before and have none in their place.",
)
@setting(
    "--shard-bytes",
    type=Size(min=1),
    default=None,
    help="Cut larger Parquet files between row groups, each piece with a file of its own in the folder.  "
    "[default: 256MiB]",
)
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
      padmask pad data/ -o padded/ --maxlen p99 --workers 8
      padmask pad s3://bucket/train/ -o s3://bucket/padded/ --cluster tcp://scheduler:8786
    """
    help_without_input(ctx, given)
    settle_workers(ctx, given)
    # A project's defaults for folders are no fault of a single file.
    given["for_folders"] = [name for name in FOR_FOLDERS if given[name] and is_typed(ctx, name)]
    _refuse_report_among_data(given)
    write_and_tell(given, _pad, lambda result: _summary(result, given))


def _refuse_report_among_data(given: dict[str, Any]) -> None:
    """Refuse a report that readers of the output folder would take for data, before it is opened."""
    if not given["report"]:
        return
    from padmask.storage.conflicts import refuse_among_data
    from padmask.storage.folder import OutputFolder, names_a_folder
    from padmask.storage.urls import local_path

    if names_a_folder(given["output"]):
        report = given["report"].removeprefix("json:")
        refuse_among_data(OutputFolder(local_path(given["output"])), {"the report": report})


def _summary(result: Any, given: dict[str, Any]) -> list[str]:
    from padmask.render.summary import summary
    from padmask.storage.urls import display_path

    return summary(result, display_path(given["output"]), given["rejects"] and display_path(given["rejects"]))


def _pad(given: dict[str, Any]) -> Any:
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
    from padmask.spec.files import FileOptions
    from padmask.storage.folder import names_a_folder

    asked = {
        "columns": given["columns"],
        "spec": spec_of(given, given["maxlen"]),
        "mask": mask,
        "policy": policy,
        "files": FileOptions(**{name: given[name] for name in names}),
    }
    pad = _pad_shards if names_a_folder(given["output"]) else _pad_file
    with open_progress(given) as progress:
        return pad(given, asked | {"progress": progress})


def _pad_file(given: dict[str, Any], asked: dict[str, Any]) -> Any:
    if given["for_folders"]:
        option = given["for_folders"][0].replace("_", "-")
        raise SpecError(
            f"--{option} is for output folders, with a file for each of the input. "
            "Name one, such as -o padded/."
        )
    from padmask.stream.pad import pad_file

    return pad_file(given["inputs"] or ["-"], given["output"], **asked)


def _pad_shards(given: dict[str, Any], asked: dict[str, Any]) -> Any:
    from padmask.shards.pad_dataset import pad_dataset

    if given["shard_bytes"]:
        asked["shard_bytes"] = given["shard_bytes"]
    with open_executor(given) as executor:
        return pad_dataset(
            given["inputs"] or ["-"],
            given["output"],
            executor=executor,
            resume=given["resume"],
            delete=given["delete"],
            **asked,
        )
