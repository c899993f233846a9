"""`pack_table`: pack an Arrow table in memory."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import empty_batch, join_batches, select_rows
from padmask.core.packable_rows import packable_rows
from padmask.core.packed_columns import PackedRows, pack_columns, packed_schema
from padmask.core.packed_counts import PackedCounts
from padmask.core.prepared_table import prepare_table
from padmask.core.table import no_tokens, row_lengths
from padmask.errors import SpecError
from padmask.spec.columns import Columns
from padmask.spec.keywords import TABLE_ARGUMENTS
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pack_defaults import pack_mask, pack_policy, packed_spec
from padmask.spec.pad import PadSpec, RowPolicy


def pack_table(
    table: pa.Table,
    columns: Columns = None,
    spec: PadSpec | None = None,
    packing: PackSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    **options: Any,
) -> pa.Table:
    """Pack the sequence columns of a table, several rows into each output row.

    >>> table = pa.table({"id": ["a", "b", "c"], "input_ids": [[7, 8, 9], [5, 6], [4]]})
    >>> packed = pack_table(table, maxlen=4)
    >>> packed["input_ids"].to_pylist(), packed["seq_lengths"].to_pylist(), packed["id"].to_pylist()
    ([[7, 8, 9, 4], [5, 6, 0, 0]], [[3, 1], [2]], [['a', 'c'], ['b']])

    Args:
        table: table with one or more list columns. All other columns become lists with one value for each
            sequence.
        columns: columns to pack, as in `pad_table`.
        spec: maxlen of the packed rows, and how to truncate or split longer rows; default `PadSpec()`.
        packing: how to pack; default `spec.packing`, or `PackSpec()`.
        mask: mask to add; default a bool column `mask`, or no mask if packed rows have no padding.
        policy: what to do with overlong and empty rows. By default, an overlong row is an error unless
            `spec.windows` splits it, and empty rows are dropped.
        options: fields of `PadSpec` and `PackSpec`, such as `maxlen` and `align`, which replace the fields of
            `spec` and `packing`.

    Returns:
        A table with the packed rows. `pack_file` returns the same packed rows for a file with these rows.
        Each packed column is a `list` of maxlen values per row. `seq_lengths` is a `list<int32>` with the
        number of tokens of each sequence in a row.

    Raises:
        SpecError: a column is missing, or cannot be packed with this dtype or pad value; or `policy.on_error`
            is `"skip"`, which requires files.
        DataError: a row is null, too long or empty, its columns differ in length, or a value does not fit
            the dtype.
        PaddedError: a column is already padded, and `mask.allow_padded` is not set.

    Source: "Efficient Sequence Packing without Cross-contamination" (arXiv 2107.02027). `seq_lengths` is the
    name in TRL.
    """
    spec = packed_spec(spec, packing, options, TABLE_ARGUMENTS | {"policy": RowPolicy})
    policy, mask = pack_policy(policy, spec), pack_mask(mask, spec)
    if policy.on_error == "skip":
        raise SpecError(
            "`pack_table` cannot skip bad rows. Fix the rows, use `pack_file`, or remove `on_error`.",
            options=["on_error"],
        )
    ready = prepare_table(_as_one_batch(table), columns, spec, mask, policy)
    group = ready.groups[0]
    [plan] = ready.plans()
    schema = packed_schema(ready.schema, group, plan, ready.dropped, ready.earlier)
    batch = ready.batches[0] if ready.batches else empty_batch(ready.schema)
    rows = ready.rows[0] if ready.rows else no_tokens(group.columns)
    kept = packable_rows(rows, group.columns, plan, spec, policy, ready.ends[0] if ready.ends else None)
    assert spec.packing is not None
    packed = PackedRows.of(kept.arrange(group.columns, plan, spec), spec)
    counts = PackedCounts.of(packed.segments, row_lengths(rows), kept.added)
    schema = schema.with_metadata(counts.add_to(schema.metadata))
    others = select_rows(batch, kept.numbers, tuple(kept.rows))
    made = pack_columns(others, kept.rows, packed, group.columns, group.mask, kept.numbers, ready.dropped)
    return pa.Table.from_batches([pa.RecordBatch.from_arrays(made.columns, schema=schema)], schema=schema)


def _as_one_batch(table: pa.Table) -> pa.Table:
    """Return a table with all rows in one batch.

    Raises:
        SpecError: a column does not fit in one Arrow array.
    """
    if not isinstance(table, pa.Table) or len(batches := table.to_batches()) < 2:
        return table
    try:
        return pa.Table.from_batches([join_batches(batches)])
    except (pa.ArrowInvalid, pa.ArrowCapacityError):
        raise SpecError(
            f"A column has more values in {table.num_rows:,} rows than an Arrow array can store. Use "
            "`pack_file`, which packs fewer rows at a time."
        ) from None
