"""Create the columns with the source row and the batch of each output row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import to_arrow
from padmask.core.plan import Positions, Segments
from padmask.core.windows import window_columns
from padmask.spec.batches import BATCH, SOURCE_ROW
from padmask.spec.pad import PadSpec


def source_columns(
    segments: Segments, spec: PadSpec, numbers: Positions, batch: int = 0
) -> dict[str, pa.Array]:
    """Return the columns with the source row and the batch of each output row, keyed by column name.

    Windows get the columns in `WINDOW_COLUMNS`. Rows of buckets and batches get `source_row`, unless `spec`
    leaves out this column. Rows of batches also get `batch`. Other rows get no columns.

    Args:
        segments: positions of the tokens in the output.
        spec: how to pad.
        numbers: number of each source row in the input: int64, shape (source rows,).
        batch: number of the batch. All output rows are in this batch.
    """
    sources = segments.row_sources
    arrays = {SOURCE_ROW: to_arrow(numbers[sources])} if SOURCE_ROW in spec.added_columns else {}
    if segments.windows is not None:
        arrays = window_columns(segments, numbers)
    if spec.batches is not None:
        arrays[BATCH] = to_arrow(np.full(len(sources), batch, dtype=np.int32))
    return arrays
