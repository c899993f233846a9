"""Run `padmask pad`."""

from __future__ import annotations

from typing import Any

from padmask.cli.arguments import PadArguments
from padmask.cli.execution import open_executor, open_progress
from padmask.cli.outputs import write_with_report
from padmask.errors import SpecError
from padmask.render.summary import summary
from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.split import SHARD_BYTES
from padmask.storage.conflicts import refuse_among_data
from padmask.storage.folder import OutputFolder, names_a_folder
from padmask.storage.urls import display_path, local_path
from padmask.stream.ledger import PadResult
from padmask.stream.pad import pad_file


def run_pad(arguments: PadArguments) -> None:
    """Pad the inputs, write the report, and print the summary."""
    to = arguments.to
    if to.report and names_a_folder(to.output):
        # The check must precede the opening of the report, which creates a file.
        report = to.report.removeprefix("json:")
        refuse_among_data(OutputFolder(local_path(to.output)), {"the report": report})
    rejects = to.files.rejects and display_path(to.files.rejects)
    write_with_report(
        to, lambda: _pad(arguments), lambda result: summary(result, display_path(to.output), rejects)
    )


def _pad(arguments: PadArguments) -> PadResult:
    to = arguments.to
    with open_progress(quiet=to.quiet, progress=to.progress, output=to.output) as progress:
        common: dict[str, Any] = {
            "columns": arguments.columns,
            "spec": arguments.spec,
            "mask": arguments.mask,
            "policy": arguments.policy,
            "files": to.files,
            "progress": progress,
        }
        if not names_a_folder(to.output):
            _refuse_folder_options(arguments)
            return pad_file(to.inputs or ["-"], to.output, **common)
        with open_executor(arguments.where) as executor:
            return pad_dataset(
                to.inputs or ["-"],
                to.output,
                executor=executor,
                resume=arguments.resume,
                delete=arguments.delete,
                shard_bytes=arguments.shard_bytes or SHARD_BYTES,
                **common,
            )


def _refuse_folder_options(arguments: PadArguments) -> None:
    if arguments.folder_options:
        option = arguments.folder_options[0].replace("_", "-")
        raise SpecError(
            f"--{option} needs an output folder. Name a folder, such as -o padded/.",
            options=[arguments.folder_options[0]],
        )
