"""Check whether a dataset is padded, and check its rows against the rules.

`inspect` and `verify` share this code.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_list
from padmask.core.columns import IGNORED_LABEL, MASK_NAMES, name_columns
from padmask.core.companions import list_names
from padmask.core.inverted_mask import check_polarity
from padmask.core.later_masks import later_zero
from padmask.core.metadata import described_names, read_descriptions
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_layout import PackedLayout, missing_marker
from padmask.core.padding import Padding, read_groups
from padmask.core.source_order import has_batches
from padmask.core.still_padded import is_named_mask
from padmask.core.unpad_job import UnpadJob, dialects_of, groups_with_marks, unsure_columns
from padmask.errors import PaddedError, SpecError, column_flags, quoted
from padmask.formats.dataset import Dataset
from padmask.spec.batches import BATCH
from padmask.spec.columns import Column, Columns
from padmask.spec.mask import Dialect
from padmask.spec.pad import Side
from padmask.spec.rules import RULES
from padmask.spec.unpad import UnpadSpec
from padmask.spec.warning_names import Warned
from padmask.stream.choice import unpaddable_notes
from padmask.stream.first_rows import first_batches, read_first_rows
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.packing import find_dataset_packing
from padmask.stream.padding import find_dataset_padding, unmarked_padding_notes
from padmask.stream.run import Reading
from padmask.verify.data.collect_padded import PaddedRowCollector
from padmask.verify.data.columns import (
    audit_columns,
    known_pad_values,
    mask_fields,
    other_mask_columns,
)
from padmask.verify.data.compare import InputComparison
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.data.packed_rows import PackedRowAudit
from padmask.verify.data.padded_rows import PaddedRowAudit
from padmask.verify.data.raw_rows import audit_raw_rows
from padmask.verify.data.rows_to_check import AuditBatch, AuditRows, CheckedRows, GroupToRead, map_audit_rows
from padmask.verify.data.rules import Audit, Finding
from padmask.verify.data.sequence_values import SequenceValues


@dataclass(frozen=True)
class AuditJob:
    """The columns to check against the rules, and how their padding is marked.

    Args:
        pad: columns to check, and padding options for raw rows.
        padding: columns that mark the padding of padded rows; None for raw rows.
        values: known pad value of each column; None if unknown.
        masks: mask columns of the tokens, except the mask in `padding`.
        unmarked: names of padded files without the columns that marked their padding.
        notes: notes about the columns, which are not findings.
        side_from: source of the expected side of the padding, such as `"--padding post"`, for messages. If
            empty, the most common side is expected.
        also: jobs for the columns whose padding is marked by other mask or length columns.
        batched: whether the padded length may differ between batches. If False, all padded rows have the same
            length.
        packed: how the rows are packed; None if they are not packed.
        counts: numbers of rows and tokens in the metadata of packed files, keyed by file name.
        unseparated: how the rows are packed, if no column separates their sequences; None if a column does,
            or if the rows are not packed.
        locating: names of the columns that locate padded rows in their input, as in `PaddedLayout`. These
            columns are read only to compare the rows with the input.
        masked: the value that the model masks; None if there is no model, or if the model masks no value.
        late_masks: names of masks of ones. If such a mask marks padding after the first rows, the rows are
            padded, because all first rows have the same length.
        misaligned: columns of raw rows, such as labels, that have the lengths of the tokens in most rows.
    """

    pad: Job
    padding: Padding | None
    values: Mapping[str, Any]
    masks: Sequence[pa.Field] = ()
    unmarked: Sequence[str] = ()
    notes: Sequence[str] = ()
    side_from: str = ""
    also: tuple[AuditJob, ...] = ()
    batched: bool = False
    packed: PackedLayout | None = None
    counts: Mapping[str, PackedCounts] = field(default_factory=dict)
    unseparated: PackedLayout | None = None
    locating: tuple[str, ...] = ()
    masked: MaskedValue | None = None
    late_masks: tuple[str, ...] = ()
    misaligned: tuple[pa.Field, ...] = ()

    @property
    def groups(self) -> tuple[AuditJob, ...]:
        """The jobs of all groups of columns. The first group has the tokens."""
        return (self, *self.also)


def make_audit_job(
    dataset: Dataset,
    asked: PadRequest,
    mask_column: str | None,
    declared: Side | None,
    dialect: Dialect | None = None,
) -> AuditJob:
    """Check whether the rows are padded, and choose the columns to check.

    If the metadata describes several groups of columns with different masks, each group is checked.

    Args:
        dataset: dataset to check.
        asked: columns to check, and padding options for raw rows.
        mask_column: mask column of padded rows. If None, the columns are found from the metadata, else by
            their names.
        declared: side of the padding of padded rows. If None, the side in the metadata is used, else the most
            common side.
        dialect: requested polarity and kind of the mask. If None, from the metadata, else from the name of
            the mask.

    Raises:
        SpecError: a column is missing or has an unsupported type.
        DataError: the metadata cannot be read, or the files are padded differently.
    """
    groups = [] if mask_column is not None else _requested_groups(dataset, asked.columns)
    first = groups[0] if asked.columns and len(groups) > 1 else asked.columns
    job = _make_group_job(dataset, replace(asked, columns=first), mask_column, declared, dialect)
    checked = {column.name for column in job.pad.columns}
    others = [columns for columns in groups if checked.isdisjoint(column.name for column in columns)]
    also = [
        _make_group_job(dataset, replace(asked, columns=other), None, declared, dialect) for other in others
    ]
    taken = {name for other in also if other.padding is not None for name in other.padding.names}
    # A mask that belongs to other columns is not a second mask of the tokens.
    masks = [field for field in job.masks if field.name not in taken]
    taken |= {column.name for other in also for column in other.pad.columns}
    notes = [*job.notes]
    if not asked.columns:
        notes += unpaddable_notes(dataset.schema(), job.pad.beside.unpaddable, "checked")
        # Omit masks, and columns that padmask padded, because other notes describe these columns.
        taken |= {*described_names(dataset.schema()), *(field.name for field in masks)}
        notes += _ragged_notes(dataset, job, taken)
        if job.padding is None and not also:
            job = replace(job, misaligned=_misaligned_columns(dataset, job, taken))
    late_masks = () if job.padding is not None or also or mask_column else _late_masks(dataset, job)
    return replace(job, also=tuple(also), masks=masks, notes=notes, late_masks=late_masks)


def find_ones(dataset: Dataset, job: AuditJob) -> str | None:
    """Return the name of a mask that marks all positions of the first rows as tokens; None without one.

    Args:
        dataset: dataset to check.
        job: columns to check.
    """
    rows, first = read_first_rows(dataset, list_names(dataset.schema())), job.pad.columns[0].name
    return next((name for name in MASK_NAMES if rows.are_ones(name, first)), None)


def _late_masks(dataset: Dataset, job: AuditJob) -> tuple[str, ...]:
    if not job.pad.watched:
        return ()
    rows, first = read_first_rows(dataset, list_names(dataset.schema())), job.pad.columns[0].name
    if first not in rows.lengths or not rows.have_one_length(first):
        return ()
    return tuple(name for name in job.pad.watched if rows.are_ones(name, first))


def _requested_groups(dataset: Dataset, columns: Columns) -> list[list[Column]]:
    """Divide columns into the groups that the metadata describes, and omit columns without a group.

    Args:
        dataset: dataset to check.
        columns: requested columns. If empty, all columns of the dataset are used.
    """
    schema = dataset.schema()
    if dataset.format.is_text or not schema.names:
        return []
    with dataset.named_in_errors():
        requested = name_columns(schema, columns) if columns else list(map(Column, schema.names))
    groups = groups_with_marks(dataset.schemas(), [column.name for column in requested] if columns else ())
    found = ([column for column in requested if column.name in names] for names in groups)
    return [group for group in found if group]


def _make_group_job(
    dataset: Dataset,
    asked: PadRequest,
    mask_column: str | None,
    declared: Side | None,
    dialect: Dialect | None,
) -> AuditJob:
    """Return the job for the requested or default columns, whose padding is marked by the same mask."""
    found = find_dataset_padding(dataset, asked.columns, mask_column, dialect)
    packed = find_dataset_packing(dataset, None, mask_column, dialect)
    if packed is not None and packed.marker is not None:
        found = _packed_padding(found, packed)
    elif packed is not None and packed.packing is not None and not packed.packing.pad:
        # Rows without padding need no mask.
        found = found if found is not None and found.names else None
    has_marks = found is not None and (found.names or (packed is not None and packed.marker is not None))
    unmarked = [] if found is None or has_marks else _described_files(dataset)
    padding = found if has_marks else None
    if padding is not None and declared is not None:
        padding = replace(padding, padding=declared)
    columns = asked.columns or (list(padding.values) if padding is not None else None)
    job = make_job(dataset, replace(asked, columns=columns), keep_others=False, purpose="audit")
    if padding is not None and padding.mask in [column.name for column in job.columns]:
        raise SpecError(
            f"{dataset.name}: column {padding.mask!r} cannot be both a sequence and its mask. "
            "Choose another column with -c or --mask-column.",
            options=["columns", "mask_column"],
        )
    if packed is not None and not asked.columns:
        job = replace(job, columns=[column for column in job.columns if column.name not in packed.describing])
    job, unsure_notes = _without_unsure(dataset, job, padding, asked)
    masks = mask_fields(dataset, other_mask_columns(dataset, job.columns, padding))
    if packed is not None:
        masks = [field for field in masks if field.name not in packed.describing]
    values = known_pad_values(job.columns, padding, requested=bool(asked.columns))
    # The pad value -100 shows that a column has labels.
    described = {} if padding is None else padding.values
    labels = {name for name, value in described.items() if value == IGNORED_LABEL}
    job = replace(
        job,
        columns=[replace(its, value=IGNORED_LABEL) if its.name in labels else its for its in job.columns],
    )
    suspicions = job.beside.suspicions if padding is None else ()
    notes = [*suspicions, *job.beside.notes, *unsure_notes]
    if padding is not None and not asked.columns:
        notes += unmarked_padding_notes(dataset, padding)
    notes += _inverted_notes(dataset, job, None if dialect is not None else padding)
    side_from = ""
    if padding is not None and padding.padding is not None:
        side_from = f"--padding {declared}" if declared is not None else "the file metadata"
    groups = next(iter(read_groups(dataset.schemas()).values()), [])
    batched = padding is not None and has_batches(dataset.schema(), groups)
    packed = _packing_of_columns(packed, [column.name for column in job.columns])
    unseparated, more_notes = _without_marker(packed)
    notes += more_notes
    if padding is None:
        packed = None
    counts = {} if packed is None or dataset.format.is_text else _counts_of(dataset)
    return AuditJob(
        job,
        padding,
        values,
        masks,
        unmarked,
        notes,
        side_from,
        batched=batched,
        packed=packed,
        counts=counts,
        unseparated=unseparated,
    )


def _inverted_notes(dataset: Dataset, job: Job, padding: Padding | None) -> list[Warned]:
    """Return a warning if the mask seems to mark padding as tokens."""
    if padding is None:
        return []
    columns = (job.columns[0].name,)
    unpad = UnpadJob(columns, padding.mask, None, "post", (), dialect=padding.dialect)
    try:
        check_polarity(dataset.schema(), unpad, UnpadSpec(), first_batches(dataset, unpad.names))
    except PaddedError as error:
        return [Warned("mask-uncertain", f"{padding.mask!r}: {error.message}. {error.remedy}")]
    return []


def _packing_of_columns(packed: PackedLayout | None, names: Collection[str]) -> PackedLayout | None:
    """Return how the rows are packed; None if the metadata says that none of the columns is packed."""
    if packed is not None and packed.described and set(names).isdisjoint(packed.columns):
        return None
    return packed


def _without_marker(packed: PackedLayout | None) -> tuple[PackedLayout | None, list[Warned]]:
    """Return `packed` and a note if no column separates the sequences of packed rows; otherwise None."""
    if packed is None or packed.marker is not None:
        return None, []
    text = f"{missing_marker(packed)}. The sequences were not checked"
    return packed, [Warned("sequences-not-separated", text)]


def _counts_of(dataset: Dataset) -> dict[str, PackedCounts]:
    found = {name: PackedCounts.read(schema) for name, schema in dataset.schemas().items()}
    return {name: counts for name, counts in found.items() if counts is not None}


def _packed_padding(found: Padding | None, packed: PackedLayout) -> Padding:
    """Return the columns that mark the padding of packed rows."""
    if found is not None and found.mask == packed.mask:
        return found
    return replace(found or Padding(None, None), mask=packed.mask, padding="post", dialect=packed.dialect)


def _without_unsure(
    dataset: Dataset, job: Job, padding: Padding | None, asked: PadRequest
) -> tuple[Job, list[Warned]]:
    """Leave out columns whose padding another mask may mark, and return a warning for each."""
    # If there is metadata or the user chose the columns, it is known which mask belongs to a column.
    if padding is None or padding.values or asked.columns:
        return job, []
    schema = dataset.schema()
    dialects = dialects_of([((), padding)])
    unsure = unsure_columns(schema, padding, (), read_first_rows(dataset, list_names(schema), dialects))
    columns = [column for column in job.columns if column.name not in unsure]
    notes = [
        Warned(
            "mask-uncertain",
            f"not checked: {column.name!r} (its mask may be {unsure[column.name]!r}). To check the column: "
            f"{column_flags([column.name])} --mask-column {shlex.quote(unsure[column.name])}",
        )
        for column in job.columns
        if column.name in unsure
    ]
    return replace(job, columns=columns), notes


def _ragged_notes(dataset: Dataset, job: AuditJob, checked: Collection[str]) -> list[Warned]:
    """Return a warning about columns that are not checked, because the first column has other lengths."""
    marks = () if job.padding is None else job.padding.names
    names = [name for name in job.pad.beside.ragged if name not in checked and name not in marks]
    if not names:
        return []
    masks = _masks_of(dataset, names)
    names = [name for name in names if name not in masks.values()]
    first = job.pad.columns[0].name
    # If few rows differ, these rows are probably bad rows, which only a check with the first column finds.
    rows = read_first_rows(dataset, list_names(dataset.schema()))
    flags = [
        column_flags([first, name] if rows.have_similar_lengths(first, name) else [name])
        + (f" --mask-column {shlex.quote(masks[name])}" if name in masks else "")
        for name in names
    ]
    text = f"not checked: {quoted(names)} (lengths differ from {first!r}). To check: {'; '.join(flags)}"
    return [Warned("lengths-differ", text)]


def _misaligned_columns(dataset: Dataset, job: AuditJob, taken: Collection[str]) -> tuple[pa.Field, ...]:
    """Return the columns that have the lengths of the tokens in most, but not nearly all, first rows.

    Args:
        dataset: dataset to check.
        job: columns to check.
        taken: names of other columns that are checked.
    """
    names = [name for name in job.pad.beside.ragged if name not in taken]
    rows = read_first_rows(dataset, [job.pad.columns[0].name, *names])
    schema, first = dataset.schema(), job.pad.columns[0].name
    return tuple(
        schema.field(name)
        for name in names
        if rows.are_misaligned(first, name) and is_list(schema.field(name).type)
    )


def _masks_of(dataset: Dataset, names: Sequence[str]) -> dict[str, str]:
    """Return the name of the mask of each column, for the columns that have a mask, keyed by column name.

    In the first rows, a column and its mask have the same lengths, and the mask contains a 0.
    """
    schema = dataset.schema()
    rows = read_first_rows(dataset, list_names(schema))
    masks = [name for name in rows.zeros if is_named_mask(schema.field(name))]
    return {
        name: mask
        for name in names
        for mask in masks
        if mask != name and rows.have_same_lengths(mask, name) and rows.show_padding(mask, name)
    }


def _described_files(dataset: Dataset) -> list[str]:
    """Return the names of the files with padmask metadata."""
    return [name for name, schema in dataset.schemas().items() if read_descriptions(schema.metadata)]


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
        audits[-1].add_sides(padding.sides)
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
            audit.add_types(column.name, dataset.types_of(column.name))
    audits[0].add_unmarked(job.unmarked)
    audits[0].add_unlisted_files(dataset.unlisted_files)
    audits[0].add_files_without_end(dataset.lacking_end(limit))


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
        The rows of each batch. A bad row is a finding, and a row with bad tokens has length 0.

    Raises:
        LaterPaddingError: one of `job.late_masks` marks padding. The job must be made with this mask.
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
    """Return the function that checks a batch of rows of one group, and the function to call at the end."""
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
