"""Check whether a dataset is padded, and check its rows against the rules.

`inspect` and `verify` share this code.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask.core.columns import judged_columns
from padmask.core.metadata import read_descriptions
from padmask.core.padding import Padding
from padmask.errors import SpecError
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Column
from padmask.spec.pad import Side
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.padding import find_dataset_padding, other_padding_notes
from padmask.stream.row_sample import BatchRows
from padmask.stream.run import Reading
from padmask.verify.data.columns import (
    audit_columns,
    beside_tokens,
    find_labels,
    known_pad_values,
    mask_fields,
)
from padmask.verify.data.padded_rows import audit_padded_rows
from padmask.verify.data.raw_rows import audit_raw_rows
from padmask.verify.data.rows_to_check import AuditRows, map_audit_rows
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class AuditJob:
    """The columns to check against the rules, and how their padding is marked.

    Args:
        pad: columns to check, and padding options for raw rows.
        padding: columns that mark the padding of padded rows; None for raw rows.
        values: known pad value of each column; None if unknown.
        masks: other mask columns of the tokens.
        unmarked: names of padded files without the columns that marked their padding.
        notes: facts about the columns that are no findings.
        side_from: what gives the side of the padding of padded rows; empty if most rows do.
    """

    pad: Job
    padding: Padding | None
    values: Mapping[str, Any]
    masks: Sequence[pa.Field] = ()
    unmarked: Sequence[str] = ()
    notes: Sequence[str] = ()
    side_from: str = ""


def make_audit_job(
    dataset: Dataset,
    asked: PadRequest,
    mask_column: str | None,
    declared: Side | None,
    *,
    with_labels: bool = False,
) -> AuditJob:
    """Check whether the rows are padded, and choose the columns to check.

    Args:
        dataset: dataset to check.
        asked: columns to check, and padding options for raw rows.
        mask_column: mask column of padded rows. If None, the column is found from the metadata, else by its
            name.
        declared: side of the padding of padded rows. If None, the side in the metadata is used, else the most
            common side.
        with_labels: whether to also check the labels of the tokens if no columns are requested.

    Raises:
        SpecError: a column is missing or has an unsupported type.
        DataError: the metadata cannot be read, or the files are padded differently.
    """
    found = find_dataset_padding(dataset, asked.columns, mask_column)
    unmarked = [] if found is None or found.names else _described_files(dataset)
    padding = found if found is not None and found.names else None
    if padding is not None and declared is not None:
        padding = replace(padding, padding=declared)
    columns = asked.columns or (list(padding.values) if padding is not None else None)
    if not columns and not with_labels:
        # Rows with bad companions can be inspected.
        columns = judged_columns(dataset.schema(), None) or None
    job = make_job(dataset, replace(asked, columns=columns), keep_others=False, purpose="audit")
    if with_labels and not columns:
        labels = find_labels(dataset, job.columns, job.wanted.sequences.field(0))
        named = [Column(column.name, value=column.value) for column in job.columns]
        if labels:
            job = make_job(
                dataset, replace(asked, columns=[*named, *labels]), keep_others=False, purpose="audit"
            )
    if padding is not None and padding.mask in [column.name for column in job.columns]:
        raise SpecError(
            f"{dataset.name}: column {padding.mask!r} cannot be both a sequence and its mask. "
            "Choose another column with -c or --mask-column.",
            options=["columns", "mask_column"],
        )
    masks = mask_fields(dataset, beside_tokens(dataset, job.columns, padding))
    values = known_pad_values(job.columns, padding, requested=bool(asked.columns))
    notes = list(job.beside.notes)
    if padding is not None and not asked.columns:
        notes += other_padding_notes(dataset, padding)
    side_from = ""
    if padding is not None and padding.padding is not None:
        side_from = f"--padding {declared}" if declared is not None else "the file metadata"
    return AuditJob(job, padding, values, masks, unmarked, notes, side_from)


def _described_files(dataset: Dataset) -> list[str]:
    """Return the names of the files with padmask metadata."""
    return [name for name, schema in dataset.schemas().items() if read_descriptions(schema.metadata)]


def open_audit(job: AuditJob) -> Audit:
    """Create the object that collects findings, and add the findings from the file metadata."""
    audit = Audit(audit_columns(job.pad.columns, job.values))
    audit.add_sides(job.padding.sides if job.padding is not None else {})
    return audit


def add_file_findings(audit: Audit, dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add the findings about whole files, such as different column types.

    Args:
        audit: object that collects the findings.
        dataset: dataset to check.
        job: columns to check.
        limit: maximum number of rows to read. If None, all rows are read.
    """
    for column in job.pad.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_unmarked(job.unmarked)
    audit.add_unlisted_files(dataset.unlisted_files)
    audit.add_files_without_end(dataset.lacking_end(limit))


def audit_rows(
    reading: Reading,
    phase: str,
    job: AuditJob,
    audit: Audit,
    maxlen: int | None = None,
    *,
    report_bad_rows: bool = False,
) -> Generator[BatchRows]:
    """Read rows and check them against the rules. Raw rows are checked as if they were padded.

    Args:
        reading: dataset to read, with its options.
        phase: name of this pass in progress updates.
        job: columns to check, and how their padding is marked.
        audit: object that collects the findings.
        maxlen: length to which raw rows are truncated. If None, all tokens are kept.
        report_bad_rows: whether a bad row is a finding. Otherwise the first bad row raises an error.

    Yields:
        The rows of each batch.

    Raises:
        DataError: a row cannot be read or padded, and `report_bad_rows` is False.
    """
    masks = [field.name for field in job.masks]
    with open_audit_rows(reading, phase, job, report_bad_rows=report_bad_rows) as all_rows:
        if job.padding is None:
            yield from audit_raw_rows(all_rows, job.pad, audit, masks, maxlen)
        else:
            yield from audit_padded_rows(all_rows, job.pad, audit, job.padding, masks, job.side_from)


def open_audit_rows(
    reading: Reading, phase: str, job: AuditJob, *, report_bad_rows: bool
) -> AbstractContextManager[Iterator[AuditRows]]:
    """Open the rows to check. The arguments are those of `audit_rows`."""
    marks = [] if job.padding is None else mask_fields(reading.dataset, job.padding.names)
    return map_audit_rows(
        reading,
        phase,
        job.pad,
        [*marks, *job.masks],
        padded=job.padding is not None,
        report_bad_rows=report_bad_rows,
    )
