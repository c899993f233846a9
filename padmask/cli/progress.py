"""The progress bar of a command."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from padmask.render.console import progress_bar
from padmask.stream.progress import ProgressCallback


def open_progress(
    *, quiet: bool, progress: bool, output: str = ""
) -> AbstractContextManager[ProgressCallback | None]:
    """Show a progress bar in a `with` block if stderr is a terminal to which the output is not written.

    Args:
        quiet: value of --quiet.
        progress: value of --progress.
        output: path of the output. `-` is standard output.
    """
    shows_output = output == "-" and sys.stdout is not None and sys.stdout.isatty()
    if quiet or not progress or shows_output or sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    return progress_bar()
