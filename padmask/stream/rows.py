"""Pad, drop or reject each row, and count the rows and tokens.

All functions are pure: they receive a batch, and return a batch and a ledger. They can run in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import MASK_NAMES
from padmask.core.companions import check_ones
from padmask.core.padding import later_zero
from padmask.core.plan import Plan, make_segments
from padmask.core.ragged import Ragged
from padmask.core.table import pad_rows, read_rows, row_lengths
from padmask.errors import DataError, Fault, PaddedError, Place, SpecError
from padmask.formats.contract import Batch, Writer
from padmask.spec.pad import MaskSpec, RowPolicy
from padmask.stream.counts import count_written, labels_lost_in
from padmask.stream.job import Job
from padmask.stream.late_fields import late_zeros
from padmask.stream.ledger import Ledger


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not written, and the reason."""

    batch: Batch
    row: int
    reason: str


@dataclass(frozen=True)
class PadTarget:
    """The settings and the writer of a run that pads rows.

    Args:
        job: columns and options of the run.
        plan: length of the output rows.
        writer: writer of the output format.
        cache: cache that `PaddableRows.pad` may use for all blocks.
    """

    job: Job
    plan: Plan
    writer: Writer
    cache: dict[Any, Any] = field(default_factory=dict)


class PaddableRows(Protocol):
    """Rows to pad, as columns (`Rows`) or as JSON text (`TextRows`)."""

    @property
    def ledger(self) -> Ledger:
        """Counts of rows and tokens read, including refused rows."""

    @property
    def refused(self) -> Sequence[RejectedRow]:
        """Rows that are not written."""

    @property
    def consumed(self) -> int:
        """Number of input bytes read so far, for progress reports."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens in each row, int64, shape (rows,)."""

    def place(self, row: int) -> Place:
        """Return the location of a row in the input."""

    def split(self, plan: Plan, policy: RowPolicy, size: int) -> Iterator[PaddableRows]:
        """Split the rows into blocks of at most `size` rows, without the rows that `policy` drops."""

    def pad(self, target: PadTarget) -> tuple[Any, PaddableRows]:
        """Pad the rows. Return the encoded rows, and the rows with an updated ledger."""


@dataclass(frozen=True)
class Rows:
    """Rows to pad, as Arrow columns.

    Args:
        batch: rows to pad.
        ragged: token sequences of these rows, by column name.
        ledger: counts of rows and tokens read, including refused rows.
        refused: rows that are not written.
        consumed: number of input bytes read so far, for progress reports.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    ledger: Ledger
    refused: Sequence[RejectedRow] = ()
    consumed: int = 0

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens in each row, int64, shape (rows,)."""
        return row_lengths(self.ragged)

    def place(self, row: int) -> Place:
        """Return the location of a row in the input."""
        return self.batch.place(row)

    def split(self, plan: Plan, policy: RowPolicy, size: int) -> Iterator[Rows]:
        """Split the rows into blocks of at most `size` rows, without the rows that `policy` drops."""
        return split_rows(apply_overlong(self, plan, policy), size)

    def pad(self, target: PadTarget) -> tuple[Any, Rows]:
        """Pad the rows. Return the encoded rows, and the rows with an updated ledger."""
        padded = pad_prepared_rows(self, target.job, target.plan)
        return target.writer.encode(padded.batch), padded


def prepare_rows(batch: Batch, job: Job, consumed: int = 0) -> Rows:
    """Flatten the sequences of a batch, and separate the rows that are not written.

    Raises:
        DataError: a row cannot be padded and `--on-error` is `fail`, or a row is empty and `--empty-rows` is
            `error`.
        PaddedError: a row already has a mask with the name of the new mask, or a mask whose first rows
            contain only ones contains a 0 in a later row.
        SpecError: a row already has another field with the name of the new mask.
    """
    _check_fields(batch, job.mask, job.replaced)
    ragged, found = read_rows(batch.columns, job.groups)
    lengths = row_lengths(ragged)
    if job.ones is not None:
        found += _check_ones(batch, job.ones, lengths)
    late = _find_late(batch, job, lengths)
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
        Ledger(len(batch), rows_rejected=len(faults), tokens_read=int(lengths[~bad].sum()), late=late),
        consumed=consumed,
    )
    rows = _refuse(rows, bad, lambda row: str(reasons[row]))
    empty = rows.lengths == 0
    if job.policy.empty_rows == "error" and empty.any():
        raise DataError(
            "the row has no tokens",
            place=rows.batch.place(int(np.argmax(empty))),
            remedy="To accept empty rows, choose --empty-rows keep or drop.",
            options=["empty_rows"],
        )
    own = [group.columns[0].name for group in job.own]
    return _drop(rows, empty, "no tokens", own) if job.policy.empty_rows == "drop" else rows


def _check_ones(batch: Batch, name: str, lengths: npt.NDArray[np.int64]) -> list[Fault]:
    """Return the faults of a mask whose first rows contain only ones.

    Raises:
        PaddedError: the mask contains a 0.
    """
    zero, faults = check_ones(batch.columns.column(name), lengths, name)
    if zero is not None:
        raise later_zero(batch.place(zero), name)
    return faults


