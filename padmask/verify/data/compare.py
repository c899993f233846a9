"""Compare packed or padded rows with their input, token by token."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import PadColumn
from padmask.core.packed_columns import PackedRows
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.core.sequence_hashes import Hashes, find_partners, join_hashes
from padmask.errors import count, quoted
from padmask.formats.contract import Batch
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.pack import ID_NAMES
from padmask.spec.pad import PadSpec
from padmask.spec.rules import RULES
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.stream.run import Reading
from padmask.verify.data.hashed_columns import Hashed, ValueTypes, copies_of, hash_columns, hashed_columns
from padmask.verify.data.padded_layout import PaddedLayout, ShapeHints, describe_assumption
from padmask.verify.data.planned_input import InputPlanner
from padmask.verify.data.row_order import match_rows
from padmask.verify.data.rules import Audit
from padmask.verify.data.sequence_table import LocatedSequences, SequenceTable
from padmask.verify.data.sequence_values import (
    ReadAgain,
    SequenceValues,
    describe_difference,
    read_input_values,
)

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


class InputComparison:
    """Collects the sequences of packed or padded rows, to compare them with the input.

    Args:
        layout: how the rows are packed or padded.
        columns: columns that are checked. The first column has the tokens.
        names: names of the columns of the input. Columns that the input lacks are compared only if they can
            be computed from the input.
        counts: numbers of rows in the metadata of each packed file, keyed by file name.
        is_text: whether the packed rows have no column types.
    """

    def __init__(
        self,
        layout: PackedLayout,
        columns: Sequence[PadColumn],
        names: Sequence[str],
        counts: Mapping[str, PackedCounts],
        *,
        is_text: bool,
    ) -> None:
        self._layout, self._columns, self._counts = layout, columns, counts
        self._input_names = _names_in_input(layout, columns[0].name, names)
        read = [column for column in columns if self._input_names.get(column.name, column.name) in names]
        self._read = list(dict.fromkeys([columns[0], *read]))
        ids = self._input_names.get(columns[0].name, columns[0].name)
        positions = layout.positions if isinstance(layout, PaddedLayout) else None
        self._hashed = hashed_columns(
            layout, columns, [column.name for column in read], copies_of(layout, ids, names), positions
        )
        self._padded = isinstance(layout, PaddedLayout)
        self._hints = ShapeHints()
        self._types = ValueTypes(is_text=is_text)
        self._table = SequenceTable()
        # Number of positions in the longest packed row.
        self._width = 0
        # Number and stop of each window of the padded rows, and of the input.
        self._windows: list[Positions] = []
        self._input_windows: list[Positions] = []
        # Number of rows of the input without tokens that are not in the padded rows.
        self._empty = 0
        # Whether padded rows must be in the order of the input.
        self._in_order = False

    def add(
        self,
        batch: Batch,
        rows: Positions,
        packed: PackedRows,
        values: Mapping[str, Ragged],
        sources: tuple[Positions, Positions] | None,
        windows: tuple[Positions, ...] | None = None,
    ) -> None:
        """Add the sequences of some packed or padded rows.

        Args:
            batch: rows of a file.
            rows: indices of the rows in the batch.
            packed: positions of the sequences in these rows.
            values: values of all rows of the batch, keyed by column name.
            sources: source row and first token of each sequence; None if unknown.
            windows: values of the columns of windows of each padded row; None if there are no such columns.
        """
        at, segments = rows[packed.sequence_rows], packed.segments
        for column in {
            its.name: its for its in (*self._read, *(its.column for its in self._hashed))
        }.values():
            self._types.add(column, values[column.name].values)
        if self._padded and self._layout.spec is None:
            ids = values[self._columns[0].name]
            starts = ids.starts[at] + segments.first_places

            def tokens_of(row: int) -> npt.NDArray[Any]:
                return ids.values[starts[row] : starts[row] + segments.lengths[row]]

            self._hints.add(tokens_of, segments.lengths, packed.widths, windows)
        slices = at, segments.first_places, segments.lengths
        hashes = hash_columns(self._hashed, self._types, values, slices, segments.lengths, packed=True)
        none = np.zeros(len(at), dtype=np.int64)
        self._table.add(batch, at, *(sources or (none, none)), segments.lengths, hashes)
        if windows is not None:
            self._windows.append(np.stack([windows[1], windows[3]], axis=1))
        self._width = max(self._width, int(packed.widths.max(initial=0)))

    def compare(
        self, reading: Reading, audit: Audit, rows: int, read_again: ReadAgain, limit: int | None
    ) -> list[str]:
        """Read the input, and report the sequences and rows that differ.

        Args:
            reading: the input of the rows.
            audit: object that collects the findings.
            rows: number of packed or padded rows that were read. Rows with errors were not added.
            read_again: function that reads the packed or padded rows again.
            limit: maximum number of packed or padded rows to read; None if all rows were read.

        Returns:
            Notes about the comparison.
        """
        packed = self._table.joined(len(self._hashed))
        # Each packed file numbers its source rows from 0.
        located = self._layout.sources and len(packed.names) <= 1
        specs: list[PadSpec | None] = [self._layout.spec]
        self._in_order = (
            isinstance(self._layout, PaddedLayout)
            and self._layout.keeps_order
            and not located
            and not self._hints.has_widths
        )
        if self._padded and self._layout.spec is None:
            specs = [*self._find_specs(reading)]
        best: _Compared | None = None
        for spec in specs:
            if best is None or best.differences:
                new = self._match_input(spec, reading, packed, located=located)
                best = new if best is None or new.differences < best.differences else best
        assert best is not None
        self._layout, planner, expected = best.layout, best.planner, best.expected
        loses, (found, unknown) = best.loses, _without_guesses(best.matches, self._hashed)

        def describe(index: int, place: int) -> str:
            """Return a text about the first value of a sequence that differs from the input."""
            hashed, partner = self._hashed[place], int(found.partners[index])
            row = packed.names[packed.files[index]], int(packed.numbers[index])
            ours = SequenceValues(*row, packed.number_in_row(index), hashed, self._types)
            read_again(ours)
            source = int(expected.sources[partner]), int(expected.starts[partner])
            again = self._planner(packed, located=located)
            theirs = read_input_values(again, reading, hashed, self._types, *source)
            if ours.found is None or theirs is None:
                return ""
            if not self._padded:
                return describe_difference(ours.found, theirs)
            return describe_difference(ours.found, theirs, ours.first, expected.place(partner))

        self._report_differences(audit, packed, expected, found, describe)
        here = self._find_rows_to_have(expected, found, rows, limit)
        if here.any():
            self._report_missing(audit, packed, expected, loses, found, here, rows, located=located)
        return list(self._describe(reading, packed, planner, rows, unknown))

    def _match_input(
        self, spec: PadSpec | None, reading: Reading, packed: LocatedSequences, *, located: bool
    ) -> _Compared:
        """Read the input, and match its sequences. `spec` has the options that packed or padded the rows."""
        self._layout = replace(self._layout, spec=spec)
        planner = self._planner(packed, located=located)
        expected, loses = self._read_input(planner, reading, packed, located=located)
        if self._in_order:
            found = _match_in_order(packed, expected, self._hashed, loses)
        else:
            found = _match(packed, expected, self._hashed, loses, located=located, padded=self._padded)
        if self._padded:
            found = _align(packed, expected, self._hashed, found)
        return _Compared(self._layout, planner, expected, loses, found)

    def _find_specs(self, reading: Reading) -> list[PadSpec]:
        """Return the options that may have padded the rows, from the rows and the input."""
        found = self._hints.spec_of_windows()
        if found is not None:
            return [found]
        column = self._columns[0]
        self._layout = replace(self._layout, spec=PadSpec(maxlen=self._hints.width))
        planner = self._planner(LocatedSequences.none(), located=False)

        def long_rows() -> Generator[npt.NDArray[Any]]:
            with closing(planner.read(reading)) as batches:
                for rows in batches:
                    ids = rows.ragged[column.name]
                    for row in np.flatnonzero(ids.lengths > self._hints.width).tolist():
                        tokens = ids.values[ids.starts[row] : ids.starts[row] + ids.lengths[row]]
                        yield self._types.cast(column, tokens)

        with closing(long_rows()) as tokens:
            return self._hints.specs_of_cut(tokens)

    def _planner(self, packed: LocatedSequences, *, located: bool) -> InputPlanner:
        limit = None
        if len(packed.names) == len(self._counts) == 1:
            limit = next(iter(self._counts.values())).limit
        return InputPlanner(
            self._layout,
            self._read,
            self._types,
            packed if located else None,
            self._input_names,
            limit,
            joined=len(packed.names) <= 1,
            copied=[name for its in self._hashed if its.copied is not None for name in its.copied.names],
        )

    def _read_input(
        self, planner: InputPlanner, reading: Reading, packed: LocatedSequences, *, located: bool
    ) -> tuple[LocatedSequences, Flags]:
        """Return the sequences that the input becomes, and for each, whether it loses tokens."""
        table, loses = SequenceTable(), [np.zeros(0, dtype=bool)]
        self._input_windows = []
        for rows in planner.read(reading):
            segments, sources = rows.segments, rows.sources
            hashes = hash_columns(
                self._hashed,
                self._types,
                rows.ragged,
                rows.slices,
                segments.lengths,
                packed=False,
                repeated=rows.repeated,
            )
            numbers = sources + rows.first
            used = ~rows.bad[sources]
            table.add(
                rows.batch,
                sources[used],
                numbers[used],
                rows.starts[used],
                segments.lengths[used],
                hashes[used],
            )
            if self._windows and (places := segments.windows) is not None:
                self._input_windows.append(np.stack([places.numbers, places.stops], axis=1)[used])
            lost = segments.kept_tokens() < segments.source_lengths
            sources, numbers = sources[used], numbers[used]
            if self._layout.spec is None:
                # An input row that is longer than all packed rows was truncated, split or dropped.
                longer = (segments.source_lengths[sources] > self._width) & (self._width > 0)
                absent = ~np.isin(numbers, packed.sources) if located else np.ones(len(sources), dtype=bool)
                loses.append(lost[sources] | (absent & longer))
            else:
                loses.append(lost[sources])
        return table.joined(len(self._hashed)), np.concatenate(loses)

    def _report_differences(
        self,
        audit: Audit,
        packed: LocatedSequences,
        expected: LocatedSequences,
        found: _Matches,
        describe: Callable[[int, int], str],
    ) -> None:
        """Report the packed sequences that differ from the input.

        `describe` returns a text about a difference, given the indices of the sequence and of the hash.
        """
        rule = RULES["differs-from-input"]
        reasons = [] if self._layout.spec is not None else [_NO_METADATA]
        if self._padded:
            reasons = [] if self._layout.described else [_PADDED_WITHOUT_METADATA]
        absent = found.partners < 0
        if absent.any():
            first = [] if self._padded else [_describe_sequence(packed, int(np.argmax(absent)), self._layout)]
            means = _ABSENT_ROW if self._padded else _ABSENT
            audit.add_count(rule.name, *packed.places(absent), detail="; ".join([means, *first, *reasons]))
        if found.moved.any():
            detail = self._describe_moved(packed, expected, found)
            column = None if self._in_order else SOURCE_ROW
            audit.add_count(rule.name, *packed.places(found.moved), column, detail)
        self._report_windows(audit, packed, expected, found)
        for place in found.chosen:
            differ = found.differ[:, place]
            if differ.any():
                index = int(np.argmax(differ))
                texts = [rule.means, _describe_sequence(packed, index, self._layout), describe(index, place)]
                if self._padded:
                    texts = [
                        "the row differs from its source row in the input",
                        f"first: {describe(index, place)}",
                    ]
                audit.add_count(
                    rule.name,
                    *packed.places(differ),
                    column=self._hashed[place].column.name,
                    detail="; ".join(filter(None, [*texts, *reasons])),
                )

    def _describe_moved(self, packed: LocatedSequences, expected: LocatedSequences, found: _Matches) -> str:
        """Return a text about the first row that is not at the place of its row in the input."""
        index = int(np.argmax(found.moved))
        place = expected.place(int(found.partners[index]))
        if self._in_order:
            return f"the row is not in the order of the input; first: the row has the tokens of {place}"
        window = f", from token {packed.starts[index]}" if len(self._windows) else ""
        return (
            "the source is wrong or occurs twice; first: source row "
            f"{packed.sources[index]}{window}, but the row has the tokens of {place}"
        )

    def _report_windows(
        self, audit: Audit, packed: LocatedSequences, expected: LocatedSequences, found: _Matches
    ) -> None:
        """Report the rows whose window number or last token differs from the window of the input."""
        if not self._windows or not self._input_windows:
            return
        here = (found.partners >= 0) & ~found.moved
        ours, theirs = np.concatenate(self._windows), np.concatenate(self._input_windows)[found.partners]
        for place, name in enumerate((WINDOW_COLUMNS[1], WINDOW_COLUMNS[3])):
            differ = here & (ours[:, place] != theirs[:, place])
            if differ.any():
                index = int(np.argmax(differ))
                detail = (
                    f"the number differs from the window of the input; first: {ours[index, place]}, but "
                    f"{expected.place(int(found.partners[index]))} gives {theirs[index, place]}"
                )
                audit.add_count("differs-from-input", *packed.places(differ), name, detail)

    def _report_missing(
        self,
        audit: Audit,
        packed: LocatedSequences,
        expected: LocatedSequences,
        loses: Flags,
        found: _Matches,
        here: Flags,
        rows: int,
        *,
        located: bool,
    ) -> None:
        """Report the rows of the input that are missing or incomplete in the packed or padded rows.

        `here` flags the rows of the input that the packed or padded rows must have, and `rows` is the number
        of packed or padded rows.
        """
        # Rows without tokens may have been dropped. Either all of them were dropped, or none.
        empty = (expected.lengths == 0) & ~loses & here
        keeps_empty = self._padded and bool((empty & found.found).any())
        self._empty = 0 if keeps_empty or not self._padded else int((empty & ~found.found).sum())
        missing = ~found.found & ((expected.lengths > 0) | (empty & keeps_empty)) & here
        damaged, splits = np.zeros(len(missing), dtype=bool), False
        if self._layout.spec is None and located:
            splits = len(np.unique(packed.sources)) < len(packed.sources)
            damaged = loses & ~missing & (splits | ~_are_truncated(expected, packed))
        truncates = bool((loses & ~missing & ~damaged).any())
        drops = not self._counts or any(its.rows_dropped for its in self._counts.values())
        may_drop = drops and not splits and not truncates
        unpacked = damaged | (missing & ~(loses & may_drop))
        rule = RULES["not-padded" if self._padded else "not-packed"]
        detail = rule.means
        if self._padded and unpacked.any() and len(packed.lengths):
            first = int(np.argmax(unpacked))
            if not found.found[first:].any():
                number = max(rows, int(expected.sources[first]))
                detail += (
                    "; all missing rows are at the end of the input. If pad left them out with --limit, "
                    f"compare only the first rows with --limit {number}"
                )
        audit.add_count(rule.name, *expected.places(unpacked), detail=detail)
        detail = RULES["tokens-lost"].means
        if self._hints.votes and self._layout.spec is not None:
            detail += f"; {describe_assumption(self._layout.spec, self._hints.votes)}"
        lost = loses & ~unpacked & here
        if self._padded and (absent := int((lost & missing).sum())):
            detail += f"; {count(absent, 'row')} not in the padded rows at all (--overlong drop, or deleted)"
        audit.add_count("tokens-lost", *expected.places(lost), detail=detail)

    def _find_rows_to_have(
        self, expected: LocatedSequences, found: _Matches, rows: int, limit: int | None
    ) -> Flags:
        """Return, for each row of the input, whether the rows that were read must have the row.

        With a limit, these are the rows before the last row that was found, if the rows are in order, and the
        first `limit` rows if there are fewer rows.
        """
        if limit is None:
            return np.ones(len(expected.lengths), dtype=bool)
        stop = 0
        if self._padded and len(expected.names) <= 1:
            stop = limit if rows < limit else 0
            partners = found.partners[(found.partners >= 0) & ~found.moved]
            if self._in_order and len(partners):
                stop = max(stop, int(expected.sources[partners.max()]) + 1)
        return np.asarray(expected.sources < stop)

    def _describe(
        self,
        reading: Reading,
        packed: LocatedSequences,
        planner: InputPlanner,
        rows: int,
        unknown: Collection[str],
    ) -> Iterator[str]:
        """Yield notes about what was compared. `unknown` has the names of columns that cannot be compared."""
        names = list(dict.fromkeys(its.column.name for its in self._hashed if its.column.name not in unknown))
        input_name = reading.dataset.name
        noun, past = ("row", "padded") if self._padded else ("sequence", "packed")
        yield (
            f"compared: {quoted(names)} of {count(len(packed.lengths), noun)} with "
            f"{count(planner.rows, 'row')} of {input_name}"
        )
        lacking = [column.name for column in self._columns if column.name not in names]
        if (left := rows - packed.count_rows()) > 0:
            empty = "" if self._padded else " or without tokens"
            yield f"not compared: {count(left, f'{past} row')} with errors{empty}"
        if lacking:
            yield f"not compared: {quoted(lacking)} (the input has no such column)"
        if self._empty:
            yield (
                f"{count(self._empty, 'row')} of the input without tokens not in the padded rows "
                "(--empty-rows drop, or deleted)"
            )
        if planner.first_bad is not None:
            place, fault = planner.first_bad
            yield (
                f"not compared: {count(planner.bad, 'row')} of the input that cannot be {past}, the first at "
                f"{place}: {fault}"
            )
        if planner.first_unread is not None:
            read_rows = count(planner.rows - planner.unread, "row")
            yield (
                f"not compared: {count(planner.unread, 'row')} of the input, starting at "
                f"{planner.first_unread}, because pack read only {read_rows} (--limit)"
            )


def _names_in_input(layout: PackedLayout, ids: str, names: Collection[str]) -> Mapping[str, str]:
    """Return, for each renamed packed column, its name in the input. Without metadata, this is only the ids.

    Args:
        layout: how the rows are packed.
        ids: name of the packed column of ids.
        names: names of the columns of the input.
    """
    if layout.described or ids in names or ids not in ID_NAMES:
        return layout.renamed
    return dict([(ids, name) for name in ID_NAMES if name in names][:1])


@dataclass(frozen=True)
class _Matches:
    """The sequence of the input that each packed sequence comes from.

    Args:
        partners: index of the sequence of the input, or -1: int64, shape (packed sequences,).
        differ: whether the values of a column differ: bool, shape (packed sequences, hashes).
        found: whether each sequence of the input is packed: bool, shape (sequences of the input,).
        chosen: the hashes to compare. A column of labels without metadata has two hashes.
        moved: whether each padded row is not at the place of its row in the input: bool, shape (rows,).
    """

    partners: Positions
    differ: Flags
    found: Flags
    chosen: Sequence[int]
    moved: Flags


@dataclass(frozen=True)
class _Compared:
    """The input of packed or padded rows, compared with the rows.

    Args:
        layout: how the rows are packed or padded.
        planner: planner that read the input.
        expected: the sequences that the input becomes.
        loses: whether each of them loses tokens: bool, shape (sequences of the input,).
        matches: the sequence of the input that each sequence comes from.
    """

    layout: PackedLayout
    planner: InputPlanner
    expected: LocatedSequences
    loses: Flags
    matches: _Matches

    @property
    def differences(self) -> int:
        """Number of packed or padded sequences that differ, or that have no partner."""
        differ = self.matches.differ[:, list(self.matches.chosen)].any(axis=1) | self.matches.moved
        return int((differ | (self.matches.partners < 0)).sum())


def _match(
    packed: LocatedSequences,
    expected: LocatedSequences,
    hashed: Sequence[Hashed],
    loses: Flags,
    *,
    located: bool,
    padded: bool,
) -> _Matches:
    """Find the sequence of the input for each packed sequence: by its source, or else by its tokens.

    A padded row with a wrong source is also found by its tokens, as a moved row. By their tokens, sequences
    of the input that lose tokens are matched last, because they may be dropped.
    """
    if located:
        partners = find_partners(
            join_hashes(packed.sources, packed.starts), join_hashes(expected.sources, expected.starts)
        )
        chosen = _choose_hashes(packed, expected, partners, hashed)
        if padded:
            return _find_moved(packed, expected, partners, chosen)
    else:
        chosen = _choose_by_tokens(packed, expected, hashed)
        partners = np.full(len(packed.lengths), -1)
        # A remaining sequence may have the tokens of an input sequence, but other values in another column.
        for columns in (chosen, [0]):
            keys, others = packed.keys(columns), expected.keys(columns)
            for candidates in (~loses, loses):
                _add_partners(partners, keys, others, candidates)
    return _compare(packed, expected, partners, chosen)


def _match_in_order(
    packed: LocatedSequences, expected: LocatedSequences, hashed: Sequence[Hashed], loses: Flags
) -> _Matches:
    """Find the row of the input for each padded row. Both are in the same order."""
    chosen = _choose_by_tokens(packed, expected, hashed)
    keys, others = ([its.keys(columns) for columns in (chosen, [0])] for its in (packed, expected))
    partners = match_rows(keys, others, expected.files, expected.lengths, loses)
    return _find_moved(packed, expected, partners, chosen)


def _find_moved(
    packed: LocatedSequences, expected: LocatedSequences, partners: Positions, chosen: Sequence[int]
) -> _Matches:
    """Match the padded rows that are not at the place of their row in the input, by their tokens.

    Args:
        packed, expected: the padded rows, and the rows that the input becomes.
        partners: index of the row of the input at the place of each padded row, or -1.
        chosen: the hashes to compare.
    """
    partners, before = partners.copy(), partners
    for columns in (chosen, [0]):
        candidates = np.ones(len(expected.lengths), dtype=bool)
        _add_partners(partners, packed.keys(columns), expected.keys(columns), candidates)
    return _compare(packed, expected, partners, chosen, (before < 0) & (partners >= 0))


def _compare(
    packed: LocatedSequences,
    expected: LocatedSequences,
    partners: Positions,
    chosen: Sequence[int],
    moved: Flags | None = None,
) -> _Matches:
    """Compare sequences with their partners. The arguments are as in `_Matches`."""
    here = partners >= 0
    differ = np.zeros(packed.hashes.shape, dtype=bool)
    differ[here] = packed.hashes[here] != expected.hashes[partners[here]]
    longer = here.copy()
    longer[here] = packed.lengths[here] != expected.lengths[partners[here]]
    # If the lengths differ, the hashes of all columns differ, and one finding is enough.
    differ[longer] = False
    differ[longer, 0] = True
    found = np.zeros(len(expected.lengths), dtype=bool)
    found[partners[here]] = True
    moved = np.zeros(len(partners), dtype=bool) if moved is None else moved
    return _Matches(partners, differ, found, chosen, moved)


def _align(
    packed: LocatedSequences, expected: LocatedSequences, hashed: Sequence[Hashed], found: _Matches
) -> _Matches:
    """Match the padded rows that are left with rows of the input that are left.

    A changed row is between the same rows as its source row. Rows in another order, as in batches, are
    matched if only one row that is left has their number of tokens.
    """
    partners = found.partners.copy()
    left = np.flatnonzero(partners < 0)
    if not len(left):
        return found
    free = ~found.found
    known = np.flatnonzero(partners >= 0)
    at = np.searchsorted(known, left)
    bounds = np.concatenate([[-1], partners[known], [len(expected.lengths)]])
    gaps, firsts = np.unique(at, return_index=True)
    for gap, ours in zip(gaps.tolist(), np.split(left, firsts[1:]), strict=True):
        begin, end = int(bounds[gap]) + 1, int(bounds[gap + 1])
        theirs = begin + np.flatnonzero(free[begin:end])
        if len(theirs) != len(ours):
            ours, theirs = _equally_long(ours, theirs, packed.lengths, expected.lengths)
        partners[ours] = theirs
        free[theirs] = False
    left, theirs = np.flatnonzero(partners < 0), np.flatnonzero(free)
    lengths, others = packed.lengths[left], expected.lengths[theirs]
    once = np.intersect1d(*(its[counts == 1] for its, counts in map(_counted, (lengths, others))))
    ours = left[np.isin(lengths, once)]
    ours = ours[np.argsort(packed.lengths[ours])]
    theirs = theirs[np.isin(others, once)]
    partners[ours] = theirs[np.argsort(expected.lengths[theirs])]
    return _compare(packed, expected, partners, found.chosen, found.moved)


def _counted(lengths: Positions) -> tuple[Positions, Positions]:
    values, counts = np.unique(lengths, return_counts=True)
    return values, counts


def _equally_long(
    ours: Positions, theirs: Positions, lengths: Positions, others: Positions
) -> tuple[Positions, Positions]:
    """Match rows of two lists in order. Rows that match have equally many tokens.

    Args:
        ours, theirs: indices of rows of the output and of the input.
        lengths, others: numbers of tokens of all rows of the output and of the input.
    """
    pairs, start = [], 0
    for one in ours.tolist():
        fits = np.flatnonzero(others[theirs[start:]] == lengths[one])
        if len(fits):
            pairs.append((one, int(theirs[start + fits[0]])))
            start += int(fits[0]) + 1
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _without_guesses(found: _Matches, hashed: Sequence[Hashed]) -> tuple[_Matches, set[str]]:
    """Leave out labels that are not copies of the tokens. Return the matches, and the names of these labels.

    Without metadata, it is unknown whether labels that the input lacks are copies. If most rows differ, they
    are not.
    """
    here = found.partners >= 0
    guesses = [
        place
        for place in found.chosen
        if (copied := hashed[place].copied) is not None
        and not copied.known
        and 2 * int(found.differ[here, place].sum()) > int(here.sum())
    ]
    chosen = [place for place in found.chosen if place not in guesses]
    return replace(found, chosen=chosen), {hashed[place].column.name for place in guesses}


def _add_partners(partners: Positions, keys: Hashes, others: Hashes, candidates: Flags) -> None:
    """Match the sequences without a partner in place.

    Args:
        partners: index of the partner of each sequence, or -1.
        keys, others: hashes of the sequences, and of their possible partners.
        candidates: for each possible partner, whether it may be matched, if it is free.
    """
    free = candidates.copy()
    free[partners[partners >= 0]] = False
    left, others_left = np.flatnonzero(partners < 0), np.flatnonzero(free)
    found = find_partners(keys[left], others[others_left])
    partners[left[found >= 0]] = others_left[found[found >= 0]]


def _choose_by_tokens(
    packed: LocatedSequences, expected: LocatedSequences, hashed: Sequence[Hashed]
) -> list[int]:
    """Return, for each column, the index of the hash with which most sequences have a partner."""
    best: dict[str, tuple[int, int]] = {}
    names = [its.column.name for its in hashed]
    for place, name in enumerate(names):
        matches = 0
        if names.count(name) > 1:
            keys = packed.keys([0, place]), expected.keys([0, place])
            matches = int((find_partners(*keys) >= 0).sum())
        if name not in best or matches > best[name][0]:
            best[name] = matches, place
    return [place for _, place in best.values()]


def _choose_hashes(
    packed: LocatedSequences, expected: LocatedSequences, partners: Positions, hashed: Sequence[Hashed]
) -> list[int]:
    """Return, for each column, the index of the hash that differs from the input for the fewest sequences."""
    here = partners >= 0
    counts = (packed.hashes[here] != expected.hashes[partners[here]]).sum(axis=0)
    best: dict[str, int] = {}
    for place, its in enumerate(hashed):
        before = best.setdefault(its.column.name, place)
        if counts[place] < counts[before]:
            best[its.column.name] = place
    return list(best.values())


def _are_truncated(expected: LocatedSequences, packed: LocatedSequences) -> Flags:
    """Return, for each sequence of the input, whether it may come from a truncated row.

    A truncated row has as many tokens as a packed row has positions.
    """
    return np.asarray(expected.lengths == packed.lengths.max(initial=0))


def _describe_sequence(packed: LocatedSequences, index: int, layout: PackedLayout) -> str:
    """Return a text that locates a sequence in its packed row and in its source row."""
    text = f"first: sequence {packed.number_in_row(index)} of the row"
    if layout.sources:
        text += f", from token {packed.starts[index]} of source row {packed.sources[index]}"
    return text
