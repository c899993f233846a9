"""The picture of all rows in HTML reports: tokens, padding and cut tokens, sorted by length."""

from __future__ import annotations

import numpy as np

from padmask.core.plan import Positions
from padmask.inspect.figure_data import FigureData, Places
from padmask.render.chart_labels import MOST_CUT, name_of_cut, order_of_rows, short_number, zoomed_start
from padmask.render.html import Html, join_html, tag
from padmask.render.html_axes import HEIGHT_WITH_LEGEND, Frame, axis_name, draw_chart, round_ticks, tick_text

# Part of the height by which the tokens of longer rows overlap those of shorter rows.
OVERLAP = 0.004


def places_chart(data: FigureData, *, cuts_start: bool, pads_start: bool, drops: bool, has_cut: bool) -> Html:
    """Return a picture of all rows, sorted by length: tokens, padding and cut tokens.

    A row of maxlen positions always has the same width in the picture, whatever the value of maxlen. If the
    reader chooses another maxlen, the script therefore changes only the `transform` of the tokens and the
    heights of two areas. One area contains the rows up to maxlen, and the other contains the longer rows.

    Args:
        data: all numbers of the report.
        cuts_start: whether rows longer than maxlen lose their start.
        pads_start: whether padding is at the start of the rows.
        drops: whether rows longer than maxlen are dropped.
        has_cut: whether to leave space for cut tokens.
    """
    places = data.places
    rows, maxlen = int(places.row_ends.max(initial=0)), max(places.maxlen, 1)
    beside = MOST_CUT - 1 if has_cut else 0.0
    frame = Frame(total=HEIGHT_WITH_LEGEND)
    first = zoomed_start(data)
    low, high = (-beside, 1.0) if cuts_start else (first / maxlen, 1.0 + beside)
    lengths = _sizes(places.real) + _sizes(places.cut)
    longer = _sizes(places.cut) > 0
    # Rows are sorted by length, so the longer rows are the last ones.
    whole = int(places.row_ends[~longer].max(initial=0))
    share = whole / max(rows, 1)
    # If packed rows have no padding, the picture has no area for padding.
    has_padding = data.packed is None or bool(_sizes(places.padding).any())
    scale = f"{1 / maxlen:.8g} -{1 / max(rows, 1):.8g}"
    # Cut tokens are drawn beside the row. All tokens of a dropped row are cut, so they are drawn in the row.
    beyond = (0, 9) if drops else (-9, 9) if cuts_start else (1, 9)
    # The overlap hides the edge between shorter and longer rows.
    kept = f"{1 - share + OVERLAP if longer.any() else 0:.5f}"
    outline = tag("path", d=_outline(lengths, places), id="rows")
    areas = [
        _padding(places, scale, from_end=pads_start) if has_padding else None,
        _clipped_rows("shorter", (0, 1), (1 - share, share), from_end=pads_start, scale=scale, kind="real"),
        _clipped_rows("longer", beyond, (0, 1 - share), from_end=cuts_start, scale=scale, kind="cut"),
        None if drops else tag("rect", id="kept", width=1, height=kept, class_="real"),
    ]
    inner = tag(
        "svg",
        tag("defs", outline),
        *areas,
        x=frame.left,
        y=frame.top,
        width=frame.width,
        height=frame.height,
        viewBox=f"{low:g} 0 {high - low:g} 1",
        preserveAspectRatio="none",
        shape_rendering="crispEdges",
    )
    start, end = frame.x((first / maxlen - low) / (high - low)), frame.x((1 - low) / (high - low))
    ticks = [
        tick_text(start, frame.bottom + 16, short_number(first), "middle"),
        tag("line", x1=start, x2=start, y1=frame.bottom, y2=frame.bottom + 4, class_="axis"),
        tag("line", x1=end, x2=end, y1=frame.top, y2=frame.bottom + 4, class_="edge"),
        tag(
            "text",
            "maxlen ",
            tag("tspan", f"{places.maxlen:,}", data_value="maxlen"),
            x=end,
            y=frame.bottom + 16,
            text_anchor="middle" if beside and not cuts_start else "end",
            class_="tick",
        ),
    ]
    for row in round_ticks(0, max(rows, 1), 6):
        y = frame.y(row / max(rows, 1))
        ticks.append(tick_text(frame.left - 6, y + 4, short_number(row), "end"))
        ticks.append(tag("line", x1=frame.left - 4, x2=frame.left, y1=y, y2=y, class_="axis"))
    return draw_chart(
        frame,
        f"{rows_of(data)} at maxlen {places.maxlen:,}, sorted by length. {_describe_places(data)}",
        inner,
        *ticks,
        tag(
            "text", "position", x=(start + end) / 2, y=frame.bottom + 32, text_anchor="middle", class_="name"
        ),
        axis_name(frame, order_of_rows(data)),
    )


def _padding(places: Places, scale: str, *, from_end: bool) -> Html:
    """Return the area behind the tokens of all rows, in the colour of padding.

    If `from_end` is True, the rows are aligned at their ends.
    """
    if places.widths == 1:
        return tag("rect", width=1, height=1, class_="padding")
    turn = "translate(1 1) scale(-" if from_end else "translate(0 1) scale("
    widths = np.maximum(places.real[:, 1], places.padding[:, 1])
    return tag("path", d=_outline(widths, places), transform=f"{turn}{scale})", class_="padding")


def _sizes(spans: Positions) -> Positions:
    sizes: Positions = spans[:, 1] - spans[:, 0]
    return sizes


def _outline(lengths: Positions, places: Places) -> str:
    """Return the outline of all rows. The horizontal unit is one token, and the vertical unit is one row."""
    steps = "".join(
        f"H{length}V{end}" for length, end in zip(lengths.tolist(), places.row_ends.tolist(), strict=True)
    )
    return f"M0 0{steps}H0Z"


def _clipped_rows(
    name: str,
    across: tuple[float, float],
    down: tuple[float, float],
    *,
    from_end: bool,
    scale: str,
    kind: str,
) -> Html:
    """Return the outline of all rows, clipped to a rectangle.

    Args:
        name: `"shorter"` or `"longer"`.
        across, down: start and size of the rectangle, horizontally and vertically.
        from_end: whether the tokens are aligned at the end of the rows.
        scale: horizontal and vertical factor of the SVG transform, which scale a token and a row.
        kind: CSS class of the tokens.
    """
    (x, width), (y, height) = across, down
    turn = "translate(1 1) scale(-" if from_end else "translate(0 1) scale("
    clip = tag("rect", id=f"{name}-clip", x=x, width=width, y=f"{y:.5f}", height=f"{height:.5f}")
    use = tag("use", href="#rows", id=name, transform=f"{turn}{scale})", class_=kind)
    return join_html(
        [
            tag("clipPath", clip, id=f"{name}-rows"),
            tag("g", use, clip_path=f"url(#{name}-rows)"),
        ]
    )


def rows_of(data: FigureData) -> str:
    """Return a phrase that names the rows in the picture."""
    return "All rows" if data.packed is None else "Rows that are not full"


def _describe_places(data: FigureData) -> str:
    """Return a text with the numbers of tokens, padding positions and cut tokens in the picture."""
    places = data.places
    rows = np.diff(places.row_ends, prepend=0)
    kinds = ((f"{data.unit}s", places.real), ("padding", places.padding), (name_of_cut(data), places.cut))
    sizes = {name: int((rows * _sizes(spans)).sum()) for name, spans in kinds}
    return ", ".join(f"{short_number(size)} {name}" for name, size in sizes.items() if size)
