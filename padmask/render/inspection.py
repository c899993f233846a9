"""Draw what `inspect` found: masks, lengths, histogram and plans."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import share, size
from padmask.render.console import is_unicode, print_findings, print_notes, printable_line
from padmask.render.summary import count

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from padmask.inspect.costs import Cost
    from padmask.inspect.inspection import Inspection, ShownRow

# Shades from no real token to nothing else; the second set where the terminal has only ASCII.
SHADES = {True: "·░▒▓█", False: ".-+*#"}

# Below this width a table's heads would be cut.
NARROW = 56

BAR = {True: "█", False: "#"}


def show_inspection(
    seen: Inspection, console: Console, *, style: str = "grid", masks: bool = True, plans: bool = True
) -> None:
    """Print masks, lengths, plans, health and advice."""
    stats = seen.stats
    state = "padded" if seen.padded else "raw"
    console.print(
        f"[bold]{printable_line(seen.name)}[/bold]: {count(stats.rows, 'row')}, "
        f"{count(stats.tokens, 'token')} "
        f"in {printable_line(repr(seen.column))} ({state})"
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
    print_notes(seen.notes, console)
    _print_health(seen, console)
    console.print(f"[bold]Advice:[/bold] {printable_line(seen.advice)}")


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
    print_findings(seen.health, console)
