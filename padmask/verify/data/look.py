"""Audit data, and take a sample of the rows in the same pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import PadColumn, is_label
from padmask.core.padding import Padding
from padmask.core.plan import LengthStats, make_plan, needs_lengths
from padmask.core.table import row_lengths
from padmask.errors import SpecError, did_you_mean
from padmask.formats.dataset import Dataset
from padmask.spec.checks import check_fields, flag, strings
from padmask.spec.files import ReadOptions
from padmask.spec.pad import Side
from padmask.stream.job import Job, PadRequest
from padmask.stream.progress import ProgressCallback
from padmask.stream.row_sample import (
    Pick,
    Row,
    RowSampler,
    choose_rows,
    pick_longest,
    pick_numbers,
    pick_random,
    pick_shortest,
    without_empty_rows,
)
from padmask.stream.run import Reading, open_reading
from padmask.verify.data.padded_rows import side_of
from padmask.verify.data.reading import (
    AuditJob,
    add_file_findings,
    audited_rows,
    make_audit_job,
    open_audit,
    open_audit_rows,
)
from padmask.verify.data.rules import RULES, Audit, Finding


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """Options of the data rules.

    Args:
        strict: whether warnings count as errors.
        allow: names of rules that the data may violate.
    """

    strict: bool = False
    allow: Collection[str] = ()

    def __post_init__(self) -> None:
        check_fields(self, strict=flag, allow=strings)
        for name in self.allow:
            if name not in RULES:
                raise SpecError(
                    f"Unknown rule {name!r}.{did_you_mean(name, list(RULES))} "
                    f"Choose one of {', '.join(RULES)}."
                )

    def enforce(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings with the severities that these options give them."""
        return [
            replace(finding, rule=replace(finding.rule, severity=self._of(finding))) for finding in findings
        ]

    def _of(self, finding: Finding) -> str:
        if finding.rule.name in self.allow:
            return "allowed"
        return "error" if self.strict else finding.rule.severity


@dataclass(frozen=True)
class AuditedData:
    """The result of an audit: findings, and a sample of rows for proofs.

    Args:
        name: name of the input.
        findings: findings of the data rules, with the severities of the `RuleSpec`.
        rows: number of rows in the input.
        sample: real tokens of each row of the sample, by column.
        values: pad value of each column.
        padding: side of the padding.
        labels: names of the columns with labels.
        ids: smallest and largest token of each integer column.
        maxlen: number of places in a padded row.
        numbers: row numbers of the sample in the input.
        padded: whether the input is padded.
    """

    name: str
    findings: Sequence[Finding]
    rows: int
    sample: Mapping[str, Sequence[npt.NDArray[Any]]]
    values: Mapping[str, Any]
    padding: Side
    labels: Collection[str]
    ids: Mapping[str, tuple[int, int]]
    maxlen: int
    numbers: Sequence[int] = ()
    padded: bool = False

    @property
    def token_column(self) -> str:
        """The column for proofs: the first column without labels, or the first column."""
        return next((name for name in self.sample if name not in self.labels), next(iter(self.sample)))


@dataclass(frozen=True)
class AuditRequest:
    """The options of an audit.

    Args:
        asked: columns to audit, and padding options for raw rows.
        rules: options of the data rules.
        mask_column: mask column of padded rows; if None, the column in the metadata, else a column with the
            name of a mask.
        declared: side of the padding of padded rows; if None, the side in the metadata, else the side of
            most rows.
        files: options for reading files.
        progress: callback that receives the progress of the pass.
    """

    asked: PadRequest
    rules: RuleSpec
    mask_column: str | None = None
    declared: Side | None = None
    files: ReadOptions = field(default_factory=ReadOptions)
    progress: ProgressCallback | None = None


def audit_and_sample(
    dataset: Dataset,
    request: AuditRequest,
    sample: int = 0,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
) -> AuditedData:
    """Audit the data and take a sample in one pass, or in two passes if maxlen is a percentile.

    Args:
        dataset: the data.
        request: options of the audit.
        sample: number of rows to keep.
        seed: random seed of the sample.
        numbers: row numbers to keep instead, from the sample of another column.
    """
    asked, limit = request.asked, request.files.limit
    if needs_lengths(asked.spec) and asked.spec.maxlen != "longest":
        # Copy a pipe before the first read, because the copy would lack the rows that were read before.
        dataset.spool(limit)
    job = make_audit_job(dataset, asked, request.mask_column, request.declared, with_labels=True)
    audit, columns = open_audit(job), job.pad.columns
    add_file_findings(audit, dataset, job, limit)
    sampler = RowSampler(_sample_picks(sample, seed) if numbers is None else [pick_numbers(numbers)])
    rows = longest = 0
    with open_reading(dataset, request.files, request.progress) as reading:
        maxlen = None if job.padding else _maxlen(reading, job)
        with closing(audited_rows(reading, "auditing", job, audit, maxlen, report_bad_rows=True)) as batches:
            for lengths, row_at in batches:
                sampler.take(lengths, row_at, rows)
                rows += len(lengths)
                longest = max(longest, int(lengths.max(initial=0)))
    kept = choose_rows(sampler.kept, sample if numbers is None else None)
    names = [column.name for column in columns]
    return AuditedData(
        dataset.name,
        request.rules.enforce(audit.findings()),
        rows,
        {name: [_tokens(row, name) for row in kept] for name in names},
        {column.name: _pad_value(column, job, audit) for column in columns},
        _padding_side(job.padding, job.pad, kept),
        [column.name for column in columns if is_label(column)],
        {name: found for name in names if (found := audit.id_range(name)) is not None},
        longest if maxlen is None else maxlen,
        [row.number for row in kept],
        job.padding is not None,
    )


def _sample_picks(count: int, seed: int) -> list[Pick]:
    """Return the picks of a sample: a few of the longest rows, a few of the shortest, and random rows."""
    few = max(1, count // 8)
    picks = [pick_longest(few), pick_shortest(few), pick_random(count, seed)] if count else []
    return [without_empty_rows(pick) for pick in picks]


def _maxlen(reading: Reading, job: AuditJob) -> int | None:
    """Return the length to which raw rows are cut; None if rows are padded to the longest row."""
    spec = job.pad.spec
    if not needs_lengths(spec):
        return make_plan(spec).maxlen
    if spec.maxlen == "longest":
        return None
    stats = LengthStats()
    with open_audit_rows(reading, "measuring", job, report_bad_rows=True) as all_rows:
        for rows in all_rows:
            stats += LengthStats.of(row_lengths(rows.ragged)[~rows.bad])
    return make_plan(spec, stats).maxlen


def _pad_value(column: PadColumn, job: AuditJob, audit: Audit) -> Any:
    """Return the pad value from the metadata or the padded places, else the requested value."""
    known = job.values[column.name]
    if known is None:
        known = audit.pad_value(column.name)
    return column.value if known is None else known


def _padding_side(padding: Padding | None, job: Job, kept: Sequence[Row]) -> Side:
    if padding is None:
        return job.spec.padding
    if padding.padding is not None:
        return padding.padding
    # Neither the user nor the metadata name a side, so use the side of most rows.
    edges = [row.mask[[0, -1]] for row in kept if row.mask is not None and len(row.mask)]
    return side_of(np.array(edges).reshape(-1, 2)) or "post"


def _tokens(row: Row, name: str) -> npt.NDArray[Any]:
    values = row.values[name]
    if row.mask is None:
        return values
    # The mask of a bad row may have another length.
    return values[row.mask] if len(row.mask) == len(values) else values[:0]
