"""`Comparison`: the result of comparing packed or padded rows with their input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padmask.core.arrow_lists import Flags
from padmask.core.packed_layout import PackedLayout
from padmask.core.padded_run import PaddedRun
from padmask.core.plan import Positions
from padmask.verify.data.hashed_columns import Hashed
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.planned_input import InputPlanner
from padmask.verify.data.sequence_matches import Matches
from padmask.verify.data.sequence_table import LocatedSequences


@dataclass(frozen=True)
class Comparison:
    """The sequences of packed or padded rows, matched with the sequences of their input.

    Args:
        layout: how the rows are packed or padded.
        hashed: columns that are compared.
        packed: the sequences of the packed or padded rows.
        planner: planner that read the input.
        expected: the sequences expected from the input.
        loses: whether each sequence in `expected` loses tokens: bool, shape (sequences of the input,).
        matches: for each sequence in `packed`, the sequence of the input from which it comes.
        located: whether columns contain the source row of each sequence.
        in_order: whether padded rows must be in the order of the input.
        windows: values of the columns `window` and `source_stop` of the padded rows: int64, shape (rows, 2).
            None if the rows have no such columns.
        input_windows: the values that these columns should have for each window of the input: int64, shape
            (windows, 2). None if the input is not split into windows.
        votes: number of input rows from which the options for truncation were inferred; 0 if they were not
            inferred.
    """

    layout: PackedLayout
    hashed: Sequence[Hashed]
    packed: LocatedSequences
    planner: InputPlanner
    expected: LocatedSequences
    loses: Flags
    matches: Matches
    located: bool = False
    in_order: bool = False
    windows: Positions | None = None
    input_windows: Positions | None = None
    votes: int = 0

    @property
    def padded(self) -> bool:
        """Whether the rows are padded. If False, they are packed."""
        return isinstance(self.layout, PaddedLayout)

    @property
    def run(self) -> PaddedRun | None:
        """The run that padded the rows; None if it is unknown which rows this run left out.

        This is unknown if the run skipped more bad rows than were found in the input.
        """
        if not isinstance(self.layout, PaddedLayout) or self.layout.run is None:
            return None
        return self.layout.run if self.layout.run.rows_rejected <= self.planner.bad else None

    @property
    def differences(self) -> int:
        """Number of packed or padded sequences that differ from the input, or that the input lacks."""
        differ = self.matches.differ[:, list(self.matches.chosen)].any(axis=1) | self.matches.moved
        return int((differ | (self.matches.partners < 0)).sum())
