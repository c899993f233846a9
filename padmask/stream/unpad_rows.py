"""Find the real tokens of padded rows, reject bad rows, and count the rows and tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from padmask.core.join_windows import RowWindows, read_windows
from padmask.core.length_column import read_lengths
from padmask.core.plan import Positions, Segments
from padmask.core.unpad_job import UnpadJob
from padmask.core.unpad_table import find_segments
from padmask.errors import Fault, RowError
from padmask.formats.contract import Batch
from padmask.stream.column_values import column_values
from padmask.stream.json_masks import MaskTexts
from padmask.stream.ledger import Ledger, count_rejected
from padmask.stream.paddable_rows import RejectedRow

OnError = Literal["fail", "skip"]


@dataclass(frozen=True)
class UnpadRows:
    """Padded rows that can be unpadded, and the positions of their real tokens.

    Args:
        rows: indices of the rows in the batch that was read: int64, shape (rows,).
        batch: padded rows.
        segments: positions of the real tokens.
        ledger: counts of rows and tokens read, including refused rows.
        refused: rows that are not written.
        consumed: number of input bytes read so far, for progress reports.
        also: positions of the real tokens, for each job in `UnpadJob.also`.
        windows: the windows of these rows; None if windows are not joined.
        gaps: where a refused row may be a missing window of the source row before it: int64. The value i
            means between the rows i - 1 and i. The value may be 0 or the number of rows.
        order: values that sort the rows: int64, shape (rows, columns of `UnpadJob.order`).
        lost: source row numbers of the refused rows, as far as they are known: int64.
    """

    rows: npt.NDArray[np.int64]
    batch: Batch
    segments: Segments
    ledger: Ledger
    refused: Sequence[RejectedRow] = ()
    consumed: int = 0
    also: Sequence[Segments] = ()
    windows: RowWindows | None = None
    gaps: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    order: Positions = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    lost: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class EncodedRows:
    """Unpadded rows, encoded for the writer or as Arrow columns, and the `UnpadRows` with their counts."""

    encoded: Any
    cuts: UnpadRows

    @property
    def ledger(self) -> Ledger:
        """Counts of rows and tokens read, including refused rows."""
        return self.cuts.ledger

    @property
    def consumed(self) -> int:
        """Number of input bytes read so far."""
        return self.cuts.consumed


def find_tokens(
    batch: Batch, job: UnpadJob, masks: MaskTexts | None, on_error: OnError, consumed: int = 0
) -> UnpadRows:
    """Find the real tokens of each row. Separate the rows in which mask, length and tokens disagree.

    Args:
        batch: rows with their padded columns.
        job: padded columns, and the mask or length column.
        masks: reader of the masks of JSON rows; None for other rows.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
        consumed: number of input bytes read so far.

    Raises:
        RowError: the mask, length and tokens of a row disagree, and `on_error` is `"fail"`.
    """
    mask = None if masks is None or batch.objects is None else masks.read(batch.objects)
    segments, faults = find_segments(batch.columns, lengths_of(batch, job), job, mask)
    also = []
    for part in job.also:
        places, found = find_segments(batch.columns, lengths_of(batch, part), part)
        also.append(places)
        faults = [*faults, *found]
    windows, unread = None, np.zeros(len(batch), dtype=bool)
    if job.windows:
        windows, found = read_windows(partial(column_values, batch))
        unread[[fault.row for fault in found]] = True
        faults = [*faults, *found]
    cuts = split_bad_rows(batch, segments, faults, on_error, consumed, job.order)
    cuts = replace(cuts, also=[places.select(cuts.rows) for places in also])
    if windows is None:
        return cuts
    # A refused window with the number 0 starts a new row, so the previous row is complete.
    may_continue = unread | (windows.places.numbers > 0)
    may_continue[cuts.rows] = False
    gaps = np.searchsorted(cuts.rows, np.flatnonzero(may_continue))
    return replace(cuts, windows=windows.select(cuts.rows), gaps=gaps)


def lengths_of(batch: Batch, job: UnpadJob) -> Sequence[Any] | None:
    """Return the values of the length column; None if there is no length column."""
    return None if job.length is None else column_values(batch, job.length)


def split_bad_rows(
    batch: Batch,
    segments: Segments,
    faults: Iterable[Fault],
    on_error: OnError,
    consumed: int,
    order: Sequence[str] = (),
) -> UnpadRows:
    """Separate the rows that have a fault from the other rows, and count the rows and tokens.

    Args:
        batch: rows, with the faults of rows that could not be read.
        segments: positions of the real tokens.
        faults: other faults of the rows.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
        consumed: number of input bytes read so far.
        order: names of the columns whose values sort the rows.

    Raises:
        RowError: a row is bad and `on_error` is `"fail"`.
    """
    keys, found = _read_order(batch, order)
    faults = [*faults, *found]
    reasons = {fault.row: fault for fault in [*faults, *reversed(batch.faults)]}
    bad = sorted(reasons)
    if bad and on_error == "fail":
        fault = reasons[bad[0]]
        # A wrong kind of mask is not an error of one row. The reason already contains the remedy.
        is_row = "mask_kind" not in fault.options
        raise RowError(
            fault.reason if is_row else f"{fault.reason}.",
            place=batch.place(bad[0]),
            column=fault.column,
            options=fault.options,
            remedy="Fix the row, or skip bad rows with --on-error skip." if is_row else "",
        )
    good = np.setdiff1d(np.arange(len(batch)), bad)
    kept = segments.select(good) if bad else segments
    tokens = int(kept.counts.sum())
    ledger = Ledger(
        rows_read=len(batch),
        rows_used=len(good),
        rows_written=len(good),
        rows_empty=int((kept.counts == 0).sum()),
        tokens_read=tokens,
        tokens_kept=tokens,
        places=int(kept.source_lengths.sum()),
    ) + count_rejected(str(reasons[row]) for row in bad)
    refused = [RejectedRow(batch, row, str(reasons[row])) for row in bad]
    unread = {fault.row for fault in found}
    lost = keys[[row for row in bad if row not in unread], :1].reshape(-1)
    rows = batch.select(good) if bad else batch
    return UnpadRows(good, rows, kept, ledger, refused, consumed, order=keys[good], lost=lost)


def _read_order(batch: Batch, names: Sequence[str]) -> tuple[Positions, list[Fault]]:
    """Return the values that sort the rows, shape (rows, names), and a `Fault` for each invalid value."""
    keys, faults = np.zeros((len(batch), len(names)), dtype=np.int64), []
    for i, name in enumerate(names):
        keys[:, i], found = read_lengths(
            column_values(batch, name), name, "restore_order", bits=63, noun="a row or window number"
        )
        faults += found
    return keys, faults
