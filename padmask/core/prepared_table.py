"""Choose and read the columns of a table that is padded or packed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask.core.columns import choose_columns, find_vector_sizes
from padmask.core.companions import choose_together, list_names, own_groups
from padmask.core.counted_positions import find_other_positions
from padmask.core.first_rows import FirstRows
from padmask.core.keep_ends import Ends, read_ends
from padmask.core.later_masks import check_ones, later_zero, padded_rows
from padmask.core.length_stats import LengthStats
from padmask.core.made_columns import check_made
from padmask.core.metadata import groups_to_keep
from padmask.core.packed_layout import refuse_packed
from padmask.core.padding import check_names, refuse_padded
from padmask.core.plan import Plan, Positions, make_plan, needs_lengths
from padmask.core.ragged import Ragged
from padmask.core.shape_checks import check_shape
from padmask.core.table import ColumnGroup, read_rows
from padmask.core.unpack_table import find_table_packing
from padmask.errors import Place, SpecError, raise_first_fault
from padmask.spec.columns import Columns
from padmask.spec.cuts import refuse_unused_cuts
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy


@dataclass(frozen=True)
class PreparedTable:
    """The columns of a table to pad or pack, and their rows. All rows are valid.

    Args:
        schema: schema of the table.
        groups: columns to pad together: the main columns, then each column with its own maxlen.
        dropped: names of the columns that are not in the output.
        batches: all columns of the table.
        rows: rows of each column to pad, for each batch.
        ends: for each batch, the numbers of tokens to keep at the ends of each row; None if no column has
            these numbers.
    """

    schema: pa.Schema
    groups: Sequence[ColumnGroup]
    dropped: tuple[str, ...]
    batches: Sequence[pa.RecordBatch]
    rows: Sequence[Mapping[str, Ragged]]
    ends: Sequence[Ends | None]

    @property
    def earlier(self) -> list[dict[str, Any]]:
        """Descriptions of padding that earlier runs wrote and that are still correct."""
        names = [column.name for group in self.groups for column in group.columns]
        masks = [name for group in self.groups for name in group.mask.names]
        return groups_to_keep(self.schema, [*names, *masks, *self.dropped])

    def plans(self) -> list[Plan]:
        """Return the `Plan` of each group of columns."""
        return [_plan(group, self.rows) for group in self.groups]


def prepare_table(
    table: pa.Table, columns: Columns, spec: PadSpec, mask: MaskSpec, policy: RowPolicy
) -> PreparedTable:
    """Choose the columns of a table, and read and check their rows.

    Args:
        table: table with one or more list columns.
        columns: the requested columns, as in `pad_table`.
        spec: how to pad or pack.
        mask: the requested mask.
        policy: what to do with overlong rows.

    Raises:
        SpecError: a column is missing, or cannot be padded with this dtype or pad value.
        DataError: a row is null, its columns differ in length, or a value does not fit the dtype.
        PaddedError: a column is already padded, and `mask.allow_padded` is not set.
    """
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    refuse_unused_cuts(spec, policy)
    schema, batches = table.schema, table.to_batches()
    first = FirstRows.of(batch.select(list_names(schema)) for batch in batches)
    choice = choose_together(schema, columns, spec, mask, first)
    own, packs = own_groups(schema, columns, spec, mask), spec.packing is not None
    names = [*(column.name for column in choice.columns), *(column.name for column, _, _ in own)]
    if not mask.allow_padded:
        refuse_packed("the table", find_table_packing(table), names, packs=packs)
    if (old := refuse_padded({"the table": schema}, names, mask, lambda _: first, packs=packs)) is not None:
        choice = choose_together(schema, columns, spec, mask, first, old)
    groups = [ColumnGroup(choose_columns(schema, choice.columns, spec), spec, choice.mask)]
    groups += [ColumnGroup(choose_columns(schema, [column], alone), alone, its) for column, alone, its in own]
    check_made(schema, groups[0].columns, choice.mask)
    chosen = [column for group in groups for column in group.columns]
    check_names(schema, chosen, choice.mask, choice.replaced, packs=packs)
    check_shape(schema, groups[0].columns, spec, choice.mask, (choice.replaced, choice.counted))
    # Vectors must have the same length in all chunks of the table.
    groups = [replace(group, columns=find_vector_sizes(group.columns, batches)) for group in groups]
    read: list[Mapping[str, Ragged]] = []
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
                raise later_zero(Place("the table", "row", number + later[0]), name, packs=packs)
        if choice.ones is not None:
            _check_ones(batch, choice.ones, tokens, number, packs)
        for name in choice.counted_columns:
            raise_first_fault(find_other_positions(batch.column(name), tokens.lengths), number)
        read.append(rows)
        number += batch.num_rows
    return PreparedTable(schema, groups, choice.dropped, batches, read, kept)


def group_lengths(group: ColumnGroup, rows: Mapping[str, Ragged]) -> Positions:
    """Return the row lengths of a group of columns: int64, shape (rows,)."""
    return rows[group.columns[0].name].lengths


def _plan(group: ColumnGroup, read: Sequence[Mapping[str, Ragged]]) -> Plan:
    stats = None
    if needs_lengths(group.spec):
        stats = sum((LengthStats.of(group_lengths(group, rows)) for rows in read), LengthStats())
    return make_plan(group.spec, stats)


def _check_ones(batch: pa.RecordBatch, name: str, tokens: Ragged, first: int, packs: bool) -> None:
    zero, faults = check_ones(batch.column(name), tokens.lengths, name)
    if zero is not None:
        raise later_zero(Place("the table", "row", first + zero), name, packs=packs)
    raise_first_fault(faults, first)
