"""Audit data and take a sample of their rows, in one pass; in two where a length must be found."""

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
from padmask.errors import SpecError, did_you_mean
from padmask.formats.dataset import Dataset
from padmask.spec.checks import check_fields, flag, strings
from padmask.spec.files import ReadOptions
from padmask.spec.pad import Side
from padmask.stream.job import Job, PadRequest
from padmask.stream.passes import prepared_rows
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
    add_file_findings,
    audit_column,
    audited_rows,
    make_audit_job,
    open_audit,
)
from padmask.verify.data.rules import RULES, Audit, Finding


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """How the data's rules are enforced.

    Args:
        strict: whether warnings are errors.
        allow: rules that may be broken.
    """

    strict: bool = False
    allow: Collection[str] = ()

    def __post_init__(self) -> None:
        check_fields(self, strict=flag, allow=strings)
        for name in self.allow:
            if name not in RULES:
                raise SpecError(
                    f"There is no rule {name!r}.{did_you_mean(name, list(RULES))} "
                    f"Choose one of {', '.join(RULES)}."
                )

    def enforce(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings with the severity that they have here."""
        return [
            replace(finding, rule=replace(finding.rule, severity=self._of(finding))) for finding in findings
        ]

    def _of(self, finding: Finding) -> str:
        if finding.rule.name in self.allow:
            return "allowed"
        return "error" if self.strict else finding.rule.severity


@dataclass(frozen=True)
class AuditedData:
    """What one look at the data gives: findings, and rows to prove things on.

    Args:
        name: of the input.
        findings: what the rules found, as they are enforced.
        rows: how many there are.
        sample: real tokens by column, for the rows that were picked.
        values: the pad value of each column.
        padding: the side of the padding.
        labels: columns that hold labels.
        ids: the smallest and largest token, by column of whole numbers.
        maxlen: places in a padded row.
        numbers: the sample's rows, by their places in the whole input.
        padded: whether they were padded already.
        notes: sentences about what else the user should know.
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
    notes: Sequence[str] = ()

    @property
    def token_column(self) -> str:
        """The column to prove on: the first that holds no labels."""
        return next((name for name in self.sample if name not in self.labels), next(iter(self.sample)))


@dataclass(frozen=True)
class AuditRequest:
    """How the data are looked at.

    Args:
        asked: which columns, and how raw rows are padded.
        rules: how rules are enforced.
        mask_column: of padded rows; None finds it out.
        declared: side of the padding of padded rows; None takes what the metadata say.
        files: how files are read.
        progress: called now and then with how far the pass is.
    """

    asked: PadRequest
    rules: RuleSpec
    mask_column: str | None = None
    declared: Side | None = None
    files: ReadOptions = field(default_factory=ReadOptions)
    progress: ProgressCallback | None = None


def audit_and_sample(
    dataset: Dataset,
    looking: AuditRequest,
    sample: int = 0,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
) -> AuditedData:
    """Audit the data and take a sample, in one pass; in two where a length must be found.

    Args:
        dataset: the data.
        looking: how they are looked at.
        sample: rows to keep.
        seed: of the draw.
        numbers: the rows to keep, where another column has picked them.
    """
    asked, limit = looking.asked, looking.files.limit
    if needs_lengths(asked.spec) and asked.spec.maxlen != "longest":
        # Before anything is looked at: what was taken from a pipe already would not be copied.
        dataset.spool(limit)
    job = make_audit_job(dataset, asked, looking.mask_column, looking.declared)
    audit, columns = open_audit(job), job.pad.columns
    add_file_findings(audit, dataset, job, limit)
    sampler = RowSampler(_sample_picks(sample, seed) if numbers is None else [pick_numbers(numbers)])
    rows = longest = 0
    with open_reading(dataset, looking.files, looking.progress) as reading:
        maxlen = None if job.padding else _maxlen(reading, job.pad)
        with closing(audited_rows(reading, "auditing", job, audit, maxlen)) as batches:
            for lengths, row_at in batches:
                sampler.take(lengths, row_at, rows)
                rows += len(lengths)
                longest = max(longest, int(lengths.max(initial=0)))
    kept = choose_rows(sampler.kept, sample if numbers is None else None)
    names = [column.name for column in columns]
    return AuditedData(
        dataset.name,
        looking.rules.enforce(audit.findings()),
        rows,
        {name: [_tokens(row, name) for row in kept] for name in names},
        {column.name: _pad_value(column, job.padding, audit) for column in columns},
        _padding_side(job.padding, job.pad, kept),
        [column.name for column in columns if is_label(column)],
        {name: found for name in names if (found := audit.id_range(name)) is not None},
        longest if maxlen is None else maxlen,
        [row.number for row in kept],
        job.padding is not None,
        job.notes,
    )


def _sample_picks(count: int, seed: int) -> list[Pick]:
    """Return what a sample is made of: some of the longest rows and the shortest, and others at random."""
    few = max(1, count // 8)
    picks = [pick_longest(few), pick_shortest(few), pick_random(count, seed)] if count else []
    return [without_empty_rows(pick) for pick in picks]


def _maxlen(reading: Reading, job: Job) -> int | None:
    """Return the length that raw rows are cut to; None where the longest is kept."""
    if not needs_lengths(job.spec):
        return make_plan(job.spec).maxlen
    if job.spec.maxlen == "longest":
        return None
    stats = LengthStats()
    with prepared_rows(reading, "measuring", job) as all_rows:
        for rows in all_rows:
            stats += LengthStats.of(rows.lengths)
    return make_plan(job.spec, stats).maxlen


def _pad_value(column: PadColumn, padding: Padding | None, audit: Audit) -> Any:
    """Return the pad value: what the metadata or the padded places say, else what was asked for."""
    known = audit_column(column, padding).value
    if known is None:
        known = audit.pad_value(column.name)
    return column.value if known is None else known


def _padding_side(padding: Padding | None, job: Job, kept: Sequence[Row]) -> Side:
    if padding is None:
        return job.spec.padding
    if padding.padding is not None:
        return padding.padding
    # Nothing declares a side: that of most rows.
    edges = [row.mask[[0, -1]] for row in kept if row.mask is not None and len(row.mask)]
    return side_of(np.array(edges).reshape(-1, 2)) or "post"


def _tokens(row: Row, name: str) -> npt.NDArray[Any]:
    values = row.values[name]
    return values if row.mask is None else values[row.mask]
