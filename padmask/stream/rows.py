"""Pad, drop or reject each row, and count the rows and tokens.

All functions are pure: they receive a batch, and return a batch and a ledger. They can run in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL, MASK_NAMES, PadColumn, is_label
from padmask.core.plan import Plan, Segments, make_segments
from padmask.core.ragged import Ragged
from padmask.core.table import pad_rows, read_rows, row_lengths
from padmask.errors import DataError, Fault, PaddedError, Place, SpecError
from padmask.formats.contract import Batch, Writer
from padmask.spec.pad import MaskSpec, RowPolicy
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not written, and the reason."""

    batch: Batch
    row: int
    reason: str


@dataclass(frozen=True)
class PadTarget:
    """The settings and the writer of a run that pads.

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
    """Rows that can be padded, as columns (`Rows`) or as JSON text (`TextRows`)."""

    @property
    def ledger(self) -> Ledger:
        """Numbers of all rows and tokens that were read, including refused rows."""

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
        """Pad the rows. Return the encoded rows, and the rows with their updated ledger."""


@dataclass(frozen=True)
class Rows:
    """Rows to pad, as Arrow columns.

    Args:
        batch: rows to pad.
        ragged: token sequences of these rows, by column name.
        ledger: numbers of all rows and tokens that were read, including refused rows.
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
        """Pad the rows. Return the encoded rows, and the rows with their updated ledger."""
        padded = pad_prepared_rows(self, target.job, target.plan)
        return target.writer.encode(padded.batch), padded


def prepare_rows(batch: Batch, job: Job, consumed: int = 0) -> Rows:
    """Flatten the sequences of a batch, and separate the rows that are not written.

    Raises:
        DataError: a row cannot be padded and `--on-error` is `fail`, or a row is empty and `--empty-rows` is
            `error`.
        PaddedError: a row already has a mask with the name of the new mask.
        SpecError: a row already has another field with the name of the new mask.
    """
    _check_fields(batch, job.mask)
    ragged, found = read_rows(batch.columns, job.columns)
    reasons = {fault.row: fault for fault in reversed([*batch.faults, *found])}
    faults = [reasons[row] for row in sorted(reasons)]
    if faults and job.policy.on_error == "fail":
        raise DataError(
            faults[0].reason,
            place=batch.place(faults[0].row),
            column=faults[0].column,
            remedy="Fix the row, or skip bad rows with --on-error skip.",
            options=options_of(faults[0], job),
        )
    bad = np.zeros(len(batch), dtype=bool)
    bad[list(reasons)] = True
    lengths = row_lengths(ragged)
    rows = Rows(
        batch,
        ragged,
        Ledger(rows_read=len(batch), rows_rejected=len(faults), tokens_read=int(lengths[~bad].sum())),
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
    return _drop(rows, empty, "no tokens") if job.policy.empty_rows == "drop" else rows


def options_of(fault: Fault, job: Job) -> list[str]:
    """Return the options that can cause a fault, without `dtype` if the column sets its own dtype."""
    has_own = any(column.name == fault.column and column.dtype != job.spec.dtype for column in job.columns)
    return [option for option in fault.options if option != "dtype" or not has_own]


def _check_fields(batch: Batch, mask: MaskSpec) -> None:
    """Raise an error if a JSON row, unlike the first rows, has a field with the name of the new mask."""
    if batch.objects is None or mask.overwrite:
        return
    for name in mask.names:
        for row, fields in enumerate(batch.objects):
            if name in fields:
                padded = name == mask.column and name in MASK_NAMES and bytes(fields[name])[:1] == b"["
                raise (PaddedError if padded else SpecError)(
                    f"the row already has a field {name!r}",
                    place=batch.place(row),
                    remedy="Choose another name for the new field with --mask-column or --length-column, or "
                    "replace the field with --overwrite-mask.",
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


def _drop(rows: Rows, drop: Flags, reason: str) -> Rows:
    dropped = Ledger(rows_dropped=int(drop.sum()))
    return replace(_refuse(rows, drop, lambda _: reason), ledger=rows.ledger + dropped)


def apply_overlong(rows: Rows, plan: Plan, policy: RowPolicy) -> Rows:
    """Drop the rows that are longer than maxlen, or raise an error, as `policy.overlong` specifies.

    Raises:
        DataError: a row is longer than maxlen, and `policy.overlong` is `"error"`.
    """
    if policy.overlong == "truncate":
        return rows
    overlong = rows.lengths > plan.maxlen
    if policy.overlong == "error" and overlong.any():
        row = int(np.argmax(overlong))
        raise DataError(
            f"the row has {rows.lengths[row]} tokens, but maxlen is {plan.maxlen} (--overlong error)",
            place=rows.batch.place(row),
            remedy="Choose a larger --maxlen, or --overlong truncate or drop.",
            options=["maxlen", "overlong"],
        )
    return _drop(rows, overlong, f"longer than maxlen {plan.maxlen}")


def split_rows(rows: Rows, size: int) -> Iterator[Rows]:
    """Split rows into blocks of at most `size` rows. The first block has the ledger and the refused rows."""
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
    segments = make_segments(rows.lengths, plan, job.spec)
    batch = rows.batch if segments.is_plain else rows.batch.select(segments.row_sources)
    columns = pad_rows(batch.columns, rows.ragged, job.columns, segments, job.mask, job.fixed_size)
    labels_lost = sum(_labels_lost(rows.ragged[column.name], column, segments) for column in job.columns)
    ledger = rows.ledger + count_written(segments, labels_lost)
    return replace(rows, batch=replace(batch, columns=columns), ledger=ledger)


def count_written(segments: Segments, labels_lost: int) -> Ledger:
    """Return a ledger of the padded rows.

    Args:
        segments: positions of the tokens in the output.
        labels_lost: number of labels that are not in the output.
    """
    kept, written = segments.kept_tokens(), segments.row_lengths
    return Ledger(
        rows_used=len(segments.source_lengths),
        rows_written=len(written),
        rows_truncated=int((kept < segments.source_lengths).sum()),
        rows_empty=int((segments.source_lengths == 0).sum()),
        tokens_kept=int(kept.sum()),
        tokens_repeated=int(written.sum() - kept.sum()),
        labels_lost=labels_lost,
        places=len(written) * (segments.maxlen or 0),
    )


def _labels_lost(ragged: Ragged, column: PadColumn, segments: Segments) -> int:
    """Return the number of labels other than -100 that are not in the output."""
    if not is_label(column) or ragged.values.ndim > 1:
        return 0
    sources, starts, counts = segments.kept_runs()
    if sources is None and not (counts < ragged.lengths).any():
        return 0
    seen = np.concatenate([[0], np.cumsum(ragged.values != IGNORED_LABEL)])
    begins = (ragged.starts if sources is None else ragged.starts[sources]) + starts
    total: npt.NDArray[Any] = seen[ragged.starts + ragged.lengths] - seen[ragged.starts]
    return int(total.sum() - (seen[begins + counts] - seen[begins]).sum())
