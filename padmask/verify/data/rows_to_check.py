"""Read the rows to check, and separate the bad rows. A bad row cannot be read or padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import (
    Flags,
    list_lengths,
    null_flags,
    null_token_rows,
    with_floats,
    without_wrappers,
)
from padmask.core.columns import PadColumn
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.table import read_rows
from padmask.errors import DataError, Fault
from padmask.formats.contract import Batch, Chunk, Wanted
from padmask.spec.pad import FLOAT_DTYPES
from padmask.stream.job import Job
from padmask.stream.late_fields import later_zeros
from padmask.stream.ledger import Ledger
from padmask.stream.row_sample import BatchRows
from padmask.stream.rows import options_of
from padmask.stream.run import Reading


@dataclass(frozen=True)
class GroupToRead:
    """Columns with the same lengths, which are read and checked together.

    Args:
        job: columns to check. The lengths of the first column are the lengths of the rows.
        marks: mask and length columns to read in addition. An error in these columns does not make a row bad,
            because the rules about masks and lengths report such errors.
        padded: whether the rows are padded.
    """

    job: Job
    marks: Sequence[pa.Field]
    padded: bool

    @property
    def names(self) -> set[str]:
        """Names of the columns that are read."""
        return {column.name for column in self.job.columns} | {field.name for field in self.marks}


@dataclass(frozen=True)
class AuditRows:
    """Rows to check, with the columns of one group.

    Args:
        batch: the rows, with the mask and length columns.
        ragged: rows of each column, keyed by column name. A bad row is empty, except in the first column if
            that column is good.
        faults: the first `Fault` of each bad row, in order.
        bad_tokens: for each row, whether it is bad in the first column: bool, shape (rows,).
        late: names of unchecked columns that have no values in the first rows, but one value per token in
            later rows.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    faults: Sequence[Fault]
    bad_tokens: Flags
    late: Sequence[str] = ()

    @property
    def bad(self) -> Flags:
        """For each row, whether it cannot be read or padded: bool, shape (rows,)."""
        return _flags((fault.row for fault in self.faults), len(self.batch))

    def wrong_masks(self, name: str) -> Flags:
        """Return, for each row, whether it is good, but its mask contains a null or has a wrong length."""
        column = self.batch.columns.column(name)
        mask, _ = Ragged.from_mask(column)
        wrong: Flags = ~self._fits(mask) & ~null_flags(column) | null_token_rows(column)
        # The reader of JSON Lines returns a null row for a mask with a null.
        nulls = [fault.row for fault in self.batch.faults if fault.column == name and _is_null_token(fault)]
        wrong[nulls] = True
        return np.asarray(wrong & ~self.bad)

    def other_lengths(self, name: str) -> Flags:
        """Return, for each row, whether a column differs in length from the tokens.

        The result is False for bad rows, and where the column is null.
        """
        column = self.batch.columns.column(name)
        differ = list_lengths(column)[0] != next(iter(self.ragged.values())).lengths
        return np.asarray(differ & ~null_flags(without_wrappers(column)) & ~self.bad)

    def later_padding(self, job: Job) -> list[Fault]:
        """Return a fault for each good row whose mask has padding, if masks of the first rows have none."""
        lengths, good = next(iter(self.ragged.values())).lengths, ~self.bad
        return [
            Fault(row, "the mask marks padding in this row, but not in the first rows", column=name)
            for name in job.watched
            for row in later_zeros(self.batch, name, lengths)
            if good[row]
        ]

    def _fits(self, mask: Ragged) -> Flags:
        fits: Flags = mask.lengths == next(iter(self.ragged.values())).lengths
        return fits


@dataclass(frozen=True)
class AuditBatch:
    """A batch of rows to check.

    Args:
        groups: the rows with the columns of each group. The first group has the tokens.
        consumed: bytes of the input read so far, for progress reports.
    """

    groups: Sequence[AuditRows]
    consumed: int

    @property
    def ledger(self) -> Ledger:
        """A ledger in which only the number of rows read is set."""
        return Ledger(rows_read=len(self.groups[0].batch))


@dataclass(frozen=True)
class CheckedRows:
    """The rows of a batch after the check.

    Args:
        rows: the rows. A row with bad tokens has length 0.
        fits: for each row, whether it has no fault in any column, and a valid mask if it is padded: bool,
            shape (rows,).
        source: the rows before the check.
    """

    rows: BatchRows
    fits: Flags
    source: AuditRows

    def without_bad_rows(self) -> BatchRows:
        """Return the rows. All bad rows have the length 0."""
        return replace(self.rows, lengths=np.where(self.fits, self.rows.lengths, 0))


def _flags(rows: Iterable[int], count: int) -> Flags:
    flags = np.zeros(count, dtype=bool)
    flags[list(rows)] = True
    return flags


def _is_null_token(fault: Fault) -> bool:
    return fault.reason.startswith("position ") and fault.reason.endswith("found null")


