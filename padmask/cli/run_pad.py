"""Run `padmask pad` and `padmask pack`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor

from padmask.cli.arguments import Output, Workers
from padmask.cli.commands import load_runner
from padmask.cli.dataset_options import PadArguments
from padmask.cli.outputs import Shown, write_with_report
from padmask.cli.progress import open_progress
from padmask.errors import SpecError
from padmask.formats import output_format
from padmask.render.summary import pad_warnings, summary
from padmask.spec.formats import DEFAULT_FORMAT
from padmask.spec.pad import PadSpec
from padmask.spec.warning_names import Warned
from padmask.storage.conflicts import refuse_among_data
from padmask.storage.names import compression_of, format_of, is_folder_format
from padmask.storage.output_places import buckets_need_folder, names_a_folder
from padmask.storage.system import can_fork, cores
from padmask.storage.urls import display_path, local_path
from padmask.stream.chunk_tasks import can_use_workers
from padmask.stream.ledger import PadResult
from padmask.stream.pad import pad_file

# Size of the input from which several processes are faster than one, in bytes: if rows stay text, and if they
# become columns. Columns are padded and encoded by threads of one process, so only parsing becomes faster.
LARGE_TEXT, LARGE_COLUMNS = 64 << 20, 128 << 20

# These sizes are multiplied by this number if processes cannot be forked, because starting them takes longer.
WITHOUT_FORK = 8

# Maximum number of processes that are started by default. One process writes the rows of all of them.
MOST_WORKERS = 4


def run_pad(arguments: PadArguments) -> None:
    """Run the command: pad or pack the inputs, write the report, and print the summary."""
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
    workers = arguments.file_workers or default_workers(arguments.to, arguments.spec, arguments.where)
    if workers == 1:
        return pad_one_file(arguments)
    result = load_runner("pad_on_workers")(arguments, workers)
    return result


def default_workers(to: Output, spec: PadSpec, where: Workers) -> int:
    """Return the default number of processes that parse rows if the output is a single file.

    Python parses JSON on one core, so several processes share the rows of large JSON Lines files. In all
    other cases, the result is 1: the input is small, its size is unknown, or threads use the other cores.
    """
    if to.files.limit is not None or to.files.input_format not in (None, DEFAULT_FORMAT.name):
        return 1
    if is_folder_format(to.output) or not all(map(_is_plain_text, to.inputs)):
        return 1
    output = output_format(to.output, to.files.output_format)
    if not can_use_workers(DEFAULT_FORMAT, output, spec):
        return 1
    large = (LARGE_TEXT if output.is_text else LARGE_COLUMNS) * (1 if can_fork() else WITHOUT_FORK)
    if sum(map(os.path.getsize, to.inputs)) < large:
        return 1
    return min(where.workers or cores(), MOST_WORKERS)


def _is_plain_text(path: str) -> bool:
    """Return whether a path is a local file with a suffix of JSON Lines, without compression."""
    found = format_of(path)
    return found is not None and found.is_text and compression_of(path) is None and os.path.isfile(path)


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
