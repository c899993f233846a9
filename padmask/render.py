"""What a person sees: sentences, tables, grids, progress. The only importer of rich.

rich is imported where something is drawn, since plain sentences do not need its 60 ms.
Knows nothing of files or of the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import printable, share, size
from padmask.ledger import Ledger, PadResult, UnpadResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from padmask.costs import Cost
    from padmask.inspection import Inspection, ShownRow
    from padmask.progress import Progress, ProgressCallback
    from padmask.verify.audit import Finding
    from padmask.verify.report import Report, SubjectReport

# A run that is over sooner needs no bar.
SECONDS_BEFORE_PROGRESS = 0.7
# Shades from no real token to nothing else; the second set where the terminal has only ASCII.
SHADES = {True: "·░▒▓█", False: ".-+*#"}
# Below this width a table's heads would be cut.
NARROW = 56
BAR = {True: "█", False: "#"}


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
    if result.maxlen_exact != result.maxlen:
        found = f"{result.maxlen_found} is {result.maxlen_exact:,}, rounded up"
    where = "stdout" if goal == "-" else goal
    if result.shards:
        before = f", {result.resumed:,} of them done before" if result.resumed else ""
        where += f" ({count(result.shards, 'shard')}{before})"
    lines = [
        f"{count(ledger.rows_written, 'row')} -> {where}: "
        f"maxlen {result.maxlen} ({found}), padding {result.padding}, "
        f"{share(ledger.padding_share)} of places are padding"
    ]
    if ledger.rows_truncated or ledger.tokens_lost:
        lost = ledger.tokens_lost / ledger.tokens_read if ledger.tokens_read else 0.0
        labels = f", {count(ledger.labels_lost, 'label')} among them" if ledger.labels_lost else ""
        cut = f"{count(ledger.rows_truncated, 'row')} cut; " if ledger.rows_truncated else ""
        whole = "" if ledger.rows_truncated else " with the rows that were dropped"
        lines.append(
            f"{cut}{count(ledger.tokens_lost, 'token')} lost{whole} "
            f"({share(lost)} of {ledger.tokens_read:,}){labels}"
        )
    left_out = [f"left out: {fault}" for fault in result.faults]
    return [*lines, *_not_written(ledger, rejects), *left_out, *(f"warning: {w}" for w in warnings(result))]


def unpad_summary(result: UnpadResult, goal: str, rejects: str | None = None) -> list[str]:
    """Say in lines what was done, what was left out, and what to look at."""
    ledger = result.ledger
    line = (
        f"{count(ledger.rows_written, 'row')} -> {'stdout' if goal == '-' else goal}: "
        f"{count(ledger.tokens_kept, 'token')}; {share(ledger.padding_share)} of "
        f"{count(ledger.places, 'place')} were padding"
    )
    notes = [*result.notes, *_few_rows(ledger)]
    if result.still_padded:
        names = ", ".join(map(repr, result.still_padded))
        flags = next(iter(result.still_padded.values()))
        notes.append(f"not unpadded, though of the same lengths: {names}; to unpad all: {flags}")
    return [line, *_not_written(ledger, rejects), *(f"warning: {note}" for note in notes)]


def _not_written(ledger: Ledger, rejects: str | None) -> list[str]:
    parts = [
        f"{count(number, 'row')} {what}"
        for number, what in ((ledger.rows_dropped, "dropped"), (ledger.rows_rejected, "rejected"))
        if number
    ]
    where = f": see {rejects}" if rejects else "; --rejects FILE keeps them"
    return [" and ".join(parts) + where] if parts else []


def _few_rows(ledger: Ledger) -> list[str]:
    if ledger.rows_read == 0:
        return ["no rows were read"]
    return ["not one row was written"] if ledger.rows_written == 0 else []


def warnings(result: PadResult) -> list[str]:
    """Say what will bite later."""
    ledger = result.ledger
    lines = [*result.notes, *_few_rows(ledger)]
    if result.maxlen == 0 and ledger.tokens_read:
        lines.append("maxlen 0 keeps no token at all")
    if ledger.rows_empty:
        lines.append(
            f"{count(ledger.rows_empty, 'row')} without a token: a fully masked row gives NaN in pooling and "
            "attention layers; --empty-rows drop leaves such rows out"
        )
    if result.padding == "pre" and ledger.rows_written:
        lines.append("--padding pre: cuDNN's LSTM and GRU kernels need post, others are slower")
    if result.unpadded:
        names = ", ".join(map(repr, result.unpadded))
        flags = next(iter(result.unpadded.values()))
        lines.append(f"not padded, though of the same lengths: {names}; to pad all: {flags}")
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


def show_inspection(
    seen: Inspection, console: Console, *, style: str = "grid", masks: bool = True, plans: bool = True
) -> None:
    """Print masks, lengths, plans, health and advice."""
    stats = seen.stats
    state = "padded" if seen.padded else "raw"
    console.print(
        f"[bold]{_plain(seen.name)}[/bold]: {count(stats.rows, 'row')}, {count(stats.tokens, 'token')} "
        f"in {_plain(repr(seen.column))} ({state})"
    )
    if masks and seen.shown:
        console.print()
        for line in _masks(seen.shown, style, console):
            console.print(line)
    if stats.rows:
        console.print()
        _print_lengths(seen, console)
    if plans and seen.plans:
        console.print()
        _print_plans(seen.plans, console)
    console.print()
    _print_notes(seen.notes, console)
    _print_health(seen, console)
    console.print(f"[bold]Advice:[/bold] {_plain(seen.advice)}")


def _print_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(f"[yellow]warning:[/yellow] {_plain(note)}")


def _plain(text: str) -> str:
    """Keep rich from reading brackets in people's own words as its markup, and terminals from the rest."""
    from rich.markup import escape

    return escape(printable(text))


