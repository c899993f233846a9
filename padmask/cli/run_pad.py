"""Run `padmask pad`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from padmask.cli.commands import load_runner
from padmask.cli.dataset_options import PadArguments
from padmask.cli.outputs import Shown, write_with_report
from padmask.cli.progress import open_progress
from padmask.errors import SpecError
from padmask.render.summary import pad_warnings, summary
from padmask.spec.warning_names import Warned
from padmask.storage.conflicts import refuse_among_data
from padmask.storage.output_places import buckets_need_folder, names_a_folder
from padmask.storage.urls import display_path, local_path
from padmask.stream.ledger import PadResult
from padmask.stream.pad import pad_file


def run_pad(arguments: PadArguments) -> None:
    """Run the command: pad the inputs, write the report, and print the summary."""
    to = arguments.to
    if to.report and names_a_folder(to.output):
        # Check before the report is opened, because opening the report creates a file.
        report = to.report.removeprefix("json:")
        refuse_among_data(local_path(to.output), {"the report": report})
    rejects = to.files.rejects and display_path(to.files.rejects)
    shown = Shown(lambda result: summary(result, display_path(to.output), rejects), pad_warnings)
    write_with_report(to, lambda: _pad(arguments, lambda warning: shown.print_now(warning, to)), shown)


def _pad(arguments: PadArguments, warn: Callable[[Warned], None]) -> PadResult:
    # Import the code for workers and manifests only if necessary.
    result: PadResult
    if names_a_folder(arguments.to.output):
        result = load_runner("pad_folder")(arguments, warn)
        return result
    _refuse_folder_options(arguments)
    if arguments.file_workers == 1:
        return pad_one_file(arguments)
    result = load_runner("pad_on_workers")(arguments)
    return result


def pad_one_file(arguments: PadArguments, executor: Executor | None = None) -> PadResult:
    """Pad all inputs into one file. `executor` is as in `pad_file`."""
    to = arguments.to
    with open_progress(quiet=to.quiet, progress=to.progress, output=to.output) as progress:
        return pad_file(
            to.inputs or ["-"],
            to.output,
            columns=arguments.columns,
            spec=arguments.spec,
            mask=arguments.mask,
            policy=arguments.policy,
            files=to.files,
            executor=executor,
            progress=progress,
        )


def _refuse_folder_options(arguments: PadArguments) -> None:
    if arguments.spec.buckets is not None:
        raise buckets_need_folder(arguments.to.output)
    if arguments.folder_options:
        option = arguments.folder_options[0].replace("_", "-")
        raise SpecError(
            f"--{option} requires an output folder. Choose a folder, such as -o padded/.",
            options=[arguments.folder_options[0]],
        )
