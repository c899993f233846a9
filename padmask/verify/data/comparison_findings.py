"""Report the differences between packed or padded rows and their input, as findings and notes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from padmask.core.columns import PadColumn
from padmask.errors import count, quoted
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.rules import RULES
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.verify.data.comparison import Comparison
from padmask.verify.data.missing_rows import MissingRows
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.rules import Audit
from padmask.verify.data.shape_hints import describe_assumption

_NO_METADATA = (
    "the packed rows have no metadata, so differences may also come from options of pack, such as "
    "--overlong split, --keep-last or --eos"
)

_PADDED_WITHOUT_METADATA = (
    "the padded rows have no metadata, so differences may also come from options of pad, such as --keep-last"
)

_ABSENT = "the input has no such sequence, or the packed rows contain the sequence more often than the input"

_ABSENT_ROW = (
    "the input has no row with these tokens, or the padded rows contain the row more often than the input"
)

# Function that returns a text about the first value of a sequence that differs from the input. Its arguments
# are the index of the sequence and the index of the hash.
DescribeDifference = Callable[[int, int], str]


def report_differences(audit: Audit, compared: Comparison, describe: DescribeDifference) -> None:
    """Report the packed or padded sequences that differ from the input.

    Args:
        audit: object that collects the findings.
        compared: the rows, compared with their input.
        describe: function that describes the first difference of a sequence.
    """
    rule, packed, found = RULES["differs-from-input"], compared.packed, compared.matches
    reasons = [] if compared.layout.spec is not None else [_NO_METADATA]
    if compared.padded:
        reasons = [] if compared.layout.described else [_PADDED_WITHOUT_METADATA]
    absent = found.partners < 0
    if absent.any():
        first = [] if compared.padded else [_describe_sequence(compared, int(np.argmax(absent)))]
        means = _ABSENT_ROW if compared.padded else _ABSENT
        audit.add_count(rule.name, *packed.places(absent), detail="; ".join([means, *first, *reasons]))
    if found.moved.any():
        column = None if compared.in_order else SOURCE_ROW
        audit.add_count(rule.name, *packed.places(found.moved), column, _describe_moved(compared))
    _report_windows(audit, compared)
    for place in found.chosen:
        differ = found.differ[:, place]
        if differ.any():
            index = int(np.argmax(differ))
            difference = describe(index, place)
            texts = [rule.means, _describe_sequence(compared, index), difference]
            if compared.padded:
                texts = ["the row differs from its source row in the input", f"first: {difference}"]
            audit.add_count(
                rule.name,
                *packed.places(differ),
                column=compared.hashed[place].column.name,
                detail="; ".join(filter(None, [*texts, *reasons])),
            )


def _describe_sequence(compared: Comparison, index: int) -> str:
    """Return a text with the positions of a sequence in its packed row and in its source row."""
    packed = compared.packed
    text = f"first: sequence {packed.number_in_row(index)} of the row"
    if compared.layout.sources:
        text += f", from token {packed.starts[index]} of source row {packed.sources[index]}"
    return text


def _describe_moved(compared: Comparison) -> str:
    """Describe the first moved row: its tokens are in the input, but its source or position is wrong."""
    packed, found = compared.packed, compared.matches
    index = int(np.argmax(found.moved))
    place = compared.expected.place(int(found.partners[index]))
    if compared.in_order:
        return f"the rows are not in the order of the input; the first such row has the tokens of {place}"
    window = "" if compared.windows is None else f", from token {packed.starts[index]}"
    return (
        f"the source is wrong or occurs twice; the first such row has source row {packed.sources[index]}"
        f"{window}, but the tokens of {place}"
    )


def _report_windows(audit: Audit, compared: Comparison) -> None:
    """Report the rows whose `window` or `source_stop` differs from the window of the input."""
    if compared.windows is None or compared.input_windows is None:
        return
    found = compared.matches
    here = (found.partners >= 0) & ~found.moved
    ours, theirs = compared.windows, compared.input_windows[found.partners]
    for place, name in enumerate((WINDOW_COLUMNS[1], WINDOW_COLUMNS[3])):
        differ = here & (ours[:, place] != theirs[:, place])
        if differ.any():
            index = int(np.argmax(differ))
            detail = (
                f"the column does not match the input; the first such row has {ours[index, place]}, but the "
                f"window with the same tokens in {compared.expected.place(int(found.partners[index]))} has "
                f"{theirs[index, place]}"
            )
            audit.add_count("differs-from-input", *compared.packed.places(differ), name, detail)


def report_missing(audit: Audit, compared: Comparison, missing: MissingRows, rows: int) -> None:
    """Report the rows of the input that are missing or incomplete in the packed or padded rows.

    Args:
        audit: object that collects the findings.
        compared: the rows, compared with their input.
        missing: rows of the input that are missing or incomplete.
        rows: number of packed or padded rows that were read.
    """
    expected, spec = compared.expected, compared.layout.spec
    rule = RULES["not-padded" if compared.padded else "not-packed"]
    detail = rule.means
    if compared.padded and missing.missing.any() and len(compared.packed.lengths):
        first = int(np.argmax(missing.missing))
        if compared.run is None and not compared.matches.found[first:].any():
            number = max(rows, int(expected.sources[first]))
            detail += (
                "; all missing rows are at the end of the input. If pad left them out with --limit, "
                f"compare only the first rows with --limit {number}"
            )
    if compared.run is not None and compared.run.rows_dropped:
        detail += f"; according to the metadata, pad dropped only {count(compared.run.rows_dropped, 'row')}"
    audit.add_count(rule.name, *expected.places(missing.missing), detail=detail)
    detail = RULES["tokens-lost"].means
    if compared.votes and spec is not None:
        detail += f"; {describe_assumption(spec, compared.votes)}"
    if compared.padded and missing.dropped:
        dropped = count(missing.dropped, "row")
        detail += f"; {dropped} missing completely ({_describe_dropping(compared, '--overlong')})"
    audit.add_count("tokens-lost", *expected.places(missing.lost), detail=detail)


def _describe_dropping(compared: Comparison, option: str) -> str:
    """Return a text with the possible reasons why rows of the input are not in the padded rows."""
    if compared.run is not None:
        return f"dropped with {option} drop"
    described = isinstance(compared.layout, PaddedLayout) and compared.layout.run is not None
    skipped = ", skipped with --on-error skip" if described else ""
    return f"dropped with {option} drop{skipped}, or deleted later"


def describe_comparison(
    compared: Comparison,
    columns: Sequence[PadColumn],
    input_name: str,
    rows: int,
    missing: MissingRows,
    unknown: Collection[str],
) -> Iterator[str]:
    """Yield notes about what was compared.

    Args:
        compared: the rows, compared with their input.
        columns: columns that are checked.
        input_name: name of the input.
        rows: number of packed or padded rows that were read.
        missing: rows of the input that are missing or incomplete.
        unknown: names of the columns that cannot be compared.
    """
    packed, planner = compared.packed, compared.planner
    names = list(dict.fromkeys(its.column.name for its in compared.hashed if its.column.name not in unknown))
    noun, past = ("row", "padded") if compared.padded else ("sequence", "packed")
    yield (
        f"compared: {quoted(names)} of {count(len(packed.lengths), noun)} with "
        f"{count(planner.rows, 'row')} of {input_name}"
    )
    lacking = [column.name for column in columns if column.name not in names]
    if (left := rows - packed.count_rows()) > 0:
        empty = "" if compared.padded else " or without tokens"
        yield f"not compared: {count(left, f'{past} row')} with errors{empty}"
    if lacking:
        yield f"not compared: {quoted(lacking)} (the input has no such column)"
    if missing.empty:
        yield (
            f"not in the padded rows: {count(missing.empty, 'row')} without tokens "
            f"({_describe_dropping(compared, '--empty-rows')})"
        )
    if planner.first_bad is not None:
        place, fault = planner.first_bad
        yield (
            f"not compared: {count(planner.bad, 'row')} of the input that cannot be {past}, the first at "
            f"{place}: {fault}"
        )
    if planner.first_unread is not None:
        read_rows = count(planner.rows - planner.unread, "row")
        command = "pad" if compared.padded else "pack"
        yield (
            f"not compared: {count(planner.unread, 'row')} of the input, starting at "
            f"{planner.first_unread}, because {command} read only {read_rows} (--limit)"
        )
