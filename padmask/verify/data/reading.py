"""Decide whether the rows of a dataset are padded, and audit the rows, for `inspect` and `verify`."""

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
    """The decisions about an audit.

    Args:
        pad: columns to audit, and padding options for raw rows.
        padding: columns that mark the padding of padded rows; None for raw rows.
        notes: warnings about the decision for the user.
    """

    pad: Job
    padding: Padding | None
    notes: tuple[str, ...] = ()


def make_audit_job(
    dataset: Dataset, asked: PadRequest, mask_column: str | None, declared: Side | None
) -> AuditJob:
    """Decide whether the rows are padded, and resolve a request against the columns of the dataset.

    Args:
        dataset: the data.
        asked: columns to audit, and padding options for raw rows.
        mask_column: mask column of padded rows; None finds the column by the metadata, else by its name.
        declared: side of the padding of padded rows; None uses the metadata, else the side of most rows.

    Raises:
        SpecError: the dataset does not have the columns or types that the request needs.
        DataError: the metadata cannot be read, or the files are not padded in the same way.
    """
    found = find_dataset_padding(dataset, asked.columns, mask_column)
    notes = () if found is None or found.names else (PLACES_UNKNOWN,)
    padding = found if found is not None and found.names else None
    if padding is not None and declared is not None:
        padding = replace(padding, padding=declared)
    columns = asked.columns or (list(padding.values) if padding is not None else None)
    job = make_job(dataset, replace(asked, columns=columns), keep_others=False)
    return AuditJob(job, padding, (*dataset.notes, *notes))


def open_audit(job: AuditJob) -> Audit:
    """Return an audit with only the findings from the metadata of the files."""
    audit = Audit([audit_column(column, job.padding) for column in job.pad.columns])
    audit.add_sides(job.padding.sides if job.padding is not None else {})
    return audit


def add_file_findings(audit: Audit, dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add the findings about files, which do not depend on the rows.

    Args:
        audit: audit that receives the findings.
        dataset: the data.
        job: decisions about the audit.
        limit: number of rows to read; None reads all rows.
    """
    for column in job.pad.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_strangers(dataset.strangers)
    audit.add_lacking_end(dataset.lacking_end(limit))


def audited_rows(
    reading: Reading, phase: str, job: AuditJob, audit: Audit, maxlen: int | None = None
) -> Generator[BatchRows]:
    """Read rows and audit them. Raw rows are audited as they would be padded.

    Args:
        reading: dataset to read, with options.
        phase: name of this pass in the progress.
        job: decisions about the audit.
        audit: audit that receives the findings.
        maxlen: length to which raw rows are cut; None keeps all tokens.

    Yields:
        The lengths of the rows of a batch, shape (rows,), and a function that returns a row.
    """
    if job.padding is None:
        return audit_raw_rows(reading, phase, job.pad, audit, maxlen)
    return audit_padded_rows(reading, phase, job.pad, audit, job.padding)


def audit_column(column: PadColumn, padding: Padding | None) -> AuditColumn:
    """Return the column to audit. For padded input, the pad value from the metadata takes precedence."""
    value: Any = column.value
    if padding is not None:
        # Without metadata, a requested value of 0 is only the default, so the pad value is unknown.
        value = padding.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
