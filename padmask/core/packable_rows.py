"""Add end tokens to rows in memory, and leave out the rows that are not packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.columns import PadColumn
from padmask.core.end_tokens import add_end_tokens
from padmask.core.keep_ends import Ends, find_large_ends
from padmask.core.memory_limit import refuse_large_rows
from padmask.core.pack_planner import plan_pack
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.ragged import Ragged
from padmask.errors import Fault, count, raise_first_fault
from padmask.spec.pad import PadSpec, RowPolicy

# Minimum memory for a position of packed rows, in bytes: `TOKEN_BYTES` for each value at the position, and
# `POSITION_BYTES` for the mask, the segment id and the position id.
TOKEN_BYTES, POSITION_BYTES = 2, 9


@dataclass(frozen=True)
class PackableRows:
    """Rows that can be packed. No row is longer than the policy allows.

    Args:
        rows: rows of each column to pack.
        numbers: number of each row in the input: int64, shape (rows,).
        ends: numbers of tokens to keep at the ends of each row; None if no column has these numbers.
        added: whether the last token of each row is an added end token: bool, shape (rows,). None if no row
            has an added token.
    """

    rows: Mapping[str, Ragged]
    numbers: Positions
    ends: Ends | None = None
    added: Flags | None = None

    @property
    def lengths(self) -> Positions:
        """Number of tokens in each row: int64, shape (rows,)."""
        return next(iter(self.rows.values())).lengths

    def select(self, rows: Positions) -> PackableRows:
        """Return the rows at the given indices."""
        return PackableRows(
            {name: its.select(rows) for name, its in self.rows.items()},
            self.numbers[rows],
            self.ends and self.ends.select(rows),
            None if self.added is None else self.added[rows],
        )

    def arrange(self, columns: Sequence[PadColumn], plan: Plan, spec: PadSpec) -> Segments:
        """Return the `Segments` of the packed rows. `pack_file` packs the same rows in the same way.

        Raises:
            SpecError: the packed rows do not fit in memory.
        """
        width = sum(max(1, column.inner or 1) for column in columns)
        segments = plan_pack(self.lengths, plan, spec, width, self.ends)
        if spec.packing is not None and spec.packing.pad and segments.rows is not None:
            rows = int(segments.rows.max(initial=-1)) + 1
            needed = rows * plan.maxlen * (width * TOKEN_BYTES + POSITION_BYTES)
            refuse_large_rows(plan.maxlen, needed, "the packed rows", ["maxlen", "pad_to_multiple_of"])
        return segments


def packable_rows(
    rows: Mapping[str, Ragged],
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    policy: RowPolicy,
    ends: Ends | None = None,
) -> PackableRows:
    """Return the rows to pack, with end tokens.

    >>> from padmask.spec.pack import PackSpec
    >>> ids = Ragged(np.array([5, 6, 7]), np.array([0, 2]), np.array([2, 1]))
    >>> columns, spec = [PadColumn("ids", "int", "int32", 0)], PadSpec(maxlen=2, packing=PackSpec(eos=6))
    >>> kept = packable_rows({"ids": ids}, columns, Plan(2, "given", 2), spec, RowPolicy())
    >>> kept.lengths.tolist()
    [2, 2]

    Args:
        rows: all rows of each column. All columns have the same lengths.
        columns: columns to pack.
        plan: plan with the maxlen of the packed rows.
        spec: options with packing.
        policy: what to do with empty and overlong rows.
        ends: numbers of tokens to keep at the ends of each row, read from columns.

    Raises:
        DataError: a row is empty or longer than maxlen, and the policy does not allow this; or the kept ends
            of a row do not fit in maxlen.
    """
    assert spec.packing is not None
    kept = PackableRows(rows, np.arange(len(next(iter(rows.values())).lengths)), ends)
    empty = kept.lengths == 0
    if policy.empty_rows == "error":
        _refuse(kept, empty, "fix the row, or set `empty_rows` to 'drop'", "empty_rows")
    elif policy.empty_rows == "drop":
        kept = kept.select(np.flatnonzero(~empty))
    if spec.packing.eos is not None:
        ended, added = add_end_tokens(kept.rows, columns, spec.packing.eos)
        kept = replace(kept, rows=ended, added=added)
    faults = find_large_ends(kept.lengths, kept.ends, plan, spec)
    raise_first_fault(replace(fault, row=int(kept.numbers[fault.row])) for fault in faults)
    if policy.overlong == "truncate" or not spec.has_overlong_rows:
        return kept
    overlong = kept.lengths > plan.maxlen
    if policy.overlong == "error":
        remedy = (
            "choose a larger `maxlen`, or set `overlong` to 'truncate' or 'drop'; to split the row, set "
            "`windows`, or call `pack` with overlong='split'"
        )
        more = f"more than maxlen {plan.maxlen}; {remedy}"
        reason = more if spec.packing.eos is None else f"including the end token, {more}"
        _refuse(kept, overlong, reason, "maxlen", "overlong")
    return kept.select(np.flatnonzero(~overlong))


def _refuse(rows: PackableRows, bad: np.ndarray, reason: str, *options: str) -> None:
    """Raise an error for the first bad row, if there is one."""
    for row in np.flatnonzero(bad)[:1]:
        number = rows.lengths[row]
        text = (
            f"the row has {count(number, 'token')}, {reason}"
            if number
            else f"the row has no tokens; {reason}"
        )
        raise_first_fault([Fault(int(rows.numbers[row]), text, options=options)])
