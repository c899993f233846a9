"""Read the rows to check, and separate the bad rows: rows that cannot be read or padded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags, null_flags, null_token_rows, with_floats
from padmask.core.columns import PadColumn
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.table import read_rows
from padmask.errors import DataError, Fault
from padmask.formats.contract import Batch, Chunk, Wanted
from padmask.spec.pad import FLOAT_DTYPES
from padmask.stream.job import Job
from padmask.stream.late_fields import later_zeros
from padmask.stream.ledger import Ledger
from padmask.stream.rows import options_of
from padmask.stream.run import Reading

# Returns the sequences of a batch by column, and the faults of its rows.
ReadColumns = Callable[[pa.RecordBatch, Job], tuple[dict[str, Ragged], list[Fault]]]


@dataclass(frozen=True)
class AuditRows:
    """Rows to check.

    Args:
        batch: the rows, with the mask and length columns.
        ragged: sequences of all rows by column; a bad row has no tokens.
        faults: the first `Fault` of each bad row, in order.
        consumed: bytes of the input read so far, for the progress.
        late: names of columns beside the tokens that the first rows do not have, and that are not checked.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    faults: Sequence[Fault]
    consumed: int
    late: Sequence[str] = ()

    @property
    def ledger(self) -> Ledger:
        """A ledger that contains only the number of rows read."""
        return Ledger(rows_read=len(self.batch))

    @property
    def bad(self) -> Flags:
        """Flags of the bad rows, shape (rows,)."""
        bad = np.zeros(len(self.batch), dtype=bool)
        bad[[fault.row for fault in self.faults]] = True
        return bad

    def wrong_masks(self, name: str) -> Flags:
        """Return which good rows have a mask with a null, or of another length. A row may have no mask."""
        column = self.batch.columns.column(name)
        mask, _ = Ragged.from_mask(column)
        wrong: Flags = ~self._fits(mask) & ~null_flags(column) | null_token_rows(column)
        # The reader of JSON Lines returns a null row for a mask with a null.
        nulls = [fault.row for fault in self.batch.faults if fault.column == name and _is_null_token(fault)]
        wrong[nulls] = True
        return np.asarray(wrong & ~self.bad)

    def later_padding(self, job: Job) -> list[Fault]:
        """Return a fault for each good row whose mask marks padding, which the first rows do not have."""
        lengths, good = next(iter(self.ragged.values())).lengths, ~self.bad
        return [
            Fault(row, "the mask contains a 0, but the first rows have no padding", column=name)
            for name in job.watched
            for row in later_zeros(self.batch, name, lengths)
            if good[row]
        ]

    def _fits(self, mask: Ragged) -> Flags:
        fits: Flags = mask.lengths == next(iter(self.ragged.values())).lengths
        return fits


def _is_null_token(fault: Fault) -> bool:
    return fault.reason.startswith("position ") and fault.reason.endswith("found null")


def map_audit_rows(
    reading: Reading,
    phase: str,
    job: Job,
    marks: Sequence[pa.Field] = (),
    *,
    padded: bool,
    report_bad_rows: bool,
) -> AbstractContextManager[Iterator[AuditRows]]:
    """Iterate over the rows of a dataset in order. The threads of the pool read the rows.

    Args:
        reading: dataset to read, with options.
        phase: name of this pass in the progress.
        job: columns to check.
        marks: mask and length columns to read in addition. An error in these columns does not make a row bad,
            because the rules about masks and lengths report such errors.
        padded: whether the rows are padded.
        report_bad_rows: whether to return bad rows. Otherwise the first bad row raises a `DataError`.
    """
    dataset, names = reading.dataset, {field.name for field in marks}
    sequences = list(job.wanted.sequences)
    if padded and dataset.format.is_text:
        # The floats may have been written with any dtype.
        sequences = [field.with_type(with_floats(field.type, pa.float64())) for field in sequences]
    fields = {field.name: field for field in (*sequences, *marks)}
    wanted = Wanted(
        pa.schema(fields.values()), dtype_requested=job.wanted.dtype_requested, optional=job.wanted.optional
    )
    read: ReadColumns = _read_padded if padded else _read_raw

    def take(chunk: Chunk) -> AuditRows:
        rows = _without_bad_rows(dataset.decode(chunk, wanted), job, names, read, chunk.consumed)
        if rows.faults and not report_bad_rows:
            first = rows.faults[0]
            raise DataError(
                first.reason,
                place=rows.batch.place(first.row),
                column=first.column,
                remedy="Fix the row.",
                options=options_of(first, job),
            )
        if job.late is None or not job.late.reported:
            return rows
        return replace(rows, late=[name for name in job.late.find(rows.batch) if name not in names])

    return reading.map_chunks(phase, wanted, take)


def _without_bad_rows(
    batch: Batch, job: Job, marks: Collection[str], read: ReadColumns, consumed: int
) -> AuditRows:
    ragged, found = read(batch.columns, job)
    faults: dict[int, Fault] = {}
    for fault in (*batch.faults, *found):
        if fault.column not in marks:
            faults.setdefault(fault.row, fault)
    rows = AuditRows(batch, ragged, [faults[row] for row in sorted(faults)], consumed)
    if not faults:
        return rows
    bad = rows.bad
    empty = {name: replace(part, lengths=np.where(bad, 0, part.lengths)) for name, part in ragged.items()}
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
