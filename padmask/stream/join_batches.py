"""Join the batches of consecutive chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from padmask.core.arrow_lists import join_batches
from padmask.formats.contract import Batch


def join_batch(batches: Sequence[Batch]) -> Batch:
    """Concatenate consecutive batches. The result has no `faults`.

    All batches must have the same columns. If the batches come from several inputs, messages name the first
    and the last input.
    """
    first, last = batches[0], batches[-1]
    objects = [row for batch in batches for row in batch.objects or ()]
    lines = [line for batch in batches for line in batch.lines or ()]
    return Batch(
        join_batches([batch.columns for batch in batches]),
        first.source if first.source == last.source else f"{first.source} to {last.source}",
        np.concatenate([batch.numbers for batch in batches]),
        first.unit,
        None if first.objects is None else objects,
        None if first.lines is None else lines,
    )
