"""Unpack packed rows in memory. `unpad_table` calls this module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import cut_lists, empty_batch, join_batches, select_rows
from padmask.core.find_packing import find_packing
from padmask.core.foreign_metadata import carry_metadata
from padmask.core.join_windows import find_differences, join_rows, plan_join
from padmask.core.metadata import describe_groups, groups_to_keep
from padmask.core.missing_pieces import LATE_ROWS, count_late_rows, missing_rows
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_head import TableHead
from padmask.core.packed_layout import PackedLayout, check_kept_ends, check_marker, refuse_unpad_options
from padmask.core.row_pieces import find_other_tokens, kept_lasts, piece_remedy, plan_pieces
from padmask.core.table import replace_columns
from padmask.core.unpack import Sequences, explode, packed_places, read_packed
from padmask.errors import RowError, raise_first_fault, row_error
from padmask.spec.unpad import UnpadSpec
from padmask.spec.warning_names import Warned


def find_table_packing(
    table: pa.Table, columns: Sequence[str] = (), spec: UnpadSpec | None = None
) -> PackedLayout | None:
    """Return the `PackedLayout` of a table of packed rows; None if the rows are not packed.

    Args:
        table: the rows.
        columns: names of the requested columns.
        spec: how the input marks its padding. If `spec` has a length column, the result is None.
    """
    spec = spec or UnpadSpec()
    if spec.length_column is not None:
        return None
    read_head = partial(TableHead, table.to_batches())
    return find_packing({"the table": table.schema}, columns, read_head, spec.mask_column, spec.dialect)


def unpacked_schema(schema: pa.Schema, layout: PackedLayout) -> pa.Schema:
    """Return the schema of unpacked rows. Its metadata describes only padding that remains."""
    empty = empty_batch(schema)
    none = dict.fromkeys(layout.columns, np.zeros(0, dtype=np.int64))
    types = explode(empty, read_packed(empty, layout, none, {})[0], layout).schema
    masks = [] if layout.mask is None else [layout.mask]
    left = groups_to_keep(schema, [*layout.columns, *layout.dropped, *layout.markers, *masks])
    changed = [*layout.unpacked_columns, *layout.fields(schema.names)]
    return carry_metadata(schema, types, changed, describe_groups(left))


def unpack_table(table: pa.Table, layout: PackedLayout, spec: UnpadSpec) -> pa.Table:
    """Restore the rows that were packed, in the order of the source rows if the table has `source_rows`.

    Args:
        table: packed rows.
        layout: the columns of packed rows.
        spec: whether to join the pieces of rows, and to restore the order of the rows.

    Raises:
        RowError: the columns of a row disagree, or pieces cannot be joined.

    Warns:
        UserWarning: packed rows, or the first pieces of rows, are missing.
    """
    check_marker("the table", layout)
    refuse_unpad_options(spec)
    layout = layout.with_align(spec.align)
    schema = unpacked_schema(table.schema, layout)
    batches = table.to_batches()
    if not batches:
        return schema.empty_table()
    # The pieces of a row may be in several batches.
    packed = join_batches(batches)
    places, sizes, nulls = packed_places(packed, layout)
    sequences, faults, _ = read_packed(packed, layout, places, sizes, nulls)
    raise_first_fault(faults, 0, RowError)
    notes = missing_rows([PackedCounts.read(table.schema)], table.num_rows)
    rows = explode(packed, sequences, layout)
    if layout.sources and spec.restore_order:
        order = np.lexsort(sequences.sources.T[::-1])
        rows, sequences = select_rows(rows, order), sequences.select(order)
        if spec.join_windows:
            late = 0 if layout.splits is False else count_late_rows(*sequences.sources.T)
            notes += [Warned("pieces-missing", LATE_ROWS.format(count=late))] if late else []
            check_kept_ends(layout, schema.names)
            rows = _join(rows, sequences, layout)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return pa.Table.from_batches([pa.RecordBatch.from_arrays(rows.columns, schema=schema)])


def _join(rows: pa.RecordBatch, sequences: Sequences, layout: PackedLayout) -> pa.RecordBatch:
    """Join the pieces of source rows.

    Args:
        rows: the pieces with all columns.
        sequences: the pieces, in the same order.
        layout: the columns of packed rows.
    """
    counts, sources = sequences.counts, sequences.sources
    values = [] if isinstance(layout.keep_last, int) else rows.column(layout.keep_last).to_pylist()
    lasts = kept_lasts(layout.keep_last, values, len(counts))
    pieces, found = plan_pieces(
        sources[:, 0], sources[:, 1], counts, lasts, packed=sequences.rows, splits=layout.splits
    )
    found += find_other_tokens(rows.column(layout.unpacked_columns[0]), pieces)
    found += find_differences(rows, pieces, layout.unpacked_columns)
    joined = plan_join(pieces, counts, found)
    if joined.causes:
        cause = joined.causes[0]
        raise row_error(
            int(pieces.rows[cause.row]),
            f"{cause}. {piece_remedy(cause)}",
            cause.column,
            cause.options,
            RowError,
        )
    names = layout.unpacked_columns
    arrays = {name: cut_lists(rows.column(name), joined.starts, joined.counts) for name in names}
    return join_rows(replace_columns(rows, arrays), names, joined.firsts)
