"""Find out whether a dataset is padded, and check its rows against the rules.

`inspect` and `verify` share this code.
"""

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
    """The columns to check against the rules, and how their padding is marked.

    Args:
        pad: columns to check, and padding options for raw rows.
        padding: columns that mark the padding of padded rows; None for raw rows.
        notes: warnings for the user.
    """

    pad: Job
    padding: Padding | None
    notes: tuple[str, ...] = ()


def make_audit_job(
    dataset: Dataset, asked: PadRequest, mask_column: str | None, declared: Side | None
) -> AuditJob:
    """Find out whether the rows are padded, and choose the columns to check.

    Args:
        dataset: dataset to check.
        asked: columns to check, and padding options for raw rows.
        mask_column: mask column of padded rows. None finds the column by the metadata, else by its name.
        declared: side of the padding of padded rows. None uses the metadata, else the side of most rows.

    Raises:
        SpecError: a column is missing or has an unsupported type.
        DataError: the metadata cannot be read, or the files are padded differently.
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
    """Create the object that collects findings, and add the findings from the file metadata."""
    audit = Audit([audit_column(column, job.padding) for column in job.pad.columns])
    audit.add_sides(job.padding.sides if job.padding is not None else {})
    return audit


def add_file_findings(audit: Audit, dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add the findings about whole files, such as different column types.

    Args:
        audit: object that collects the findings.
        dataset: dataset to check.
        job: columns to check.
        limit: number of rows to read; None reads all rows.
    """
    for column in job.pad.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_unlisted_files(dataset.unlisted_files)
    audit.add_files_without_end(dataset.lacking_end(limit))


def audit_rows(
    reading: Reading, phase: str, job: AuditJob, audit: Audit, maxlen: int | None = None
) -> Generator[BatchRows]:
    """Read rows and check them against the rules. Raw rows are checked as if they were padded.

    Args:
        reading: dataset to read, with its options.
        phase: name of this pass in progress updates.
        job: columns to check, and how their padding is marked.
        audit: object that collects the findings.
        maxlen: length to which raw rows are truncated; None keeps all tokens.

    Yields:
        The number of tokens in each row of a batch, shape (rows,), and a function that returns a row.
    """
    if job.padding is None:
        return audit_raw_rows(reading, phase, job.pad, audit, maxlen)
    return audit_padded_rows(reading, phase, job.pad, audit, job.padding)


def audit_column(column: PadColumn, padding: Padding | None) -> AuditColumn:
    """Return the column to check. For padded input, the pad value from the metadata takes precedence."""
    value: Any = column.value
    if padding is not None:
        # If the metadata has no pad value, a value of 0 is only the default, so the pad value is unknown.
        value = padding.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
