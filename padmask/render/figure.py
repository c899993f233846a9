"""The figure that `inspect --export` draws. The functions import matplotlib only when they are called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from padmask.errors import MissingExtraError, printable
from padmask.render.chart_labels import (
    MOST_CUT,
    arrange_labels,
    length_axis,
    name_of_axis,
    order_of_rows,
    powers_of_two,
    short_number,
    title_of_lengths,
    title_of_places,
)
from padmask.render.colours import THEMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from padmask.inspect.figure_data import Curves, FigureData, Histogram, Mark, Places
    from padmask.render.colours import Theme

FIGURES = (".svg", ".png", ".pdf")

# Size in inches, and pixels per inch. The text is readable in a picture of 800 pixels.
SIZE = (8.0, 5.5)
PIXELS = 200

FONT = "DejaVu Sans"  # part of matplotlib

# Height of one row of labels above the bars, as a share of the height of the chart.
LABEL_ROW = 0.095

# Width of a character of a label, in inches.
LABEL_CHARACTER = 0.068

# Largest numbers of characters in one line.
TITLE_WIDTH, SUMMARY_WIDTH = 58, 95


def refuse_missing_matplotlib() -> None:
    """Raise an error if matplotlib is not installed.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            "A figure requires matplotlib, which is not installed. Install it with: pip install "
            "'padmask[plot]'   (or export .html or .txt)",
            options=["export"],
        )


def figure_bytes(data: FigureData, suffix: str, theme: str = "light") -> bytes:
    """Return the figure as a file. The same data give the same bytes.

    Args:
        data: numbers to draw.
        suffix: `".svg"`, `".png"` or `".pdf"`.
        theme: `"light"` or `"dark"`.
    """
    import matplotlib

    no_date = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}[suffix]
    file = io.BytesIO()
    # The settings of the user must not change the figure, so the defaults are used inside this context.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"font.family": FONT, "svg.hashsalt": "padmask", "pdf.fonttype": 42})
        figure = draw(data, THEMES[theme])
        figure.savefig(file, format=suffix[1:], dpi=PIXELS, metadata={"Title": data.name, **no_date})
    return file.getvalue()


def draw(data: FigureData, theme: Theme) -> Figure:
    """Return a figure with three charts: lengths, the effect of maxlen, and the positions of all rows.

    For packed rows, the second chart shows the numbers of sequences in a row instead.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, facecolor=theme.background)
    _write(figure, (0.022, 0.945), _shorten(data.name, TITLE_WIDTH), theme, size=13, weight="bold")
    _write(figure, (0.022, 0.903), _shorten(data.summary, SUMMARY_WIDTH), theme, size=9)
    lengths = figure.add_axes((0.09, 0.545, 0.495, 0.285))
    below = figure.add_axes((0.09, 0.095, 0.495, 0.255))
    places = figure.add_axes((0.685, 0.095, 0.29, 0.70))
    rows = "rows" if data.sequences is None else "sequences"
    axis = name_of_axis("length, in tokens", data.lengths)
    _label(lengths, theme, title_of_lengths(data), axis, rows)
    _draw_histogram(lengths, data.lengths, theme)
    _scale(lengths, data.lengths, data.marks)
    _draw_marks(lengths, data.marks, theme)
    if data.sequences is not None:
        axis = name_of_axis("sequences in a row", data.sequences)
        _label(below, theme, "Sequences in each row", axis, "rows")
        _draw_histogram(below, data.sequences, theme)
        _scale(below, data.sequences)
    elif data.curves is not None:
        _label(below, theme, "If longer rows are truncated", "maxlen, in tokens", "share", has_legend=True)
        _draw_curves(below, data.curves, theme)
        _scale(below, data.lengths, data.marks)
        for mark in data.marks:
            _draw_line(below, mark, theme)
    _label(places, theme, title_of_places(data), "position", order_of_rows(data), has_legend=True)
    for axes in (lengths, below):
        axes.yaxis.set_label_coords(-0.115, 0.5)
    _draw_places(places, data.places, theme)
    return figure


def _label(axes: Axes, theme: Theme, title: str, x: str, y: str, *, has_legend: bool = False) -> None:
    """Set the title, the names of both axes, and their style. A legend is between the title and the axes."""
    axes.set_title(title, loc="left", size=10, weight="bold", color=theme.text, pad=22 if has_legend else 6)
    axes.set_xlabel(x, color=theme.text, size=8.5)
    axes.set_ylabel(y, color=theme.text, size=8.5)
    axes.set_facecolor(theme.background)
    axes.tick_params(labelcolor=theme.text, color=theme.empty, labelsize=8, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(theme.empty)


def _draw_histogram(axes: Axes, histogram: Histogram, theme: Theme) -> None:
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


def _scale(axes: Axes, histogram: Histogram, marks: Sequence[Mark] = ()) -> None:
    """Set the scale and the ticks of an axis of lengths. A logarithmic axis has powers of two."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axis = length_axis(histogram, marks)
    if axis.is_log:
        axes.set_xscale("log", base=2)
    axes.set_xlim(axis.low, axis.high)
    _count_on(axes.xaxis, 7)
    if axis.is_log:
        axes.xaxis.set_major_locator(FixedLocator(powers_of_two(axis.low, axis.high)))
        axes.xaxis.set_minor_locator(NullLocator())


