"""Pad, drop or reject each row, and count the rows and tokens.

All functions are pure: they receive a batch, and return a batch and a ledger. They can run in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.batches import find_wide_rows
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.plan import Plan, Positions
from padmask.core.planners import count_rows, make_segments
from padmask.core.ragged import Ragged
from padmask.core.table import pad_rows, read_rows, row_lengths
from padmask.errors import DataError, Fault, Place
from padmask.formats.contract import Batch
from padmask.stream.column_values import column_values
from padmask.stream.counts import count_padded
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger, count_rejected
from padmask.stream.paddable_rows import PadTarget, RejectedRow
from padmask.stream.row_checks import check_added_fields, check_masks, larger_maxlen, overlong_error


@dataclass(frozen=True)
class Rows:
    """Rows to pad, as Arrow columns.

    Args:
        batch: rows to pad.
        ragged: token sequences of these rows, keyed by column name.
        ledger: counts of rows and tokens read, including refused rows.
        numbers: index of each row in its chunk; after `written`, among all rows read: int64, shape (rows,).
        ends: how many tokens to keep at each end of each row; None if no column contains these numbers.
        refused: rows that are not written.
        consumed: number of input bytes read so far, for progress reports.
        late: names of columns that have no values in the first rows, but one value per token in later rows.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    ledger: Ledger
    numbers: Positions
    ends: Ends | None = None
    refused: Sequence[RejectedRow] = ()
    consumed: int = 0
    late: Sequence[str] = ()

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens in each row: int64, shape (rows,)."""
        return row_lengths(self.ragged)

    def place(self, row: int) -> Place:
        """Return the location of a row in the input."""
        return self.batch.place(row)

    def select(self, rows: Positions, without: Collection[str] = ()) -> Rows:
        """Return the rows at the given indices. `without` is as in `Batch.select`."""
        return replace(
            self,
            batch=self.batch.select(rows, without),
            ragged={name: ragged.select(rows) for name, ragged in self.ragged.items()},
            numbers=self.numbers[rows],
            ends=self.ends and self.ends.select(rows),
        )

    def split(self, job: Job, plan: Plan, size: int, first: int) -> Iterator[Rows]:
        """Split the rows into blocks of at most `size` output rows, without the rows that are not written."""
        rows = self.written(job, plan, first)
        return split_rows(rows, size, count_rows(rows.lengths, plan, job.spec, rows.ends))

    def written(self, job: Job, plan: Plan, first: int) -> Rows:
        """Return the rows that are written. The arguments are as in `split`."""
        rows = _refuse_large_ends(replace(self, numbers=self.numbers + first), job, plan)
        if job.spec.has_overlong_rows:
            rows = apply_overlong(rows, plan, job)
        return _refuse_wide(rows, job, plan)

    def pad(self, target: PadTarget) -> tuple[Any, Rows]:
        """Pad the rows. Return the encoded rows, and a copy of this object whose ledger counts the output."""
        padded = pad_prepared_rows(self, target.job, target.plan)
        return target.writer.encode(padded.batch), padded


def prepare_rows(batch: Batch, job: Job, consumed: int = 0) -> Rows:
    """Flatten the sequences of a batch, and separate the rows that are not written.

    Raises:
        DataError: a row cannot be padded and `--on-error` is `fail`, or a row is empty and `--empty-rows` is
            `error`.
        PaddedError: a row already has a mask with the name of the new mask, or a mask marks padding in the
            row, but not in the first rows.
        SpecError: a row already has a field with the name of another added column.
    """
    check_added_fields(batch, job)
    ragged, found = read_rows(batch.columns, job.groups)
    ends, bad_ends = read_ends(job.spec, len(batch), partial(column_values, batch))
    found += bad_ends
    lengths = row_lengths(ragged)
    found += check_masks(batch, job, lengths)
    reasons = {fault.row: fault for fault in reversed([*batch.faults, *found])}
    faults = [reasons[row] for row in sorted(reasons)]
    if faults and job.policy.on_error == "fail":
        raise DataError(
            faults[0].reason,
            place=batch.place(faults[0].row),
            column=faults[0].column,
            remedy=_remedy_of(faults[0], job),
            options=options_of(faults[0], job),
        )
    bad = np.zeros(len(batch), dtype=bool)
    bad[list(reasons)] = True
    rows = Rows(
        batch,
        ragged,
        Ledger(len(batch), tokens_read=int(lengths[~bad].sum())) + count_rejected(map(str, faults)),
        np.arange(len(batch)),
        ends,
        consumed=consumed,
        late=() if job.late is None else job.late.find(batch),
    )
    rows = _refuse(rows, bad, lambda row: str(reasons[row]))
    empty = rows.lengths == 0
    if job.policy.empty_rows == "error" and empty.any():
        remedy = "To keep empty rows, choose --empty-rows keep. To leave them out, choose --empty-rows drop."
        if job.spec.packing is not None:
            remedy = "To leave out empty rows, choose --empty-rows drop."
        raise DataError(
            "the row has no tokens",
            place=rows.batch.place(int(np.argmax(empty))),
            remedy=remedy,
            options=["empty_rows"],
        )
    own = [group.columns[0].name for group in job.own]
    return _drop(rows, empty, "no tokens", own) if job.policy.empty_rows == "drop" else rows


def _remedy_of(fault: Fault, job: Job) -> str:
    """Return the remedy for a fault, including the likely reason for errors about vectors or text."""
    hint = job.beside.hint if fault.column == job.columns[0].name else ""
    return (f"The {hint}. " if hint else "") + "Fix the row, or skip bad rows with --on-error skip."


def options_of(fault: Fault, job: Job) -> list[str]:
    """Return the options that can cause a fault, without `dtype` if the column has its own dtype."""
    has_own = any(column.name == fault.column and column.dtype != job.spec.dtype for column in job.columns)
    return [option for option in fault.options if option != "dtype" or not has_own]


def _refuse_large_ends(rows: Rows, job: Job, plan: Plan) -> Rows:
    """Reject rows longer than maxlen whose kept ends do not fit in maxlen, or raise an error.

    Raises:
        DataError: such a row exists, and `--on-error` is `fail`.
    """
    faults = find_large_ends(rows.lengths, rows.ends, plan, job.spec)
    return _refuse_faults(rows, faults, job, larger_maxlen(job))


def _refuse_wide(rows: Rows, job: Job, plan: Plan) -> Rows:
    """Reject rows that do not fit in a batch, or raise an error if `--on-error` is `fail`."""
    if job.spec.batches is None:
        return rows
    smaller = ", a smaller --batch-multiple" if job.spec.batches.multiple > 1 else ""
    remedy = f"Choose a larger --batch-tokens{smaller}, truncate the row with --maxlen"
    return _refuse_faults(rows, find_wide_rows(rows.lengths, plan, job.spec), job, remedy)


def _refuse_faults(rows: Rows, faults: Sequence[Fault], job: Job, remedy: str) -> Rows:
    if not faults:
        return rows
    if job.policy.on_error == "fail":
        raise DataError(
            faults[0].reason,
            place=rows.batch.place(faults[0].row),
            remedy=f"{remedy}, fix the row, or skip bad rows with --on-error skip.",
            options=faults[0].options,
        )
    bad = np.zeros(len(rows.batch), dtype=bool)
    bad[[fault.row for fault in faults]] = True
    reasons = {fault.row: fault.reason for fault in faults}
    rejected = count_rejected(reasons.values()) + Ledger(tokens_read=-int(rows.lengths[bad].sum()))
    return replace(_refuse(rows, bad, reasons.__getitem__), ledger=rows.ledger + rejected)


def _refuse(rows: Rows, refuse: Flags, reason: Callable[[int], str]) -> Rows:
    """Move the rows for which `refuse` is True to `Rows.refused`."""
    if not refuse.any():
        return rows
    refused = [RejectedRow(rows.batch, row, reason(row)) for row in np.flatnonzero(refuse).tolist()]
    return replace(rows.select(np.flatnonzero(~refuse)), refused=[*rows.refused, *refused])


def _drop(rows: Rows, drop: Flags, reason: str, own: Iterable[str]) -> Rows:
    lost = sum(int(rows.ragged[name].lengths[drop].sum()) for name in own)
    dropped = Ledger(rows_dropped=int(drop.sum()), own_tokens_lost=lost, own_tokens_read=lost)
    return replace(_refuse(rows, drop, lambda _: reason), ledger=rows.ledger + dropped)


def apply_overlong(rows: Rows, plan: Plan, job: Job) -> Rows:
    """Apply `job.policy.overlong` to the rows that are longer than maxlen: drop them or raise an error.

    Raises:
        DataError: a row is longer than maxlen, and `job.policy.overlong` is `"error"`.
    """
    policy = job.policy
    if policy.overlong == "truncate":
        return rows
    for name, its in {next(iter(rows.ragged)): plan, **plan.own}.items():
        lengths = rows.ragged[name].lengths
        overlong = lengths > its.maxlen
        if policy.overlong == "error" and overlong.any():
            row = int(np.argmax(overlong))
            place, shown = rows.batch.place(row), name if plan.own else None
            raise overlong_error(int(lengths[row]), its.maxlen, job, place, shown)
        rows = _drop(rows, overlong, f"longer than maxlen {its.maxlen}", plan.own)
    return rows


def split_rows(rows: Rows, size: int, weights: Positions | None = None) -> Iterator[Rows]:
    """Split rows into blocks. The first block gets the ledger and the refused rows, the others get neither.

    Args:
        rows: rows to split.
        size: maximum number of output rows in a block. Only a block of one source row may have more.
        weights: number of output rows of each source row: int64, shape (rows,). If None, each source row has
            one output row.
    """
    total = len(rows.batch)
    for start, stop in _blocks(total, size, weights):
        block = slice(start, stop)
        part = Rows(
            rows.batch.slice(start, stop),
            {name: ragged.select(block) for name, ragged in rows.ragged.items()},
            Ledger(),
            rows.numbers[block],
            rows.ends and rows.ends.select(block),
            consumed=rows.consumed,
        )
        yield replace(part, ledger=rows.ledger, refused=rows.refused, late=rows.late) if start == 0 else part


def _blocks(total: int, size: int, weights: Positions | None) -> Iterator[tuple[int, int]]:
    """Yield the start and stop of each block of rows. There is at least one block."""
    ends = None if weights is None else np.cumsum(weights)
    start = 0
    while start < max(total, 1):
        stop = start + size
        if ends is not None and total:
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + size, side="right")))
        yield start, min(stop, total)
        start = stop


def pad_prepared_rows(rows: Rows, job: Job, plan: Plan) -> Rows:
    """Pad rows from `prepare_rows`. The batch of the result has the padded columns and the mask."""
    plans = (plan, *plan.own.values())
    shaped = [
        (group, make_segments(rows.ragged[group.columns[0].name].lengths, its, group.spec, ends))
        for group, its, ends in zip(job.groups, plans, (rows.ends, *[None] * len(job.own)), strict=True)
    ]
    segments = shaped[0][1]
    batch = rows.batch.repeat(segments.row_sources, job.changed) if segments.moves_rows else rows.batch
    columns = pad_rows(batch.columns, rows.ragged, shaped, job.fixed_size, job.dropped, rows.numbers)
    ledger = rows.ledger + count_padded(rows.ragged, shaped, job.beside.shared)
    return replace(rows, batch=replace(batch.without(job.dropped), columns=columns), ledger=ledger)
