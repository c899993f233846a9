"""What a person sees: sentences, tables, grids, progress. The only importer of rich.

rich is imported where something is drawn, since plain sentences do not need its 60 ms.
Knows nothing of files or of the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from padmask.ledger import PadResult

if TYPE_CHECKING:
    from padmask.pipeline import Progress, ProgressCallback


def share(fraction: float) -> str:
    """Write a fraction as a percentage that never rounds something to nothing.

    >>> share(0.25), share(0.0001), share(0.0)
    ('25.0%', '<0.1%', '0%')
    """
    if fraction == 0:
        return "0%"
    return f"{fraction:.1%}" if fraction >= 0.001 else "<0.1%"


def count(number: int, noun: str) -> str:
    """Write a number and its noun.

    >>> count(1, "row"), count(1234, "token")
    ('1 row', '1,234 tokens')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary(result: PadResult, goal: str, rejects: str | None = None) -> list[str]:
    """Say in lines what was done, what was lost, and what to look at."""
    ledger = result.ledger
    found = "given" if result.maxlen_found == "given" else f"found: {result.maxlen_found}"
    lines = [
        f"{count(ledger.rows_written, 'row')} -> {'stdout' if goal == '-' else goal}: "
        f"maxlen {result.maxlen} ({found}), padding {result.padding}, "
        f"{share(ledger.padding_share)} of places are padding"
    ]
    if ledger.rows_truncated or ledger.tokens_lost:
        lost = ledger.tokens_lost / ledger.tokens_read if ledger.tokens_read else 0.0
        labels = f", {count(ledger.labels_lost, 'label')} among them" if ledger.labels_lost else ""
        lines.append(
            f"{count(ledger.rows_truncated, 'row')} cut; {count(ledger.tokens_lost, 'token')} lost "
            f"({share(lost)} of {ledger.tokens_read:,}){labels}"
        )
    if ledger.rows_dropped or ledger.rows_rejected:
        parts = [
            f"{count(number, 'row')} {what}"
            for number, what in ((ledger.rows_dropped, "dropped"), (ledger.rows_rejected, "rejected"))
            if number
        ]
        lines.append(" and ".join(parts) + (f": see {rejects}" if rejects else "; --rejects FILE keeps them"))
    return lines + [f"warning: {line}" for line in warnings(result)]


def warnings(result: PadResult) -> list[str]:
    """Say what will bite later."""
    ledger = result.ledger
    lines = list(result.notes)
    if ledger.rows_read == 0:
        lines.append("the input has no rows")
    if ledger.rows_empty:
        lines.append(
            f"{count(ledger.rows_empty, 'row')} without a token: a fully masked row gives NaN in pooling and "
            "attention layers; --empty-rows drop leaves such rows out"
        )
    if result.padding == "pre" and ledger.rows_written:
        lines.append("--padding pre: cuDNN's LSTM and GRU kernels need post, others are slower")
    for name, flag in result.unpadded.items():
        lines.append(f"column {name!r} has the same lengths and was not padded: {flag} would pad it too")
    return lines


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
    with Bar(*columns, console=console, transient=True) as bar:
        tasks = {}

        def advance(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.size, rows=0)
            bar.update(tasks[progress.phase], completed=progress.consumed, rows=progress.rows)

        yield advance
