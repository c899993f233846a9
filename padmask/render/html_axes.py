"""The frame of the charts of HTML reports: axes, ticks, names, and lines at candidates for maxlen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from padmask.inspect.figure_data import Histogram, Mark
from padmask.render.chart_labels import LengthAxis, length_number, powers_of_two, short_number
from padmask.render.html import Html, join_html, tag

# Width of a chart in SVG units. If a chart is this number of pixels wide, its text is 13 to 14 pixels high.
WIDTH = 440.0

# Heights of charts, and the part of the height below the axis.
HEIGHT = 330.0
HEIGHT_WITH_LEGEND = 304.0
BELOW = 40.0

# Width of a character of a label, and height of a row of labels.
CHARACTER = 7.6
LABEL_HEIGHT = 16.0


@dataclass(frozen=True)
class Frame:
    """The area of a chart between its axes.

    Args:
        left, top: corner of the area.
        width: width of the area.
        total: height of the chart.
    """

    left: float = 66.0
    top: float = 8.0
    width: float = WIDTH - 66.0 - 12.0
    total: float = HEIGHT

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def bottom(self) -> float:
        return self.total - BELOW

    @property
    def right(self) -> float:
        return self.left + self.width

    def x(self, share: float) -> float:
        """Return the x coordinate at a share of the width, from the left."""
        return self.left + self.width * share

    def y(self, share: float) -> float:
        """Return the y coordinate at a share of the height, from the bottom."""
        return self.bottom - self.height * share


def place_on(axis: LengthAxis, length: float) -> float:
    """Return the position of a length on an axis, from 0 at the left end to 1 at the right end.

    >>> place_on(LengthAxis(1, 16, True, 0.0), 4), place_on(LengthAxis(0, 16, False, 0.0), 4)
    (0.5, 0.25)
    """
    if axis.is_log:
        place = math.log2(max(length, 1) / axis.low) / math.log2(axis.high / axis.low)
    else:
        place = (length - axis.low) / (axis.high - axis.low)
    return min(max(place, 0.0), 1.0)


def round_ticks(low: float, high: float, most: int) -> list[int]:
    """Return at most `most` whole numbers for the ticks of an axis.

    >>> round_ticks(0, 290, 5), round_ticks(0.5, 3.5, 5)
    ([0, 100, 200], [1, 2, 3])
    """
    steps = (step * 10**power for power in range(20) for step in (1, 2, 5))
    step = next(one for one in steps if math.floor(high / one) - math.ceil(low / one) < most)
    return list(range(math.ceil(low / step) * step, math.floor(high / step) * step + 1, step))


def row_ticks(frame: Frame, histogram: Histogram, name: str) -> Html:
    top = max(int(histogram.rows.max(initial=0)), 1) * 1.05
    parts = [axis_name(frame, name)]
    for number in round_ticks(0, top, 5):
        parts.append(grid_line(frame, number / top))
        parts.append(tick_text(frame.left - 6, frame.y(number / top) + 4, short_number(number), "end"))
    return join_html(parts)


def length_ticks(frame: Frame, axis: LengthAxis, name: str) -> Html:
    ticks = powers_of_two(axis.low, axis.high) if axis.is_log else round_ticks(axis.low, axis.high, 7)
    widest = max((len(length_number(length)) for length in ticks), default=1) + 1
    step = math.ceil(len(ticks) * widest * CHARACTER / frame.width)
    parts = [tag("line", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom, class_="axis")]
    for length in ticks[:: max(step, 1)]:
        text, x = length_number(length), frame.x(place_on(axis, length))
        parts.append(tag("line", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 4, class_="axis"))
        # The last text must not end beyond the chart.
        most = WIDTH - len(text) * CHARACTER / 2
        parts.append(tick_text(min(x, most), frame.bottom + 16, text, "middle"))
    return join_html([*parts, axis_name(frame, name, (frame.left + frame.right) / 2)])


def axis_name(frame: Frame, name: str, x: float | None = None) -> Html:
    """Return the text element with the name of an axis.

    If `x` is None, the axis is vertical. Otherwise, the axis is horizontal, and the text is centred at `x`.
    """
    if x is None:
        where = f"translate(11 {frame.top + frame.height / 2:g}) rotate(-90)"
    else:
        where = f"translate({x:g} {frame.bottom + 33:g})"
    return tag("text", name, transform=where, text_anchor="middle", class_="name")


def grid_line(frame: Frame, share: float) -> Html:
    y = frame.y(share)
    return tag("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="grid")


def tick_text(x: float, y: float, text: str, anchor: str) -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_="tick")


def mark_line(frame: Frame, axis: LengthAxis, mark: Mark, top: float) -> Html:
    x = frame.x(place_on(axis, mark.maxlen))
    return tag("line", x1=x, x2=x, y1=top, y2=frame.bottom, class_="best mark" if mark.is_best else "mark")


def chosen_line(frame: Frame, axis: LengthAxis, marks: Sequence[Mark]) -> Html | None:
    """Return the line that the slider moves; None if no candidate for maxlen is recommended.

    At first, the line is at the recommended candidate.
    """
    best = next((mark for mark in marks if mark.is_best), None)
    if best is None:
        return None
    x = frame.x(place_on(axis, best.maxlen))
    return tag("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="chosen")


def draw_chart(frame: Frame, label: str, *parts: str | None) -> Html:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH:g} {frame.total:g}", role="img", aria_label=label)
