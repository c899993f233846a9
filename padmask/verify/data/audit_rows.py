"""Read rows, and check them against the rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager

from padmask.core.later_masks import later_zero
from padmask.formats.dataset import Dataset
from padmask.spec.batches import BATCH
from padmask.spec.rules import RULES
from padmask.stream.run import Reading
from padmask.verify.data.audit_job import AuditJob
from padmask.verify.data.collect_padded import PaddedRowCollector
from padmask.verify.data.columns import audit_columns, mask_fields
from padmask.verify.data.compare import InputComparison
from padmask.verify.data.file_findings import report_files, report_sides, report_types
from padmask.verify.data.findings import Finding
from padmask.verify.data.packed_rows import PackedRowAudit
from padmask.verify.data.padded_rows import PaddedRowAudit
from padmask.verify.data.raw_rows import audit_raw_rows
from padmask.verify.data.rows_to_check import AuditBatch, AuditRows, CheckedRows, GroupToRead, map_audit_rows
from padmask.verify.data.rules import Audit
from padmask.verify.data.sequence_values import SequenceValues


def open_audits(job: AuditJob) -> list[Audit]:
    """Return one object for each group of columns, which collects the findings of this group.

    Each object already contains the findings from the file metadata.
    """
    audits = []
    for group in job.groups:
        masked = group.masked if group is job else None
        columns, padding = audit_columns(group.pad.columns, group.values, masked), group.padding
        if padding is None:
            audits.append(Audit(columns))
            continue
        audits.append(Audit(columns, mask=padding.mask, length=padding.length))
        report_sides(audits[-1], padding.mask or padding.length, padding.sides)
    return audits


def add_file_findings(audits: Sequence[Audit], dataset: Dataset, job: AuditJob, limit: int | None) -> None:
    """Add the findings about whole files, such as different column types.

    Args:
        audits: objects that collect the findings, one for each group of columns.
        dataset: dataset to check.
        job: columns to check.
        limit: maximum number of rows to read. If None, all rows are read.
    """
    for audit, group in zip(audits, job.groups, strict=True):
        for column in group.pad.columns:
            report_types(audit, column.name, dataset.types_of(column.name))
    report_files(audits[0], job.unmarked, dataset.unlisted_files, dataset.lacking_end(limit))


def findings_of(audits: Sequence[Audit], *, recurrent: bool = False) -> list[Finding]:
    """Return the findings of all groups of columns, sorted by rule and then by group.

    Args:
        audits: objects that collected the findings, one for each group of columns.
        recurrent: whether the rows are for a model with recurrent layers. Some rules apply only to such
            models.
    """
    rules = list(RULES)
    found = [
        finding for audit in audits for finding in audit.findings() if recurrent or not finding.rule.recurrent
    ]
    return sorted(found, key=lambda finding: rules.index(finding.rule.name))


def audit_rows(
    reading: Reading,
    phase: str,
    job: AuditJob,
    audits: Sequence[Audit],
    maxlen: int | None = None,
    *,
    is_cut: bool = True,
    collected: Sequence[InputComparison | SequenceValues | None] = (),
) -> Generator[CheckedRows]:
    """Read rows and check them against the rules. Raw rows are checked as if they were padded.

    Args:
        reading: dataset to read, with its options.
        phase: name of this pass in progress updates.
        job: columns to check, and how their padding is marked.
        audits: objects that collect the findings, one for each group of columns.
        maxlen: length to which raw rows are padded. If None, the longest row determines the length.
        is_cut: whether raw rows longer than `maxlen` are truncated before they are checked.
        collected: for each group of columns, the object that collects its packed or padded rows, or None.
            Empty if no rows are collected.

    Yields:
        The rows of each batch. A bad row is added to the findings. A row with bad tokens has length 0.

    Raises:
        LaterPaddingError: one of `job.late_masks` marks padding. The caller must make the job again, with
            this mask as the mask column.
    """
    whole = reading.files.limit is None
    checks = [
        _check_of(group, audit, maxlen, its, is_cut=is_cut, whole=whole)
        for group, audit, its in zip(job.groups, audits, collected or [None] * len(job.groups), strict=True)
    ]
    (main, _), *also = checks
    with open_audit_rows(reading, phase, job) as batches:
        for batch in batches:
            for (check, _), rows in zip(also, batch.groups[1:], strict=True):
                check(rows)
            yield main(batch.groups[0])
    for _, finish in checks:
        finish()


def _check_of(
    job: AuditJob,
    audit: Audit,
    maxlen: int | None,
    collected: InputComparison | SequenceValues | None,
    *,
    is_cut: bool,
    whole: bool,
) -> tuple[Callable[[AuditRows], CheckedRows], Callable[[], None]]:
    """Return two functions that check a group of columns.

    Call the first function with each batch, and the second function after the last batch.
    """
    masks = [field.name for field in job.masks]
    if job.padding is None:

        def check_raw(rows: AuditRows) -> CheckedRows:
            for fault in rows.later_padding(job.pad):
                if fault.column is not None and fault.column in job.late_masks:
                    error = later_zero(rows.batch.place(fault.row), fault.column, packs=False)
                    error.remedy = f"If the rows are padded, use --mask-column {shlex.quote(fault.column)}."
                    error.options = ("mask_column",)
                    raise error
            for field in job.misaligned:
                audit.add_rows(
                    "misaligned-column", rows.other_lengths(field.name), rows.batch.place, field.name
                )
            return audit_raw_rows(rows, job.pad, audit, masks, maxlen, is_cut=is_cut)

        return check_raw, lambda: None
    packed = None
    if job.packed is not None:
        packed = PackedRowAudit(
            job.packed,
            audit,
            job.pad.columns,
            job.padding.mask,
            whole=whole,
            collected=collected,
            counts=job.counts,
        )
    check = PaddedRowAudit(
        job.pad,
        audit,
        job.padding,
        masks,
        job.side_from,
        batched=job.batched,
        packed=packed,
        collector=None
        if packed is not None or collected is None
        else PaddedRowCollector(collected, job.locating),
    )
    return check.check, check.finish


def open_audit_rows(
    reading: Reading, phase: str, job: AuditJob
) -> AbstractContextManager[Iterator[AuditBatch]]:
    """Open the rows to check. The arguments are as in `audit_rows`."""
    groups = []
    for group in job.groups:
        padding = group.padding
        marks = [] if padding is None else mask_fields(reading.dataset, padding.names)
        # JSON rows have all fields as text.
        if group.batched and not reading.dataset.format.is_text:
            marks.append(reading.dataset.schema().field(BATCH))
        describing = [] if group.packed is None else list(group.packed.describing)
        if not reading.dataset.format.is_text:
            describing += group.locating
        taken = {field.name for field in (*marks, *group.masks)}
        marks += [reading.dataset.schema().field(name) for name in describing if name not in taken]
        read = [*marks, *group.masks, *group.misaligned]
        groups.append(GroupToRead(group.pad, read, padding is not None))
    return map_audit_rows(reading, phase, groups)
