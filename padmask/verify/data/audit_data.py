"""Check data against the rules, and sample rows for the checks of models in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import PadColumn, choose_columns, is_label
from padmask.core.length_stats import LengthStats
from padmask.core.packed_layout import PackedLayout, missing_marker
from padmask.core.padding import Padding
from padmask.core.plan import make_plan, needs_lengths
from padmask.core.table import row_lengths
from padmask.errors import LaterPaddingError, SpecError, did_you_mean, quoted
from padmask.formats.dataset import Dataset, open_inputs
from padmask.spec.checks import check_fields, flag, strings
from padmask.spec.files import ReadOptions
from padmask.spec.mask import Dialect
from padmask.spec.pad import Side
from padmask.spec.rules import RULES
from padmask.stream.job import Job, PadRequest
from padmask.stream.json_schema import known_schema
from padmask.stream.late_fields import late_notes
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
from padmask.verify.data.audit_job import AuditJob, find_ones, make_audit_job
from padmask.verify.data.audit_rows import (
    add_file_findings,
    audit_rows,
    findings_of,
    open_audit_rows,
    open_audits,
)
from padmask.verify.data.compare import InputComparison
from padmask.verify.data.findings import Finding
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.data.padded_layout import PaddedLayout, padded_layout
from padmask.verify.data.padded_rows import side_of
from padmask.verify.data.rules import Audit
from padmask.verify.data.sequence_values import SequenceValues


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """Options for the rules that data must satisfy.

    Args:
        strict: whether warnings count as errors.
        allow: names of rules whose violations are not errors. Such violations are reported as allowed.
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
        """Return the findings with the severities that `strict` and `allow` determine."""
        return [
            replace(finding, rule=replace(finding.rule, severity=self._of(finding))) for finding in findings
        ]

    def _of(self, finding: Finding) -> str:
        if finding.rule.name in self.allow:
            return "allowed"
        return "error" if self.strict else finding.rule.severity


