"""Read the values of one packed sequence, to describe the first difference from the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.packed_columns import PackedRows
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import Place, count
from padmask.formats.contract import Batch
from padmask.stream.run import Reading
from padmask.verify.data.hashed_columns import Hashed, ValueTypes, take_values
from padmask.verify.data.planned_input import InputPlanner

Values = npt.NDArray[Any]


@dataclass
class SequenceValues:
    """Collects the values of one packed sequence in one column.

    Args:
        file: name of the file, and `"row"` or `"line"` as the meaning of `number`.
        number: number of the row or line in the file.
        place: number of the sequence in the row, from 0.
        hashed: the column.
        types: dtypes of the values.
        found: the values, of shape (tokens, ...); None until the sequence was read.
        first: position of the first token of the sequence in its row.
    """

    file: tuple[str, str]
    number: int
    place: int
    hashed: Hashed
    types: ValueTypes
    found: Values | None = None
    first: int = 0

    def add(
        self,
        batch: Batch,
        rows: Positions,
        packed: PackedRows,
        values: Mapping[str, Ragged],
        sources: tuple[Positions, Positions] | None,
        windows: tuple[Positions, ...] | None = None,
    ) -> None:
        """Store the values if these rows contain the sequence.

        The arguments are as in `InputComparison.add`.
        """
        at = rows[packed.sequence_rows]
        chosen = np.flatnonzero(batch.numbers[at] == self.number)[self.place : self.place + 1]
        if (batch.source, batch.unit) != self.file or not len(chosen):
            return
        lengths = packed.segments.lengths[chosen]
        firsts = packed.segments.first_places[chosen]
        slices, self.first = (at[chosen], firsts, lengths), int(firsts[0])
        self.found = take_values(self.hashed, self.types, values, slices, lengths, packed=True)


# Reads the packed rows again until the values of a sequence are found.
ReadAgain = Callable[[SequenceValues], None]


def read_input_values(
    planner: InputPlanner, reading: Reading, hashed: Hashed, types: ValueTypes, source: int, start: int
) -> Values | None:
    """Return the values of one sequence of the input; None if there is no such sequence.

    Args:
        planner: planner that has not read any rows.
        reading: the input.
        hashed: the column.
        types: dtypes of the values.
        source: number of the source row in the input.
        start: first token of the sequence in its source row.
    """
    with closing(planner.read(reading)) as batches:
        for rows in batches:
            lengths = rows.segments.lengths
            [chosen] = np.nonzero((rows.sources + rows.first == source) & (rows.starts == start))
            if len(chosen):
                values = take_values(
                    hashed, types, rows.ragged, rows.slices, lengths, packed=False, repeated=rows.repeated
                )
                stop = int(np.cumsum(lengths)[chosen[0]])
                return values[stop - int(lengths[chosen[0]]) : stop]
    return None


def describe_difference(ours: Values, theirs: Values, first: int = 0, source: Place | None = None) -> str:
    """Return a text about the first difference between a sequence and its input.

    >>> describe_difference(np.array([5, 6]), np.array([5, 7]))
    'position 1 of the sequence has 6, but the input has 7'
    >>> describe_difference(np.array([5]), np.array([5, 7]))
    'the sequence has 1 token, but the input has 2 tokens'
    >>> describe_difference(np.array([5, 6]), np.array([5, 7]), 3, Place("in.jsonl", "line", 1))
    'position 4 of the row has 6, but in.jsonl, line 1 gives 7'

    Args:
        ours, theirs: values of the sequence and of its input.
        first: position of the sequence in a padded row.
        source: location of the source row of a padded row; None for packed rows.
    """
    noun, expected = ("sequence", "the input has") if source is None else ("row", f"{source} gives")
    if len(ours) != len(theirs):
        here, there = count(len(ours), "token"), count(len(theirs), "token")
        return f"the {noun} has {here}, but {expected} {there}"
    differ = np.asarray(ours != theirs)
    if ours.dtype.kind == "f":
        differ &= ~(np.isnan(ours) & np.isnan(theirs))
    place = int(np.argmax(differ.reshape(len(ours), -1).any(axis=1)))
    here, there = (repr(values[place : place + 1].tolist()[0])[:60] for values in (ours, theirs))
    return f"position {first + place} of the {noun} has {here}, but {expected} {there}"
