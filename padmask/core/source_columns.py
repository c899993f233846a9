"""The columns that say from which source row each output row comes."""

from __future__ import annotations

import pyarrow as pa

from padmask.core.plan import Positions, Segments
from padmask.core.windows import window_columns
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.pad import PadSpec


def source_columns(segments: Segments, spec: PadSpec, numbers: Positions) -> dict[str, pa.Array]:
    """Return the columns that locate each output row in the source, keyed by column name.

    Windows have four such columns, and rows of buckets and batches have one. Other rows have none.

    Args:
        segments: positions of the tokens in the output.
        spec: how to pad.
        numbers: number of each source row in the input: int64, shape (source rows,).
    """
    if segments.windows is not None:
        return window_columns(segments, numbers)
    return {SOURCE_ROW: pa.array(numbers[segments.row_sources])} if SOURCE_ROW in spec.added_columns else {}
