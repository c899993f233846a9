"""The progress of a command: a bar on a terminal, else lines."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from padmask.render.console import progress_bar, progress_lines
from padmask.stream.progress import ProgressCallback


def open_progress(
    *, quiet: bool, progress: bool, output: str = ""
) -> AbstractContextManager[ProgressCallback | None]:
    """Show the progress in a `with` block: a bar if stderr is a terminal, else a line from time to time.

    The bar is not shown if the output of the command goes to a terminal too.

    Args:
        quiet: value of --quiet.
        progress: value of --progress.
        output: path of the output. `-` is standard output.
    """
    shows_output = output == "-" and sys.stdout is not None and sys.stdout.isatty()
    if quiet or not progress or sys.stderr is None:
        return nullcontext()
    if not sys.stderr.isatty():
        return progress_lines()
    return nullcontext() if shows_output else progress_bar()
