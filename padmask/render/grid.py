"""The grid of masks that `inspect` shows: one line per row, one character per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from padmask.render.console import is_unicode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from padmask.inspect.inspection import Inspection, ShownRow

# Characters for cells, from cells without real tokens to cells with only real tokens. The key is whether the
# console supports Unicode.
SHADES = {True: "·░▒▓█", False: ".-+*#"}

# Character for cells of real tokens of every second sequence of a packed row.
SECOND = {True: "▚", False: "="}

SECOND_STYLE = "magenta"

# Character for cells of tokens that truncation removes.
CUT = {True: "×", False: "x"}

CUT_STYLE = "red"

# States of the positions in a grid. OTHER is a real token of every second sequence. OUTSIDE is a position
# without a token or padding. Such positions exist if another row has more cut tokens.
OUTSIDE, PADDING, REAL, REMOVED, OTHER = range(5)


def make_grid(seen: Inspection, console: Console) -> list[RenderableType]:
    """Return the lines of the grid: a legend, and one line for each shown row.

    Each line has the number of the row, its cells, the number of real tokens, and the number of cut tokens.
    If rows are wider than the terminal, each cell represents several positions.

    Args:
        seen: result of `inspect_file` with at least one row to show.
        console: console that prints the grid.
    """
    shown, unicode = seen.shown, is_unicode(console)
    numbers = [str(row.row) for row in shown]
    lengths = [str(row.length) for row in shown]
    cuts = [f" -{row.cut}" if row.cut else "" for row in shown]
    before = max(row.cut if row.cut_first else 0 for row in shown)
    states = [place_states(row, before) for row in shown]
    margins = [max(map(len, texts)) for texts in (numbers, lengths, cuts)]
    places = max(map(len, states))
    width = min(places, max(8, console.width - sum(margins) - 2))
    lines: list[RenderableType] = [*_legend(seen, places / max(1, width), unicode)]
    for number, length, cut, row in zip(numbers, lengths, cuts, states, strict=True):
        line = _cells(row, places, width, unicode)
        line = type(line).assemble((f"{number:>{margins[0]}} ", "dim"), line)
        line.append(f" {length:>{margins[1]}}", style="bold")
        line.append(cut, style=CUT_STYLE)
        line.no_wrap = True
        lines.append(line)
    return lines


def place_states(row: ShownRow, before: int) -> npt.NDArray[np.int8]:
    """Return the state of each position of a row, such as `REAL`, `PADDING` or `REMOVED`.

    Args:
        row: row to show.
        before: number of positions that the grid reserves to the left of each padded row, for tokens that
            are cut from the start of rows.
    """
    mask = np.where(row.mask, REAL, PADDING)
    if row.segments is not None:
        mask[row.mask & (row.segments % 2 == 0)] = OTHER
    cut = np.full(row.cut, REMOVED)
    if not row.cut_first:
        return np.concatenate([np.full(before, OUTSIDE), mask, cut]).astype(np.int8)
    return np.concatenate([np.full(before - row.cut, OUTSIDE), cut, mask]).astype(np.int8)


def _legend(seen: Inspection, scale: float, unicode: bool) -> list[Text]:
    from rich.text import Text

    shades, shown = SHADES[unicode], seen.shown
    places = max(len(row.mask) for row in shown)
    most = "" if places == min(len(row.mask) for row in shown) else "up to "
    rows = "1 row" if len(shown) == 1 else f"{len(shown)} {'random ' if _are_chosen(seen) else ''}rows"
    head = f"Masks of {rows}: {most}{places:,} positions"
    plan = seen.advice.plan
    if plan is not None and not seen.padded and not plan.name.isdigit():
        head += f" ({plan.name})"
    if scale > 1:
        head += f", {scale:.1f} per cell"
    legend = Text.assemble((shades[-1], "cyan"), " real token  ", (shades[0], "dim"), " padding")
    if any(row.segments is not None for row in shown):
        legend = Text.assemble((shades[-1], "cyan"), (SECOND[unicode], SECOND_STYLE))
        legend.append(" real tokens of alternate sequences  ")
        legend.append(shades[0], style="dim")
        legend.append(" padding")
    if any(row.cut for row in shown):
        legend.append(f"  {CUT[unicode]}", style=CUT_STYLE)
        legend.append(f" {seen.advice.cut_tokens}")
    return [Text(head), legend]


def _are_chosen(seen: Inspection) -> bool:
    return seen.sampled and len(seen.shown) < seen.stats.rows


def _cells(states: npt.NDArray[np.int8], places: int, width: int, unicode: bool) -> Text:
    """Return the cells of a row. A cell is shown as cut if at least half of its positions are cut."""
    from rich.text import Text

    shades, line = SHADES[unicode], Text()
    padded = np.full(places, OUTSIDE)
    padded[: len(states)] = states
    for part in _split(padded, width):
        first, inside, cut, second = (int((part == at).sum()) for at in (REAL, PADDING, REMOVED, OTHER))
        real = first + second
        if 2 * cut >= len(part):
            line.append(CUT[unicode], style=CUT_STYLE)
        elif real + inside == 0:
            line.append(" ")
        else:
            # Use the first shade only for cells without real tokens, and the last for cells without padding.
            level = (
                0 if real == 0 else 4 if inside == 0 else min(3, max(1, round(4 * real / (real + inside))))
            )
            is_second = second > first
            full = SECOND[unicode] if is_second and level == 4 else shades[level]
            line.append(full, style="dim" if not level else SECOND_STYLE if is_second else "cyan")
    return line


def _split(states: npt.NDArray[Any], width: int) -> Sequence[npt.NDArray[Any]]:
    return np.array_split(states, width) if len(states) > width else list(states.reshape(-1, 1))
