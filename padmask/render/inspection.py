"""Print the result of `inspect`: masks, length statistics, plans and findings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import dropwhile, groupby, zip_longest
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import count, share, size
from padmask.inspect.advice import LARGE_LOSS
from padmask.inspect.dynamic import BATCH_ROWS, WINDOW_BATCHES
from padmask.render.console import is_unicode, print_line, print_notes, printable_line
from padmask.render.findings import print_findings
from padmask.render.grid import CUT_STYLE, make_grid
from padmask.render.summary import describe_buckets

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from padmask.inspect.advice import Advice
    from padmask.inspect.costs import Cost
    from padmask.inspect.inspection import Inspection, ShownRow

# Minimum terminal width in characters for the full tables.
NARROW = 56

BAR = {True: "█", False: "#"}


def show_inspection(
    seen: Inspection, console: Console, *, style: str = "grid", masks: bool = True, plans: bool = True
) -> None:
    """Print the result of `inspect_file`.

    Args:
        seen: result to print.
        console: console to print to.
        style: `"grid"`, `"tokens"`, `"bool"` or `"int"`, as in `--style`.
        masks: whether to print the masks of the shown rows.
        plans: whether to print the plans.
    """
    stats = seen.stats
    console.print(f"[bold]{printable_line(seen.name)}[/bold]: {printable_line(seen.describe())}")
    if seen.packed is not None:
        console.print(str(seen.packed), highlight=False)
    for row in describe_buckets(seen.buckets):
        console.print(row, highlight=False)
    if masks and seen.shown:
        console.print()
        for line in _format_masks(seen, style, console):
            console.print(line)
    if stats.rows:
        console.print()
        _print_lengths(seen, console)
    if plans and seen.plans:
        console.print()
        _print_plans(seen, console)
    console.print()
    print_notes(seen.notes, console)
    _print_health(seen, console)
    _print_advice(seen.advice, console)


def _print_advice(advice: Advice, console: Console) -> None:
    """Print the recommended plan with its command, then the other plans with their commands."""
    console.print(f"[bold]Advice:[/bold] {printable_line(advice.text)}")
    if advice.command:
        console.print("[bold]Recommended:[/bold]")
        _print_command(advice.command, console)
    for detail in advice.details:
        _print_item(detail, console)
    if advice.alternatives:
        console.print("[bold]Alternatives:[/bold]")
    for other in advice.alternatives:
        _print_item(other.text, console)
        _print_command(other.command, console)


def _print_command(command: str, console: Console) -> None:
    """Print a command on one line, so that users can copy it."""
    print_line(f"  {printable_line(command)}", console, style="green")


def _print_item(text: str, console: Console) -> None:
    line = f"- {text}"
    if not console.soft_wrap:
        line = fill(
            line, console.width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
    print_line("\n".join(map(printable_line, line.split("\n"))), console)


def _format_masks(seen: Inspection, style: str, console: Console) -> list[RenderableType]:
    from rich.text import Text

    if style in ("bool", "int"):
        return [Text(line, overflow="ignore", no_wrap=True) for line in _format_matrix(seen.shown, style)]
    if style == "tokens":
        return [_format_tokens(row, seen.advice.cut_tokens) for row in seen.shown]
    return make_grid(seen, console)


def _format_matrix(shown: Sequence[ShownRow], style: str) -> list[str]:
    """Format the masks as one NumPy array, or as one array per row if the rows differ in length."""
    masks = [row.mask if style == "bool" else row.mask.astype(int) for row in shown]
    is_rectangle = len({len(mask) for mask in masks}) == 1
    arrays = [
        np.array2string(part, threshold=sys.maxsize, max_line_width=sys.maxsize)
        for part in ([np.array(masks)] if is_rectangle else masks)
    ]
    return [line for text in arrays for line in text.splitlines()]


def _format_tokens(row: ShownRow, cut_tokens: str) -> Text:
    """Format the tokens of a row. Brackets mark padding, because the terminal may not support colours.

    Args:
        row: row to show.
        cut_tokens: word for cut tokens in the output, such as "cut".
    """
    from rich.text import Text

    line = Text()
    line.append(f"{row.row}: ", style="dim")
    # The mask of an invalid row may have a different length. A question mark shows a missing value or mask.
    places = list(zip_longest(row.values.tolist(), row.mask.tolist(), fillvalue="?"))
    if not row.cut:
        return _append_tokens(line, places)
    # A row from which tokens are cut has no padding.
    _append_tokens(line, places[: row.cut_at])
    line.append(f"[{count(row.cut, 'token')} {cut_tokens}] ", style=CUT_STYLE)
    return _append_tokens(line, places[row.cut_at :])


def _append_tokens(line: Text, places: Sequence[tuple[Any, Any]]) -> Text:
    """Append values to a line, with brackets for padding. Repeated padding is shown once."""
    for (shown, real), same in groupby((_format_token(value, real), real) for value, real in places):
        number = sum(1 for _ in same)
        if real:
            line.append(f"{shown} " * number)
        else:
            line.append(f"({shown}) " if number == 1 else f"({shown} x {number:,}) ", style="dim")
    return line


def _format_token(value: Any, real: Any) -> str:
    shown = f"{value}?" if real == "?" else str(value)
    # Escape control characters, which could change the state of the terminal.
    return shown if shown.isprintable() else repr(shown)[1:-1]


def _print_lengths(seen: Inspection, console: Console) -> None:
    lengths = format_lengths(seen)
    if console.width < NARROW:
        console.print(
            f"Lengths, in {seen.unit}s: " + ", ".join(f"{name} {value}" for name, value in lengths.items())
        )
    else:
        console.print(_make_lengths_table(lengths, seen.unit))
    console.print()
    _print_histogram(seen, console)


def format_lengths(seen: Inspection) -> dict[str, str]:
    """Return the statistics of the lengths as texts."""
    return {
        name: f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        for name, value in seen.lengths().items()
    }


def _make_lengths_table(lengths: dict[str, str], unit: str) -> RenderableType:
    from rich.table import Table

    table = Table(title=f"Lengths, in {unit}s", title_justify="left", box=None, pad_edge=False)
    for name in lengths:
        table.add_column(name, justify="right")
    table.add_row(*lengths.values())
    return table


def _print_histogram(seen: Inspection, console: Console) -> None:
    from rich.table import Table

    bars = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("right", "right", "left"):
        bars.add_column(justify=justify)
    histogram = list(dropwhile(lambda bin_: not bin_["rows"], seen.histogram()))
    most = max(bin_["rows"] for bin_ in histogram) if histogram else 1
    width = max(4, min(60, console.width - 30))
    for bin_ in histogram:
        low, high = bin_["low"], bin_["high"]
        length = -(-bin_["rows"] * width // most) if bin_["rows"] else 0
        bars.add_row(
            str(low) if low == high else f"{low:,}-{high:,}",
            f"{bin_['rows']:,}",
            f"[cyan]{BAR[is_unicode(console)] * length}[/cyan]",
        )
    console.print(bars)


# Columns to omit on a narrow terminal, in this order, so that no number is cut off.
DISPENSABLE = ("shapes", "rows cut", "size", "rows", "tokens lost", "steps lost", "padding")


def _print_plans(seen: Inspection, console: Console) -> None:
    """Print a table of the plans, and a line about the columns that do not fit on the terminal."""
    left_out: list[str] = []
    # Without a larger limit, rich never measures a table wider than the console.
    unlimited = console.options.update(max_width=10_000)
    for name in DISPENSABLE:
        if console.measure(_make_plan_table(seen, left_out), options=unlimited).minimum <= console.width:
            break
        left_out.append(name)
    console.print(_make_plan_table(seen, left_out))
    for note in plan_notes(seen):
        console.print(note, style="dim")
    if left_out:
        console.print(
            f"omitted columns: {', '.join(left_out)} (the terminal is too narrow; --json shows all columns)",
            style="dim",
        )


def plan_notes(seen: Inspection) -> list[str]:
    """Return explanations of the plans in the table."""
    notes = ["* recommended"] if seen.advice.plan is not None else []
    if any(plan.name == "sorted-32" for plan in seen.plans):
        notes.append(
            f"random-32: expected cost if the rows are in random order, and each batch of {BATCH_ROWS} rows "
            "is padded to its longest row. sorted-32: the same, but groups of "
            f"{BATCH_ROWS * WINDOW_BATCHES:,} rows are first sorted by length"
        )
    return notes


def _make_plan_table(seen: Inspection, left_out: Sequence[str]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(title="Plans", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    best = seen.advice.plan.name if seen.advice.plan is not None else None
    rows = [cells_of_plan(plan, plan.name == best, seen.unit) for plan in seen.plans]
    if not has_rows_of_output(seen):
        rows = [{name: cell for name, cell in cells.items() if name != "rows"} for cells in rows]
    for name in rows[0]:
        if name in left_out:
            continue
        # Only the list of bucket edges may wrap. Other cells must fit on one line.
        wraps = name == "maxlen"
        parts = [part for cells in rows for part in (cells[name].split() if wraps else [cells[name]])]
        table.add_column(
            name,
            justify="left" if wraps or name == "plan" else "right",
            min_width=max(map(len, [name, *parts])),
            no_wrap=not wraps,
        )
    lost = f"{seen.unit}s lost"
    for plan, cells in zip(seen.plans, rows, strict=True):
        shown = {name: cell for name, cell in cells.items() if name not in left_out}
        if plan.lost_share >= LARGE_LOSS and lost in shown:
            shown[lost] = f"[{CUT_STYLE}]{shown[lost]}[/{CUT_STYLE}]"
        table.add_row(*shown.values(), style="bold" if plan.name == best else "")
    return table


def has_rows_of_output(seen: Inspection) -> bool:
    """Return whether the table of plans has a column with the number of output rows.

    The table needs this column only if a plan splits or drops rows. Otherwise, all plans except packing have
    the same number of rows.
    """
    return any(plan.overlong in ("window", "drop") for plan in seen.plans)


def cells_of_plan(plan: Cost, is_best: bool, unit: str = "token") -> dict[str, str]:
    """Return a row of the table of plans, keyed by the names of the columns."""
    lost = f"{plan.tokens_lost:,} ({share(plan.lost_share)})" if plan.tokens_lost else "0"
    return {
        "plan": f"{plan.name} *" if is_best else plan.name,
        "maxlen": " ".join(map(str, plan.edges)),
        "rows": f"{plan.rows:,}",
        "padding": share(plan.padding_share),
        "rows cut": f"{plan.rows_cut:,}",
        f"{unit}s lost": lost,
        "size": size(plan.bytes),
        "shapes": f"{plan.shapes:,}",
    }


def _print_health(seen: Inspection, console: Console) -> None:
    if not seen.health:
        console.print("[bold]Health:[/bold] no findings")
        return
    console.print("[bold]Health[/bold]")
    print_findings(seen.health, console)
