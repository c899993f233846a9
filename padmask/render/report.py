"""Print the report of `verify` on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import count
from padmask.render.console import print_line, print_notes, printable_line
from padmask.render.findings import print_findings
from padmask.render.inspection import NARROW
from padmask.verify.report import describe_check

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from padmask.verify.report import Report, SubjectReport

TABLE_NOTE = (
    "passed: number of checks that passed. control: result of the control model, which ignores masks and "
    "should fail."
)

LAYERS_NOTE = (
    "The deviations of layers are measured on one row with one amount of padding, so they may differ from "
    "the largest deviation of the checks."
)

VERDICT_COLOURS = {"ignores": "green", "data-ok": "green", "leaks": "red", "bad-data": "red"}


def show_report(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print the verdict, then information about the run, the findings, and the result for each model.

    Args:
        report: result of `verify`.
        console: console to print to.
        verbose: whether to show each check and each reference model. If False and all reference models ignore
            padding, they are shown together on one line.
    """
    environment = report.environment
    _print_verdict(report, console)
    print_line(printable_line(text_of_run(environment)), console, style="dim")
    print_notes(report.notes, console)
    _print_data(report, console)
    _print_missing_proof(report, console)
    all_ignore = {subject.verdict for subject in report.subjects} == {"ignores"}
    if report.references and all_ignore and not verbose:
        print_line(_describe_references(report), console)
    elif report.subjects:
        console.print()
        console.print(_subject_table(report.subjects, console))
        console.print(TABLE_NOTE, style="dim")
        for subject in report.subjects:
            _print_subject(subject, console)
            if verbose:
                console.print(_check_table(subject))


def show_data_only(report: Report, console: Console) -> None:
    """Print the report on the data if the models could not run.

    The first line says "not verified". It does not show the verdict on the data, because this is not the
    verdict of the run.
    """
    print_line("[bold yellow]not verified[/bold yellow]: only the data was checked, no model ran", console)
    print_line(printable_line(text_of_run(report.environment)), console, style="dim")
    print_notes(report.notes, console)
    _print_data(report, console)


def show_errors(report: Report, console: Console) -> None:
    """Print the verdict and the errors of a report. If the report is ok, print nothing."""
    if report.ok:
        return
    _print_verdict(report, console)
    print_findings([finding for finding in report.data if finding.rule.severity == "error"], console)
    _print_missing_proof(report, console)
    for subject in report.subjects:
        _print_subject(replace(subject, outputs=(), layers=()), console)


def _print_verdict(report: Report, console: Console) -> None:
    colour = VERDICT_COLOURS.get(report.verdict, "yellow")
    verdict = f"[bold {colour}]{report.verdict}[/bold {colour}]"
    print_line(f"{verdict}: {report.answer}", console)


def _print_data(report: Report, console: Console) -> None:
    if report.data:
        print_findings(report.data, console)
    elif "data" in report.environment:
        console.print("[bold]Data:[/bold] no findings")


def _print_missing_proof(report: Report, console: Console) -> None:
    if report.proof and not report.subjects:
        models = printable_line(str(report.environment.get("subjects", "none")))
        print_line(f"[bold]Models:[/bold] {models}", console)


def text_of_run(environment: Mapping[str, Any]) -> str:
    """Return a text that names the data, the number of rows, the framework and the device."""
    parts = []
    if "data" in environment:
        used = f", {environment['rows_checked']:,} of them tested" if "rows_checked" in environment else ""
        parts.append(f"{environment['data']}: {count(environment['rows'], 'row')}{used}")
    elif environment.get("rows_given"):
        parts.append(f"{environment['rows_checked']:,} of your rows tested")
    elif "rows_checked" in environment:
        rows = count(environment["rows_checked"], "random row")
        parts.append(f"{rows} generated with seed {environment['seed']}")
    if "backend" in environment:
        kernel = f", {environment['kernel']} kernel" if environment.get("kernel") else ""
        keras = f"Keras {environment['keras']} on " if "keras" in environment else ""
        backend = f"{environment['backend']} {environment['backend_version']}"
        parts.append(f"{keras}{backend}, {environment['device']}{kernel}")
    return "; ".join(parts) or "nothing ran"


def _describe_references(report: Report) -> str:
    """Return one line for all reference models. The line says that all of them ignore padding."""
    number, run = len(report.subjects), report.environment
    models = "1 reference model ignores" if number == 1 else f"{number} reference models ignore"
    where = f"{run['device']}, {run['backend']} {run['backend_version']}"
    return f"[bold]Models:[/bold] {models} padding on {where}"