@dataclass(frozen=True)
class AuditedData:
    """The result of checking data against the rules, and a sample of rows for the checks of models.

    Args:
        name: name of the checked dataset.
        findings: violations of the rules, with the severities from the `RuleSpec`.
        rows: number of rows in the dataset.
        sample: real tokens of each sampled row, by column name.
        values: pad value of each column, by column name.
        padding: side of the padding, `"post"` or `"pre"`.
        labels: names of the label columns.
        ids: smallest and largest token of each integer column, by column name.
        maxlen: number of positions in a padded row.
        numbers: row number of each sampled row in the dataset, from 0.
        padded: whether the dataset is already padded.
        has_empty_rows: whether some rows have no tokens.
        notes: facts about the files, such as files that were not read.
        packed: how the rows are packed; None if the rows are not packed.
        segments: for each sampled row, the number of the sequence at each position, from 1, and 0 at padding:
            int64, shape (positions of the row,). None if the sequences of the row are unknown.
        against: name of the input from which the rows were made, if they were compared with it; else empty.
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
    has_empty_rows: bool = False
    notes: Sequence[str] = ()
    packed: PackedLayout | None = None
    segments: Sequence[npt.NDArray[np.int64] | None] = ()
    against: str = ""

    @property
    def described(self) -> dict[str, Any]:
        """Entries about the data for `Report.environment`."""
        return {"data": self.name, "rows": self.rows, **({"against": self.against} if self.against else {})}

    @property
    def token_column(self) -> str:
        """Name of the column for the model checks: the first column that does not contain labels."""
        return next((name for name in self.sample if name not in self.labels), next(iter(self.sample)))


@dataclass(frozen=True)
class AuditRequest:
    """The options for checking data against the rules.

    Args:
        asked: columns to check, and padding options for raw rows.
        rules: strictness and allowed violations.
        mask_column: mask column of padded rows. If None, the column in the file metadata is used, else a
            column with a common mask name.
        declared: side of the padding of padded rows. If None, the side in the file metadata is used, else the
            most common side.
        files: options for reading files.
        progress: callback that receives progress updates.
        dialect: polarity and kind of the mask. If None, those in the file metadata are used, else those that
            the name of the mask column suggests.
        against: paths of the input from which the packed or padded rows were made; empty for no comparison.
        recurrent: whether the rows are for a model with recurrent layers.
        on_data: callback that receives the report on the data before the models run.
        masked: the value that the model masks; None if there is no model, or if the model masks no value.
    """

    asked: PadRequest
    rules: RuleSpec
    mask_column: str | None = None
    declared: Side | None = None
    files: ReadOptions = field(default_factory=ReadOptions)
    progress: ProgressCallback | None = None
    dialect: Dialect | None = None
    against: Sequence[str] = ()
    recurrent: bool = False
    on_data: Callable[[Any], None] | None = None
    masked: MaskedValue | None = None


def audit_and_sample(
    dataset: Dataset,
    request: AuditRequest,
    sample: int = 0,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
) -> AuditedData:
    """Check all rows against the rules and sample some of them, in one pass over the data.

    If maxlen is a percentile, a first pass measures the row lengths.

    Args:
        dataset: dataset to read.
        request: options of the check.
        sample: number of rows to sample.
        seed: random seed of the sample.
        numbers: row numbers to sample, such as those that were sampled for another column. If given,
            `sample` and `seed` are ignored.
    """
    try:
        return _audit_and_sample(dataset, request, sample, seed, numbers)
    except LaterPaddingError as error:
        if dataset.once:
            # A pipe can be read only once.
            raise
        # The first rows contain no padding. Read the rows again with the mask.
        return _audit_and_sample(dataset, replace(request, mask_column=error.column), sample, seed, numbers)


def _audit_and_sample(
    dataset: Dataset, request: AuditRequest, sample: int, seed: int, numbers: Sequence[int] | None
) -> AuditedData:
    """Check and sample the rows as `audit_and_sample` does.

    Raises:
        LaterPaddingError: a mask marks padding only after the first rows.
    """
    asked, limit = request.asked, request.files.limit
    if request.against or (needs_lengths(asked.spec) and asked.spec.maxlen != "longest"):
        # A pipe can be read only once, so copy it to a file before the first of two passes. To describe the
        # first difference between the rows and their input, the rows are read again.
        dataset.spool(limit)
    job = make_audit_job(dataset, asked, request.mask_column, request.declared, request.dialect)
    if request.against and job.padding is None and job.unseparated is None and not job.unmarked:
        # If no row was padded, the mask contains only ones.
        ones = find_ones(dataset, job)
        if ones is not None:
            job = make_audit_job(dataset, asked, ones, request.declared, request.dialect)
    job = replace(job, masked=request.masked)
    audits, columns = open_audits(job), job.pad.columns
    audit = audits[0]
    add_file_findings(audits, dataset, job, limit)
    sampler = RowSampler(_sample_picks(sample, seed) if numbers is None else [pick_numbers(numbers)])
    rows = longest = 0
    inputs = _open_input(dataset, request, job)
    collected: list[InputComparison | None] = []
    notes: list[str] = []
    if inputs is not None:
        inputs.spool()
        job, collected, notes = _compare_groups(dataset, inputs, job, asked)
    with open_reading(dataset, request.files, request.progress) as reading:
        maxlen = None if job.padding else _maxlen(reading, job)
        checked = audit_rows(reading, "auditing", job, audits, maxlen, collected=collected)
        with closing(checked) as batches:
            for checked_rows in batches:
                # Only rows without faults are sampled for models.
                batch = checked_rows.without_bad_rows()
                sampler.take(batch.lengths, batch.row_at, rows)
                rows += len(batch.lengths)
                longest = max(longest, int(batch.lengths.max(initial=0)))
    if inputs is not None:
        options = replace(request.files, limit=None, input_format=None)
        with closing(inputs), open_reading(inputs, options, request.progress) as reading:
            for place, its in enumerate(collected):
                if its is not None:
                    again = partial(_read_again, dataset, request, job, place)
                    notes += its.compare(reading, audits[place], rows, again, limit)
    kept = choose_rows(sampler.kept, sample if numbers is None else None)
    names = [column.name for column in columns]
    return AuditedData(
        dataset.name,
        request.rules.enforce(findings_of(audits, recurrent=request.recurrent)),
        rows,
        {name: [_tokens(row, name) for row in kept] for name in names},
        {column.name: _pad_value(column, job, audit) for column in columns},
        _padding_side(job.padding, job.pad, kept),
        [column.name for column in columns if is_label(column)],
        {name: found for name in names if (found := audit.id_range(name)) is not None},
        longest if maxlen is None else maxlen,
        [row.number for row in kept],
        job.padding is not None,
        any(finding.rule.name == "row-fully-masked" for finding in audit.findings()),
        (*dataset.notes, *job.notes, *notes, *late_notes(audit.late, "check")),
        job.packed,
        [row.segments for row in kept],
        "" if inputs is None else inputs.name,
    )


def _read_again(
    dataset: Dataset, request: AuditRequest, job: AuditJob, place: int, wanted: SequenceValues
) -> None:
    """Read the rows again until `wanted` has collected the values of its sequence.

    Args:
        dataset: the packed or padded rows.
        request: options of the check.
        job: columns to check.
        place: index of the group of columns that has the sequence.
        wanted: object that collects the values of one sequence.
    """
    collected = [wanted if index == place else None for index in range(len(job.groups))]
    with open_reading(dataset, request.files, request.progress) as reading:
        checked = audit_rows(reading, "comparing", job, open_audits(job), collected=collected)
        with closing(checked) as batches:
            for _ in batches:
                if wanted.found is not None:
                    break


def _open_input(dataset: Dataset, request: AuditRequest, job: AuditJob) -> Dataset | None:
    """Return the input to compare with the rows; None if the user requested no comparison."""
    if not request.against:
        return None
    if job.unseparated is not None:
        raise SpecError(
            f"`against` cannot compare the rows with their input: {missing_marker(job.unseparated)}. "
            "Remove `against`.",
            options=["against"],
        )
    has_rows = not dataset.format.is_text or bool(dataset.schema().names)
    if has_rows and job.padding is None:
        raise SpecError(
            "`against` compares padded or packed rows with their input, but no column marks padding in the "
            "data. Choose the mask with --mask-column, or remove `against`.",
            options=["against", "mask_column"],
        )
    return open_inputs(request.against, replace(request.files, limit=None, input_format=None))


def _compare_groups(
    dataset: Dataset, inputs: Dataset, job: AuditJob, asked: PadRequest
) -> tuple[AuditJob, list[InputComparison | None], list[str]]:
    """Prepare to compare each group of columns with the input.

    Args:
        dataset: the packed or padded rows.
        inputs: the input from which these rows were made.
        job: columns to check.
        asked: columns and options that the user requested.

    Returns:
        Three values: the job, which now also reads the columns that the comparison needs; for each group, the
        object that collects its rows, or None if the group is not compared; and notes.
    """
    groups, notes = [], []
    collected: list[InputComparison | None] = []
    names, is_text = inputs.schema().names, dataset.format.is_text
    for group in job.groups:
        layout, columns = group.packed, group.pad.columns
        if layout is None and group.padding is not None:
            padded = padded_layout(dataset.schemas(), [column.name for column in columns], group.padding)
            layout, group = padded, replace(group, locating=padded.locating)
        if layout is None:
            # JSON Lines without rows have no columns, so the columns to compare come from the input. It is
            # unknown whether such a file was padded or packed.
            columns = _columns_of_input(inputs, asked)
            names_to_compare = tuple(column.name for column in columns)
            layout = PaddedLayout(names_to_compare, None, sources=False, marker=None)
        groups.append(group)
        if group is not job.groups[0] and names and columns[0].name not in names:
            lacking = quoted([column.name for column in columns])
            notes.append(f"not compared: {lacking} (the input has no column {columns[0].name!r})")
            collected.append(None)
            continue
        collected.append(InputComparison(layout, columns, names, group.counts, is_text=is_text))
    first, *also = groups
    return replace(first, also=tuple(also)), collected, notes


def _columns_of_input(inputs: Dataset, asked: PadRequest) -> list[PadColumn]:
    """Return the columns of the input that `pad` or `pack` reads by default or on request."""
    with inputs.named_in_errors():
        return choose_columns(known_schema(inputs, asked.columns, asked.spec), asked.columns, asked.spec)


def _sample_picks(count: int, seed: int) -> list[Pick]:
    """Return picks that choose some of the longest rows, some of the shortest rows, and random rows."""
    few = max(1, count // 8)
    picks = [pick_longest(few), pick_shortest(few), pick_random(count, seed)] if count else []
    return [without_empty_rows(pick) for pick in picks]


def _maxlen(reading: Reading, job: AuditJob) -> int | None:
    """Return the length to which raw rows are truncated; None if no row is truncated."""
    spec = job.pad.spec
    if not needs_lengths(spec):
        return make_plan(spec).maxlen
    if spec.maxlen == "longest":
        return None
    stats = LengthStats()
    with open_audit_rows(reading, "measuring", job) as all_rows:
        for batch in all_rows:
            rows = batch.groups[0]
            stats += LengthStats.of(row_lengths(rows.ragged)[~rows.bad])
    return make_plan(spec, stats).maxlen


def _pad_value(column: PadColumn, job: AuditJob, audit: Audit) -> Any:
    """Return the pad value in `job`, else the value found in the padding, else the value of the column."""
    known = job.values[column.name]
    if known is None:
        known = audit.pad_value(column.name)
    return column.value if known is None else known


def _padding_side(padding: Padding | None, job: Job, kept: Sequence[Row]) -> Side:
    if padding is None:
        return job.spec.padding
    if padding.padding is not None:
        return padding.padding
    # Neither the user nor the metadata specifies the side of the padding, so use the most common side.
    edges = [row.mask[[0, -1]] for row in kept if row.mask is not None and len(row.mask)]
    return side_of(np.array(edges).reshape(-1, 2)) or "post"


def _tokens(row: Row, name: str) -> npt.NDArray[Any]:
    values = row.values[name]
    if row.mask is None:
        return values
    # The mask of a bad row may have a different length.
    return values[row.mask] if len(row.mask) == len(values) else values[:0]
