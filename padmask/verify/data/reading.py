"""Read rows for an audit: raw rows, or padded rows with their masks.

The mask of padded input is read from padmask's metadata, else from a mask column; it is never guessed from
values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import is_mask, to_numpy
from padmask.core.columns import MASK_NAMES, PadColumn, is_label, name_columns
from padmask.core.kernel import keep_pieces
from padmask.core.metadata import METADATA_KEY, Described, find_padding, read_description
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.table import row_lengths
from padmask.errors import DataError, PaddedError, Place, SpecError
from padmask.formats.contract import Batch, Chunk, Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.reader import field_values
from padmask.spec.columns import Columns, quote_names
from padmask.spec.pad import FLOAT_DTYPES, Side
from padmask.stream.inputs import first_mask
from padmask.stream.job import Job
from padmask.stream.passes import prepared_rows
from padmask.stream.rows import DecodedRows
from padmask.stream.run import Reading
from padmask.verify.data.rules import Audit, AuditColumn


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
class PaddingInfo:
    """How padded input says what is padding.

    Args:
        values: pad values by column, where the metadata say so.
        mask: name of the mask column; None where the lengths and the side say it.
        padding: the declared side; None where nobody declared one.
        length: name of the length column, where there is one.
        sides: the side that the metadata of each file name, by the file's name.
    """

    values: Mapping[str, Any]
    mask: str | None
    padding: Side | None
    length: str | None
    sides: Mapping[str, Side] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns that say what is padding, the mask first."""
        return tuple(name for name in (self.mask, self.length) if name is not None)


# Gives a row of a batch by its place in it, with its number in the whole input.
RowGetter = Callable[[int, int], Row]

# The lengths of the rows of a batch, shape (rows,), and a way to its rows.
AuditedRows = tuple[npt.NDArray[np.int64], RowGetter]


def audit_raw_rows(
    reading: Reading, phase: str, job: Job, audit: Audit, maxlen: int | None = None
) -> Generator[AuditedRows]:
    """Read raw rows and audit them as they will be padded, cut to `maxlen` tokens where it is given.

    Yields:
        For each batch the lengths, shape (rows,), and a way to its rows.
    """
    with prepared_rows(reading, phase, job) as all_rows:
        for rows in all_rows:
            columns = {column.name: _as_asked(rows.ragged[column.name], column) for column in job.columns}
            ragged = {name: _cut(column, maxlen, job.spec.truncating) for name, column in columns.items()}
            audit.add_raw(ragged, job.spec.padding, rows.batch.place)

            def row_at(place: int, number: int, ragged: Mapping[str, Ragged] = ragged) -> Row:
                return Row(number, _values_at(ragged, place), None)

            yield row_lengths(ragged), row_at


def audit_padded_rows(
    reading: Reading, phase: str, job: Job, audit: Audit, layout: PaddingInfo
) -> Generator[AuditedRows]:
    """Read padded rows with their mask and audit them; yields as `audit_raw_rows`."""
    dataset = reading.dataset
    if layout.mask in [column.name for column in job.columns]:
        raise SpecError(
            f"{dataset.name}: column {layout.mask!r} cannot be the sequence and its mask at once. "
            "Choose another with -c or --mask-column.",
            options=["columns", "mask_column"],
        )
    names = [name for name in layout.names if not dataset.format.is_text or name == layout.mask]
    wanted = Wanted(
        pa.schema([*job.wanted.sequences, *(dataset.schema().field(name) for name in names)]),
        whole=job.wanted.whole,
    )

    def take(chunk: Chunk) -> DecodedRows:
        return DecodedRows(dataset.decode(chunk, wanted), chunk.consumed)

    with reading.taken(phase, wanted, take) as all_rows:
        yield from _audit_padded_batches((rows.batch for rows in all_rows), job, audit, layout)


def _audit_padded_batches(
    batches: Iterable[Batch], job: Job, audit: Audit, layout: PaddingInfo
) -> Iterator[AuditedRows]:
    padding, width = layout.padding, None
    first = job.columns[0].name
    for batch in batches:
        if batch.faults:
            fault = batch.faults[0]
            raise DataError(
                fault.reason, place=batch.place(fault.row), column=fault.column, remedy="Fix the row."
            )
        values = {column.name: _column(batch, column) for column in job.columns}
        places = values[first].lengths
        said = None if layout.length is None else _lengths(batch, layout.length)
        mask, fits = _read_mask(batch, layout, places, said)
        if width is None and len(batch):
            width = int(places[0])
        for ragged in values.values():
            fits &= ragged.lengths == places
        audit.add_misshapen(~fits, batch.place)
        if layout.mask is None and said is not None:
            possible = _possible(said, places)
            audit.add_impossible(~possible, batch.place)
            fits &= possible
        good = fits & (places == width)
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
                None if said is None else said[picked],
            )
        seen = np.concatenate([[0], np.cumsum(mask.values != 0)])
        lengths = np.where(fits, seen[mask.starts + mask.lengths] - seen[mask.starts], 0)

        def row_at(
            place: int,
            number: int,
            values: Mapping[str, Ragged] = values,
            mask: Ragged = mask,
        ) -> Row:
            real = mask.values[mask.starts[place] : mask.starts[place] + mask.lengths[place]].astype(bool)
            return Row(number, _values_at(values, place), real)

        yield lengths, row_at


