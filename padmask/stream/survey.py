"""`Survey`: the lengths and types that a pass over the rows finds before the rows are padded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.formats.jsonl.types import TypeSurvey
from padmask.stream.dropped import Lengths, join_longest, longest_together, written_rows
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger
from padmask.stream.paddable_rows import PaddableRows
from padmask.stream.rows import Rows


@dataclass(frozen=True)
class Survey:
    """The lengths and types of rows, found in one pass. Surveys of consecutive rows can be combined with `+`.

    Args:
        lengths: histogram of row lengths.
        longest: length of the longest row; -1 if there are no rows.
        place: location of the longest row: the file, and the line or row.
        types: types of the JSON fields; None if the types are not needed.
        rows: number of rows read, including rows that are not written.
        own: for each column that has its own maxlen, the histogram of its row lengths.
        together: result of `longest_together`; empty if no rows are dropped because of a percentile.
        rejected: number of rejected rows, and their reasons.
    """

    lengths: LengthStats
    longest: int = -1
    place: str = ""
    types: TypeSurvey | None = None
    rows: int = 0
    own: tuple[LengthStats, ...] = ()
    together: Mapping[Lengths, Lengths] = field(default_factory=dict)
    rejected: Ledger = field(default_factory=Ledger)

    def __add__(self, later: Survey) -> Survey:
        types = self.types
        if types is not None and later.types is not None:
            types = types.copy()
            types.join(later.types)
        first = self if self.longest >= later.longest else later
        lengths, rows = self.lengths + later.lengths, self.rows + later.rows
        own = tuple(map(LengthStats.__add__, self.own, later.own))
        together = join_longest(self.together, later.together)
        rejected = self.rejected + later.rejected
        return Survey(lengths, first.longest, first.place, types, rows, own, together, rejected)


def survey_lengths(all_rows: Iterable[PaddableRows], job: Job) -> Survey:
    """Return the survey of some rows, without types."""
    lengths, longest, place, read = LengthStats(), -1, "", 0
    own = [LengthStats() for _ in job.own]
    together: Mapping[Lengths, Lengths] = {}
    rejected = Ledger()
    for rows in all_rows:
        here = rows.lengths
        if isinstance(rows, Rows) and job.own:
            every = np.stack([rows.ragged[group.columns[0].name].lengths for group in job.groups])
            every = every[:, written_rows(every, job)]
            own = [stats + LengthStats.of(its) for stats, its in zip(own, every[1:], strict=True)]
            together = join_longest(together, longest_together(every, job))
            lengths += LengthStats.of(every[0])
        else:
            lengths += LengthStats.of(here)
        read += rows.ledger.rows_read
        if rows.ledger.rows_rejected:
            rejected += Ledger(rows_rejected=rows.ledger.rows_rejected, reasons=rows.ledger.reasons)
        if here.max(initial=-1) > longest:
            longest, place = int(here.max()), str(rows.place(int(here.argmax())))
    return Survey(lengths, longest, place, None, read, tuple(own), together, rejected)
