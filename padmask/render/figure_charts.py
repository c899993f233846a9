"""The charts of the figure. The functions import matplotlib only when they are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.render.chart_labels import (
    MOST_CUT,
    Label,
    arrange_labels,
    describe_cut,
    length_axis,
    length_number,
    lines_of,
    name_of_cut,
    powers_of_two,
    rows_of_labels,
    short_number,
    zoomed_start,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from padmask.core.plan import Positions
    from padmask.inspect.figure_curves import Curves
    from padmask.inspect.figure_data import FigureData, Histogram, Mark
    from padmask.render.chart_labels import LengthAxis
    from padmask.render.colours import Theme

# Height of the text about cut rows, in inches.
CUT_TEXT = 0.5

# Height of one row of labels above the bars, as a share of the height of the chart.
LABEL_ROW = 0.095

# Width of a character of a label, in inches.
LABEL_CHARACTER = 0.068

# Space between the texts of two ticks, in inches.
TICK_GAP = 0.05


def label_axes(axes: Axes, theme: Theme, title: str, x: str, y: str, *, has_legend: bool = False) -> None:
    """Set the title, the names of both axes, and their style. A legend is between the title and the axes."""
    axes.set_title(title, loc="left", size=10.5, weight="bold", color=theme.text, pad=22 if has_legend else 6)
    axes.set_xlabel(x, color=theme.text, size=8.5)
    axes.set_ylabel(y, color=theme.text, size=8.5)
    axes.set_facecolor(theme.background)
    axes.tick_params(labelcolor=theme.text, color=theme.empty, labelsize=8, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(theme.empty)


def draw_histogram(axes: Axes, histogram: Histogram, theme: Theme) -> None:
    edges, rows = histogram.edges, histogram.rows
    axes.bar(
        edges[:-1] - length_axis(histogram).shift,
        rows,
        width=np.diff(edges),
        align="edge",
        color=theme.real,
        edgecolor=theme.background,
        linewidth=0.6,
    )
    axes.set_ylim(0, max(int(rows.max(initial=0)), 1) * 1.05)
    _count_on(axes.yaxis, 4)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)


def set_scale(axes: Axes, histogram: Histogram, marks: Sequence[Mark] = ()) -> None:
    """Set the scale and the ticks of an axis of lengths. A logarithmic axis has ticks at powers of two."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axis = length_axis(histogram, marks)
    if axis.is_log:
        axes.set_xscale("log", base=2)
    axes.set_xlim(axis.low, axis.high)
    _count_on(axes.xaxis, 7, length_number)
    if axis.is_log:
        axes.xaxis.set_major_locator(FixedLocator(_separate_powers(axis, axes.bbox.width / axes.figure.dpi)))
        axes.xaxis.set_minor_locator(NullLocator())


def _separate_powers(axis: LengthAxis, inches: float) -> list[int]:
    """Return the powers of two on an axis. If their texts would touch, some powers are left out."""
    powers = powers_of_two(axis.low, axis.high)
    if len(powers) < 2:
        return powers
    distance = inches * math.log2(powers[1] / powers[0]) / math.log2(axis.high / axis.low)
    widest = max(len(length_number(power)) for power in powers)
    return powers[:: math.ceil((widest * LABEL_CHARACTER + TICK_GAP) / distance)]


