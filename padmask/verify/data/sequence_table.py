"""Tables of the sequences of packed rows or of their input: sources, and a hash of each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.plan import Positions
from padmask.core.sequence_hashes import Hashes, join_hashes
from padmask.errors import Place
from padmask.formats.contract import Batch
from padmask.verify.data.findings import EXAMPLES


@dataclass(frozen=True)
class LocatedSequences:
    """The sequences of packed rows or of their input. All arrays have one entry per sequence.

    Args:
        sources: source row.
        starts: first token in the source row.
        lengths: number of tokens.
        numbers: number of the row or line that contains the sequence.
        files: index of the file in `names`.
        hashes: hash of each column: uint64, shape (sequences, columns).
        names: for each file, its name, and `"row"` or `"line"` as the meaning of `numbers`.
    """

    sources: Positions
    starts: Positions
    lengths: Positions
    numbers: Positions
    files: Positions
    hashes: Hashes
    names: Sequence[tuple[str, str]]

    def keys(self, columns: Sequence[int]) -> Hashes:
        """Return one hash for each sequence, which combines its length and the hashes of some columns."""
        return join_hashes(self.lengths, *(self.hashes[:, column] for column in columns))

    def count_rows(self) -> int:
        """Return the number of rows. The sequences of a row are adjacent."""
        changes = (np.diff(self.files) != 0) | (np.diff(self.numbers) != 0)
        return min(1, len(self.files)) + int(changes.sum())

    def places(self, flags: Flags) -> tuple[int, list[Place]]:
        """Return the number of rows with a flagged sequence, and the locations of the first of these rows."""
        rows = np.unique(np.stack([self.files[flags], self.numbers[flags]], axis=1), axis=0)
        examples = [(*self.names[file], number) for file, number in rows[:EXAMPLES].tolist()]
        return len(rows), [Place(source, unit, number) for source, unit, number in examples]

    def place(self, index: int) -> Place:
        """Return the location of the row of a sequence."""
        source, unit = self.names[self.files[index]]
        return Place(source, unit, int(self.numbers[index]))

    @classmethod
    def none(cls) -> LocatedSequences:
        """Return an empty table."""
        return SequenceTable().joined(0)

    def number_in_row(self, index: int) -> int:
        """Return the number of a sequence in its row, from 0. The sequences of a row are adjacent."""
        same = (self.files == self.files[index]) & (self.numbers == self.numbers[index])
        return index - int(np.argmax(same))


@dataclass
class SequenceTable:
    """Collects sequences batch by batch. A sequence needs 40 bytes, and 8 bytes for each column."""

    names: list[tuple[str, str]] = field(default_factory=list)
    _parts: list[tuple[npt.NDArray[Any], ...]] = field(default_factory=list)

    def add(
        self,
        batch: Batch,
        rows: Positions,
        sources: Positions,
        starts: Positions,
        lengths: Positions,
        hashes: Hashes,
    ) -> None:
        """Add sequences of a batch. `rows` are the indices of the rows that contain the sequences."""
        name = (batch.source, batch.unit)
        if not self.names or self.names[-1] != name:
            self.names.append(name)
        files = np.full(len(rows), len(self.names) - 1)
        self._parts.append((sources, starts, lengths, batch.numbers[rows], files, hashes))

    def joined(self, columns: int) -> LocatedSequences:
        """Return all sequences. `columns` is the number of hashes of a sequence."""
        none = np.zeros(0, dtype=np.int64)
        empty = (none, none, none, none, none, np.zeros((0, columns), dtype=np.uint64))
        sources, starts, lengths, numbers, files, hashes = map(
            np.concatenate, zip(empty, *self._parts, strict=True)
        )
        return LocatedSequences(sources, starts, lengths, numbers, files, hashes, self.names)
