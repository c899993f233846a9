"""Rows under audit, raw or already padded, with their lengths and, where asked, their places.

The one way in for whatever looks at data rather than pads it. Of padded input the mask is
read: from padmask's own metadata, else from a mask column; it is never guessed from values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.errors import DataError, SpecError
from padmask.formats.batch import Batch, Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl import values_of
from padmask.kernel import kept_windows
from padmask.ragged import Ragged, find_misfits, is_mask, to_numpy
from padmask.rows import Job, is_label, take_in
from padmask.spec import FLOAT_DTYPES, Columns, Side, named
from padmask.table import MASK_NAMES, PadColumn, name_columns, read_description, row_lengths
from padmask.verify.audit import Audit, AuditColumn


@dataclass(frozen=True)
class Row:
    """A row on its way to be shown: its real tokens or, of padded input, its places and mask.

    Args:
        number: its place in the whole input, from 0.
        values: by column, each of shape (tokens, ...), or (maxlen, ...) of padded input.
        mask: shape (maxlen,); None of raw input.
    """

    number: int
    values: Mapping[str, npt.NDArray[Any]]
    mask: npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class Layout:
    """How padded input says what is padding.

    Args:
        values: pad values by column, where the metadata say so.
        mask: name of the mask column.
        padding: the declared side; None where nobody declared one.
        length: name of the length column, where there is one.
    """

    values: dict[str, Any]
    mask: str
    padding: Side | None
    length: str | None


# Gives a row of a batch by its place in it, with its number in the whole input.
RowsAt = Callable[[int, int], Row]


def raw_rows(
    dataset: Dataset, job: Job, limit: int | None, audit: Audit, maxlen: int | None = None
) -> Iterator[tuple[npt.NDArray[np.int64], RowsAt, int]]:
    """Read raw rows and audit them as they will be padded, cut to `maxlen` tokens where it is given.

    Yields:
        For each batch the lengths, shape (rows,), a way to its rows, and bytes consumed so far.
    """
    for chunk in dataset.chunks(job.wanted, limit):
        rows = take_in(dataset.decode(chunk, job.wanted), job, chunk.consumed)
        columns = {column.name: _as_asked(rows.ragged[column.name], column) for column in job.columns}
        ragged = {name: _cut(column, maxlen, job.spec.truncating) for name, column in columns.items()}
        audit.add_raw(ragged, job.spec.padding, rows.batch.place)

        def row_at(place: int, number: int, ragged: Mapping[str, Ragged] = ragged) -> Row:
            return Row(number, _values_at(ragged, place), None)

        yield row_lengths(ragged), row_at, chunk.consumed


def padded_rows(
    dataset: Dataset, job: Job, limit: int | None, audit: Audit, layout: Layout
) -> Iterator[tuple[npt.NDArray[np.int64], RowsAt, int]]:
    """Read padded rows with their mask and audit them; yields as `raw_rows`."""
    if layout.mask in (column.name for column in job.columns):
        raise SpecError(
            f"{dataset.name}: column {layout.mask!r} cannot be the sequence and its mask at once. "
            "Choose another with -c or --mask-column."
        )
    typed = dataset.format != "jsonl"
    fields = [*job.wanted.sequences, dataset.schema().field(layout.mask)]
    if typed and layout.length:
        fields.append(dataset.schema().field(layout.length))
    wanted = Wanted(pa.schema(fields), whole=job.wanted.whole)
    padding, width = layout.padding, None
    first = job.columns[0].name
    for chunk in dataset.chunks(wanted, limit):
        batch = dataset.decode(chunk, wanted)
        if batch.faults:
            fault = batch.faults[0]
            raise DataError(f"{batch.place(fault.row)}: {fault.reason}. Mend the row.")
        values = {column.name: _column(batch, column) for column in job.columns}
        mask, faults = Ragged.from_mask(batch.columns.column(layout.mask))
        if width is None and len(batch):
            width = int(values[first].lengths[0])
        fits = mask.lengths == values[first].lengths
        fits[[fault.row for fault in faults]] = False
        for ragged in values.values():
            fits &= ragged.lengths == values[first].lengths
        good = fits & (mask.lengths == width)
        audit.add_misshapen(~fits, batch.place)
        audit.add_unequal(fits & ~good, width or 0, batch.place)
        picked = np.flatnonzero(good)
        masks = _rectangle(mask, picked, width or 0).astype(bool)
        rectangles = {name: _rectangle(ragged, picked, width or 0) for name, ragged in values.items()}
        padding = padding or side_of(masks)
        if width and len(picked):
            audit.add_padded(
                rectangles,
                masks,
                padding or "post",
                lambda row, batch=batch, picked=picked: batch.place(int(picked[row])),  # type: ignore[misc]
                None if layout.length is None else _lengths(batch, layout.length)[picked],
            )
        lengths = np.zeros(len(batch), dtype=np.int64)
        lengths[picked] = masks.sum(axis=1)

        def row_at(
            place: int,
            number: int,
            values: Mapping[str, Ragged] = values,
            mask: Ragged = mask,
        ) -> Row:
            real = mask.values[mask.starts[place] : mask.starts[place] + mask.lengths[place]].astype(bool)
            return Row(number, _values_at(values, place), real)

        yield lengths, row_at, chunk.consumed


def _cut(rows: Ragged, maxlen: int | None, truncating: Side) -> Ragged:
    return rows if maxlen is None else Ragged(rows.values, *kept_windows(rows, maxlen, truncating))


def _as_asked(rows: Ragged, column: PadColumn) -> Ragged:
    """Return rows of ints where ints were asked for, and of floats where floats were, as when padded."""
    kinds = "f" if column.dtype in FLOAT_DTYPES else "iu"
    if rows.values.dtype.kind in kinds or column.dtype == "string":
        return rows
    # Beside a row's own tokens may stand those of a row that was refused, which are no such integers.
    with np.errstate(invalid="ignore"):
        return replace(rows, values=rows.values.astype(column.dtype))


def _values_at(columns: Mapping[str, Ragged], place: int) -> dict[str, npt.NDArray[Any]]:
    """Return a row's values by column, apart from the batch, which may then be forgotten."""
    return {
        name: rows.values[rows.starts[place] : rows.starts[place] + rows.lengths[place]].copy()
        for name, rows in columns.items()
    }


