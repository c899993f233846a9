"""The figure that `inspect --export` draws. The functions import matplotlib only when they are called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from padmask.errors import MissingExtraError, printable
from padmask.render.chart_labels import (
    name_of_axis,
    order_of_rows,
    row_of_best,
    table_of,
    title_of_curves,
    title_of_lengths,
    title_of_places,
)
from padmask.render.colours import THEMES
from padmask.render.figure_charts import (
    draw_curves,
    draw_histogram,
    draw_line,
    draw_marks,
    draw_places,
    label_axes,
    set_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from padmask.inspect.figure_data import FigureData, Mark
    from padmask.render.colours import Theme

FIGURES = (".svg", ".png", ".pdf")

# Size in inches, and pixels per inch: 1,920 x 1,080 pixels, the shape of a slide. The text is readable if
# the picture is 800 pixels wide.
SIZE = (9.6, 5.4)
PIXELS = 200

FONT = "DejaVu Sans"  # part of matplotlib

# Largest numbers of characters in one line.
TITLE_WIDTH, SUMMARY_WIDTH = 68, 115

# Left and right ends of the table, height of a row, and the lower end of the table, as shares of the figure.
LEFT, RIGHT, ROW, BOTTOM = 0.625, 0.975, 0.033, 0.035


def refuse_missing_matplotlib() -> None:
    """Raise an error if matplotlib is not installed.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            "A figure requires matplotlib, which is not installed. Export .html or .txt, or install it with: "
            "pip install 'padmask[plot]'",
            options=["export"],
        )


def figure_bytes(data: FigureData, suffix: str, theme: str = "light") -> bytes:
    """Return the figure as a file. The same data gives the same bytes.

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
        metadata = {"Title": data.title or data.name, **no_date}
        figure.savefig(file, format=suffix[1:], dpi=PIXELS, metadata=metadata)
    return file.getvalue()


def draw(data: FigureData, theme: Theme) -> Figure:
    """Return a figure: lengths, the effect of maxlen, the positions of all rows, and a table of candidates.

    For packed rows, the second chart shows the numbers of sequences per row, and the third chart the rows
    that are not full.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, facecolor=theme.background)
    summary = f"{data.name}: {data.summary}" if data.title else data.summary
    title = _shorten(data.title or data.name, TITLE_WIDTH)
    _write(figure, (0.022, 0.925), title, theme, size=15, weight="bold")
    _write(figure, (0.022, 0.875), _shorten(summary, SUMMARY_WIDTH), theme, size=9.5)
    lengths = figure.add_axes((0.085, 0.525, 0.455, 0.265))
    below = figure.add_axes((0.085, 0.095, 0.455, 0.245))
    marks = _draw_lengths(lengths, data, theme)
    _draw_below(below, data, marks, theme)
    for axes in (lengths, below):
        axes.yaxis.set_label_coords(-0.105, 0.5)
    low = _draw_table(figure, data, theme) + 0.125
    places = figure.add_axes((0.65, low, 0.325, 0.745 - low))
    label_axes(places, theme, title_of_places(data), "position", order_of_rows(data), has_legend=True)
    draw_places(places, data, theme)
    return figure


def _draw_lengths(axes: Axes, data: FigureData, theme: Theme) -> Sequence[Mark]:
    """Draw the histogram of lengths. Return the candidates that have lines and labels."""
    rows, hidden = ("rows", "empty rows") if data.packed is None else ("sequences", "empty sequences")
    axis = name_of_axis(f"length, in {data.unit}s", data.lengths, hidden)
    label_axes(axes, theme, title_of_lengths(data), axis, rows)
    draw_histogram(axes, data.lengths, theme)
    set_scale(axes, data.lengths, data.marks)
    return draw_marks(axes, data.marks, theme)


def _draw_below(axes: Axes, data: FigureData, marks: Sequence[Mark], theme: Theme) -> None:
    """Draw the second chart: the curves, or the histogram of sequences per row if rows are packed."""
    if data.sequences is not None:
        axis = name_of_axis("sequences per row", data.sequences, "empty rows")
        label_axes(axes, theme, "Sequences in each row", axis, "rows")
        draw_histogram(axes, data.sequences, theme)
        set_scale(axes, data.sequences)
    elif data.curves is not None:
        axis = name_of_axis(f"maxlen, in {data.unit}s", data.lengths)
        label_axes(axes, theme, title_of_curves(data), axis, "share", has_legend=True)
        draw_curves(axes, data.curves, data.unit, theme)
        set_scale(axes, data.lengths, data.marks)
        for mark in marks:
            draw_line(axes, mark, theme)


def _draw_table(figure: Figure, data: FigureData, theme: Theme) -> float:
    """Draw the table of candidates at the bottom right. Return the y coordinate of its upper end."""
    from matplotlib.lines import Line2D

    cells, is_packed = table_of(data), data.packed is not None
    best = row_of_best(data)
    # The first column is aligned on the left, and the others on the right.
    ends = [LEFT + part * (RIGHT - LEFT) for part in ((0, 1) if is_packed else (0, 0.34, 0.51, 0.75, 1))]
    for number, row in enumerate(cells):
        y = BOTTOM + ROW * (len(cells) - number - 1)
        for column, text in enumerate(row):
            figure.text(
                ends[column],
                y,
                _drawable(text),
                ha="right" if column else "left",
                color=theme.text,
                size=8.5,
                weight="bold" if number == best else "normal",
                parse_math=False,
            )
    if not is_packed:
        y = BOTTOM + ROW * (len(cells) - 1) - 0.009
        figure.add_artist(Line2D([LEFT, RIGHT], [y, y], color=theme.empty, linewidth=0.8))
    return BOTTOM + ROW * len(cells)


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
