"""What happens to each row: padded, dropped or rejected, and counted.

Pure functions from a batch to a batch and a ledger, so that any thread or machine can run them.
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
    """A row that is not written, whole, and why."""

    batch: Batch
    row: int
    reason: str


@dataclass(frozen=True)
class PadTarget:
    """Where rows are padded to.

    Args:
        job: how rows are padded.
        plan: the maxlen of all rows.
        writer: of the output's format.
        memo: what an implementation of `PaddableRows` keeps between pieces.
    """

    job: Job
    plan: Plan
    writer: Writer
    memo: dict[Any, Any] = field(default_factory=dict)


class PaddableRows(Protocol):
    """Rows that can be padded: as columns (`Rows`), or as JSON text (`TextRows`)."""

    @property
    def ledger(self) -> Ledger:
        """The counts of the rows that were read to get these."""

    @property
    def refused(self) -> Sequence[RejectedRow]:
        """The rows that are not written."""

    @property
    def consumed(self) -> int:
        """Bytes of the input used up so far, for progress."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Lengths of the rows, shape (rows,), in tokens."""

    def place(self, row: int) -> Place:
        """Say where a row stands."""

    def pieces(self, plan: Plan, policy: RowPolicy, size: int) -> Iterator[PaddableRows]:
        """Cut the rows into pieces of at most `size`, without the rows that `policy` leaves out."""

    def pad(self, target: PadTarget) -> tuple[Any, PaddableRows]:
        """Pad the rows: return what the writer appends, and the rows with their final counts."""


@dataclass(frozen=True)
class Rows:
    """Rows that can be padded, and an account of them and of the others.

    Args:
        batch: the rows.
        ragged: their sequences by column.
        ledger: of the rows that were read to get these, and of what became of the others.
        refused: the rows that are not written.
        consumed: bytes of the input used up so far, for progress.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    ledger: Ledger
    refused: Sequence[RejectedRow] = ()
    consumed: int = 0

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Lengths of the rows, shape (rows,), in tokens."""
        return row_lengths(self.ragged)

    def place(self, row: int) -> Place:
        """Say where a row stands."""
        return self.batch.place(row)

    def pieces(self, plan: Plan, policy: RowPolicy, size: int) -> Iterator[Rows]:
        """Cut the rows into pieces of at most `size`, without the rows that `policy` leaves out."""
        return split_rows(apply_overlong(self, plan, policy), size)

    def pad(self, target: PadTarget) -> tuple[Any, Rows]:
        """Pad the rows: return what the writer appends, and the rows with their final counts."""
        padded = pad_prepared_rows(self, target.job, target.plan)
        return target.writer.encode(padded.batch), padded


@dataclass(frozen=True)
class DecodedRows:
    """Rows as a reader decoded them, with the account that the reading loop keeps.

    Args:
        batch: the rows.
        consumed: bytes of the input used up so far, for progress.
    """

    batch: Batch
    consumed: int

    @property
    def ledger(self) -> Ledger:
        """Return how many rows were read."""
        return Ledger(rows_read=len(self.batch))


