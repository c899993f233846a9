"""Decide whether the rows of a dataset are padded, and read and audit them, for `inspect` and `verify`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from padmask.core.columns import PadColumn, is_label
from padmask.core.padding import Padding
from padmask.formats.dataset import Dataset
from padmask.spec.pad import Side
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.padding import PLACES_UNKNOWN, find_dataset_padding
from padmask.stream.row_sample import BatchRows
from padmask.stream.run import Reading
from padmask.verify.data.padded_rows import audit_padded_rows
from padmask.verify.data.raw_rows import audit_raw_rows
from padmask.verify.data.rules import Audit, AuditColumn


@dataclass(frozen=True)
class AuditJob:
    """What is read and audited.

    Args:
        pad: the columns, and how raw rows will be padded.
        padding: what says which places of padded rows are padding; None of raw rows.
        notes: sentences about what a user should know of the decision.
    """

    pad: Job
    padding: Padding | None
    notes: tuple[str, ...] = ()


def make_audit_job(
    dataset: Dataset, asked: PadRequest, mask_column: str | None, declared: Side | None
) -> AuditJob:
    """Decide whether the rows are padded, and resolve what was asked for against the columns there are.

    Args:
        dataset: the data.
        asked: which columns, and how raw rows are padded.
        mask_column: of padded rows; None finds it out.
        declared: side of the padding of padded rows; None takes what the metadata say.

    Raises:
        SpecError: what was asked for does not go with the data.
        DataError: the metadata cannot be read, or the files do not say the same of their padding.
    """
    found = find_dataset_padding(dataset, asked.columns, mask_column)
    notes = () if found is None or found.names else (PLACES_UNKNOWN,)
    padding = found if found is not None and found.names else None
    if padding is not None and declared is not None:
        padding = replace(padding, padding=declared)
    columns = asked.columns or (list(padding.values) if padding is not None else None)
    job = make_job(dataset, replace(asked, columns=columns), keep_others=False)
    return AuditJob(job, padding, notes)


def open_audit(job: AuditJob) -> Audit:
    """Return an audit without findings but those of the files' metadata."""
    audit = Audit([audit_column(column, job.padding) for column in job.pad.columns])
    audit.add_sides(job.padding.sides if job.padding is not None else {})
    return audit


def add_file_findings(audit: Audit, dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add what rules find in the files themselves, whatever their rows are.

    Args:
        audit: takes what the rules find.
        dataset: the data.
        job: what is audited.
        limit: rows that are read; None for all.
    """
    for column in job.pad.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_strangers(dataset.strangers)
    audit.add_lacking_end(dataset.lacking_end(limit))


def audited_rows(
    reading: Reading, phase: str, job: AuditJob, audit: Audit, maxlen: int | None = None
) -> Generator[BatchRows]:
    """Read rows and audit them, raw ones as they will be padded.

    Args:
        reading: of the dataset.
        phase: for the progress.
        job: what is audited.
        audit: takes what the rules find.
        maxlen: tokens that raw rows are cut to; None keeps all.

    Yields:
        For each batch the lengths, shape (rows,), and a way to its rows.
    """
    if job.padding is None:
        return audit_raw_rows(reading, phase, job.pad, audit, maxlen)
    return audit_padded_rows(reading, phase, job.pad, audit, job.padding)


def audit_column(column: PadColumn, padding: Padding | None) -> AuditColumn:
    """Return what the audit must know of a column: of padded input its own pad value, not the asked one."""
    value: Any = column.value
    if padding is not None:
        # Without metadata nobody knows the pad value, unless it was given: 0 is only the default.
        value = padding.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
