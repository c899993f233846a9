"""Texts of the charts in figures and HTML reports: numbers, titles, and labels of candidates for maxlen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.errors import count, fine_share, share
from padmask.inspect.figure_curves import Curves, Shares
from padmask.inspect.figure_data import FigureData, Histogram, Mark

# Largest number of rows of labels above the bars.
MOST_LABEL_ROWS = 8

# Up to this number of rows of labels, all labels are to the left of their lines.
FEW_LABEL_ROWS = 4

# If there are more labels than this number, all labels are to the left of their lines.
MOST_LABELS_ON_BOTH_SIDES = 16

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


def length_number(value: float) -> str:
    """Return a length for a tick of an axis. Powers of two are exact.

    >>> length_number(8192), length_number(65_536), length_number(2e6)
    ('8,192', '65,536', '2M')
    """
    return f"{value:,.0f}" if abs(value) < 1_000_000 else short_number(value)


def powers_of_two(low: float, high: float) -> list[int]:
    """Return at most `MOST_POWERS` powers of two from `low` to `high`, as ticks of a logarithmic axis.

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


def name_of_axis(name: str, histogram: Histogram, hidden: str = "") -> str:
    """Return the name of an axis of lengths. The name says whether the axis is logarithmic.

    Args:
        name: name of the lengths, and their unit.
        histogram: numbers of rows by length.
        hidden: word for the rows that a logarithmic axis does not show. If empty, the name does not mention
            them.
    """
    notes = ["log scale"] if histogram.is_log else []
    if histogram.empty and hidden:
        notes.append(f"{short_number(histogram.empty)} {hidden} not shown")
    return f"{name} ({'; '.join(notes)})" if notes else name


def title_of_lengths(data: FigureData) -> str:
    return "Lengths of rows" if data.packed is None else "Lengths of sequences"


# What happens to rows longer than maxlen. If such rows are refused, the curves show truncation.
_LONGER = {"window": "become windows", "drop": "are dropped"}


def title_of_curves(data: FigureData) -> str:
    return f"If longer rows {_LONGER.get(data.overlong, 'are truncated')}"


def lines_of(curves: Curves, unit: str) -> list[tuple[str, str, Shares]]:
    """Return the key, the name and the shares of each curve. The key determines the colour."""
    first = ("kept", f"kept {unit}s", curves.kept)
    if curves.repeated is not None:
        first = ("repeated", f"repeated {unit}s", curves.repeated)
    return [first, ("whole", "whole rows", curves.whole), ("padding", "padding", curves.padding)]


def title_of_places(data: FigureData) -> str:
    """Return the title of the picture of all rows."""
    if data.packed is not None:
        rows, not_full = data.packed.rows, int(data.places.row_ends.max(initial=0))
        if not not_full:
            return f"All {count(rows, 'row')} are full" if rows != 1 else "The row is full"
        return f"{not_full:,} of {count(rows, 'row')} {'is' if not_full == 1 else 'are'} not full"
    if data.places.widths > 1:
        return f"Rows of {data.places.widths:,} lengths"
    return f"{'Rows of maxlen' if data.best is None else 'Recommended: maxlen'} {data.places.maxlen:,}"


def order_of_rows(data: FigureData) -> str:
    """Return the label of the vertical axis in the picture of all rows."""
    return "rows, sorted by length" if data.packed is None else f"rows, sorted by number of {data.unit}s"


# Names of the tokens beyond maxlen, and what happens to their rows.
_CUT = {"window": "further windows", "drop": "dropped rows"}
_ROWS_CUT = {"window": "split", "drop": "dropped"}


def name_of_cut(data: FigureData) -> str:
    """Return the legend label for the tokens beyond maxlen."""
    return _CUT.get(data.overlong, "cut")


def describe_cut(data: FigureData) -> list[str]:
    """Return lines about the rows that are cut; an empty list if no rows are cut.

    The lines supplement the picture of all rows, which does not show all tokens of cut rows, and in which a
    small number of cut rows may be invisible.
    """
    places = data.places
    if not places.rows_cut:
        return []
    verb = _ROWS_CUT.get(data.overlong, "cut")
    rows = f"{short_number(places.rows_cut)} row{'' if places.rows_cut == 1 else 's'}"
    return [f"{rows} {verb}", f"at {short_number(places.maxlen)}", f"longest: {short_number(places.longest)}"]


def zoomed_start(data: FigureData) -> int:
    """Return the first position that the picture of packed rows shows.

    The picture shows only rows that have padding. If all of these rows are more than half full, the picture
    shows only the ends of the rows, so that the padding is wide enough to see.
    """
    places = data.places
    shortest = int(places.real[:, 1].min(initial=places.maxlen))
    if data.packed is None or shortest <= places.maxlen // 2:
        return 0
    return max(0, places.maxlen - max(round(1.25 * (places.maxlen - shortest)), 4))


# Largest number of candidates in the table.
MOST_CANDIDATES = 12


