"""Check that the sequences of packed rows contain each source row once."""

from __future__ import annotations

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.kernel import take_runs
from padmask.core.packed_columns import PackedRows
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import Place
from padmask.formats.contract import Batch
from padmask.spec.checks import as_int
from padmask.spec.pack import SOURCE_COLUMNS
from padmask.spec.pad import PadSpec
from padmask.verify.data.findings import EXAMPLES
from padmask.verify.data.rules import Audit


class SourceRows:
    """Collects the source of each sequence in a file, and checks all sources at the end of the file.

    The object stores 32 bytes for each sequence of a file.

    Args:
        spec: options with which the rows were packed; None if unknown.
        audit: object that collects the findings.
        whole: whether all rows are read. If False, sequences of a source row may be missing.
    """

    def __init__(self, spec: PadSpec | None, audit: Audit, *, whole: bool) -> None:
        self._spec, self._audit, self._whole = spec, audit, whole
        self._file = ("", "")
        # Source row, first token, number of tokens and packed row of each sequence.
        self._parts: list[tuple[Positions, Positions, Positions, Positions]] = []
        # For each file without violations, the number of different source rows, and the largest row number.
        self.used: dict[str, tuple[int, int]] = {}

    def add(
        self, batch: Batch, chosen: Positions, packed: PackedRows, sources: Ragged, starts: Ragged
    ) -> None:
        """Add the sequences of some rows of a batch.

        Args:
            batch: rows of a file.
            chosen: indices of the rows in the batch.
            packed: positions of the sequences in these rows.
            sources: source row of each sequence of these rows.
            starts: first token of each sequence of these rows in its source row.
        """
        if self._file != (batch.source, batch.unit):
            self.finish()
            self._file = (batch.source, batch.unit)
        unequal = (sources.lengths != packed.sizes) | (starts.lengths != packed.sizes)
        flags = np.zeros(len(batch), dtype=bool)
        flags[chosen[unequal]] = True
        means = "the row does not have one source for each of its sequences"
        self._audit.add_rows("source-rows", flags, batch.place, SOURCE_COLUMNS[0], means)
        rows = packed.sequence_rows
        kept = ~unequal[rows]
        sizes = np.where(unequal, 0, packed.sizes)
        self._parts.append(
            (
                take_runs(sources.values, sources.starts, sizes).astype(np.int64),
                take_runs(starts.values, starts.starts, sizes).astype(np.int64),
                packed.segments.lengths[kept],
                batch.numbers[chosen][rows[kept]],
            )
        )

    def finish(self) -> None:
        """Check the sources of the sequences of a file, and prepare for the next file."""
        parts, self._parts = self._parts, []
        if not parts:
            return
        sources, starts, lengths, numbers = map(np.concatenate, zip(*parts, strict=True))
        order = np.lexsort((starts, sources))
        wrong = _find_wrong(sources[order], starts[order], lengths[order], self._spec, whole=self._whole)
        rows = np.unique(numbers[order][wrong])
        source, unit = self._file
        if not wrong.any():
            self.used[source] = len(np.unique(sources)), int(sources.max(initial=-1))
        places = [Place(source, unit, number) for number in rows[:EXAMPLES].tolist()]
        self._audit.add_count("source-rows", len(rows), places, SOURCE_COLUMNS[0])


def _find_wrong(
    sources: Positions, starts: Positions, lengths: Positions, spec: PadSpec | None, *, whole: bool
) -> Flags:
    """Return, for each sequence, whether its source is wrong.

    A source is wrong if it is negative or occurs twice, or if tokens before this sequence are missing.

    >>> sources, starts, lengths = np.array([0, 0, 1, 1]), np.array([0, 3, 0, 0]), np.array([3, 1, 2, 2])
    >>> _find_wrong(sources, starts, lengths, None, whole=True).tolist()
    [False, False, False, True]

    Args:
        sources: source row of each sequence, ascending: int64, shape (sequences,).
        starts: first token of each sequence in its source row, ascending in a source row.
        lengths: number of tokens of each sequence.
        spec: options with which the rows were packed; None if unknown.
        whole: whether all sequences were read.
    """
    again = np.append(False, sources[1:] == sources[:-1])
    split = again | np.append(again[1:], False)[: len(again)]
    head, tail, overlap = _ends_of(spec)
    stops = starts + lengths - np.where(split, head + tail, 0)
    before = np.append(0, stops[:-1])[: len(stops)]
    wrong = (sources < 0) | (starts < 0) | (again & (starts == np.append(0, starts[:-1])[: len(starts)]))
    if not whole:
        return np.asarray(wrong)
    if overlap is None:
        return np.asarray(wrong | (again & (starts > before)))
    wrong |= again & (starts + overlap != before)
    if _starts_at_first_token(spec):
        wrong |= ~again & (starts != np.where(split, head, 0))
    return np.asarray(wrong)


def _ends_of(spec: PadSpec | None) -> tuple[int, int, int | None]:
    """Return the numbers of first and last tokens that each window repeats, and the overlap of windows.

    The overlap is None if unknown.
    """
    if spec is None or spec.packing is None:
        return 0, 0, None
    if spec.windows is None or spec.packing.algorithm == "wrap":
        return 0, 0, 0
    if isinstance(spec.keep_first, str) or isinstance(spec.keep_last, str):
        return 0, 0, None
    return spec.keep_first, spec.keep_last, spec.windows.overlap


def _starts_at_first_token(spec: PadSpec | None) -> bool:
    """Return whether the first sequence of a source row must start at the first token of the row."""
    if spec is None or spec.packing is None:
        return False
    if spec.windows is not None or spec.packing.algorithm == "wrap":
        return True
    # If the last tokens to keep fill maxlen, a truncated row starts with one of these tokens.
    last, maxlen = spec.keep_last, as_int(spec.maxlen)
    may_be_last = isinstance(last, str) or (spec.keep_first == 0 and last == maxlen)
    return spec.truncating == "post" and not may_be_last