def _subject_table(subjects: Sequence[SubjectReport], console: Console) -> RenderableType:
    from rich import box
    from rich.table import Table

    narrow = console.width < NARROW + 20
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("deviation",) if narrow else ("passed", "deviation", "tolerance", "control"):
        table.add_column(name, justify="left" if name == "control" else "right", no_wrap=True)
    for subject in subjects:
        table.add_row(*_subject_cells(subject, narrow))
    return table


def _subject_cells(subject: SubjectReport, narrow: bool) -> list[str]:
    colour = VERDICT_COLOURS.get(subject.verdict, "yellow")
    passed, deviation, *others = numbers_of(subject)
    cells = [printable_line(subject.name), f"[{colour}]{subject.verdict}[/{colour}]"]
    return [*cells, deviation] if narrow else [*cells, passed, deviation, *others]


def numbers_of(subject: SubjectReport) -> list[str]:
    """Return the results of the checks of a model, as texts for a table.

    Returns:
        The number of passed checks, the deviation and the tolerance of the worst check, and the result of the
        control model.
    """
    ran = [check for check in subject.checks if check.verdict != "skipped"]
    worst = max(ran, key=lambda check: (check.verdict == "fails", check.max_abs_diff or 0.0), default=None)
    passed = sum(check.verdict == "holds" for check in ran)
    texts = {"fails": "fails", "holds": "passes", None: ""}
    control = texts[subject.control.verdict if subject.control else None]
    deviation = "" if worst is None else format_scientific(worst.max_abs_diff or 0.0)
    tolerance = "" if worst is None else format_scientific(worst.tolerance or 0.0)
    return [f"{passed} of {len(ran)}", deviation, tolerance, control]


def format_scientific(number: float) -> str:
    """Format a number in scientific notation with one decimal.

    >>> format_scientific(0.0), format_scientific(1.234e-7), format_scientific(float("inf"))
    ('0', '1.2e-07', 'inf')
    """
    if number == 0:
        return "0"
    return f"{number:.1e}" if np.isfinite(number) else "inf"


def _print_subject(subject: SubjectReport, console: Console) -> None:
    for check in subject.checks:
        if check.verdict == "fails":
            print_line(f"[red]fails[/red] {printable_line(describe_check(subject, check))}", console)
    if subject.detail:
        print_line(f"[bold]{printable_line(subject.name)}:[/bold] {printable_line(subject.detail)}", console)
    if len(subject.outputs) > 1:
        for output in subject.outputs:
            colour = VERDICT_COLOURS.get(output.verdict, "yellow")
            console.print(
                f"  output {printable_line(output.name)}: [{colour}]{output.verdict}[/{colour}], "
                f"deviation {format_scientific(output.max_abs_diff or 0.0)}"
            )
    if subject.culprit:
        print_line(f"[bold]Culprit:[/bold] [red]{printable_line(subject.culprit)}[/red]", console)
    if subject.path:
        print_line(f"[bold]Path:[/bold] {printable_line(subject.path)}", console)
    if subject.advice:
        print_line(f"[bold]Advice:[/bold] {printable_line(subject.advice)}", console)
    if subject.layers:
        console.print(_layer_table(subject))
        console.print(LAYERS_NOTE, style="dim")


def _check_table(subject: SubjectReport) -> RenderableType:
    from rich import box
    from rich.table import Table

    title = f"Checks of {printable_line(subject.name)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "result", "deviation", "tolerance", "detail"):
        number = name in ("deviation", "tolerance")
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for check in subject.checks:
        numbers = (check.max_abs_diff, check.tolerance)
        shown = ["" if number is None else format_scientific(number) for number in numbers]
        colour = {"holds": "green", "fails": "red"}.get(check.verdict, "default")
        result = {"holds": "passes", "fails": "fails"}.get(check.verdict, "skipped")
        table.add_row(check.name, f"[{colour}]{result}[/{colour}]", *shown, printable_line(check.detail))
    return table


def _layer_table(subject: SubjectReport) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(title="Layers", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "class", "mask in", "mask out"):
        table.add_column(name, overflow="fold")
    table.add_column("deviation", justify="right")
    for layer in subject.layers:
        deviation = "" if layer.max_abs_diff is None else format_scientific(layer.max_abs_diff)
        colour = "red" if layer.name == subject.culprit else "default"
        table.add_row(
            f"[{colour}]{printable_line(layer.name)}[/{colour}]",
            layer.kind,
            {True: "yes", False: "no", None: ""}[layer.mask_in],
            {True: "yes", False: "no", None: ""}[layer.mask_out],
            deviation,
        )
    return table
