"""Find out whether a dataset is padded. This module reads the data for `core/padding.py`."""

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
    "the input looks padded already, so the new mask marks its padding as real tokens. To remove the padding "
    "first, run padmask unpad"
)

PLACES_UNKNOWN = (
    "padmask padded the input, but the columns that mark the padding are missing, so the padding counts as "
    "real tokens"
)


def find_dataset_padding(dataset: Dataset, columns: Columns, mask_column: str | None) -> Padding | None:
    """Return the columns that mark the padding of a dataset; None if the dataset is not padded.

    Args:
        dataset: the data.
        columns: requested columns; None for all padded columns.
        mask_column: name of the requested mask column; None uses the metadata.

    Returns:
        The columns that mark the padding. `names` is empty if the metadata describe padding, but the columns
        that marked the padding are missing.

    Raises:
        SpecError: a column that marks the padding is missing or has the wrong type.
        DataError: the metadata are not valid, or the files are not padded in the same way.
    """
    with dataset.named_in_errors():
        # JSON Lines files have no metadata to compare, and their columns are unknown if they have no rows.
        names = asked_names(dataset.schema(), columns) if not dataset.format.is_text else []
    found = find_padding(
        dataset.schemas(),
        columns=names,
        mask_column=mask_column,
        first_mask=partial(first_mask, dataset),
        read_metadata=mask_column is None,
    )
    if found is None or _describes_other_columns(found, names):
        return None
    with dataset.named_in_errors():
        check_padding(dataset.schema(), found)
    return found


def padding_note(dataset: Dataset, job: Job) -> str | None:
    """Return a warning if the input seems to be padded already; otherwise None."""
    columns = [column.name for column in job.columns]
    names = (*job.mask.names, *MASK_NAMES)
    read_first = cache(partial(first_mask, dataset))
    note = None
    for name, schema in known_schemas(dataset).items():
        # Check each file separately, because it is not an error here if only some files are padded.
        try:
            found = find_padding({name: schema}, columns=columns, names=names, first_mask=read_first)
        except DataError:
            # padmask writes these metadata only to padded files, so the file is padded.
            return PADDED_ALREADY
        if found is None or _describes_other_columns(found, columns):
            continue
        if found.seen or found.described:
            return PADDED_ALREADY
        if not found.names:
            note = PLACES_UNKNOWN
    return note


def _describes_other_columns(found: Padding, columns: Sequence[str]) -> bool:
    """Return whether the metadata describe padding of other columns only."""
    return bool(found.values and columns) and not set(columns) & set(found.values)


def known_schemas(dataset: Dataset) -> dict[str, pa.Schema]:
    """Return the schema of each file, by file name. For JSON Lines, return only the common schema."""
    return {dataset.name: dataset.schema()} if dataset.format.is_text else dataset.schemas()


def first_mask(dataset: Dataset, name: str) -> Ragged | None:
    """Return the first rows of a mask column; None if there are no rows or the column is not a mask."""
    part = dataset.starting_with(name)
    field = part.schema().field(name)
    head = part.head(Wanted(pa.schema([field]))) if is_mask(field.type) else None
    return None if head is None else Ragged.from_mask(head.columns.column(name))[0]