def _find_late(batch: Batch, job: Job, lengths: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Return the names of JSON fields with one value per token that are missing from the first rows.

    Raises:
        PaddedError: one of these fields is a mask that contains a 0.
    """
    if batch.objects is None or job.late is None:
        return ()
    late = [name for name in job.late.find(batch.objects) if name not in job.mask.names]
    for name in MASK_NAMES if not job.mask.allow_padded else ():
        if name in late and (row := next(late_zeros(batch.objects, name, lengths), None)) is not None:
            raise later_zero(batch.place(row), name)
    return tuple(late)


def _remedy_of(fault: Fault, job: Job) -> str:
    """Return the remedy for a fault, including the likely reason for errors about vectors."""
    hint = job.beside.hint if fault.column == job.columns[0].name else ""
    return (f"The {hint}. " if hint else "") + "Fix the row, or skip bad rows with --on-error skip."


def options_of(fault: Fault, job: Job) -> list[str]:
    """Return the options that can cause a fault. If the column sets its own dtype, omit `dtype`."""
    has_own = any(column.name == fault.column and column.dtype != job.spec.dtype for column in job.columns)
    return [option for option in fault.options if option != "dtype" or not has_own]


def _check_fields(batch: Batch, mask: MaskSpec, replaced: str | None) -> None:
    """Raise an error if a JSON row has a field with the name of the new mask. The first rows have none."""
    if batch.objects is None or mask.overwrite:
        return
    for name in (name for name in mask.names if name != replaced):
        for row, fields in enumerate(batch.objects):
            if name in fields:
                padded = name == mask.column and name in MASK_NAMES and bytes(fields[name])[:1] == b"["
                raise (PaddedError if padded else SpecError)(
                    f"the row already has a field {name!r}",
                    place=batch.place(row),
                    remedy="Choose another name for the new field with --mask-column, --length-column or "
                    "--own-mask, or replace the existing field with --overwrite-mask.",
                    options=[mask.option_for(name)],
                )


def _refuse(rows: Rows, refuse: Flags, reason: Callable[[int], str]) -> Rows:
    """Move the rows for which `refuse` is True to `Rows.refused`."""
    if not refuse.any():
        return rows
    kept = np.flatnonzero(~refuse)
    refused = [RejectedRow(rows.batch, row, reason(row)) for row in np.flatnonzero(refuse).tolist()]
    return replace(
        rows,
        batch=rows.batch.select(kept),
        ragged={name: ragged.select(~refuse) for name, ragged in rows.ragged.items()},
        refused=[*rows.refused, *refused],
    )


def _drop(rows: Rows, drop: Flags, reason: str, own: Iterable[str]) -> Rows:
    lost = sum(int(rows.ragged[name].lengths[drop].sum()) for name in own)
    dropped = Ledger(rows_dropped=int(drop.sum()), own_tokens_lost=lost)
    return replace(_refuse(rows, drop, lambda _: reason), ledger=rows.ledger + dropped)


def apply_overlong(rows: Rows, plan: Plan, policy: RowPolicy) -> Rows:
    """Drop the rows that are longer than maxlen, or raise an error. `policy.overlong` decides.

    Raises:
        DataError: a row is longer than maxlen, and `policy.overlong` is `"error"`.
    """
    if policy.overlong == "truncate":
        return rows
    for name, its in {next(iter(rows.ragged)): plan, **plan.own}.items():
        lengths = rows.ragged[name].lengths
        overlong = lengths > its.maxlen
        if policy.overlong == "error" and overlong.any():
            row = int(np.argmax(overlong))
            raise DataError(
                f"the row has {lengths[row]} tokens, but maxlen is {its.maxlen} and --overlong is error",
                place=rows.batch.place(row),
                column=name if plan.own else None,
                remedy="Choose a larger --maxlen, or --overlong truncate or drop.",
                options=["maxlen", "overlong"],
            )
        rows = _drop(rows, overlong, f"longer than maxlen {its.maxlen}", plan.own)
    return rows


def split_rows(rows: Rows, size: int) -> Iterator[Rows]:
    """Split rows into blocks of at most `size` rows. The first block has the counts (ledger) of all rows."""
    total = len(rows.batch)
    for start in range(0, max(total, 1), size):
        block = slice(start, min(start + size, total))
        part = Rows(
            rows.batch.slice(block.start, block.stop),
            {name: ragged.select(block) for name, ragged in rows.ragged.items()},
            Ledger(),
            consumed=rows.consumed,
        )
        yield replace(part, ledger=rows.ledger, refused=rows.refused) if start == 0 else part


def pad_prepared_rows(rows: Rows, job: Job, plan: Plan) -> Rows:
    """Pad rows from `prepare_rows`. The batch of the result has the padded columns and the mask."""
    shaped = [
        (group, make_segments(rows.ragged[group.columns[0].name].lengths, its, group.spec))
        for group, its in zip(job.groups, (plan, *plan.own.values()), strict=True)
    ]
    segments = shaped[0][1]
    batch = rows.batch if segments.is_plain else rows.batch.select(segments.row_sources)
    columns = pad_rows(batch.columns, rows.ragged, shaped, job.fixed_size, job.dropped)
    labels_lost = sum(
        labels_lost_in(rows.ragged[column.name], column, its)
        for group, its in shaped
        for column in group.columns
    )
    cut = sum(int((its.source_lengths - its.kept_tokens()).sum()) for _, its in shaped[1:])
    ledger = rows.ledger + replace(count_written(segments, labels_lost), own_tokens_lost=cut)
    return replace(rows, batch=replace(batch.without(job.dropped), columns=columns), ledger=ledger)
