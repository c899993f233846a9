"""Read what `core/padding.py` needs to decide whether a dataset is padded."""

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
    "the input looks padded already, so its padding counts as real tokens, and the mask does not show the "
    "padding. To remove the padding first, run padmask unpad"
)

PLACES_UNKNOWN = (
    "padmask padded the input, but the columns that mark the padding are missing, so the padding counts as "
    "real tokens"
)


def find_dataset_padding(dataset: Dataset, columns: Columns, mask_column: str | None) -> Padding | None:
    """Return the columns that mark the padding of a dataset; None if the columns are raw.

    Args:
        dataset: the data.
        columns: requested columns; None for all padded columns.
        mask_column: requested mask column; None reads the metadata.

    Returns:
        The columns that mark the padding. `names` is empty if the metadata describe padding but the columns
        that marked it are missing, see `PLACES_UNKNOWN`.

    Raises:
        SpecError: a column that marks the padding is missing or of another type.
        DataError: the metadata cannot be read, or the files are not padded in the same way.
    """
    with dataset.named_in_errors():
        # JSON Lines have no metadata to compare, and no columns without rows.
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
    """Return a warning if the input has padding that would count as tokens; None without such padding."""
    columns = [column.name for column in job.columns]
    names = (*job.mask.names, *MASK_NAMES)
    read_first = cache(partial(first_mask, dataset))
    note = None
    for name, schema in known_schemas(dataset).items():
        # Check each file separately, because a mix of padded and raw files is not an error here.
        try:
            found = find_padding({name: schema}, columns=columns, names=names, first_mask=read_first)
        except DataError:
            # padmask writes these metadata only to padded files, so the file is padded.
            return PADDED_ALREADY
        if found is None or _passed_through(found, columns):
            continue
        if found.seen or found.described:
            return PADDED_ALREADY
        if not found.names:
            note = PLACES_UNKNOWN
    return note


def _passed_through(found: Padding, columns: Sequence[str]) -> bool:
    """Return whether the metadata name padded columns, but none of these columns."""
    return bool(found.values and columns) and not set(columns) & set(found.values)


def known_schemas(dataset: Dataset) -> dict[str, pa.Schema]:
    """Return the schema of each file, or only one schema for JSON Lines, which need rows for a schema."""
    return {dataset.name: dataset.schema()} if dataset.format.is_text else dataset.schemas()


def first_mask(dataset: Dataset, name: str) -> Ragged | None:
    """Return the first rows of a mask column; None without rows or if the column is not a mask."""
    part = dataset.starting_with(name)
    field = part.schema().field(name)
    head = part.head(Wanted(pa.schema([field]))) if is_mask(field.type) else None
    return None if head is None else Ragged.from_mask(head.columns.column(name))[0]
