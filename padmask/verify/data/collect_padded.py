"""Collect the real tokens of padded rows, to compare the rows with their input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from padmask.core.length_column import read_lengths
from padmask.core.mask_segments import read_mask
from padmask.core.packed_columns import PackedRows
from padmask.core.plan import Positions, Segments
from padmask.core.ragged import Ragged
from padmask.formats.contract import Batch
from padmask.spec.pack import PackSpec
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.stream.column_values import column_values
from padmask.verify.data.compare import InputComparison
from padmask.verify.data.rows_to_check import AuditRows
from padmask.verify.data.sequence_values import SequenceValues


@dataclass(frozen=True)
class PaddedRowCollector:
    """Passes each padded row, as a row with one sequence, to an object that collects sequences.

    Args:
        collected: object that gets the sequences.
        locating: names of the columns that contain the source of each row, as in `PaddedLayout`.
    """

    collected: InputComparison | SequenceValues
    locating: Sequence[str] = ()

    def add(self, rows: AuditRows, mask: Ragged, chosen: Positions) -> None:
        """Add the chosen rows, except rows whose padding is not at one end or whose source is not a number.

        Args:
            rows: rows of a batch.
            mask: mask of each row.
            chosen: indices of the rows to add: int64, shape (chosen rows,).
        """
        segments, broken = read_mask(mask.select(chosen))
        good = np.ones(len(chosen), dtype=bool)
        good[[fault.row for fault in broken]] = False
        located, fits = self._read_locations(rows.batch, chosen)
        good &= fits
        chosen, located = chosen[good], [numbers[good] for numbers in located]
        counts, firsts = segments.counts[good], segments.starts[good]
        at = np.arange(len(chosen))
        placed = Segments(counts, np.zeros_like(counts), counts, None, rows=at, firsts=firsts)
        packed = PackedRows(placed, PackSpec(), segments.source_lengths[good])
        sources, windows = None, None
        if len(located) == len(WINDOW_COLUMNS):
            windows, sources = tuple(located), (located[0], located[2])
        elif located:
            sources = located[0], np.zeros_like(located[0])
        self.collected.add(rows.batch, chosen, packed, rows.ragged, sources, windows)

    def _read_locations(self, batch: Batch, chosen: Positions) -> tuple[list[Positions], Positions]:
        """Return the values of each `locating` column, and whether each chosen row has valid values."""
        located, fits = [], np.ones(len(chosen), dtype=bool)
        for name in self.locating:
            numbers, faults = read_lengths(column_values(batch, name), name, bits=63)
            located.append(numbers[chosen])
            fits &= ~np.isin(chosen, [fault.row for fault in faults])
        return located, fits
