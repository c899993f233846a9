"""Check whether a dataset is padded, and choose the columns to check against the rules: `AuditJob`.

`inspect` and `verify` share this code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.columns import IGNORED_LABEL, MASK_NAMES, name_columns
from padmask.core.companions import list_names
from padmask.core.inverted_mask import check_polarity
from padmask.core.metadata import described_names, read_descriptions
from padmask.core.packed_counts import PackedCounts
from padmask.core.packed_layout import PackedLayout, missing_marker
from padmask.core.padding import Padding, read_groups
from padmask.core.source_order import has_batches
from padmask.core.unpad_job import UnpadJob, groups_with_marks
from padmask.errors import PaddedError, SpecError
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Column, Columns
from padmask.spec.mask import Dialect
from padmask.spec.pad import Side
from padmask.spec.unpad import UnpadSpec
from padmask.spec.warning_names import Warned
from padmask.stream.choice import unpaddable_notes
from padmask.stream.first_rows import first_batches, read_first_rows
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.packing import find_dataset_packing
from padmask.stream.padding import find_dataset_padding, unmarked_padding_notes
from padmask.verify.data.columns import (
    known_pad_values,
    mask_fields,
    other_mask_columns,
)
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.data.unchecked_columns import find_misaligned, leave_out_unsure, ragged_notes


@dataclass(frozen=True)
class AuditJob:
    """The columns to check against the rules, and how their padding is marked.

    Args:
        pad: columns to check, and padding options for raw rows.
        padding: columns that mark the padding of padded rows; None for raw rows.
        values: pad value of each column, keyed by column name; None if unknown.
        masks: mask columns of the tokens, except the mask in `padding`.
        unmarked: names of padded files that lack the columns that marked their padding.
        notes: notes about the columns, which are not findings.
        side_from: source of the expected side of the padding, such as `"--padding post"`, for messages. If
            empty, the most common side is expected.
        also: jobs for the columns whose padding is marked by other mask or length columns.
        batched: whether the padded length may differ between batches. If False, all padded rows have the same
            length.
        packed: how the rows are packed; None if they are not packed.
        counts: counts of rows and tokens from the metadata of packed files, keyed by file name.
        unseparated: how the rows are packed, if no column separates their sequences. None if a column
            separates them, or if the rows are not packed.
        locating: names of the columns that contain the source of each padded row, as in `PaddedLayout`. These
            columns are read only to compare the rows with the input.
        masked: the value that the model masks; None if there is no model, or if the model masks no value.
        late_masks: names of masks that contain only ones in the first rows, if these rows have equal lengths.
            The rows may be padded, because such a mask may mark padding in later rows.
        misaligned: columns of raw rows, such as labels, that have as many values as tokens in most rows, but
            not in nearly all rows.
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
        dialect: requested polarity and kind of the mask. If None, those in the metadata are used, else those
            that the name of the mask suggests.

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
        notes += ragged_notes(dataset, job.pad, job.padding, taken)
        if job.padding is None and not also:
            job = replace(job, misaligned=find_misaligned(dataset, job.pad, taken))
    late_masks = () if job.padding is not None or also or mask_column else _late_masks(dataset, job)
    return replace(job, also=tuple(also), masks=masks, notes=notes, late_masks=late_masks)


def find_ones(dataset: Dataset, job: AuditJob) -> str | None:
    """Return the name of a mask that contains only ones in the first rows; None if there is no such mask.

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
    """Return the job for one group: the requested or default columns, which have the same mask."""
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
    job, unsure_notes = leave_out_unsure(dataset, job, padding, requested=bool(asked.columns))
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
    """Check whether a column separates the sequences of packed rows.

    Returns:
        `packed` and a warning if no column separates the sequences; otherwise None and no warning.
    """
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


def _described_files(dataset: Dataset) -> list[str]:
    """Return the names of the files with padmask metadata."""
    return [name for name, schema in dataset.schemas().items() if read_descriptions(schema.metadata)]
