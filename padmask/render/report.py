"""Draw what `verify` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.render.console import print_findings, print_notes, printable_line
from padmask.render.inspection import NARROW
from padmask.render.summary import count
from padmask.verify.report import ANSWERS, check_sentence

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from padmask.verify.report import Report, SubjectReport

VERDICT_COLOURS = {"ignores": "green", "data-ok": "green", "leaks": "red", "bad-data": "red"}


def show_report(report: Report, console: Console) -> None:
    """Print a verification: the verdict first, then what it stands on."""
    verdict, seen = report.verdict, report.environment
    colour = VERDICT_COLOURS.get(verdict, "yellow")
    console.print(f"[bold {colour}]{verdict}[/bold {colour}]: {ANSWERS[verdict]}")
    console.print(printable_line(_what_was_run(seen)), style="dim")
    print_notes(report.notes, console)
    if report.data:
        console.print("[bold]Data[/bold]")
        print_findings(report.data, console)
    elif "data" in seen:
        console.print("[bold]Data:[/bold] no rule is broken")
    if report.proof and not report.subjects:
        console.print(f"[bold]Models:[/bold] {printable_line(str(seen.get('subjects', 'none')))}")
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
    cells = [printable_line(subject.name), f"[{colour}]{subject.verdict}[/{colour}]"]
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
    for check in subject.checks:
        if check.verdict == "fails":
            console.print(f"[red]fails[/red] {printable_line(check_sentence(subject, check))}")
    if subject.detail:
        console.print(f"[bold]{printable_line(subject.name)}:[/bold] {printable_line(subject.detail)}")
    if len(subject.outputs) > 1:
        for output in subject.outputs:
            colour = VERDICT_COLOURS.get(output.verdict, "yellow")
            console.print(
                f"  output {printable_line(output.name)}: [{colour}]{output.verdict}[/{colour}], "
                f"deviation {scientific(output.max_abs_diff or 0.0)}"
            )
    if subject.culprit:
        console.print(f"[bold]To blame:[/bold] [red]{printable_line(subject.culprit)}[/red]")
    if subject.path:
        console.print(f"[bold]Path:[/bold] {printable_line(subject.path)}")
    if subject.advice:
        console.print(f"[bold]Advice:[/bold] {printable_line(subject.advice)}")
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
            f"[{colour}]{printable_line(layer.name)}[/{colour}]",
            layer.kind,
            {True: "yes", False: "no", None: ""}[layer.mask_in],
            {True: "yes", False: "no", None: ""}[layer.mask_out],
            deviation,
        )
    return table
