"""Count the rows, tokens and labels of padded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.stream.ledger import Ledger


def count_written(segments: Segments, labels_lost: int) -> Ledger:
    """Return a ledger with the counts of the padded rows.

    Args:
        segments: positions of the tokens in the output.
        labels_lost: number of labels that are not in the output.
    """
    kept, written = segments.kept_tokens(), segments.row_lengths
    return Ledger(
        rows_used=len(segments.source_lengths),
        rows_written=len(written),
        rows_truncated=int((kept < segments.source_lengths).sum()),
        rows_empty=int((segments.source_lengths == 0).sum()),
        tokens_kept=int(kept.sum()),
        tokens_repeated=int(written.sum() - kept.sum()),
        labels_lost=labels_lost,
        places=len(written) * (segments.maxlen or 0),
    )


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
