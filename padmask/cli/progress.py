"""The progress that a command shows."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from padmask.render.console import progress_bar
from padmask.stream.progress import ProgressCallback


def open_progress(
    *, quiet: bool, progress: bool, output: str = ""
) -> AbstractContextManager[ProgressCallback | None]:
    """Return a progress bar where a terminal is there to show it, apart from the data."""
    data_too = output == "-" and sys.stdout is not None and sys.stdout.isatty()
    if quiet or not progress or data_too or sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    return progress_bar()
