"""The histograms and the curves of HTML reports, as SVG in the page."""

from __future__ import annotations

import numpy as np

from padmask.errors import count, fine_share
from padmask.inspect.figure_curves import Curves
from padmask.inspect.figure_data import FigureData, Histogram, Mark
from padmask.render.chart_labels import (
    Label,
    LengthAxis,
    arrange_labels,
    length_axis,
    lines_of,
    name_of_axis,
    rows_of_labels,
    title_of_curves,
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
    histogram, labels = data.lengths, labels_of(data)
    unit, hidden = ("row", "empty rows") if data.packed is None else ("sequence", "empty sequences")
    axis = length_axis(histogram, data.marks)
    rows = rows_of_labels(labels)
    frame = Frame(top=8 + LABEL_HEIGHT * rows)
    lines = []
    for label in labels:
        # A label that does not fit to the left of its line starts at the left end of the axis.
        fits = label.start > 0
        is_left = fits and not label.is_right
        top = 8 + LABEL_HEIGHT * (label.row if fits else label.row + 1)
        lines.append(mark_line(frame, axis, label.mark, top))
        lines.append(
            tag(
                "text",
                label.text,
                x=frame.left + (label.at - 4 if is_left else label.at + 4 if fits else 2.0),
                y=8 + LABEL_HEIGHT * label.row + 11,
                text_anchor="end" if is_left else "start",
                class_="best label" if label.mark.is_best else "label",
            )
        )
    return draw_chart(
        frame,
        f"{title_of_lengths(data)}. {_describe_bars(histogram, unit)}",
        _bars(histogram, axis, frame, unit, data.unit),
        *lines,
        chosen_line(frame, axis, data.marks),
        length_ticks(frame, axis, name_of_axis(f"length, in {data.unit}s", histogram, hidden)),
        row_ticks(frame, histogram, f"{unit}s"),
    )


def labels_of(data: FigureData) -> list[Label]:
    """Return the labels of candidates for maxlen. A candidate without a label also has no line."""
    axis, width = length_axis(data.lengths, data.marks), Frame().width
    places = [place_on(axis, mark.maxlen) * width for mark in data.marks]
    return arrange_labels(data.marks, places, CHARACTER, width)


def sequences_chart(sequences: Histogram) -> Html:
    """Return the histogram of packed rows by number of sequences."""
    frame, axis = Frame(), length_axis(sequences)
    return draw_chart(
        frame,
        f"Sequences in each row. {_describe_bars(sequences, 'row')}",
        _bars(sequences, axis, frame, "row", "sequence"),
        length_ticks(frame, axis, name_of_axis("sequences per row", sequences, "empty rows")),
        row_ticks(frame, sequences, "rows"),
    )


def curves_chart(data: FigureData, curves: Curves) -> Html:
    """Return a chart that shows the shares of tokens, whole rows and padding for each maxlen."""
    frame, axis = Frame(total=HEIGHT_WITH_LEGEND), length_axis(data.lengths, data.marks)
    first = int(np.searchsorted(curves.maxlens, axis.low))
    xs = [frame.x(place_on(axis, maxlen)) for maxlen in curves.maxlens[first:].tolist()]
    lines = [
        tag(
            "polyline",
            points=" ".join(
                f"{x:.1f},{frame.y(share):.1f}" for x, share in zip(xs, shares[first:].tolist(), strict=True)
            ),
            class_=f"line {kind}",
        )
        for kind, _, shares in reversed(lines_of(curves, data.unit))
    ]
    facts = "; ".join(_describe_mark(mark, curves, data.unit) for mark in data.marks)
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
        f"{title_of_curves(data)}. {facts}",
        *ticks,
        *(mark_line(frame, axis, label.mark, frame.top) for label in labels_of(data)),
        *lines,
        chosen_line(frame, axis, data.marks),
        length_ticks(frame, axis, name_of_axis(f"maxlen, in {data.unit}s", data.lengths)),
        axis_name(frame, "share"),
    )


def _describe_mark(mark: Mark, curves: Curves, unit: str) -> str:
    """Return a text with the maxlen of a candidate, and the share of each curve at this maxlen."""
    at = int(np.searchsorted(curves.maxlens, mark.maxlen))
    if at == len(curves.maxlens):
        return f"maxlen {mark.maxlen:,}"
    shares = ", ".join(f"{fine_share(shares[at])} {name}" for _, name, shares in lines_of(curves, unit))
    return f"maxlen {mark.maxlen:,}: {shares}"


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


def _bars(histogram: Histogram, axis: LengthAxis, frame: Frame, unit: str, of: str) -> Html:
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