def map_audit_rows(
    reading: Reading, phase: str, groups: Sequence[GroupToRead]
) -> AbstractContextManager[Iterator[AuditBatch]]:
    """Context manager: iterate over the batches of a dataset in order. A pool of threads reads them.

    Args:
        reading: dataset to read, with options.
        phase: name of this pass in progress updates.
        groups: columns to read. The first group has the tokens.
    """
    dataset = reading.dataset
    wanted = _wanted_columns(groups, is_text=dataset.format.is_text)

    def take(chunk: Chunk) -> AuditBatch:
        batch = dataset.decode(chunk, wanted)
        return AuditBatch([_without_bad_rows(batch, group, groups) for group in groups], chunk.consumed)

    return reading.map_chunks(phase, wanted, take)


def _wanted_columns(groups: Sequence[GroupToRead], *, is_text: bool) -> Wanted:
    fields: dict[str, pa.Field] = {}
    checked = {column.name for group in groups for column in group.job.columns}
    for group in groups:
        for field in group.job.wanted.sequences:
            # Padded JSON Lines does not contain the dtype of floats, so read the floats as float64.
            wide = group.padded and is_text
            fields[field.name] = field.with_type(with_floats(field.type, pa.float64())) if wide else field
    for group in groups:
        for field in group.marks:
            if field.name not in checked:
                fields[field.name] = field
    requested = [name for group in groups for name in group.job.wanted.dtype_requested]
    optional = {name for group in groups for name in group.job.wanted.optional} - checked
    return Wanted(pa.schema(fields.values()), dtype_requested=requested, optional=optional)


def first_error(rows: AuditRows, job: Job) -> DataError | None:
    """Return an error for the first row with bad tokens; None if there is none."""
    first = next((fault for fault in rows.faults if rows.bad_tokens[fault.row]), None)
    if first is None:
        return None
    hint = job.beside.hint if first.column == job.columns[0].name else ""
    return DataError(
        first.reason,
        place=rows.batch.place(first.row),
        column=first.column,
        remedy=(f"The {hint}. " if hint else "") + "Fix the row.",
        options=options_of(first, job),
    )


def _without_bad_rows(batch: Batch, group: GroupToRead, groups: Sequence[GroupToRead]) -> AuditRows:
    """Read the columns of a group, and remove the tokens of bad rows."""
    job, marks = group.job, {field.name for field in group.marks}
    foreign = set().union(*(other.names for other in groups if other is not group)) - group.names
    unread = [fault for fault in batch.faults if fault.column not in marks | foreign]
    ragged, unpaddable = (_read_padded if group.padded else _read_raw)(batch.columns, job)
    first = job.columns[0].name
    # If a row cannot be read at all, or if its columns have different lengths, `fault.column` is None.
    bad_tokens = [fault for fault in unread if fault.column in (None, first)]
    bad_tokens += [fault for fault in unpaddable if fault.column == first]
    faults: dict[int, Fault] = {}
    for fault in (*bad_tokens, *unread, *unpaddable):
        faults.setdefault(fault.row, fault)
    late = job.late.find(batch) if job.late is not None and job.late.reported else ()
    rows = AuditRows(
        batch,
        ragged,
        [faults[row] for row in sorted(faults)],
        _flags((fault.row for fault in bad_tokens), len(batch)),
        [name for name in late if name not in marks | foreign],
    )
    if not faults:
        return rows
    bad = rows.bad
    empty = {
        name: replace(part, lengths=np.where(rows.bad_tokens if name == first else bad, 0, part.lengths))
        for name, part in ragged.items()
    }
    return replace(rows, ragged=empty)


def _read_raw(batch: pa.RecordBatch, job: Job) -> tuple[dict[str, Ragged], list[Fault]]:
    return read_rows(batch, job.groups)


def _read_padded(batch: pa.RecordBatch, job: Job) -> tuple[dict[str, Ragged], list[Fault]]:
    """Read padded columns. The tokens keep their dtype unless the user requested integers or floats."""
    rows: dict[str, Ragged] = {}
    faults: list[Fault] = []
    for column in job.columns:
        ragged, found = Ragged.from_arrow(batch.column(column.name), column.inner)
        asked = to_column_dtype(ragged, column)
        if asked is not ragged:
            found = [*found, *find_misfits(ragged, column.dtype)]
        faults += [replace(fault, column=column.name) for fault in found]
        rows[column.name] = asked
    return rows, faults


def to_column_dtype(rows: Ragged, column: PadColumn) -> Ragged:
    """Convert the rows to integers or floats if the dtype of the column requires this, as `pad` does."""
    kinds = "f" if column.dtype in FLOAT_DTYPES else "iu"
    if rows.values.dtype.kind in kinds or column.dtype == "string":
        return rows
    # The array may also contain tokens of bad rows, which may not be valid integers.
    with np.errstate(invalid="ignore"):
        return replace(rows, values=rows.values.astype(column.dtype))
