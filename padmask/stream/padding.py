"""Whether the files of a dataset are padded. The decision itself is in `core/padding.py`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import pyarrow as pa

from padmask.core.arrow_lists import is_mask
from padmask.core.columns import MASK_NAMES, asked_names
from padmask.core.padding import Padding, check_padding, find_padding
from padmask.core.ragged import Ragged
from padmask.errors import DataError
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.stream.job import Job

PADDED_ALREADY = (
    "the input looks padded already: its padding counts as real tokens, and the mask does not mark it; "
    "remove the padding with padmask unpad"
)

PLACES_UNKNOWN = (
    "padmask padded the input, and the columns that say which places are padding are gone: its padding "
    "counts as real tokens"
)


def find_dataset_padding(dataset: Dataset, columns: Columns, mask_column: str | None) -> Padding | None:
    """Return the columns that mark the padding of a dataset, or None for raw columns.

    Args:
        dataset: the data.
        columns: the requested columns; None for the padded columns.
        mask_column: the requested mask. With a requested mask, the metadata are not used.

    Returns:
        The columns, or None for raw columns. Padding without names is described by the metadata, and nothing
        marks it, see `PLACES_UNKNOWN`.

    Raises:
        SpecError: a column that marks the padding is missing or has the wrong type.
        DataError: the metadata are not valid, or the files are not padded in the same way.
    """
    with dataset.named_in_errors():
        # JSON Lines without rows have no columns to compare the names with, and no metadata.
        names = asked_names(dataset.schema(), columns) if not dataset.format.is_text else []
    found = find_padding(
        dataset.schemas(),
        columns=names,
        mask_column=mask_column,
        first_mask=partial(first_mask, dataset),
        read_metadata=mask_column is None,
    )
    if found is None or _passed_through(found, names):
        return None
    with dataset.named_in_errors():
        check_padding(dataset.schema(), found)
    return found


def padding_note(dataset: Dataset, job: Job) -> str | None:
    """Return a warning if padding of the input would count as tokens."""
    columns = [column.name for column in job.columns]
    names = (*job.mask.names, *MASK_NAMES)
    read_first = cache(partial(first_mask, dataset))
    note = None
    for name, schema in known_schemas(dataset).items():
        # Each file is judged alone, because pad accepts padded files beside raw files.
        try:
            found = find_padding({name: schema}, columns=columns, names=names, first_mask=read_first)
        except DataError:
            # Invalid metadata show that the file was padded.
            return PADDED_ALREADY
        if found is None or _passed_through(found, columns):
            continue
        if found.seen or found.described:
            return PADDED_ALREADY
        if not found.names:
            note = PLACES_UNKNOWN
    return note


def _passed_through(found: Padding, columns: Sequence[str]) -> bool:
    """Return whether the metadata name padded columns, and none of these columns is among them."""
    return bool(found.values and columns) and not set(columns) & set(found.values)


def known_schemas(dataset: Dataset) -> dict[str, pa.Schema]:
    """Return the schema of each file; for JSON Lines, which need a read, only of the first file."""
    return {dataset.name: dataset.schema()} if dataset.format.is_text else dataset.schemas()


def first_mask(dataset: Dataset, name: str) -> Ragged | None:
    """Return the first rows of a mask column, from the first file that has the column.

    Returns:
        The rows, or None if there is no row or the column cannot be a mask.
    """
    part = dataset.starting_with(name)
    field = part.schema().field(name)
    head = part.head(Wanted(pa.schema([field]))) if is_mask(field.type) else None
    return None if head is None else Ragged.from_mask(head.columns.column(name))[0]
