"""Truncate raw rows to maxlen, and check them against the rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from padmask.core.kernel import slice_rows
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.core.table import row_lengths
from padmask.spec.pad import Side
from padmask.stream.job import Job
from padmask.stream.row_sample import BatchRows, copy_row
from padmask.verify.data.rows_to_check import AuditRows, CheckedRows, to_column_dtype
from padmask.verify.data.rules import Audit


def audit_raw_rows(
    rows: AuditRows,
    job: Job,
    audit: Audit,
    masks: Sequence[str] = (),
    maxlen: int | None = None,
    *,
    is_cut: bool = True,
) -> CheckedRows:
    """Check a batch of raw rows against the rules, as if the rows were padded.

    Args:
        rows: rows to check.
        job: columns to check, and padding options.
        audit: object that collects the findings.
        masks: names of mask columns. Only their lengths are checked.
        maxlen: length to which rows are padded. If None, the longest row determines the length.
        is_cut: whether rows longer than `maxlen` are truncated before they are checked.
    """
    audit.add_bad_rows(rows.faults, rows.batch.place)
    for name in masks:
        audit.add_invalid_masks(rows.wrong_masks(name), rows.batch.place, name)
    audit.add_bad_rows(rows.later_padding(job), rows.batch.place)
    audit.add_late(rows.late)
    columns = {column.name: to_column_dtype(rows.ragged[column.name], column) for column in job.columns}
    ragged = {
        name: _cut(column, maxlen if is_cut else None, job.spec.truncating)
        for name, column in columns.items()
    }
    good = ~rows.bad
    numbers: list[int] = np.flatnonzero(good).tolist()
    audit.add_raw(
        {name: part.select(good) for name, part in ragged.items()},
        job.spec.padding,
        lambda row: rows.batch.place(numbers[row]),
        maxlen,
        job.spec.pad_to_multiple_of or 1,
    )
    found = BatchRows(row_lengths(ragged), lambda index, number: copy_row(number, ragged, index), ragged)
    return CheckedRows(found, good, rows)


def _cut(rows: Ragged, maxlen: int | None, truncating: Side) -> Ragged:
    if maxlen is None:
        return rows
    return slice_rows(rows, plan_pad(rows.lengths, maxlen, padding="post", truncating=truncating))
