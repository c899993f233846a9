"""Read and audit the rows of a dataset, raw or padded, for `inspect` and `verify`."""

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
    """How the rows of a dataset are read and audited.

    Args:
        pad: the columns, and how raw rows will be padded.
        padding: the columns that mark the padding; None for raw rows.
        notes: warnings for the user.
    """

    pad: Job
    padding: Padding | None
    notes: tuple[str, ...] = ()


def make_audit_job(
    dataset: Dataset, asked: PadRequest, mask_column: str | None, declared: Side | None
) -> AuditJob:
    """Decide whether the rows are padded, and resolve the request against the columns of the dataset.

    Args:
        dataset: the data.
        asked: the columns, and how raw rows are padded.
        mask_column: mask column of padded rows; None finds the mask.
        declared: side of the padding of padded rows; None uses the metadata.

    Raises:
        SpecError: the dataset does not have the columns or types that the request needs.
        DataError: the metadata are not valid, or the files are not padded in the same way.
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
    """Return a new audit, with the findings in the metadata of padded files."""
    audit = Audit([audit_column(column, job.padding) for column in job.pad.columns])
    audit.add_sides(job.padding.sides if job.padding is not None else {})
    return audit


def add_file_findings(audit: Audit, dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add the findings that concern whole files: column types, manifests and end marks.

    Args:
        audit: receives the findings.
        dataset: the data.
        job: how the rows are audited.
        limit: number of rows that are read; None for all rows.
    """
    for column in job.pad.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_strangers(dataset.strangers)
    audit.add_lacking_end(dataset.lacking_end(limit))


def audited_rows(
    reading: Reading, phase: str, job: AuditJob, audit: Audit, maxlen: int | None = None
) -> Generator[BatchRows]:
    """Read and audit rows. Raw rows are audited as they will be padded.

    Args:
        reading: the dataset, and how to read it.
        phase: name of this pass in the progress.
        job: how the rows are audited.
        audit: receives the findings.
        maxlen: length to cut raw rows to; None keeps all tokens.

    Yields:
        The row lengths of each batch, shape (rows,), and a function that returns its rows.
    """
    if job.padding is None:
        return audit_raw_rows(reading, phase, job.pad, audit, maxlen)
    return audit_padded_rows(reading, phase, job.pad, audit, job.padding)


def audit_column(column: PadColumn, padding: Padding | None) -> AuditColumn:
    """Return a column for the audit. Padded input has its own pad value, instead of the requested one."""
    value: Any = column.value
    if padding is not None:
        # Without metadata, only an explicit pad value is known. The value 0 may be only the default.
        value = padding.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