def prepare_rows(batch: Batch, job: Job, consumed: int = 0) -> Rows:
    """Flatten a batch's sequences and set apart the rows that cannot or shall not be padded.

    Raises:
        DataError: a row that cannot be padded, unless the policy is to skip it; an empty row
            where the policy is to refuse them.
        SpecError: a row has a field of the mask's name already; PaddedError where that is a mask.
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
            options=_options_of(faults[0], job),
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
    rows = _leave(rows, bad, lambda row: str(reasons[row]))
    empty = rows.lengths == 0
    if job.policy.empty_rows == "error" and empty.any():
        raise DataError(
            "the row has no tokens",
            place=rows.batch.place(int(np.argmax(empty))),
            remedy="--empty-rows keep or drop accepts such rows.",
            options=["empty_rows"],
        )
    return _drop(rows, empty, "no tokens") if job.policy.empty_rows == "drop" else rows


def _options_of(fault: Fault, job: Job) -> list[str]:
    """Return the options that can cause a fault: `dtype` is not one for a column with a dtype of its own."""
    has_own = any(column.name == fault.column and column.dtype != job.spec.dtype for column in job.columns)
    return [option for option in fault.options if option != "dtype" or not has_own]


def _check_fields(batch: Batch, mask: MaskSpec) -> None:
    """JSON rows may have fields that the first rows did not show."""
    if batch.objects is None or mask.overwrite:
        return
    for name in mask.names:
        for row, fields in enumerate(batch.objects):
            if name in fields:
                padded = name == mask.column and name in MASK_NAMES and bytes(fields[name])[:1] == b"["
                raise (PaddedError if padded else SpecError)(
                    f"{batch.place(row)}: the row already has a field {name!r}. Choose another name for the "
                    "new one with --mask-column or --length-column, or replace it with --overwrite-mask.",
                    options=[mask.option_for(name)],
                )


def _leave(rows: Rows, out: Flags, reason: Callable[[int], str]) -> Rows:
    """Return the rows without those in `out`, which are kept as refused."""
    if not out.any():
        return rows
    kept = np.flatnonzero(~out)
    refused = [RejectedRow(rows.batch, row, reason(row)) for row in np.flatnonzero(out).tolist()]
    return replace(
        rows,
        batch=rows.batch.select(kept),
        ragged={name: ragged.select(~out) for name, ragged in rows.ragged.items()},
        refused=[*rows.refused, *refused],
    )


def _drop(rows: Rows, out: Flags, reason: str) -> Rows:
    dropped = Ledger(rows_dropped=int(out.sum()))
    return replace(_leave(rows, out, lambda _: reason), ledger=rows.ledger + dropped)


def apply_overlong(rows: Rows, plan: Plan, policy: RowPolicy) -> Rows:
    """Refuse or drop the rows that are longer than the plan, where the policy is not to cut them.

    Raises:
        DataError: an overlong row where the policy is to refuse them.
    """
    if policy.overlong == "truncate":
        return rows
    overlong = rows.lengths > plan.maxlen
    if policy.overlong == "error" and overlong.any():
        row = int(np.argmax(overlong))
        raise DataError(
            f"{rows.batch.place(row)}: {rows.lengths[row]} tokens are more than maxlen {plan.maxlen}, and "
            "--overlong error refuses such. Choose a larger --maxlen, or --overlong truncate or drop.",
            options=["maxlen", "overlong"],
        )
    return _drop(rows, overlong, f"longer than maxlen {plan.maxlen}")


def split_rows(rows: Rows, size: int) -> Iterator[Rows]:
    """Cut rows into pieces of at most `size`; the first one carries the account."""
    total = len(rows.batch)
    for start in range(0, max(total, 1), size):
        piece = slice(start, min(start + size, total))
        part = Rows(
            rows.batch.slice(piece.start, piece.stop),
            {name: ragged.select(piece) for name, ragged in rows.ragged.items()},
            Ledger(),
            consumed=rows.consumed,
        )
        yield replace(part, ledger=rows.ledger, refused=rows.refused) if start == 0 else part


def pad_prepared_rows(rows: Rows, job: Job, plan: Plan) -> Rows:
    """Pad the rows; the batch that comes back has the padded columns and the mask."""
    segments = make_segments(rows.lengths, plan, job.spec)
    batch = rows.batch if segments.is_plain else rows.batch.select(segments.row_sources)
    columns = pad_rows(batch.columns, rows.ragged, job.columns, segments, job.mask, job.fixed_size)
    labels_lost = sum(_labels_lost(rows.ragged[column.name], column, segments) for column in job.columns)
    ledger = rows.ledger + count_written(segments, labels_lost)
    return replace(rows, batch=replace(batch, columns=columns), ledger=ledger)


def count_written(segments: Segments, labels_lost: int) -> Ledger:
    """Return the counts of rows once they are padded.

    Args:
        segments: where the tokens of the rows went.
        labels_lost: labels that are in no output row.
    """
    kept, written = segments.kept_tokens(), segments.row_lengths
    return Ledger(
        rows_written=len(written),
        rows_truncated=int((kept < segments.source_lengths).sum()),
        rows_empty=int((segments.source_lengths == 0).sum()),
        tokens_kept=int(kept.sum()),
        labels_lost=labels_lost,
        places=len(written) * (segments.maxlen or 0),
    )


def _labels_lost(ragged: Ragged, column: PadColumn, segments: Segments) -> int:
    """Count the labels other than -100 that are in no output row."""
    if not is_label(column) or ragged.values.ndim > 1:
        return 0
    sources, starts, counts = segments.kept_runs()
    if sources is None and not (counts < ragged.lengths).any():
        return 0
    seen = np.concatenate([[0], np.cumsum(ragged.values != IGNORED_LABEL)])
    begins = (ragged.starts if sources is None else ragged.starts[sources]) + starts
    total: npt.NDArray[Any] = seen[ragged.starts + ragged.lengths] - seen[ragged.starts]
    return int(total.sum() - (seen[begins + counts] - seen[begins]).sum())
