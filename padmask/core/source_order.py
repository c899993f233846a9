"""Find out whether padded rows are in another order than their source rows, from the columns that say so."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from padmask.core.metadata import Described
from padmask.spec.batches import BATCH, SOURCE_ROW


def has_integers(schema: pa.Schema, name: str) -> bool:
    """Return whether a schema has exactly one column of this name, and the column contains integers.

    >>> has_integers(pa.schema([("batch", pa.int32())]), "batch")
    True
    """
    return schema.names.count(name) == 1 and bool(pa.types.is_integer(schema.field(name).type))


def has_batches(schema: pa.Schema, groups: Sequence[Described]) -> bool:
    """Return whether a column has the number of the batch of each padded row.

    Args:
        schema: columns of padded rows.
        groups: descriptions of the padding in the metadata. If empty, the columns `batch` and `source_row`
            together show batches.
    """
    shown = any(group.batches for group in groups) if groups else has_integers(schema, SOURCE_ROW)
    return shown and has_integers(schema, BATCH)
