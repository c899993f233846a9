"""Audit data and take a sample of their rows, in one pass; in two where a length must be found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import PadColumn, is_label
from padmask.core.plan import LengthStats, make_plan, needs_lengths
from padmask.errors import SpecError, did_you_mean
from padmask.formats.dataset import Dataset
from padmask.spec.checks import check_fields, flag, strings
from padmask.spec.files import FileOptions
from padmask.spec.pad import Side
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.passes import prepared_rows
from padmask.stream.progress import ProgressCallback
from padmask.stream.run import Reading, open_reading
from padmask.verify.data.reading import (
    PaddingInfo,
    Row,
    RowGetter,
    audit_column,
    audit_padded_rows,
    audit_raw_rows,
    find_padding_info,
    side_of,
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


@dataclass(frozen=True)
class AuditRequest:
    """How the data are looked at."""

    asked: PadRequest
    rules: RuleSpec
    mask_column: str | None = None
    declared: Side | None = None
    limit: int | None = None
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
    asked, limit = looking.asked, looking.limit
    if needs_lengths(asked.spec) and asked.spec.maxlen != "longest":
        # Before anything is looked at: what was taken from a pipe already would not be copied.
        dataset.spool(limit)
    layout = find_padding_info(dataset, asked.columns, looking.mask_column)
    if layout is not None and looking.declared is not None:
        layout = replace(layout, padding=looking.declared)
    chosen = asked.columns or (list(layout.values) if layout else None)
    job = make_job(dataset, replace(asked, columns=chosen), keep_others=False)
    audit = Audit([audit_column(column, layout) for column in job.columns])
    for column in job.columns:
        audit.add_types(column.name, dataset.types_of(column.name))
    audit.add_strangers(dataset.strangers)
    audit.add_sides(layout.sides if layout else {})
    keep = _Keeper(sample, seed) if numbers is None else _Chosen(numbers)
    rows = longest = 0
    with open_reading(dataset, FileOptions(limit=limit), looking.progress) as reading:
        maxlen = None if layout else _maxlen(reading, job)
        source = (
            audit_raw_rows(reading, "auditing", job, audit, maxlen)
            if layout is None
            else audit_padded_rows(reading, "auditing", job, audit, layout)
        )
        with closing(source):
            for lengths, row_at in source:
                keep.take(lengths, row_at, rows)
                rows += len(lengths)
                longest = max(longest, int(lengths.max(initial=0)))
    kept = keep.rows()
    names = [column.name for column in job.columns]
    return AuditedData(
        dataset.name,
        looking.rules.enforce(audit.findings()),
        rows,
        {name: [_tokens(row, name) for row in kept] for name in names},
        {column.name: _pad_value(column, layout, audit) for column in job.columns},
        _padding(layout, job, kept),
        [column.name for column in job.columns if is_label(column)],
        {name: found for name in names if (found := audit.id_range(name)) is not None},
        longest if maxlen is None else maxlen,
        [row.number for row in kept],
        layout is not None,
        dataset.warnings(),
    )


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


def _pad_value(column: PadColumn, layout: PaddingInfo | None, audit: Audit) -> Any:
    """Return the pad value: what the metadata or the padded places say, else what was asked for."""
    known = audit_column(column, layout).value
    if known is None:
        known = audit.pad_value(column.name)
    return column.value if known is None else known


def _padding(layout: PaddingInfo | None, job: Job, kept: Sequence[Row]) -> Side:
    if layout is None:
        return job.spec.padding
    if layout.padding is not None:
        return layout.padding
    # Nobody declared a side: that of most rows.
    edges = [row.mask[[0, -1]] for row in kept if row.mask is not None and len(row.mask)]
    return side_of(np.array(edges).reshape(-1, 2)) or "post"


def _tokens(row: Row, name: str) -> npt.NDArray[Any]:
    values = row.values[name]
    return values if row.mask is None else values[row.mask]


class _Keeper:
    """Keeps the shortest rows, the longest, and others drawn at random, in one pass."""

    def __init__(self, count: int, seed: int) -> None:
        few = max(1, count // 8)
        self._count = count
        self._random = np.random.default_rng(seed)
        self._least: list[tuple[int, Callable[[Any], Any], list[tuple[float, Row]]]] = [
            (few, lambda lengths: -lengths, []),
            (few, lambda lengths: lengths, []),
            (count, lambda lengths: self._random.random(len(lengths)), []),
        ]

    def take(self, lengths: npt.NDArray[np.int64], row_at: RowGetter, first: int) -> None:
        real = np.flatnonzero(lengths > 0)
        for count, key, kept in self._least:
            keys = key(lengths)[real]
            best = np.argsort(keys, kind="stable")[:count]
            worst = kept[-1][0] if len(kept) == count and count else np.inf
            kept += [
                (float(keys[i]), row_at(int(real[i]), first + int(real[i]))) for i in best if keys[i] < worst
            ]
            kept.sort(key=lambda entry: entry[0])
            del kept[count:]

    def rows(self) -> list[Row]:
        found: dict[int, Row] = {}
        for _, _, kept in self._least:
            for _, row in kept:
                if len(found) < self._count:
                    found[row.number] = row
        return [found[number] for number in sorted(found)]


class _Chosen:
    """Keeps the rows of these numbers: those that were picked by another column."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = sorted(numbers)
        self._kept: list[Row] = []

    def take(self, lengths: npt.NDArray[np.int64], row_at: RowGetter, first: int) -> None:
        for number in self._numbers:
            if first <= number < first + len(lengths):
                self._kept.append(row_at(number - first, number))

    def rows(self) -> list[Row]:
        return self._kept
