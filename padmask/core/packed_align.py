"""Find the padding between packed sequences, from a column that shows where each sequence starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from padmask.core.packed_spans import Marker, NumberLists, find_spans
from padmask.core.plan import Positions


def find_aligns(
    lengths: NumberLists, widths: Positions, located: Sequence[tuple[Marker, NumberLists]]
) -> tuple[int, ...]:
    """Return the values of `--align` with which the rows may have been packed.

    A value is possible if it puts the start of each sequence where another column shows the start of a
    sequence.

    >>> import pyarrow as pa
    >>> lengths, starts = NumberLists.of(pa.array([[3, 5, 1]])), NumberLists.of(pa.array([[0, 4, 12]]))
    >>> find_aligns(lengths, np.array([16]), [(Marker.of("seq_start_id"), starts)])
    (4,)
    >>> find_aligns(lengths, np.array([16]), []), find_aligns(lengths, np.array([9]), [])
    ((), (1,))

    Args:
        lengths: number of tokens of each sequence.
        widths: number of positions in each row: int64, shape (rows,).
        located: columns of the same rows that show where each sequence starts. The result comes from the
            first column with which a value is possible for all rows.

    Returns:
        The values in ascending order. `(1,)` if no row has both padding and several sequences. The tuple is
        empty if no value is possible for all rows.
    """
    unsure = np.flatnonzero((lengths.sizes > 1) & (_totals(lengths) < widths))
    if not len(unsure):
        return (1,)
    found = (_fitting(lengths, widths, unsure, marker, lists) for marker, lists in located)
    return next((aligns for aligns in found if aligns), ())


def _totals(lengths: NumberLists) -> Positions:
    seen = np.concatenate([[0], np.cumsum(lengths.values)])
    totals: Positions = seen[lengths.starts + lengths.sizes] - seen[lengths.starts]
    return totals


def _fitting(
    lengths: NumberLists, widths: Positions, unsure: Positions, marker: Marker, lists: NumberLists
) -> tuple[int, ...]:
    """Return the result of `find_aligns` for one column.

    Args:
        lengths, widths: as in `find_aligns`.
        unsure: indices of the rows with both padding and several sequences, int64.
        marker: what the column contains.
        lists: the values of the column.
    """
    spans = find_spans(marker, lists, widths)
    begins = np.cumsum(spans.sizes) - spans.sizes
    aligns = np.arange(1, int(widths.max()) + 1)
    for row in unsure.tolist():
        # Padding at the end of a row may look like a sequence, so only the first sequences are compared. If
        # the column contains positions, any padding may look like a sequence, so all sequences are compared.
        size = spans.sizes[row] if marker.kind == "positions" else lengths.sizes[row]
        width, its = int(widths[row]), slice(begins[row], begins[row] + min(size, spans.sizes[row]))
        longest = np.zeros(width + 1, dtype=np.int64)
        longest[spans.starts[its]] = spans.lengths[its]
        counts = lengths.values[lengths.starts[row] :][: lengths.sizes[row]]
        aligns = _starting_at(aligns, counts, longest, width)
        if marker.kind == "positions":
            values = lists.values[lists.starts[row] :][: lists.sizes[row]]
            fits = [_has_one_padding(values, counts, align) for align in aligns.tolist()]
            aligns = aligns[np.array(fits, dtype=bool)]
    return tuple(aligns.tolist())


def _starting_at(aligns: Positions, counts: Positions, longest: Positions, width: int) -> Positions:
    """Return the values of `--align` that are possible for one row.

    A value is possible if it puts the start of each sequence where the column shows the start of a sequence
    that is at least as long.

    Args:
        aligns: values to try, int64.
        counts: number of tokens of each sequence, int64.
        longest: for each position, the length of the sequence that starts there according to the column; 0
            if no sequence starts there: int64, shape (width + 1,).
        width: number of positions in the row.
    """
    stops = np.zeros_like(aligns)
    for size in counts.tolist():
        starts = -(-stops // aligns) * aligns
        fits = longest[np.minimum(starts, width)] >= size
        aligns, stops = aligns[fits], starts[fits] + size
    return aligns


def _has_one_padding(values: Positions, counts: Positions, align: int) -> bool:
    """Return whether the position ids of all padding in a row follow the same rule if `align` was used.

    There are three rules. In each run of padding, all ids are 0, the ids count up from 0, or the ids continue
    the ids of the sequence before the padding.

    >>> _has_one_padding(np.array([0, 1, 2, 0, 0, 1, 2, 3]), np.array([3, 1]), 1)
    True
    >>> _has_one_padding(np.array([0, 1, 2, 0, 0, 1, 2, 3]), np.array([3, 1]), 4)
    False

    Args:
        values: position id at each position of the row, int64.
        counts: number of tokens of each sequence, int64.
        align: the value of `--align` to check.
    """
    kinds = {"zero", "restart", "continue"}
    start = 0
    for number, size in enumerate(counts.tolist()):
        stop, next_start = start + size, -(-(start + size) // align) * align
        padding = values[stop : next_start if number + 1 < len(counts) else None]
        steps = np.arange(len(padding))
        made = {"zero": 0 * steps, "restart": steps, "continue": size + steps}
        kinds = {kind for kind in kinds if np.array_equal(padding, made[kind])}
        start = next_start
    return bool(kinds)
