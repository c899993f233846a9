"""The texts of charts, which figures and HTML reports share: numbers, titles, and labels of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from padmask.errors import fine_share
from padmask.inspect.figure_data import FigureData, Histogram, Mark

# Largest number of rows of labels above the bars.
MOST_LABEL_ROWS = 4

# Largest number of powers of two on an axis.
MOST_POWERS = 12

# Cut tokens are drawn up to this multiple of maxlen.
MOST_CUT = 1.5


def short_number(value: float) -> str:
    """Return a number in few characters.

    >>> short_number(1800), short_number(12_500), short_number(2e6)
    ('1,800', '12.5k', '2M')
    """
    if abs(value) < 10_000:
        return f"{value:,.0f}"
    unit, size = next(pair for pair in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if abs(value) >= pair[1])
    return f"{value / size:,.4g}{unit}"


def powers_of_two(low: float, high: float) -> list[int]:
    """Return the ticks of a logarithmic axis.

    >>> powers_of_two(3, 40)
    [4, 8, 16, 32]
    """
    powers = [2**power for power in range(64) if low <= 2**power <= high]
    return powers[:: -(-len(powers) // MOST_POWERS) or 1]


@dataclass(frozen=True)
class LengthAxis:
    """The horizontal axis of the histogram of lengths, and of the curves by maxlen.

    Args:
        low, high: ends of the axis.
        is_log: whether the axis is logarithmic.
        shift: distance by which bars move to the left, so that a bar for one length is centred on this
            length.
    """

    low: float
    high: float
    is_log: bool
    shift: float


def length_axis(histogram: Histogram, marks: Sequence[Mark] = ()) -> LengthAxis:
    """Return an axis that includes all bars of a histogram and all candidates for maxlen.

    Args:
        histogram: numbers of rows by length.
        marks: candidates for maxlen.
    """
    edges, is_log = histogram.edges, histogram.is_log
    shift = 0.5 if not is_log and (np.diff(edges) == 1).all() else 0.0
    high = float(edges[-1]) - shift
    high = max([high, *(mark.maxlen * 1.02 for mark in marks if mark.maxlen >= high)])
    return LengthAxis(float(edges[0]) - shift, high, is_log, shift)


def name_of_axis(name: str, histogram: Histogram) -> str:
    """Return the name of an axis. If the axis does not show empty rows, the name contains their number."""
    return f"{name} (without {short_number(histogram.empty)} empty)" if histogram.empty else name


def title_of_lengths(data: FigureData) -> str:
    return "Lengths of rows" if data.sequences is None else "Lengths of sequences"


def title_of_places(data: FigureData) -> str:
    """Return the title of the picture of all rows."""
    maxlen = short_number(data.places.maxlen)
    if data.filled is not None:
        return f"Tokens fill {fine_share(data.filled)} of {maxlen}"
    is_best = any(mark.is_best for mark in data.marks)
    return f"{'Recommended: maxlen' if is_best else 'Rows of maxlen'} {maxlen}"


def order_of_rows(data: FigureData) -> str:
    """Return the name of the vertical axis of the picture of all rows."""
    return "rows, sorted by length" if data.filled is None else "rows, sorted by number of tokens"


def text_of(mark: Mark) -> str:
    """Return the text of the label of a candidate for maxlen.

    >>> text_of(Mark(374, "p95", True)), text_of(Mark(1_024, "", False))
    ('p95 = 374', '1,024')
    """
    return f"{mark.name} = {mark.maxlen:,}" if mark.name else f"{mark.maxlen:,}"


@dataclass(frozen=True)
class Label:
    """The label of a candidate for maxlen, beside the vertical line of the candidate.

    Args:
        mark: the candidate.
        text: text of the label.
        at: distance of the line from the left end of the axis, in the unit of the drawing.
        start: distance of the left end of the text from the left end of the axis.
        row: number of the row of labels, counted from the top, from 0. The line ends below the text.
    """

    mark: Mark
    text: str
    at: float
    start: float
    row: int


def arrange_labels(marks: Sequence[Mark], at: Sequence[float], character: float) -> list[Label]:
    """Arrange labels to the left of their lines, so that they cover neither other labels nor lines.

    If there are too many candidates, some have no label. The recommended candidate always has a label.

    Args:
        marks: candidates, ascending.
        at: distance of each line from the left end of the axis.
        character: width of a character of a label, in the unit of `at`.
    """
    labels: list[Label] = []
    for mark, place in reversed(list(zip(marks, at, strict=True))):
        text = text_of(mark)
        start = max(place - len(text) * character, 0)
        row = max((label.row + 1 for label in labels if label.start < place + character), default=0)
        labels.append(Label(mark, text, place, start, row))
    if max((label.row for label in labels), default=0) < MOST_LABEL_ROWS:
        return labels
    others = [number for number, mark in enumerate(marks) if not mark.is_best]
    left_out = set(others[len(others) // 2 :: 2])
    kept = [number for number in range(len(marks)) if number not in left_out]
    return arrange_labels([marks[number] for number in kept], [at[number] for number in kept], character)