def _column(batch: Batch, column: PadColumn) -> Ragged:
    ragged, faults = Ragged.from_arrow(batch.columns.column(column.name), column.inner)
    if faults:
        raise DataError(
            f"{batch.place(faults[0].row)}: column {column.name!r}: {faults[0].reason}. Mend the row."
        )
    asked = _as_asked(ragged, column)
    if asked is not ragged and (faults := find_misfits(ragged, column.dtype)):
        raise DataError(f"{batch.place(faults[0].row)}: column {column.name!r}: {faults[0].reason}.")
    return asked


def _rectangle(ragged: Ragged, picked: npt.NDArray[np.int64], width: int) -> npt.NDArray[Any]:
    places = ragged.starts[picked][:, None] + np.arange(width)
    rectangle: npt.NDArray[Any] = ragged.values[places]
    return rectangle


def _lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    if batch.objects is not None:
        return np.array([-1 if n is None else n for n in values_of(batch.objects, name, batch.place)])
    # One beyond 2**63 is none that a mask could have, whatever becomes of it.
    return np.asarray(to_numpy(batch.columns.column(name).cast(pa.int64(), safe=False).fill_null(-1)))


def side_of(masks: npt.NDArray[np.bool_]) -> Side | None:
    """Return the side that most padded rows have their padding on; None where there is none."""
    if masks.size == 0:
        return None
    pre, post = int((~masks[:, 0] & masks[:, -1]).sum()), int((masks[:, 0] & ~masks[:, -1]).sum())
    return None if pre == post == 0 else "pre" if pre > post else "post"


def find_layout(dataset: Dataset, columns: Columns, mask_column: str | None) -> Layout | None:
    """Find out how the input says what is padding; None where it is raw."""
    schema = dataset.schema()
    try:
        said = None if mask_column else read_description(schema.metadata)
    except DataError as error:
        raise DataError(f"{dataset.name}: {error}. Give --mask-column to do without.") from None
    if said is not None:
        asked = [column.name for column in name_columns(schema, columns)] if columns else []
        if not set(asked) <= set(said.values):
            # These columns passed through as they were: their rows are raw.
            return None
        if said.mask is not None and said.mask in schema.names:
            _refuse_no_mask(dataset, said.mask)
            return Layout(dict(said.values), said.mask, said.padding, _length(said.length, schema))
    _refuse_mixture(dataset, mask_column)
    name = mask_column or next((name for name in MASK_NAMES if name in schema.names), None)
    if name is None:
        return None
    if name not in schema.names:
        raise SpecError(
            f"{dataset.name}: there is no mask column {name!r}. Choose one of {named(schema.names)}."
        )
    if mask_column is None and schema.names.count(name) == 1 and not is_mask(schema.field(name).type):
        return None
    if mask_column is None and name != "mask" and not _equally_long(dataset, name):
        return None
    _refuse_no_mask(dataset, name)
    return Layout({}, name, None, None)


def _refuse_no_mask(dataset: Dataset, name: str) -> None:
    schema = dataset.schema()
    if (times := schema.names.count(name)) > 1:
        raise SpecError(f"{dataset.name}: {times} columns are named {name!r}. Rename all but one.")
    if not is_mask(type_ := schema.field(name).type):
        raise SpecError(
            f"{dataset.name}: column {name!r} of type {type_} is no mask. Choose a list of bools."
        )


def _refuse_mixture(dataset: Dataset, mask_column: str | None) -> None:
    """Refuse files with a mask beside files without: read as one dataset, one kind would hide the other."""
    for name in [mask_column] if mask_column else MASK_NAMES:
        there = {source: name in names for source, names in dataset.columns_of().items()}
        if len(set(there.values())) > 1:
            padded = next(source for source, has in there.items() if has)
            raw = next(source for source, has in there.items() if not has)
            raise SpecError(
                f"{padded} has a mask column {name!r} and {raw} has none: one dataset is raw or padded. "
                "Look at them apart."
            )


def _length(name: str | None, schema: pa.Schema) -> str | None:
    """Return the length column that the metadata name, where it is still there and holds lengths."""
    there = name is not None and schema.names.count(name) == 1
    return name if there and pa.types.is_integer(schema.field(name).type) else None


def _equally_long(dataset: Dataset, name: str) -> bool:
    """Raw rows may have a mask too, of ones, as tokenizers give it; padded ones are equally long."""
    head = dataset.head(Wanted(pa.schema([dataset.schema().field(name)])))
    if head is None:
        return False
    mask, _ = Ragged.from_mask(head.columns.column(name))
    return bool((mask.lengths == mask.lengths[0]).all())


def audited(column: PadColumn, layout: Layout | None) -> AuditColumn:
    """Return what the audit must know of a column: of padded input its own pad value, not the asked one."""
    value: Any = column.value
    if layout is not None:
        # Without metadata nobody knows the pad value, unless it was given: 0 is only the default.
        value = layout.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
