"""Read padded rows and their masks, and check them against the rules.

The mask comes from a mask column, or from a length column and the side of the padding. It is never derived
from the pad value.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import to_numpy, with_floats
from padmask.core.columns import PadColumn
from padmask.core.padding import Padding, mask_field
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import DataError, Fault, SpecError
from padmask.formats.contract import Batch, Chunk, Wanted
from padmask.spec.pad import Side
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger
from padmask.stream.row_sample import BatchRows, Row, copy_row
from padmask.stream.run import Reading
from padmask.verify.data.raw_rows import to_column_dtype
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class DecodedRows:
    """A batch of decoded rows, with the numbers that the reading loop needs.

    Args:
        batch: decoded rows.
        consumed: number of input bytes read so far, for progress updates.
    """

    batch: Batch
    consumed: int

    @property
    def ledger(self) -> Ledger:
        """Row and token counts, of which only the number of rows read is set."""
        return Ledger(rows_read=len(self.batch))


def audit_padded_rows(
    reading: Reading, phase: str, job: Job, audit: Audit, padding: Padding
) -> Generator[BatchRows]:
    """Read padded rows and their masks, and check them against the rules.

    Args:
        reading: dataset to read, with its options.
        phase: name of this pass in progress updates.
        job: columns to check.
        audit: object that collects the findings.
        padding: columns that mark the padding.

    Yields:
        The number of real tokens in each row of a batch, shape (rows,), and a function that returns a row.
    """
    dataset = reading.dataset
    if padding.mask in [column.name for column in job.columns]:
        raise SpecError(
            f"{dataset.name}: column {padding.mask!r} cannot be both a sequence and its mask. "
            "Choose another column with -c or --mask-column.",
            options=["columns", "mask_column"],
        )
    schema = dataset.schema()
    fields = [
        mask_field(schema, name) if dataset.format.is_text else schema.field(name) for name in padding.names
    ]
    sequences = list(job.wanted.sequences)
    if dataset.format.is_text:
        # The floats may have been written with any dtype.
        sequences = [field.with_type(with_floats(field.type, pa.float64())) for field in sequences]
    wanted = Wanted(pa.schema([*sequences, *fields]), requested_dtypes=job.wanted.requested_dtypes)

    def take(chunk: Chunk) -> DecodedRows:
        return DecodedRows(dataset.decode(chunk, wanted), chunk.consumed)

    with reading.map_chunks(phase, wanted, take) as all_rows:
        yield from _audit_batches((rows.batch for rows in all_rows), job, audit, padding)


def _audit_batches(batches: Iterable[Batch], job: Job, audit: Audit, padding: Padding) -> Iterator[BatchRows]:
    side, width = padding.padding, None
    first = job.columns[0].name
    for batch in batches:
        if batch.faults:
            raise _row_error(batch, batch.faults[0], batch.faults[0].column)
        values = {column.name: _column(batch, column) for column in job.columns}
        places = values[first].lengths
        stated = None if padding.length is None else _read_lengths(batch, padding.length)
        mask, fits = _read_mask(batch, padding, places, stated)
        if width is None and len(batch):
            width = int(places[0])
        for ragged in values.values():
            fits &= ragged.lengths == places
        audit.add_invalid_masks(~fits, batch.place)
        if padding.mask is None and stated is not None:
            possible = _are_valid_lengths(stated, places)
            audit.add_invalid_lengths(~possible, batch.place)
            fits &= possible
        good = fits & (places == width)
        audit.add_unequal(fits & ~good, width or 0, batch.place)
        picked = np.flatnonzero(good)
        masks = _rectangle(mask, picked, width or 0).astype(bool)
        rectangles = {name: _rectangle(ragged, picked, width or 0) for name, ragged in values.items()}
        side = side or side_of(masks)
        if width and len(picked):
            audit.add_padded(
                rectangles,
                masks,
                side or "post",
                lambda row, batch=batch, picked=picked: batch.place(int(picked[row])),  # type: ignore[misc]
                None if stated is None else stated[picked],
            )
        seen = np.concatenate([[0], np.cumsum(mask.values != 0)])
        lengths = np.where(fits, seen[mask.starts + mask.lengths] - seen[mask.starts], 0)

        def row_at(
            place: int,
            number: int,
            values: Mapping[str, Ragged] = values,
            mask: Ragged = mask,
        ) -> Row:
            return copy_row(number, values, place, mask)

        yield lengths, row_at


def _column(batch: Batch, column: PadColumn) -> Ragged:
    ragged, faults = Ragged.from_arrow(batch.columns.column(column.name), column.inner)
    if faults:
        raise _row_error(batch, faults[0], column.name)
    asked = to_column_dtype(ragged, column)
    if asked is not ragged and (faults := find_misfits(ragged, column.dtype)):
        raise _row_error(batch, faults[0], column.name)
    return asked


def _row_error(batch: Batch, fault: Fault, column: str | None) -> DataError:
    return DataError(fault.reason, place=batch.place(fault.row), column=column, remedy="Fix the row.")


def _read_mask(
    batch: Batch, padding: Padding, places: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64] | None
) -> tuple[Ragged, npt.NDArray[np.bool_]]:
    """Return the mask of each row, and whether the mask is valid and as long as the row.

    Args:
        batch: the rows.
        padding: names of the mask and length columns, and the side of the padding.
        places: number of positions in each row, shape (rows,).
        lengths: values of the length column, shape (rows,); None if there is no such column.
    """
    if padding.mask is not None:
        mask, faults = Ragged.from_mask(batch.columns.column(padding.mask))
        fits = mask.lengths == places
        fits[[fault.row for fault in faults]] = False
        return mask, fits
    assert lengths is not None
    # The side in the metadata of a file takes precedence over the side of the dataset.
    side = padding.sides.get(batch.source, padding.padding or "post")
    kept = np.where(_are_valid_lengths(lengths, places), lengths, 0)
    starts = np.cumsum(places) - places
    at = np.arange(int(places.sum())) - np.repeat(starts, places)
    first = np.repeat(places - kept if side == "pre" else np.zeros_like(kept), places)
    end = np.repeat(places if side == "pre" else kept, places)
    return Ragged((at >= first) & (at < end), starts, places), np.ones(len(places), dtype=bool)


def _are_valid_lengths(
    lengths: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Check for each row whether its length is between 0 and its number of positions.

    Null lengths were read as -1, so they are invalid.
    """
    possible: npt.NDArray[np.bool_] = (lengths >= 0) & (lengths <= places)
    return possible


def _rectangle(ragged: Ragged, picked: npt.NDArray[np.int64], width: int) -> npt.NDArray[Any]:
    places = ragged.starts[picked][:, None] + np.arange(width)
    rectangle: npt.NDArray[Any] = ragged.values[places]
    return rectangle


def _read_lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    # The unsafe cast turns lengths of 2**63 and more into negative numbers, which are also invalid.
    return np.asarray(to_numpy(batch.columns.column(name).cast(pa.int64(), safe=False).fill_null(-1)))


def side_of(masks: npt.NDArray[np.bool_]) -> Side | None:
    """Return the side on which most padded rows are padded; None if no row is padded at exactly one end."""
    if masks.size == 0:
        return None
    pre, post = int((~masks[:, 0] & masks[:, -1]).sum()), int((masks[:, 0] & ~masks[:, -1]).sum())
    return None if pre == post == 0 else "pre" if pre > post else "post"
