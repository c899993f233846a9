"""Compare packed or padded rows with their input, token by token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
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
from padmask.formats.contract import Batch
from padmask.spec.pack import ID_NAMES
from padmask.spec.pad import PadSpec
from padmask.stream.run import Reading
from padmask.verify.data.comparison import Comparison
from padmask.verify.data.comparison_findings import describe_comparison, report_differences, report_missing
from padmask.verify.data.hashed_columns import ValueTypes, copies_of, hash_columns, hashed_columns
from padmask.verify.data.missing_rows import find_missing_rows, find_rows_to_have
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.planned_input import InputPlanner
from padmask.verify.data.rules import Audit
from padmask.verify.data.sequence_matches import (
    leave_out_guesses,
    match_ordered_rows,
    match_remaining_rows,
    match_sequences,
)
from padmask.verify.data.sequence_table import LocatedSequences, SequenceTable
from padmask.verify.data.sequence_values import (
    ReadAgain,
    SequenceValues,
    describe_difference,
    read_input_values,
)
from padmask.verify.data.shape_hints import ShapeHints, find_specs


class InputComparison:
    """Collects the sequences of packed or padded rows, to compare them with the input.

    Args:
        layout: how the rows are packed or padded.
        columns: columns that are checked. The first column has the tokens.
        names: names of the columns of the input. Columns that the input lacks are compared only if they can
            be computed from the input.
        counts: row counts from the metadata of each packed file, keyed by file name.
        is_text: whether the packed or padded rows are JSON text, so that their columns have no types.
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
        # Values of the columns `window` and `source_stop` of the padded rows, if they have these columns.
        self._windows: list[Positions] = []

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
            windows: values of each column in `WINDOW_COLUMNS`; None if the rows have no such columns.
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
            rows: number of packed or padded rows that were read, including bad rows, which were not added.
            read_again: function that reads the packed or padded rows again.
            limit: maximum number of packed or padded rows to read; None if all rows were read.

        Returns:
            Notes about the comparison.
        """
        packed = self._table.joined(len(self._hashed))
        if isinstance(self._layout, PaddedLayout):
            self._layout = self._layout.with_rows(rows)
        # Each packed file numbers its source rows from 0, so the numbers are unique only in one file.
        located = self._layout.sources and len(packed.names) <= 1
        specs: list[PadSpec | None] = [self._layout.spec]
        if self._padded and self._layout.spec is None:
            layout = replace(self._layout, spec=PadSpec(maxlen=self._hints.width))
            planner = self._planner(layout, LocatedSequences.none(), located=False)
            specs = [*find_specs(self._hints, planner, reading, self._columns[0], self._types)]
        best: Comparison | None = None
        for spec in specs:
            if best is None or best.differences:
                new = self._match_input(spec, reading, packed, located=located)
                best = new if best is None or new.differences < best.differences else best
        assert best is not None
        matches, unknown = leave_out_guesses(best.matches, self._hashed)
        compared = replace(best, matches=matches)
        report_differences(
            audit, compared, lambda *at: self._describe_difference(compared, reading, read_again, *at)
        )
        here = find_rows_to_have(compared, rows, limit)
        missing = find_missing_rows(compared, here, self._counts.values())
        report_missing(audit, compared, missing, rows)
        return list(
            describe_comparison(compared, self._columns, reading.dataset.name, rows, missing, unknown)
        )

    def _match_input(
        self, spec: PadSpec | None, reading: Reading, packed: LocatedSequences, *, located: bool
    ) -> Comparison:
        """Read the input, and match its sequences with the packed or padded sequences.

        Args:
            spec: options with which the rows were packed or padded; None if unknown.
            reading: the input of the rows.
            packed: the packed or padded sequences.
            located: whether columns contain the source row of each sequence.
        """
        layout = replace(self._layout, spec=spec)
        planner = self._planner(layout, packed, located=located)
        expected, loses, windows = self._read_input(planner, reading, packed, spec, located=located)
        in_order = (
            isinstance(layout, PaddedLayout)
            and layout.keeps_order
            and not located
            and not self._hints.has_widths
        )
        names = [its.column.name for its in self._hashed]
        if in_order:
            found = match_ordered_rows(packed, expected, names, loses)
        else:
            found = match_sequences(packed, expected, names, loses, located=located, padded=self._padded)
        if self._padded:
            found = match_remaining_rows(packed, expected, found)
        return Comparison(
            layout,
            self._hashed,
            packed,
            planner,
            expected,
            loses,
            found,
            located=located,
            in_order=in_order,
            windows=np.concatenate(self._windows) if self._windows else None,
            input_windows=windows,
            votes=self._hints.votes,
        )

    def _describe_difference(
        self, compared: Comparison, reading: Reading, read_again: ReadAgain, index: int, place: int
    ) -> str:
        """Return a text about the first difference between a sequence and its input.

        `index` is the index of the sequence, and `place` is the index of the hash that differs.
        """
        packed, expected = compared.packed, compared.expected
        hashed, partner = self._hashed[place], int(compared.matches.partners[index])
        row = packed.names[packed.files[index]], int(packed.numbers[index])
        ours = SequenceValues(*row, packed.number_in_row(index), hashed, self._types)
        read_again(ours)
        source = int(expected.sources[partner]), int(expected.starts[partner])
        planner = self._planner(compared.layout, packed, located=compared.located)
        theirs = read_input_values(planner, reading, hashed, self._types, *source)
        if ours.found is None or theirs is None:
            return ""
        if not self._padded:
            return describe_difference(ours.found, theirs)
        return describe_difference(ours.found, theirs, ours.first, expected.place(partner))

    def _planner(self, layout: PackedLayout, packed: LocatedSequences, *, located: bool) -> InputPlanner:
        limit = None
        if isinstance(layout, PaddedLayout):
            limit = None if layout.run is None else layout.run.rows_until_limit
        elif len(packed.names) == len(self._counts) == 1:
            limit = next(iter(self._counts.values())).limit
        return InputPlanner(
            layout,
            self._read,
            self._types,
            packed if located else None,
            self._input_names,
            limit,
            joined=len(packed.names) <= 1,
            copied=[name for its in self._hashed if its.copied is not None for name in its.copied.names],
        )

    def _read_input(
        self,
        planner: InputPlanner,
        reading: Reading,
        packed: LocatedSequences,
        spec: PadSpec | None,
        *,
        located: bool,
    ) -> tuple[LocatedSequences, Flags, Positions | None]:
        """Read the input, and compute the sequences expected from it.

        Returns:
            The expected sequences; for each of them, whether it loses tokens; and `input_windows`, as in
            `Comparison`.
        """
        table, loses = SequenceTable(), [np.zeros(0, dtype=bool)]
        windows: list[Positions] = []
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
                windows.append(np.stack([places.numbers, places.stops], axis=1)[used])
            lost = segments.kept_tokens() < segments.source_lengths
            sources, numbers = sources[used], numbers[used]
            if spec is None:
                # An input row that is longer than all packed rows was truncated, split or dropped.
                longer = (segments.source_lengths[sources] > self._width) & (self._width > 0)
                absent = ~np.isin(numbers, packed.sources) if located else np.ones(len(sources), dtype=bool)
                loses.append(lost[sources] | (absent & longer))
            else:
                loses.append(lost[sources])
        joined = np.concatenate(windows) if windows else None
        return table.joined(len(self._hashed)), np.concatenate(loses), joined


def _names_in_input(layout: PackedLayout, ids: str, names: Collection[str]) -> Mapping[str, str]:
    """Return the original name of each column that packing renamed, keyed by the packed name.

    Without metadata, only a renamed column of ids is recognized.

    Args:
        layout: how the rows are packed.
        ids: name of the packed column of ids.
        names: names of the columns of the input.
    """
    if layout.described or ids in names or ids not in ID_NAMES:
        return layout.renamed
    return dict([(ids, name) for name in ID_NAMES if name in names][:1])
