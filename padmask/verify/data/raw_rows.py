"""Read raw rows, truncate them to maxlen, and check them against the rules."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

import numpy as np

from padmask.core.columns import PadColumn
from padmask.core.kernel import slice_rows
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.core.table import row_lengths
from padmask.spec.pad import FLOAT_DTYPES, Side
from padmask.stream.job import Job
from padmask.stream.passes import prepared_rows
from padmask.stream.row_sample import BatchRows, Row, copy_row
from padmask.stream.run import Reading
from padmask.verify.data.rules import Audit


def audit_raw_rows(
    reading: Reading, phase: str, job: Job, audit: Audit, maxlen: int | None = None
) -> Generator[BatchRows]:
    """Read raw rows, and check what the rules would find after padding.

    Args:
        reading: dataset to read, with its options.
        phase: name of this pass in progress updates.
        job: columns to check, and padding options.
        audit: object that collects the findings.
        maxlen: length to which rows are truncated; None keeps all tokens.

    Yields:
        The length of each row of a batch in tokens, shape (rows,), and a function that returns a row.
    """
    with prepared_rows(reading, phase, job) as all_rows:
        for rows in all_rows:
            columns = {
                column.name: to_column_dtype(rows.ragged[column.name], column) for column in job.columns
            }
            ragged = {name: _cut(column, maxlen, job.spec.truncating) for name, column in columns.items()}
            audit.add_raw(ragged, job.spec.padding, rows.batch.place)

            def row_at(place: int, number: int, ragged: Mapping[str, Ragged] = ragged) -> Row:
                return copy_row(number, ragged, place)

            yield row_lengths(ragged), row_at


def _cut(rows: Ragged, maxlen: int | None, truncating: Side) -> Ragged:
    if maxlen is None:
        return rows
    return slice_rows(rows, plan_pad(rows.lengths, maxlen, padding="post", truncating=truncating))


def to_column_dtype(rows: Ragged, column: PadColumn) -> Ragged:
    """Convert integers to floats or floats to integers if the dtype of the column requires it."""
    kinds = "f" if column.dtype in FLOAT_DTYPES else "iu"
    if rows.values.dtype.kind in kinds or column.dtype == "string":
        return rows
    # The array can contain tokens of rejected rows, which may not be valid integers.
    with np.errstate(invalid="ignore"):
        return replace(rows, values=rows.values.astype(column.dtype))