def _cut(rows: Ragged, maxlen: int | None, truncating: Side) -> Ragged:
    if maxlen is None:
        return rows
    return keep_pieces(rows, plan_pad(rows.lengths, maxlen, padding="post", truncating=truncating))


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
            faults[0].reason, place=batch.place(faults[0].row), column=column.name, remedy="Fix the row."
        )
    asked = _as_asked(ragged, column)
    if asked is not ragged and (faults := find_misfits(ragged, column.dtype)):
        raise DataError(
            faults[0].reason, place=batch.place(faults[0].row), column=column.name, remedy="Fix the row."
        )
    return asked


def _read_mask(
    batch: Batch, layout: PaddingInfo, places: npt.NDArray[np.int64], said: npt.NDArray[np.int64] | None
) -> tuple[Ragged, npt.NDArray[np.bool_]]:
    """Return the mask of each row, and which rows have one that goes with their places.

    Args:
        batch: the rows.
        layout: says where the mask is.
        places: of each row.
        said: the lengths in the length column, where there is one.
    """
    if layout.mask is not None:
        mask, faults = Ragged.from_mask(batch.columns.column(layout.mask))
        fits = mask.lengths == places
        fits[[fault.row for fault in faults]] = False
        return mask, fits
    assert said is not None
    # A file is read by the side that its own metadata name, whatever the other files say.
    side = layout.sides.get(batch.source, layout.padding or "post")
    kept = np.where(_possible(said, places), said, 0)
    starts = np.cumsum(places) - places
    at = np.arange(int(places.sum())) - np.repeat(starts, places)
    first = np.repeat(places - kept if side == "pre" else np.zeros_like(kept), places)
    end = np.repeat(places if side == "pre" else kept, places)
    return Ragged((at >= first) & (at < end), starts, places), np.ones(len(places), dtype=bool)


