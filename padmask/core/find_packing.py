"""Determine whether rows are already packed, and which columns are packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from padmask.core.described_packing import (
    described_layout,
    is_only_padded,
    packed_group,
    refuse_different_packing,
)
from padmask.core.dialects import usual_dialect
from padmask.core.packed_layout import PackedLayout, has_sources
from padmask.core.undescribed_packing import ReadHead, find_markers, undescribed_layout
from padmask.spec.mask import Dialect


def find_packing(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    read_head: ReadHead,
    mask: str | None = None,
    dialect: Dialect | None = None,
) -> PackedLayout | None:
    """Return the `PackedLayout` of packed rows; None if the rows are not packed.

    If the metadata describes packing or padding, the metadata decides. Without metadata, rows are packed if
    a column separates the sequences. A column in `CERTAIN_NAMES` separates sequences if it contains lists of
    integers. Columns such as `position_ids` and `segment_ids` can have another meaning, so their values in
    the first 100 rows must also show packing. If no column separates sequences, rows are packed if they have
    the columns in `SOURCE_COLUMNS`.

    >>> from padmask.core.packed_head import TableHead
    >>> rows = pa.record_batch({"input_ids": [[5, 6, 7]], "position_ids": [[0, 1, 0]]})
    >>> find_packing({"a.jsonl": rows.schema}, (), lambda: TableHead([rows])) is None
    True
    >>> rows = pa.record_batch({"input_ids": [[5, 6, 7, 8]], "position_ids": [[0, 1, 0, 1]]})
    >>> find_packing({"a.jsonl": rows.schema}, (), lambda: TableHead([rows])).marker.column
    'position_ids'

    Args:
        files: schema of each file, by file name.
        columns: names of the requested columns. They are treated as packed columns, in addition to the
            columns that this function finds.
        read_head: function that returns the first rows.
        mask: name of the requested mask column. If None, the mask column is found.
        dialect: requested polarity and kind of the mask. If None, the metadata determines them. Without
            metadata, the name of the mask does.

    Raises:
        PaddedError: the files are not packed in the same way.
        SpecError: a requested column is missing, or is not a list.
    """
    described = {name: described_layout(name, schema, columns) for name, schema in files.items()}
    found = next((layout for layout in described.values() if layout is not None), None)
    if found is None:
        unknown = {name: schema for name, schema in files.items() if not is_only_padded(schema)}
        found = undescribed_layout(unknown, columns, read_head, mask, dialect)
    else:
        refuse_different_packing(described)
    if found is None:
        return None
    if mask is not None or dialect is not None:
        name = mask or found.mask
        usual = found.dialect if name == found.mask else usual_dialect(name or "")
        left = () if mask is None or found.mask in (None, mask) else (str(found.mask),)
        found = replace(found, mask=name, dialect=dialect or usual, dropped=(*found.dropped, *left))
    return found.with_padding_note()


def may_be_packed(schema: pa.Schema) -> bool:
    """Return whether a schema has metadata about packing, or a column that may separate sequences."""
    if packed_group(schema) is not None:
        return True
    return (has_sources(schema) or bool(find_markers(schema, ()))) and not is_only_padded(schema)
