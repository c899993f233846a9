"""The histograms and the curves of HTML reports, as SVG in the page."""

from __future__ import annotations

import numpy as np

from padmask.errors import count, fine_share
from padmask.inspect.figure_data import Curves, FigureData, Histogram
from padmask.render.chart_labels import (
    LengthAxis,
    arrange_labels,
    length_axis,
    name_of_axis,
    title_of_lengths,
)
from padmask.render.html import Html, join_html, tag
from padmask.render.html_axes import (
    CHARACTER,
    HEIGHT_WITH_LEGEND,
    LABEL_HEIGHT,
    Frame,
    axis_name,
    chosen_line,
    draw_chart,
    grid_line,
    length_ticks,
    mark_line,
    place_on,
    row_ticks,
    tick_text,
)


def lengths_chart(data: FigureData) -> Html:
    """Return the histogram of lengths, with a line at each candidate for maxlen."""
    histogram, marks = data.lengths, data.marks
    unit = "row" if data.sequences is None else "sequence"
    axis = length_axis(histogram, marks)
    frame = Frame()
    places = [place_on(axis, mark.maxlen) * frame.width for mark in marks]
    labels = arrange_labels(marks, places, CHARACTER)
    rows = max((label.row + 1 for label in labels), default=0)
    frame = Frame(top=8 + LABEL_HEIGHT * rows)
    tops = {label.mark: label.row + (label.start <= 0) for label in labels}
    lines = []
    for mark in marks:
        top = 8 + LABEL_HEIGHT * tops.get(mark, rows)
        lines.append(mark_line(frame, axis, mark, top))
    for label in labels:
        # A label that does not fit to the left of its line starts at the left end of the axis.
        fits = label.start > 0
        lines.append(
            tag(
                "text",
                label.text,
                x=frame.left + (label.at - 4 if fits else 2.0),
                y=8 + LABEL_HEIGHT * label.row + 11,
                text_anchor="end" if fits else "start",
                class_="best label" if label.mark.is_best else "label",
            )
        )
    return draw_chart(
        frame,
        f"{title_of_lengths(data)}. {_describe_bars(histogram, unit)}",
        _bars(histogram, axis, frame, unit),
        *lines,
        chosen_line(frame, axis, marks),
        length_ticks(frame, axis, name_of_axis("length, in tokens", histogram)),
        row_ticks(frame, histogram, f"{unit}s"),
    )


def sequences_chart(sequences: Histogram) -> Html:
    """Return the histogram of packed rows by number of sequences."""
    frame, axis = Frame(), length_axis(sequences)
    return draw_chart(
        frame,
        f"Sequences in each row. {_describe_bars(sequences, 'row')}",
        _bars(sequences, axis, frame, "row", "sequence"),
        length_ticks(frame, axis, name_of_axis("sequences in a row", sequences)),
        row_ticks(frame, sequences, "rows"),
    )


def curves_chart(data: FigureData, curves: Curves) -> Html:
    """Return a chart of the shares of kept tokens, of whole rows and of padding, by maxlen."""
    frame, axis = Frame(total=HEIGHT_WITH_LEGEND), length_axis(data.lengths, data.marks)
    xs = [frame.x(place_on(axis, maxlen)) for maxlen in curves.maxlens.tolist()]
    lines = [
        tag(
            "polyline",
            points=" ".join(
                f"{x:.1f},{frame.y(share):.1f}" for x, share in zip(xs, shares.tolist(), strict=True)
            ),
            class_=f"line {name}",
        )
        for name, shares in (("padding", curves.padding), ("whole", curves.whole), ("kept", curves.kept))
    ]
    at = np.searchsorted(curves.maxlens, [mark.maxlen for mark in data.marks])
    facts = "; ".join(
        f"maxlen {mark.maxlen:,}: {fine_share(curves.kept[index])} of the tokens kept, "
        f"{fine_share(curves.whole[index])} of the rows whole, {fine_share(curves.padding[index])} padding"
        for mark, index in zip(data.marks, at.tolist(), strict=True)
    )
    ticks = [
        join_html(
            [
                grid_line(frame, share),
                tick_text(frame.left - 6, frame.y(share) + 4, f"{share:.0%}", "end"),
            ]
        )
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    return draw_chart(
        frame,
        f"If longer rows are truncated. {facts}",
        *ticks,
        *(mark_line(frame, axis, mark, frame.top) for mark in data.marks),
        *lines,
        chosen_line(frame, axis, data.marks),
        length_ticks(frame, axis, "maxlen, in tokens"),
        axis_name(frame, "share"),
    )


def chosen_place(data: FigureData, maxlen: int) -> float:
    """Return the horizontal position of a maxlen in the histogram of lengths and in the chart of shares."""
    return Frame().x(place_on(length_axis(data.lengths, data.marks), maxlen))


def _describe_bars(histogram: Histogram, unit: str) -> str:
    total, top = int(histogram.rows.sum()) + histogram.empty, int(histogram.rows.argmax())
    if not total or not histogram.rows.any():
        return f"{count(total, unit)}."
    low, high = int(histogram.edges[top]), int(histogram.edges[top + 1]) - 1
    largest = count(int(histogram.rows[top]), unit)
    return f"{count(total, unit)}; the largest bar, {largest}, is at {_span(low, high)}."


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _bars(histogram: Histogram, axis: LengthAxis, frame: Frame, unit: str, of: str = "token") -> Html:
    edges, rows = histogram.edges.tolist(), histogram.rows.tolist()
    top = max([*rows, 1]) * 1.05
    bars = []
    for low, end, number in zip(edges[:-1], edges[1:], rows, strict=True):
        left, right = (frame.x(place_on(axis, edge - axis.shift)) for edge in (low, end))
        title = tag(
            "title", f"{_span(low, end - 1)} {of}{'' if low == end - 1 == 1 else 's'}: {count(number, unit)}"
        )
        height = frame.height * number / top
        gap = 0.3 if right - left > 2 else 0.0
        if number:
            bars.append(
                tag(
                    "rect",
                    title,
                    x=left + gap,
                    y=frame.bottom - max(height, 1.0),
                    width=max(right - left - 2 * gap, 0.5),
                    height=max(height, 1.0),
                    class_="real",
                )
            )
    return join_html(bars)
