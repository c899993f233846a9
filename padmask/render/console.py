"""The terminal: consoles, the progress bar, and exports. rich is imported where something is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from padmask.errors import printable
from padmask.render.summary import count

if TYPE_CHECKING:
    from rich.console import Console

    from padmask.stream.progress import Progress, ProgressCallback
    from padmask.verify.data.rules import Finding

# A run that is over sooner needs no bar.
SECONDS_BEFORE_PROGRESS = 0.7


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Show how far a run is on standard error, and give the callback that moves it."""
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
    begun = monotonic()
    tasks: dict[str, Any] = {}
    try:

        def advance(progress: Progress) -> None:
            if monotonic() - begun < SECONDS_BEFORE_PROGRESS:
                return
            bar.start()
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.size, rows=0)
            bar.update(tasks[progress.phase], completed=progress.consumed, rows=progress.rows)

        yield advance
    finally:
        bar.stop()


def make_console() -> Console:
    """Return a console for standard output."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            # rich would end the process with 1; that a reader has seen enough is no error.
            raise BrokenPipeError

    return Piped(highlight=False)


def recording_console() -> Console:
    """Return a console that prints nowhere and remembers, in colour, for an export."""
    import io

    from rich.console import Console

    width = max(60, min(120, make_console().width))
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(
        file=file, width=width, record=True, highlight=False, force_terminal=True, color_system="truecolor"
    )


def is_unicode(console: Console) -> bool:
    """Whether the console can show more than ASCII."""
    return (console.encoding or "").lower().replace("-", "").startswith("utf")


def print_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(f"[yellow]warning:[/yellow] {printable_line(note)}")


def printable_line(text: str) -> str:
    """Keep rich from reading brackets in people's own words as its markup, and terminals from the rest."""
    from rich.markup import escape

    return escape(printable(text))


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    for finding in findings:
        colour = {"error": "red", "warning": "yellow"}.get(finding.rule.severity, "dim")
        console.print(
            f"  [{colour}]{finding.rule.severity}[/{colour}] {finding.rule.name}: "
            f"{count(finding.count, finding.rule.breaker)}, first "
            f"{printable_line(', '.join(map(str, finding.examples[:3])))}. "
            f"{printable_line(finding.detail)}"
        )


def export(console: Console, path: str) -> bytes:
    """Return what a recording console showed as SVG, HTML or text, by the path's suffix.

    The picture stands alone: rich's own template links fonts on a server.
    """
    import re

    from rich._export_format import CONSOLE_SVG_FORMAT

    if path.endswith(".svg"):
        alone = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.S)
        alone = alone.replace("<!-- Generated with Rich https://www.textualize.io -->", "")
        return console.export_svg(title="padmask inspect", code_format=alone).encode()
    if path.endswith(".html"):
        return console.export_html(inline_styles=True).encode()
    return console.export_text().encode()