def _count_on(axis: Any, ticks: int, text_of: Callable[[float], str] = short_number) -> None:
    """Put at most `ticks` ticks, at whole numbers, on an axis."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value)))


def draw_line(axes: Axes, mark: Mark, theme: Theme, top: float = 1.0) -> None:
    """Draw a vertical line at a candidate for maxlen, up to the share `top` of the height of the chart.

    The line of the recommended candidate is solid.
    """
    style = "-" if mark.is_best else (0, (2, 2))
    width = 1.4 if mark.is_best else 0.9
    axes.axvline(mark.maxlen, ymax=top, color=theme.text, linewidth=width, linestyle=style)


def draw_marks(axes: Axes, marks: Sequence[Mark], theme: Theme) -> list[Mark]:
    """Draw a line at each candidate for maxlen, with a label above the bars. Return the drawn candidates."""
    from matplotlib.ticker import FixedLocator

    low, high = (axes.transScale.transform((x, 1))[0] for x in axes.get_xlim())
    inches = axes.bbox.width / axes.figure.dpi
    at = [(axes.transScale.transform((mark.maxlen, 1))[0] - low) / (high - low) * inches for mark in marks]
    labels = arrange_labels(marks, at, LABEL_CHARACTER, inches)
    rows = rows_of_labels(labels)
    top = axes.get_ylim()[1]
    # No line of the grid is behind the labels.
    axes.yaxis.set_major_locator(FixedLocator([at for at in axes.get_yticks() if at <= top]))
    axes.set_ylim(0, top / (1 - LABEL_ROW * rows))
    for label in labels:
        _draw_label(axes, label, theme, inches)
    return [label.mark for label in labels]


def _draw_label(axes: Axes, label: Label, theme: Theme, inches: float) -> None:
    """Draw the line and the label of a candidate.

    A label that does not fit to the left of its line starts at the left end of the axis.
    """
    fits = label.start > 0
    is_left = fits and not label.is_right
    draw_line(axes, label.mark, theme, 1 - LABEL_ROW * (label.row if fits else label.row + 1))
    axes.annotate(
        label.text,
        (label.at / inches if fits else 0, 1 - LABEL_ROW * label.row),
        xycoords="axes fraction",
        xytext=(-2 if is_left else 2, 0),
        textcoords="offset points",
        ha="right" if is_left else "left",
        va="top",
        size=7.5,
        weight="bold" if label.mark.is_best else "normal",
        color=theme.text,
        parse_math=False,
    )


def draw_curves(axes: Axes, curves: Curves, unit: str, theme: Theme) -> None:
    from matplotlib.ticker import PercentFormatter

    styles: dict[str, tuple[str, Any]] = {
        "kept": (theme.real, "-"),
        "repeated": (theme.real, "-"),
        "whole": (theme.whole, (0, (5, 1.5))),
        "padding": (theme.empty, (0, (1, 1))),
    }
    for kind, name, shares in lines_of(curves, unit):
        color, style = styles[kind]
        axes.plot(curves.maxlens, shares, label=name, color=color, linestyle=style, linewidth=2)
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    _add_legend(axes, theme, 2.2)


def _add_legend(axes: Axes, theme: Theme, handle: float) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.012, 0.985),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=theme.text,
        handlelength=handle,
        handletextpad=0.5,
        columnspacing=1.3,
        borderaxespad=0.2,
    )


def draw_places(axes: Axes, data: FigureData, theme: Theme) -> None:
    """Draw all rows as horizontal lines, with a colour for each kind of position."""
    from matplotlib.collections import PolyCollection

    places = data.places
    if data.packed is not None and not len(places.row_ends):
        # All packed rows are full, and the title says so.
        axes.set_axis_off()
        return
    kinds = [(f"{data.unit}s", places.real, theme.real), ("padding", places.padding, theme.padding)]
    kinds.append((name_of_cut(data), places.cut, theme.cut))
    starts = np.concatenate([[0], places.row_ends[:-1]]) if len(places.row_ends) else places.row_ends
    for name, spans, color in kinds:
        shown = np.flatnonzero(spans[:, 0] < spans[:, 1])
        if len(shown):
            bands = slice(shown[0], shown[-1] + 1)
            corners = _outline(starts[bands], places.row_ends[bands], spans[bands])
            axes.add_collection(PolyCollection([corners], facecolor=color, linewidth=0, label=name))
    cuts_start = bool((places.cut[:, 0] < 0).any())
    # The space beside the rows is always the same, because it contains a text about the cut rows.
    beside = (MOST_CUT - 1) * max(places.maxlen, 1) if places.rows_cut else 0
    low, high = (-beside, places.maxlen) if cuts_start else (zoomed_start(data), places.maxlen + beside)
    axes.set_xlim(low, max(high, low + 1))
    if low > 0:
        axes.set_xlabel(f"position (from {short_number(low)})")
    total = max(int(places.row_ends.max(initial=0)), 1)
    axes.set_ylim(0, total)
    _count_on(axes.xaxis, 5)
    _count_on(axes.yaxis, 6)
    if axes.collections:
        _add_legend(axes, theme, 1.4)
    # If most rows are cut, the text would be on their tokens.
    whole = 1 - places.rows_cut / total
    height = axes.bbox.height / axes.figure.dpi
    if places.rows_cut and whole * height <= CUT_TEXT:
        axes.set_xlabel(f"position (longest row: {places.longest:,})")
    elif places.rows_cut:
        text = "\n".join(describe_cut(data))
        x = places.maxlen * (-0.04 if cuts_start else 1.04)
        axes.text(
            x,
            total * (whole - 0.03),
            text,
            ha="right" if cuts_start else "left",
            va="top",
            size=8,
            linespacing=1.3,
            color=theme.text,
            parse_math=False,
        )


def _outline(starts: Positions, ends: Positions, spans: Positions) -> Any:
    """Return the corners of the outline around adjacent bands. A band is an area of rows and positions.

    Args:
        starts, ends: half-open range of the rows in each band.
        spans: half-open range of the positions in each band.
    """
    rows = np.stack([starts, ends], axis=1).ravel()
    left, right = np.repeat(spans, 2, axis=0).T
    x, y = np.concatenate([right, left[::-1]]), np.concatenate([rows, rows[::-1]])
    return np.stack([x, y], axis=1)[(x != np.roll(x, 1)) | (x != np.roll(x, -1))]