def _possible(said: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which lengths a row of so many places can have; a null length is read as -1."""
    possible: npt.NDArray[np.bool_] = (said >= 0) & (said <= places)
    return possible


def _rectangle(ragged: Ragged, picked: npt.NDArray[np.int64], width: int) -> npt.NDArray[Any]:
    places = ragged.starts[picked][:, None] + np.arange(width)
    rectangle: npt.NDArray[Any] = ragged.values[places]
    return rectangle


def _lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    if batch.objects is not None:
        return np.array([-1 if n is None else n for n in field_values(batch.objects, name, batch.place)])
    # One beyond 2**63 is none that a mask could have, whatever becomes of it.
    return np.asarray(to_numpy(batch.columns.column(name).cast(pa.int64(), safe=False).fill_null(-1)))


def side_of(masks: npt.NDArray[np.bool_]) -> Side | None:
    """Return the side that most padded rows have their padding on; None where there is none."""
    if masks.size == 0:
        return None
    pre, post = int((~masks[:, 0] & masks[:, -1]).sum()), int((masks[:, 0] & ~masks[:, -1]).sum())
    return None if pre == post == 0 else "pre" if pre > post else "post"


def find_padding_info(dataset: Dataset, columns: Columns, mask_column: str | None) -> PaddingInfo | None:
    """Find out how the input says what is padding; None where it is raw."""
    schema = dataset.schema()
    said = {} if mask_column else _descriptions(dataset)
    if said:
        first = next(iter(said.values()))
        asked = [column.name for column in name_columns(schema, columns)] if columns else []
        if not set(asked) <= set(first.values):
            # These columns passed through as they were: their rows are raw.
            return None
        if (layout := _described_layout(dataset, said, first)) is not None:
            return layout
    _refuse_mixture(dataset, mask_column)
    found = find_padding(schema, mask_column=mask_column, first_mask=partial(first_mask, dataset))
    if found is None or found.mask is None:
        return None
    name = found.mask
    if name not in schema.names:
        raise SpecError(
            f"{dataset.name}: there is no mask column {name!r}. Choose one of {quote_names(schema.names)}.",
            options=["mask_column"],
        )
    _refuse_no_mask(dataset, name)
    return PaddingInfo({}, name, None, None)


def _descriptions(dataset: Dataset) -> dict[str, Described]:
    """Return what the metadata of each file that padmask padded say, by the file's name."""
    found = {}
    for name, metadata in dataset.metadata_of(METADATA_KEY).items():
        known = None if metadata is None else {METADATA_KEY: metadata}
        said = read_description(known, place=Place(name), remedy="Give --mask-column to do without.")
        if said is not None:
            found[name] = said
    return found


def _described_layout(
    dataset: Dataset, said: Mapping[str, Described], first: Described
) -> PaddingInfo | None:
    """Return the layout that metadata name; None where the columns that they name are in no file.

    Raises:
        SpecError: the files are not padded in the same way, or some of them are raw.
    """
    columns = dataset.columns_of()
    ways = {name: _way(said.get(name), names, first.mask) for name, names in columns.items()}
    way = next((way for way in ways.values() if way is not None), None)
    if way is None:
        return None
    padded = next(name for name, found in ways.items() if found == way)
    for name, found in ways.items():
        if found is None:
            raise SpecError(
                f"{padded} is padded, as its column {way[1]!r} says, and nothing says so of {name}: one "
                "dataset is raw or padded. Look at them apart."
            )
        if found != way:
            raise SpecError(
                f"{padded} and {name} do not say the same of their padding: the one has {' '.join(way)}, "
                f"the other {' '.join(found)}. Look at them apart."
            )
    sides = {name: one.padding for name, one in said.items()}
    schema = dataset.schema()
    if way[0] == "mask":
        _refuse_no_mask(dataset, way[1])
        return PaddingInfo(dict(first.values), way[1], first.padding, _length(first.length, schema), sides)
    _refuse_no_lengths(dataset, way[1])
    return PaddingInfo(dict(first.values), None, first.padding, way[1], sides)


def _way(said: Described | None, names: Sequence[str], mask: str | None) -> tuple[str, str] | None:
    """Return what says which places of a file are padding: its mask, else its lengths; None for nothing.

    Args:
        said: by the file's own metadata.
        names: of the columns that are in the file.
        mask: the name of the mask in other files of the dataset.
    """
    if said is None:
        return ("mask", mask) if mask in names and mask is not None else None
    found, length = said.present(names)
    if found is not None:
        return "mask", found
    return None if length is None else ("length", length)


def _refuse_no_lengths(dataset: Dataset, name: str) -> None:
    schema = dataset.schema()
    if (times := schema.names.count(name)) > 1:
        raise SpecError(f"{dataset.name}: {times} columns are named {name!r}. Rename all but one.")
    type_ = schema.field(name).type
    if not (pa.types.is_integer(type_) or pa.types.is_null(type_)):
        raise SpecError(
            f"{dataset.name}: the metadata name {name!r} as the column of lengths, but column {name!r} of "
            f"type {type_} holds none. Write whole numbers there, or give --mask-column."
        )


def _refuse_no_mask(dataset: Dataset, name: str) -> None:
    schema = dataset.schema()
    if (times := schema.names.count(name)) > 1:
        raise SpecError(
            f"{dataset.name}: {times} columns are named {name!r}. Rename all but one.",
            options=["mask_column"],
        )
    if not is_mask(type_ := schema.field(name).type):
        raise SpecError(
            f"{dataset.name}: column {name!r} of type {type_} is no mask. Choose a list of bools.",
            options=["mask_column"],
        )


def _refuse_mixture(dataset: Dataset, mask_column: str | None) -> None:
    """Refuse files with a mask beside files without: read as one dataset, one kind would hide the other."""
    for name in [mask_column] if mask_column else MASK_NAMES:
        there = {source: name in names for source, names in dataset.columns_of().items()}
        if len(set(there.values())) > 1:
            padded = next(source for source, has in there.items() if has)
            raw = next(source for source, has in there.items() if not has)
            raise PaddedError(
                f"{padded} has a mask column {name!r} and {raw} has none: one dataset is raw or padded. "
                "Look at them apart.",
                options=["mask_column"],
            )


def _length(name: str | None, schema: pa.Schema) -> str | None:
    """Return the length column that the metadata name, where it is still there and holds lengths."""
    there = name is not None and schema.names.count(name) == 1
    return name if there and pa.types.is_integer(schema.field(name).type) else None


def audit_column(column: PadColumn, layout: PaddingInfo | None) -> AuditColumn:
    """Return what the audit must know of a column: of padded input its own pad value, not the asked one."""
    value: Any = column.value
    if layout is not None:
        # Without metadata nobody knows the pad value, unless it was given: 0 is only the default.
        value = layout.values.get(column.name, column.value or None)
    return AuditColumn(column.name, value, is_label(column))