def _masks(shown: list[ShownRow] | Any, style: str, console: Console) -> list[RenderableType]:
    from rich.text import Text

    if style in ("bool", "int"):
        return [Text(line, overflow="ignore", no_wrap=True) for line in _matrix_lines(shown, style)]
    if style == "tokens":
        return [_token_line(row) for row in shown]
    margin = max(len(str(row.row)) for row in shown), max(len(str(row.length)) for row in shown)
    room = max(8, console.width - sum(margin) - 6)
    return [*_legend(shown, room, console), *[_grid_line(row, margin, room, console) for row in shown]]


def _matrix_lines(shown: Any, style: str) -> list[str]:
    """Say the masks as NumPy, and with it the Keras guide, prints them; uneven ones a row at a time."""
    masks = [row.mask if style == "bool" else row.mask.astype(int) for row in shown]
    even = len({len(mask) for mask in masks}) == 1
    said = [
        np.array2string(part, threshold=sys.maxsize, max_line_width=sys.maxsize)
        for part in ([np.array(masks)] if even else masks)
    ]
    return [line for text in said for line in text.splitlines()]


def _legend(shown: Any, room: int, console: Console) -> list[Text]:
    from rich.text import Text

    shades = SHADES[is_unicode(console)]
    places = len(shown[0].mask)
    scaled = f"; a cell is about {places / room:.1f} places" if places > room else ""
    legend = Text.assemble((shades[-1], "cyan"), " real token  ", (shades[0], "dim"), " padding")
    legend.append(f"  ({places} places a row{scaled})", style="dim")
    return [legend]


def _grid_line(row: ShownRow, margin: tuple[int, int], room: int, console: Console) -> Text:
    from rich.text import Text

    shades = SHADES[is_unicode(console)]
    line = Text(no_wrap=True)
    line.append(f"{row.row:>{margin[0]}} ", style="dim")
    for share_ in _cells(row.mask, room):
        # Only a cell without a real token looks like padding, and only one without padding full.
        level = 0 if share_ == 0 else 4 if share_ == 1 else min(3, max(1, round(share_ * 4)))
        line.append(shades[level], style="cyan" if level else "dim")
    line.append(f" {row.length:>{margin[1]}}", style="bold")
    return line


def _cells(mask: Any, room: int) -> list[float]:
    """Return the share of real tokens in each of at most `room` cells."""
    if len(mask) <= room:
        return [float(real) for real in mask]
    return [float(part.mean()) for part in np.array_split(mask, room)]


def _token_line(row: ShownRow) -> Text:
    from rich.text import Text

    line = Text()
    line.append(f"{row.row}: ", style="dim")
    # Broken padded rows may have a mask of another length: what has no partner stands beside a question.
    for value, real in zip_longest(row.values.tolist(), row.mask.tolist(), fillvalue="?"):
        shown = f"{value}?" if real == "?" else str(value)
        if not shown.isprintable():
            # Data must not drive the terminal.
            shown = repr(shown)[1:-1]
        # Told apart without colour too.
        line.append(f"{shown} " if real else f"({shown}) ", style="" if real else "dim")
    return line


def _print_lengths(seen: Inspection, console: Console) -> None:
    lengths = {
        name: f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        for name, value in seen.lengths().items()
    }
    if console.width < NARROW:
        console.print(
            "Lengths, in tokens: " + ", ".join(f"{name} {value}" for name, value in lengths.items())
        )
    else:
        console.print(_lengths_table(lengths))
    console.print()
    _print_histogram(seen, console)


