"""Run `padmask unpad`."""

from __future__ import annotations

from padmask.cli.outputs import Shown, write_with_report
from padmask.cli.progress import open_progress
from padmask.cli.unpad import UnpadArguments
from padmask.render.summary import unpad_summary, unpad_warnings
from padmask.storage.urls import display_path
from padmask.stream.ledger import UnpadResult
from padmask.stream.unpad import unpad_file


def run_unpad(arguments: UnpadArguments) -> None:
    """Run the command: remove the padding, write the report, and print the summary."""
    to = arguments.to
    rejects = to.files.rejects and display_path(to.files.rejects)
    shown = Shown(lambda result: unpad_summary(result, display_path(to.output), rejects), unpad_warnings)
    write_with_report(to, lambda: _unpad(arguments), shown)


def _unpad(arguments: UnpadArguments) -> UnpadResult:
    to = arguments.to
    with open_progress(quiet=to.quiet, progress=to.progress, output=to.output) as progress:
        return unpad_file(
            to.inputs or ["-"],
            to.output,
            columns=arguments.columns,
            spec=arguments.spec,
            on_error=arguments.on_error,
            files=to.files,
            progress=progress,
        )
