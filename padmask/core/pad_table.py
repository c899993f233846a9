"""`pad_table`: pad an Arrow table in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import select_rows
from padmask.core.columns import choose_columns, find_vector_sizes
from padmask.core.companions import choose_together, list_names, own_groups
from padmask.core.first_rows import FirstRows
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.later_masks import check_ones, later_zero, padded_rows
from padmask.core.length_stats import LengthStats
from padmask.core.made_columns import check_made
from padmask.core.metadata import groups_to_keep
from padmask.core.packed_layout import refuse_packed
from padmask.core.padding import check_names, refuse_padded
from padmask.core.plan import Plan, Positions, make_plan, needs_lengths
from padmask.core.planners import make_segments
from padmask.core.ragged import Ragged
from padmask.core.table import ColumnGroup, pad_rows, padded_schema, read_rows
from padmask.core.unpack_table import find_table_packing
from padmask.core.windows import check_cuts
from padmask.errors import Place, SpecError, raise_first_fault
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns
from padmask.spec.cuts import refuse_in_memory, refuse_unused_cuts
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy


def pad_table(
    table: pa.Table,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
) -> pa.Table:
    """Pad the sequence columns of a table and add their mask.

    >>> table = pa.table({"input_ids": [[7, 8], [9]], "labels": [[1, 0], [1]]})
    >>> pad_table(table).to_pydict()["labels"]
    [[1, 0], [1, -100]]

    Args:
        table: table with one or more list columns. All other columns stay unchanged.
        columns: names, `Column`s, short forms such as `"labels:int64=-100"`, or a mapping from names to pad
            values. Default: `input_ids`, otherwise `tokens`, otherwise the only list column. The default also
            includes columns such as `labels` and `token_type_ids`, if they have the same lengths in the first
            1,000 rows.
        spec: how to pad. Default: `PadSpec()`.
        mask: which mask to add. Default: `MaskSpec()`, a bool column `mask`. The mask replaces an
            `attention_mask` that contains only ones.

    Returns:
        A table with the same rows. Each padded column is a `list` of maxlen values of the requested dtype
        per row. The mask is a `list<bool>` of maxlen values per row, True at real tokens.

    Raises:
        SpecError: a column is missing, or cannot be padded with this dtype or pad value.
        DataError: a row is null, its columns differ in length, or a value does not fit the dtype.
        PaddedError: a column is padded already, and `mask.allow_padded` is not set.

    Source: the Keras guide "Understanding masking & padding"; -100 for labels is Hugging Face's convention.
    """
    spec, mask = or_default("spec", spec, PadSpec), or_default("mask", mask, MaskSpec)
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    refuse_in_memory(spec)
    refuse_unused_cuts(spec, RowPolicy())
    schema, batches = table.schema, table.to_batches()
    first = FirstRows.of(batch.select(list_names(schema)) for batch in batches)
    choice = choose_together(schema, columns, spec, mask, first)
    own = own_groups(schema, columns, spec, mask)
    names = [*(column.name for column in choice.columns), *(column.name for column, _, _ in own)]
    if not mask.allow_padded:
        refuse_packed("the table", find_table_packing(table), names)
    if (old := refuse_padded({"the table": schema}, names, mask, lambda _: first)) is not None:
        choice = choose_together(schema, columns, spec, mask, first, old)
    groups = [ColumnGroup(choose_columns(schema, choice.columns, spec), spec, choice.mask)]
    groups += [ColumnGroup(choose_columns(schema, [column], alone), alone, its) for column, alone, its in own]
    check_made(schema, groups[0].columns, choice.mask)
    check_names(
        schema, [column for group in groups for column in group.columns], choice.mask, choice.replaced
    )
    check_cuts(schema, groups[0].columns, spec, choice.mask)
    # Vectors must have the same length in all chunks of the table.
    groups = [replace(group, columns=find_vector_sizes(group.columns, batches)) for group in groups]
    read: list[dict[str, Ragged]] = []
    kept: list[Ends | None] = []
    number = 0
    for batch in batches:
        rows, faults = read_rows(batch, groups)
        values = {name: batch.column(name).to_pylist() for name in spec.end_columns}
        ends, bad_ends = read_ends(spec, batch.num_rows, values.__getitem__)
        raise_first_fault([*faults, *bad_ends], number)
        kept.append(ends)
        tokens = rows[groups[0].columns[0].name]
        for name in choice.watched:
            if name in schema.names and (later := padded_rows(batch.column(name), name, tokens.lengths)):
                raise later_zero(Place("the table", "row", number + later[0]), name)
        if choice.ones is not None:
            _check_ones(batch, choice.ones, tokens, number)
        read.append(rows)
        number += batch.num_rows
    plans = [_plan(group, read) for group in groups]
    padded = []
    number = 0
    for batch, rows, ends in zip(batches, read, kept, strict=True):
        raise_first_fault(find_large_ends(_lengths(groups[0], rows), ends, plans[0], spec), number)
        shaped = [
            (group, make_segments(_lengths(group, rows), plan, group.spec, its))
            for group, plan, its in zip(groups, plans, (ends, *[None] * len(own)), strict=True)
        ]
        segments, numbers = shaped[0][1], np.arange(number, number + batch.num_rows)
        number += batch.num_rows
        replaced = (*rows, *choice.mask.names, *choice.dropped)
        repeated = select_rows(batch, segments.row_sources, replaced) if segments.moves_rows else batch
        padded.append(pad_rows(repeated, rows, shaped, without=choice.dropped, numbers=numbers))
    changed = [*names, *choice.mask.names, *choice.dropped]
    earlier = groups_to_keep(schema, changed)
    schema = padded_schema(
        schema, list(zip(groups, plans, strict=True)), without=choice.dropped, earlier=earlier
    )
    batches = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in padded]
    return pa.Table.from_batches(batches, schema=schema)


def _lengths(group: ColumnGroup, rows: Mapping[str, Ragged]) -> Positions:
    return rows[group.columns[0].name].lengths


def _plan(group: ColumnGroup, read: Sequence[Mapping[str, Ragged]]) -> Plan:
    stats = None
    if needs_lengths(group.spec):
        stats = sum((LengthStats.of(_lengths(group, rows)) for rows in read), LengthStats())
    return make_plan(group.spec, stats)


def _check_ones(batch: pa.RecordBatch, name: str, tokens: Ragged, first: int) -> None:
    zero, faults = check_ones(batch.column(name), tokens.lengths, name)
    if zero is not None:
        raise later_zero(Place("the table", "row", first + zero), name)
    raise_first_fault(faults, first)
