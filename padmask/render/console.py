"""Consoles, the progress bar and exports. The functions import rich only when they are called."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from padmask.errors import count, printable, size
from padmask.spec.warning_names import Warned, is_allowed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

    from padmask.stream.progress import Progress, ProgressCallback

# Width of tables and masks in a pipe, in characters.
PIPE_COLUMNS = 100

# Shorter runs show no progress bar.
SECONDS_BEFORE_PROGRESS = 0.7

# Time between two lines of progress if stderr is not a terminal. Shorter runs print no such line.
SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Show a progress bar on stderr inside the context. Yield the callback that updates the bar."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(file=sys.stderr)
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    bar = Bar(*columns, console=console, transient=True)
    started = monotonic()
    tasks: dict[str, Any] = {}
    try:

        def update(progress: Progress) -> None:
            if monotonic() - started < SECONDS_BEFORE_PROGRESS:
                return
            bar.start()
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.size, rows=0)
            bar.update(tasks[progress.phase], completed=progress.consumed, rows=progress.rows)

        yield update
    finally:
        bar.stop()


@contextmanager
def progress_lines() -> Iterator[ProgressCallback]:
    """Yield a callback that prints a line to stderr from time to time, for logs."""
    started = printed = monotonic()

    def update(progress: Progress) -> None:
        nonlocal printed
        now = monotonic()
        if now - printed < SECONDS_BETWEEN_LINES:
            return
        printed = now
        # A closed stderr is not an error.
        with suppress(OSError):
            print(progress_line(progress, now - started), file=sys.stderr, flush=True)

    yield update


def progress_line(progress: Progress, seconds: float) -> str:
    """Return a line about the progress of a run.

    >>> from padmask.stream.progress import Progress
    >>> progress_line(Progress("padding", 120_000, 1 << 20, 4 << 20), 95)
    'padding: 120,000 rows, 25% of 4.0 MiB, after 1:35'
    """
    share = f", {progress.consumed / progress.size:.0%} of {size(progress.size)}" if progress.size else ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{progress.phase}: {count(progress.rows, 'row')}{share}, after {clock}"


def make_console() -> Console:
    """Return a rich console for stdout. Text in a pipe is wrapped only if the user sets COLUMNS."""
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with code 1, but a closed pipe is not an error.
            raise BrokenPipeError

        def _render_buffer(self, buffer: Iterable[Segment]) -> str:
            # rich fills lines with spaces up to the width of the console. Only a terminal hides these spaces.
            text = super()._render_buffer(buffer)
            return text if self.is_terminal else re.sub(r" +(?=\n)", "", text)

    # Names between colons, such as `m:running:`, are not emojis.
    console = PipeConsole(highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.soft_wrap, console.width = True, PIPE_COLUMNS
    return console


def recording_console() -> Console:
    """Return a rich console that prints nothing and records its output, for `exported_text`."""
    import io

    from rich.console import Console

    width = max(60, min(120, make_console().width))
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(
        file=file, width=width, record=True, highlight=False, force_terminal=True, color_system="truecolor"
    )


def is_unicode(console: Console) -> bool:
    """Return whether the console supports Unicode."""
    return (console.encoding or "").lower().replace("-", "").startswith("utf")


def print_notes(notes: Sequence[str], console: Console) -> None:
    """Print notes and warnings. Warnings that the user hides with `--allow` are not printed."""
    for note in notes:
        if not is_allowed(note):
            name = f"warning\\[{note.name}]" if isinstance(note, Warned) else "note"
            print_line(f"{name}: {printable_line(note)}", console)


def printable_line(text: str) -> str:
    """Escape rich markup and terminal control characters in text from users."""
    from rich.markup import escape

    return escape(printable(text))


def print_line(markup: str, console: Console, style: str | None = None) -> None:
    """Print text without the line breaks of rich. The terminal wraps long lines. A pipe receives one line."""
    console.print(markup, style=style, soft_wrap=True)


def exported_text(console: Console) -> bytes:
    """Return the text that a recording console has recorded, in UTF-8."""
    return console.export_text().encode()