def table_of(data: FigureData) -> list[list[str]]:
    """Return the rows of the table in the figure.

    The first row contains the names of the columns. Each further row describes a candidate for maxlen. If the
    data is packed, there are no candidates, and each row of the table contains a name and a number instead.
    """
    if data.packed is not None:
        packed = data.packed
        mean = packed.sequences / max(packed.rows, 1)
        return [
            ["packed rows", f"{packed.rows:,}"],
            ["minimum number of rows", f"{packed.rows_at_least:,}"],
            ["sequences", f"{packed.sequences:,}"],
            [
                "sequences per row",
                f"{mean:,.1f} (at most {packed.most:,})",
            ],
            [f"positions that are {data.unit}s", fine_share(packed.filled_share)],
        ]
    has_rows = any(plan.overlong in ("window", "drop") for plan in data.plans)
    names = [
        "candidate",
        "maxlen",
        "padding",
        f"{data.unit}s lost",
        "output rows" if has_rows else "rows cut",
    ]
    return [
        names,
        *(
            [
                "given" if plan.name == str(plan.maxlen) else plan.name.removesuffix(f"-{plan.maxlen}"),
                f"{plan.maxlen:,}",
                share(plan.padding_share),
                share(plan.lost_share),
                short_number(plan.rows if has_rows else plan.rows_cut),
            ]
            for plan in data.shown_plans(MOST_CANDIDATES)
        ),
    ]


def row_of_best(data: FigureData) -> int | None:
    """Return the row index of the recommended plan in `table_of(data)`; None if the table lacks this plan."""
    names = [plan.name for plan in data.shown_plans(MOST_CANDIDATES)]
    return 1 + names.index(data.best.name) if data.best is not None and data.best.name in names else None


def text_of(mark: Mark) -> str:
    """Return the label text of a candidate for maxlen.

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
        start, end: distances of the ends of the text from the left end of the axis.
        row: index of the row of labels that contains the label. Row 0 is at the top. If the text does not fit
            to the left of the line, the line ends below the text.
        is_right: whether the text is to the right of the line.
    """

    mark: Mark
    text: str
    at: float
    start: float
    end: float
    row: int
    is_right: bool = False


def arrange_labels(marks: Sequence[Mark], at: Sequence[float], character: float, width: float) -> list[Label]:
    """Arrange labels beside their lines, so that they cover neither other labels nor lines.

    Most labels are to the left of their lines. Some adjacent labels are to the right if this saves rows of
    labels. If there are too many candidates, only some candidates have a label, including the recommended
    candidate. Charts do not show the lines of candidates without a label.

    Args:
        marks: candidates, ascending.
        at: distance of each line from the left end of the axis.
        character: width of a character of a label, in the unit of `at`.
        width: length of the axis.
    """
    pairs = list(zip(marks, at, strict=True))
    labels = _place_labels(pairs, range(0), character) or []
    if rows_of_labels(labels) > FEW_LABEL_ROWS and len(pairs) <= MOST_LABELS_ON_BOTH_SIDES:
        runs = [range(first, end) for end in range(len(pairs), 0, -1) for first in range(end - 1, -1, -1)]
        for run in runs:
            found = _place_labels(pairs, run, character)
            fits = found and all(label.end <= width for label in found if label.is_right)
            if found and fits and rows_of_labels(found) < rows_of_labels(labels):
                labels = found
    if rows_of_labels(labels) <= MOST_LABEL_ROWS:
        return labels
    others = [number for number, mark in enumerate(marks) if not mark.is_best]
    left_out = set(others[len(others) // 2 :: 2])
    kept = [pair for number, pair in enumerate(pairs) if number not in left_out]
    return arrange_labels([mark for mark, _ in kept], [place for _, place in kept], character, width)


def rows_of_labels(labels: Sequence[Label]) -> int:
    return max((label.row + 1 for label in labels), default=0)


def _place_labels(
    pairs: Sequence[tuple[Mark, float]], on_the_right: range, character: float
) -> list[Label] | None:
    """Place labels in rows. If the line of label A would touch the text of label B, A is in a lower row.

    Args:
        pairs: candidates with the distances of their lines from the left end of the axis, ascending.
        on_the_right: indices of the candidates whose labels are to the right of their lines.
        character: width of a character of a label.

    Returns:
        The labels, in the order of the candidates; None if two labels would each cover the line of the other.
    """
    open_labels = []
    for number, (mark, place) in enumerate(pairs):
        text, is_right = text_of(mark), number in on_the_right
        size = len(text) * character
        start = place if is_right else max(place - size, 0.0)
        open_labels.append(Label(mark, text, place, start, start + size, 0, is_right))
    placed: dict[int, Label] = {}
    while len(placed) < len(pairs):
        ready = None
        # Of several labels that can be placed, the rightmost is placed first, in the highest row.
        for number in range(len(pairs) - 1, -1, -1):
            label = open_labels[number]
            covers = [
                other
                for other in range(len(pairs))
                if other != number and _covers(open_labels[other], label.at, character)
            ]
            if number not in placed and all(other in placed for other in covers):
                ready = number, covers
                break
        if ready is None:
            return None
        number, covers = ready
        label = open_labels[number]
        row = max((placed[other].row + 1 for other in covers), default=0)
        while any(
            other.row == row and other.start < label.end + character and label.start < other.end + character
            for other in placed.values()
        ):
            row += 1
        placed[number] = replace(label, row=row)
    return [placed[number] for number in range(len(pairs))]


def _covers(label: Label, place: float, character: float) -> bool:
    """Return whether a line at the distance `place` would touch the text of the label."""
    if label.is_right:
        return label.at <= place < label.end + character
    return label.start - character < place <= label.at
