"""Count the rows, tokens and labels of padded rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.end_tokens import rows_without_end
from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.core.shared_ends import SharedEnds
from padmask.core.table import ColumnGroup
from padmask.spec.pad import Side
from padmask.stream.ledger import Ledger


def count_padded(
    ragged: Mapping[str, Ragged], groups: Sequence[tuple[ColumnGroup, Segments]], shared: SharedEnds
) -> Ledger:
    """Return a `Ledger` with the counts of padded rows, including lost labels and lost end tokens.

    Args:
        ragged: source rows of each padded column.
        groups: columns that are padded together, with the positions of their tokens.
        shared: the tokens with which most rows start and end.
    """
    group, segments = groups[0]
    labels_lost = sum(
        labels_lost_in(ragged[column.name], column, its) for group, its in groups for column in group.columns
    )
    cut = sum(int((its.source_lengths - its.kept_tokens()).sum()) for _, its in groups[1:])
    first = ragged[group.columns[0].name]
    counts = count_written(segments, labels_lost)
    counts += count_lost_ends(first, shared, segments, group.spec.truncating)
    read = sum(int(its.source_lengths.sum()) for _, its in groups[1:])
    odd = count_non_finite([ragged[column.name] for group, _ in groups for column in group.columns])
    return replace(counts, own_tokens_lost=cut, own_tokens_read=read, rows_non_finite=odd)


def count_written(segments: Segments, labels_lost: int) -> Ledger:
    """Return a `Ledger` with the counts of rows and tokens in the output.

    Args:
        segments: positions of the tokens in the output.
        labels_lost: number of labels that are not in the output.
    """
    kept, written = segments.kept_tokens(), segments.row_lengths
    places = segments.windows
    return Ledger(
        rows_used=len(segments.source_lengths),
        rows_written=len(written),
        rows_split=0 if places is None else int((places.numbers == 1).sum()),
        rows_truncated=int((kept < segments.source_lengths).sum()),
        rows_empty=int((segments.source_lengths == 0).sum()),
        tokens_kept=int(kept.sum()),
        tokens_repeated=int(written.sum() - kept.sum()),
        labels_lost=labels_lost,
        places=len(written) * (segments.maxlen or 0),
    )


def count_non_finite(columns: Sequence[Ragged]) -> int:
    """Return the number of rows with NaN or an infinite token in at least one column.

    >>> from padmask.core.python_rows import flatten
    >>> count_non_finite([flatten([[0.5, float("nan")], [1.0]])])
    1
    """
    rows: npt.NDArray[Any] | None = None
    for ragged in columns:
        if ragged.values.dtype.kind != "f":
            continue
        odd = ~np.isfinite(ragged.values)
        if not odd.any():
            continue
        seen = np.concatenate([[0], np.cumsum(odd.reshape(len(odd), -1).any(axis=1))])
        found = seen[ragged.starts + ragged.lengths] > seen[ragged.starts]
        rows = found if rows is None else rows | found
    return 0 if rows is None else int(rows.sum())


def count_lost_ends(tokens: Ragged, shared: SharedEnds, segments: Segments, truncating: Side) -> Ledger:
    """Return a `Ledger` with the number of rows that lost their shared end token by truncation.

    Args:
        tokens: source rows of the first column.
        shared: the tokens with which most rows start and end.
        segments: positions of the tokens in the output.
        truncating: side on which rows are truncated.
    """
    token = shared.cut_at(truncating)
    rows = rows_without_end(segments, truncating) if token is not None else ()
    if not len(rows):
        return Ledger()
    places = tokens.starts[rows] + (tokens.lengths[rows] - 1 if truncating == "post" else 0)
    return Ledger(ends_lost=int((tokens.values[places] == token).sum()))


def labels_lost_in(ragged: Ragged, column: PadColumn, segments: Segments) -> int:
    """Return the number of labels other than -100 that are not in the output."""
    if not is_label(column) or ragged.values.ndim > 1:
        return 0
    sources, starts, counts = segments.kept_runs()
    if sources is None and not (counts < ragged.lengths).any():
        return 0
    seen = np.concatenate([[0], np.cumsum(ragged.values != IGNORED_LABEL)])
    begins = (ragged.starts if sources is None else ragged.starts[sources]) + starts
    total: npt.NDArray[Any] = seen[ragged.starts + ragged.lengths] - seen[ragged.starts]
    return int(total.sum() - (seen[begins + counts] - seen[begins]).sum())