def _count_on(axis: Any, ticks: int) -> None:
    """Show whole numbers on an axis."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def _draw_line(axes: Axes, mark: Mark, theme: Theme, top: float = 1.0) -> None:
    """Draw a vertical line at a candidate for maxlen, up to the share `top` of the height of the chart.

    The line of the recommended candidate is solid.
    """
    style = "-" if mark.is_best else (0, (2, 2))
    width = 1.4 if mark.is_best else 0.9
    axes.axvline(mark.maxlen, ymax=top, color=theme.text, linewidth=width, linestyle=style)


def _draw_marks(axes: Axes, marks: Sequence[Mark], theme: Theme) -> None:
    """Draw a line at each candidate for maxlen, with a label above the bars."""
    low, high = (axes.transScale.transform((x, 1))[0] for x in axes.get_xlim())
    inches = SIZE[0] * axes.get_position().width
    at = [(axes.transScale.transform((mark.maxlen, 1))[0] - low) / (high - low) * inches for mark in marks]
    labels = arrange_labels(marks, at, LABEL_CHARACTER)
    rows = max((label.row + 1 for label in labels), default=0)
    axes.set_ylim(0, axes.get_ylim()[1] / (1 - LABEL_ROW * rows))
    tops = {label.mark: 1 - LABEL_ROW * (label.row if label.start > 0 else label.row + 1) for label in labels}
    for mark in marks:
        _draw_line(axes, mark, theme, tops.get(mark, 1 - LABEL_ROW * rows))
    for label in labels:
        # A label that does not fit to the left of its line starts at the left end of the axis.
        fits = label.start > 0
        axes.annotate(
            label.text,
            (label.at / inches if fits else 0, 1 - LABEL_ROW * label.row),
            xycoords="axes fraction",
            xytext=(-2 if fits else 2, 0),
            textcoords="offset points",
            ha="right" if fits else "left",
            va="top",
            size=7.5,
            weight="bold" if label.mark.is_best else "normal",
            color=theme.text,
            parse_math=False,
        )


def _draw_curves(axes: Axes, curves: Curves, theme: Theme) -> None:
    from matplotlib.ticker import PercentFormatter

    for name, shares, color, style in (
        ("kept tokens", curves.kept, theme.real, "-"),
        ("whole rows", curves.whole, theme.whole, (0, (5, 1.5))),
        ("padding", curves.padding, theme.empty, (0, (1, 1))),
    ):
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


def _draw_places(axes: Axes, places: Places, theme: Theme) -> None:
    """Draw all rows as horizontal lines, with a colour for each kind of position."""
    kinds = [("tokens", places.real, theme.real), ("padding", places.padding, theme.padding)]
    kinds.append((places.cut_tokens, places.cut, theme.cut))
    starts = np.concatenate([[0], places.row_ends[:-1]]) if len(places.row_ends) else places.row_ends
    for name, spans, color in kinds:
        shown = np.flatnonzero(spans[:, 0] < spans[:, 1])
        if len(shown):
            bands = slice(shown[0], shown[-1] + 1)
            rows = np.stack([starts[bands], places.row_ends[bands]], axis=1).ravel()
            left, right = np.repeat(spans[bands], 2, axis=0).T
            axes.fill_betweenx(rows, left, right, color=color, linewidth=0, label=name)
    ends = np.concatenate([places.real, places.padding, places.cut])
    most = round((MOST_CUT - 1) * max(places.maxlen, 1))
    low, high = (
        max(int(ends.min(initial=0)), -most),
        min(int(ends.max(initial=max(places.maxlen, 1))), places.maxlen + most),
    )
    sizes = places.row_ends - starts
    outside = int(sizes[(places.cut[:, 0] < low) | (places.cut[:, 1] > high)].sum())
    if outside:
        continue_ = "row continues" if outside == 1 else "rows continue"
        axes.set_xlabel(f"position ({short_number(outside)} {continue_})")
    axes.set_xlim(low, max(high, low + 1))
    axes.set_ylim(0, max(int(places.row_ends.max(initial=0)), 1))
    _count_on(axes.xaxis, 5)
    _count_on(axes.yaxis, 6)
    if axes.collections:
        _add_legend(axes, theme, 1.4)


def _write(
    figure: Figure, at: tuple[float, float], text: str, theme: Theme, *, size: float, weight: str = "normal"
) -> None:
    figure.text(*at, _drawable(text), color=theme.text, size=size, weight=weight, parse_math=False)


def _shorten(text: str, width: int) -> str:
    """Remove the middle of a long text.

    >>> _shorten("a/very/long/path/train.jsonl", 15)
    'a/ver...n.jsonl'
    """
    if len(text) <= width:
        return text
    first = (width - 3) // 2 - 1
    return f"{text[:first]}...{text[first + 3 - width :]}"


def _drawable(text: str) -> str:
    """Replace each character that is missing in the font with a question mark."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(FONT)).get_charmap()
    return "".join(one if ord(one) in known else "?" for one in printable(text))
