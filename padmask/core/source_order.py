"""Find the columns that restore the order of the source rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from padmask.core.metadata import Described
from padmask.spec.batches import BATCH, SOURCE_ROW
from padmask.spec.windows import WINDOW_COLUMNS

WINDOW = WINDOW_COLUMNS[1]


def has_integers(schema: pa.Schema, name: str) -> bool:
    """Return whether a schema has exactly one column of this name, and the column contains integers.

    >>> has_integers(pa.schema([("batch", pa.int32())]), "batch")
    True
    """
    return schema.names.count(name) == 1 and bool(pa.types.is_integer(schema.field(name).type))


def has_batches(schema: pa.Schema, groups: Sequence[Described]) -> bool:
    """Return whether padded rows have a column with the batch number of each row.

    Args:
        schema: columns of padded rows.
        groups: descriptions of the padding in the metadata. If empty, the columns `batch` and `source_row`
            together show batches.
    """
    shown = any(group.batches for group in groups) if groups else has_integers(schema, SOURCE_ROW)
    return shown and has_integers(schema, BATCH)


def is_reordered(
    schema: pa.Schema,
    groups: Sequence[Described],
    has_widths: Callable[[], bool],
    *,
    in_buckets: bool = False,
) -> bool:
    """Return whether padded rows may be in a different order from their source rows.

    Args:
        schema: columns of padded rows.
        groups: descriptions of the padding in the metadata. If there are descriptions, the other arguments
            are not used.
        has_widths: function that returns whether the padded rows differ in length, as the rows of different
            batches do.
        in_buckets: whether the rows come from folders of buckets.
    """
    if groups:
        return any(group.batches or group.buckets for group in groups)
    if in_buckets or has_batches(schema, groups):
        return True
    return has_integers(schema, BATCH) and has_widths()


def order_columns(schema: pa.Schema, groups: Sequence[Described]) -> tuple[str, ...]:
    """Return the columns whose values sort the rows: the source row, and the window in the source row.

    The result is empty if there is no column of source rows. If the metadata describes the padding, a
    column is used only if padding added the column.
    """
    if not has_integers(schema, SOURCE_ROW) or (groups and not any(group.source_row for group in groups)):
        return ()
    has_window = has_integers(schema, WINDOW) and (not groups or any(group.windows for group in groups))
    return (SOURCE_ROW, WINDOW) if has_window else (SOURCE_ROW,)


def reason_not_to_sort(groups: Sequence[Described]) -> str:
    """Return the reason why the order of rows cannot be restored, as a clause for a message.

    >>> reason_not_to_sort([])
    "the input has no column 'source_row'"

    Args:
        groups: descriptions of the padding in the metadata.
    """
    if groups and not any(group.source_row for group in groups):
        return f"padding added no column {SOURCE_ROW!r} (--no-source)"
    return f"the input has no column {SOURCE_ROW!r}"
