"""Print the result of `inspect`: masks, length statistics, plans and findings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import share, size
from padmask.render.console import is_unicode, print_notes, printable_line
from padmask.render.findings import print_findings
from padmask.render.summary import count

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from padmask.inspect.costs import Cost
    from padmask.inspect.inspection import Inspection, ShownRow

# Characters for cells from no real tokens to only real tokens. The key is whether Unicode is supported.
SHADES = {True: "·░▒▓█", False: ".-+*#"}

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
    state = "padded" if seen.padded else "raw"
    console.print(
        f"[bold]{printable_line(seen.name)}[/bold]: {count(stats.rows, 'row')}, "
        f"{count(stats.tokens, 'token')} "
        f"in {printable_line(repr(seen.column))} ({state})"
    )
    if masks and seen.shown:
        console.print()
        for line in _format_masks(seen.shown, style, console):
            console.print(line)
    if stats.rows:
        console.print()
        _print_lengths(seen, console)
    if plans and seen.plans:
        console.print()
        _print_plans(seen.plans, console)
    console.print()
    print_notes(seen.notes, console)
    _print_health(seen, console)
    console.print(f"[bold]Advice:[/bold] {printable_line(seen.advice)}")


def _format_masks(shown: list[ShownRow] | Any, style: str, console: Console) -> list[RenderableType]:
    from rich.text import Text

    if style in ("bool", "int"):
        return [Text(line, overflow="ignore", no_wrap=True) for line in _format_matrix(shown, style)]
    if style == "tokens":
        return [_format_tokens(row) for row in shown]
    margin = max(len(str(row.row)) for row in shown), max(len(str(row.length)) for row in shown)
    width = max(8, console.width - sum(margin) - 6)
    return [
        *_format_legend(shown, width, console),
        *[_format_row(row, margin, width, console) for row in shown],
    ]


def _format_matrix(shown: Any, style: str) -> list[str]:
    """Format the masks as one NumPy array, or as one array per row if the rows differ in length."""
    masks = [row.mask if style == "bool" else row.mask.astype(int) for row in shown]
    is_rectangle = len({len(mask) for mask in masks}) == 1
    arrays = [
        np.array2string(part, threshold=sys.maxsize, max_line_width=sys.maxsize)
        for part in ([np.array(masks)] if is_rectangle else masks)
    ]
    return [line for text in arrays for line in text.splitlines()]


def _format_legend(shown: Any, width: int, console: Console) -> list[Text]:
    from rich.text import Text

    shades = SHADES[is_unicode(console)]
    places = len(shown[0].mask)
    scaled = f"; each cell shows about {places / width:.1f} positions" if places > width else ""
    legend = Text.assemble((shades[-1], "cyan"), " real token  ", (shades[0], "dim"), " padding")
    legend.append(f"  ({places} positions per row{scaled})", style="dim")
    return [legend]


def _format_row(row: ShownRow, margin: tuple[int, int], width: int, console: Console) -> Text:
    from rich.text import Text

    shades = SHADES[is_unicode(console)]
    line = Text(no_wrap=True)
    line.append(f"{row.row:>{margin[0]}} ", style="dim")
    for share_ in _scale_mask(row.mask, width):
        # Use the first shade only for cells without real tokens, and the last for cells of only real tokens.
        level = 0 if share_ == 0 else 4 if share_ == 1 else min(3, max(1, round(share_ * 4)))
        line.append(shades[level], style="cyan" if level else "dim")
    line.append(f" {row.length:>{margin[1]}}", style="bold")
    return line


def _scale_mask(mask: Any, width: int) -> list[float]:
    """Return the share of real tokens in each of at most `width` cells."""
    if len(mask) <= width:
        return [float(real) for real in mask]
    return [float(part.mean()) for part in np.array_split(mask, width)]


def _format_tokens(row: ShownRow) -> Text:
    from rich.text import Text

    line = Text()
    line.append(f"{row.row}: ", style="dim")
    # The mask of an invalid row may have a different length. A question mark shows a missing value or mask.
    for value, real in zip_longest(row.values.tolist(), row.mask.tolist(), fillvalue="?"):
        shown = f"{value}?" if real == "?" else str(value)
        if not shown.isprintable():
            # Escape control characters, which could change the state of the terminal.
            shown = repr(shown)[1:-1]
        # Brackets mark padding, because the terminal may not support colours.
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
        console.print(_make_lengths_table(lengths))
    console.print()
    _print_histogram(seen, console)


def _make_lengths_table(lengths: dict[str, str]) -> RenderableType:
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
DISPENSABLE = ("shapes", "rows cut", "size", "tokens lost", "padding")


def _print_plans(plans: Sequence[Cost], console: Console) -> None:
    """Print a table of the plans. Omit the columns that do not fit on the terminal, and list them."""
    left_out: list[str] = []
    # Without a larger limit, rich never measures a table wider than the console.
    unlimited = console.options.update(max_width=10_000)
    for name in DISPENSABLE:
        if console.measure(_make_plan_table(plans, left_out), options=unlimited).minimum <= console.width:
            break
        left_out.append(name)
    console.print(_make_plan_table(plans, left_out))
    if left_out:
        console.print(
            f"omitted columns: {', '.join(left_out)} (the terminal is too narrow; --json shows all columns)",
            style="dim",
        )


def _make_plan_table(plans: Sequence[Cost], left_out: Sequence[str]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(title="Plans", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    rows = [_format_plan(plan) for plan in plans]
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
    for cells in rows:
        table.add_row(*(cell for name, cell in cells.items() if name not in left_out))
    return table


def _format_plan(plan: Cost) -> dict[str, str]:
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
        console.print("[bold]Health:[/bold] no findings")
        return
    console.print("[bold]Health[/bold]")
    print_findings(seen.health, console)