def _lengths_table(lengths: dict[str, str]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Lengths, in tokens", title_justify="left", box=None, pad_edge=False)
    for name in lengths:
        table.add_column(name, justify="right")
    table.add_row(*lengths.values())
    return table


def _print_histogram(seen: Inspection, console: Console) -> None:
    from rich.table import Table

    bars = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("right", "right", "left"):
        bars.add_column(justify=justify)
    histogram = [bin_ for bin_ in seen.histogram() if bin_["rows"] or bin_["low"]]
    most = max(bin_["rows"] for bin_ in histogram) if histogram else 1
    room = max(4, min(60, console.width - 30))
    for bin_ in histogram:
        low, high = bin_["low"], bin_["high"]
        length = -(-bin_["rows"] * room // most) if bin_["rows"] else 0
        bars.add_row(
            str(low) if low == high else f"{low:,}-{high:,}",
            f"{bin_['rows']:,}",
            f"[cyan]{BAR[is_unicode(console)] * length}[/cyan]",
        )
    console.print(bars)


# What a narrow terminal does without, first to last; a number that is cut would be another one.
DISPENSABLE = ("shapes", "rows cut", "size", "tokens lost", "padding")


def _print_plans(plans: Sequence[Cost], console: Console) -> None:
    """Print as many columns as there is room for, and say what is missing."""
    left_out: list[str] = []
    # rich holds no table to be wider than the console.
    endless = console.options.update(max_width=10_000)
    for name in DISPENSABLE:
        if console.measure(_plan_table(plans, left_out), options=endless).minimum <= console.width:
            break
        left_out.append(name)
    console.print(_plan_table(plans, left_out))
    if left_out:
        console.print(f"left out for want of room: {', '.join(left_out)} (--json has all)", style="dim")


def _plan_table(plans: Sequence[Cost], left_out: Sequence[str]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(title="Plans", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    rows = [_plan_cells(plan) for plan in plans]
    for name in rows[0]:
        if name in left_out:
            continue
        # Edges may stand in lines of their own; nothing else may be cut.
        folds = name == "maxlen"
        parts = [part for cells in rows for part in (cells[name].split() if folds else [cells[name]])]
        table.add_column(
            name,
            justify="left" if folds or name == "plan" else "right",
            min_width=max(map(len, [name, *parts])),
            no_wrap=not folds,
        )
    for cells in rows:
        table.add_row(*(cell for name, cell in cells.items() if name not in left_out))
    return table


def _plan_cells(plan: Cost) -> dict[str, str]:
    lost = f"{plan.tokens_lost:,} ({share(plan.lost_share)})" if plan.tokens_lost else "0"
    return {
        "plan": plan.name,
        "maxlen": " ".join(map(str, plan.edges)),
        "padding": share(plan.padding_share),
        "rows cut": f"{plan.rows_cut:,}",
        "tokens lost": lost,
        "size": size(plan.bytes),
        "shapes": str(plan.shapes),
    }


def _print_health(seen: Inspection, console: Console) -> None:
    if not seen.health:
        console.print("[bold]Health:[/bold] nothing found")
        return
    console.print("[bold]Health[/bold]")
    _print_findings(seen.health, console)


def _print_findings(findings: Sequence[Finding], console: Console) -> None:
    for finding in findings:
        colour = {"error": "red", "warning": "yellow"}.get(finding.rule.severity, "dim")
        console.print(
            f"  [{colour}]{finding.rule.severity}[/{colour}] {finding.rule.name}: "
            f"{count(finding.count, finding.rule.breaker)}, first {_plain(', '.join(finding.examples[:3]))}. "
            f"{_plain(finding.detail)}"
        )


VERDICT_COLOURS = {"ignores": "green", "data-ok": "green", "leaks": "red", "bad-data": "red"}


def show_report(report: Report, console: Console) -> None:
    """Print a verification: the verdict first, then what it stands on."""
    from padmask.verify.report import ANSWERS

    verdict, seen = report.verdict, report.environment
    colour = VERDICT_COLOURS.get(verdict, "yellow")
    console.print(f"[bold {colour}]{verdict}[/bold {colour}]: {ANSWERS[verdict]}")
    console.print(_plain(_what_was_run(seen)), style="dim")
    _print_notes(report.notes, console)
    if report.data:
        console.print("[bold]Data[/bold]")
        _print_findings(report.data, console)
    elif "data" in seen:
        console.print("[bold]Data:[/bold] no rule is broken")
    if report.proof and not report.subjects:
        console.print(f"[bold]Models:[/bold] {_plain(str(seen.get('subjects', 'none')))}")
    if report.subjects:
        console.print()
        console.print(_subject_table(report.subjects, console))
        console.print("held: checks that hold; the control, without masks, must fail them", style="dim")
        for subject in report.subjects:
            _print_subject(subject, console)


def _what_was_run(seen: Mapping[str, Any]) -> str:
    parts = []
    if "data" in seen:
        checked = f", {seen['rows_checked']:,} of them checked" if "rows_checked" in seen else ""
        parts.append(f"{seen['data']}: {count(seen['rows'], 'row')}{checked}")
    elif "rows_checked" in seen:
        parts.append(f"no data: {count(seen['rows_checked'], 'row')} drawn at random, seed {seen['seed']}")
    if "backend" in seen:
        kernel = f", {seen['kernel']} kernel" if seen.get("kernel") else ""
        parts.append(
            f"Keras {seen['keras']} on {seen['backend']} {seen['backend_version']}, {seen['device']}{kernel}"
        )
    return "; ".join(parts) or "nothing was run"


def _subject_table(subjects: Sequence[SubjectReport], console: Console) -> RenderableType:
    from rich import box
    from rich.table import Table

    narrow = console.width < NARROW + 20
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("deviation",) if narrow else ("held", "deviation", "tolerance", "control"):
        table.add_column(name, justify="left" if name == "control" else "right", no_wrap=True)
    for subject in subjects:
        table.add_row(*_subject_cells(subject, narrow))
    return table


def _subject_cells(subject: SubjectReport, narrow: bool) -> list[str]:
    colour = VERDICT_COLOURS.get(subject.verdict, "yellow")
    made = [check for check in subject.checks if check.verdict != "skipped"]
    worst = max(made, key=lambda check: (check.verdict == "fails", check.max_abs_diff or 0.0), default=None)
    deviation = "" if worst is None else scientific(worst.max_abs_diff or 0.0)
    cells = [_plain(subject.name), f"[{colour}]{subject.verdict}[/{colour}]"]
    if narrow:
        return [*cells, deviation]
    held = sum(check.verdict == "holds" for check in made)
    control = {"fails": "fails", "holds": "passes", None: ""}
    said = control[subject.control.verdict if subject.control else None]
    tolerance = "" if worst is None else scientific(worst.tolerance or 0.0)
    return [*cells, f"{held} of {len(made)}", deviation, tolerance, said]


def scientific(number: float) -> str:
    """Write a small number as short as can be.

    >>> scientific(0.0), scientific(1.234e-7), scientific(float("inf"))
    ('0', '1.2e-07', 'no number')
    """
    if number == 0:
        return "0"
    return f"{number:.1e}" if np.isfinite(number) else "no number"


def _print_subject(subject: SubjectReport, console: Console) -> None:
    from padmask.verify.report import check_sentence

    for check in subject.checks:
        if check.verdict == "fails":
            console.print(f"[red]fails[/red] {_plain(check_sentence(subject, check))}")
    if subject.detail:
        console.print(f"[bold]{_plain(subject.name)}:[/bold] {_plain(subject.detail)}")
    if len(subject.outputs) > 1:
        for output in subject.outputs:
            colour = VERDICT_COLOURS.get(output.verdict, "yellow")
            console.print(
                f"  output {_plain(output.name)}: [{colour}]{output.verdict}[/{colour}], "
                f"deviation {scientific(output.max_abs_diff or 0.0)}"
            )
    if subject.culprit:
        console.print(f"[bold]To blame:[/bold] [red]{_plain(subject.culprit)}[/red]")
    if subject.path:
        console.print(f"[bold]Path:[/bold] {_plain(subject.path)}")
    if subject.advice:
        console.print(f"[bold]Advice:[/bold] {_plain(subject.advice)}")
    if subject.layers:
        console.print(_layer_table(subject))


def _layer_table(subject: SubjectReport) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(title="Layers", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "class", "mask in", "mask out"):
        table.add_column(name, overflow="fold")
    table.add_column("deviation", justify="right")
    for layer in subject.layers:
        deviation = "" if layer.max_abs_diff is None else scientific(layer.max_abs_diff)
        colour = "red" if layer.name == subject.culprit else "default"
        table.add_row(
            f"[{colour}]{_plain(layer.name)}[/{colour}]",
            layer.kind,
            {True: "yes", False: "no", None: ""}[layer.mask_in],
            {True: "yes", False: "no", None: ""}[layer.mask_out],
            deviation,
        )
    return table


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
