"""Whether a dataset is padded, for every command that reads files; `core/padding.py` decides."""

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
    "the input looks padded already: its padding counts as real tokens here, and the mask will not show it; "
    "padmask unpad takes it away"
)

PLACES_UNKNOWN = (
    "padmask padded the input, and the columns that say which places are padding are gone: its padding "
    "counts as real tokens"
)


def find_dataset_padding(dataset: Dataset, columns: Columns, mask_column: str | None) -> Padding | None:
    """Find out how a dataset says which places are padding; None where the columns are raw.

    Args:
        dataset: the data.
        columns: that were asked for; None for those that were padded.
        mask_column: the mask that was asked for; the metadata are not read then.

    Returns:
        The padding has no names where only the metadata say that there is padding, see `PLACES_UNKNOWN`.

    Raises:
        SpecError: a column that says what is padding is not there, or not of its type.
        DataError: the metadata cannot be read, or the files do not say the same.
    """
    with dataset.named_in_errors():
        # Without a row, JSON Lines have no columns; nor have they metadata.
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
    """Return a sentence for a user whose padding would count as tokens; None where there is none to see."""
    columns = [column.name for column in job.columns]
    names = (*job.mask.names, *MASK_NAMES)
    read_first = cache(partial(first_mask, dataset))
    note = None
    for name, schema in known_schemas(dataset).items():
        # Each file by itself: padded files beside raw ones are no error here.
        try:
            found = find_padding({name: schema}, columns=columns, names=names, first_mask=read_first)
        except DataError:
            # Metadata that cannot be read still say that somebody padded the file.
            return PADDED_ALREADY
        if found is None or _passed_through(found, columns):
            continue
        if found.seen or found.described:
            return PADDED_ALREADY
        if not found.names:
            note = PLACES_UNKNOWN
    return note


def _passed_through(found: Padding, columns: Sequence[str]) -> bool:
    """Tell whether metadata name the padded columns, and these columns are not among them."""
    return bool(found.values and columns) and not set(columns) & set(found.values)


def known_schemas(dataset: Dataset) -> dict[str, pa.Schema]:
    """Return the schema of each file; of JSON Lines, where rows must be read for one, of the first alone."""
    return {dataset.name: dataset.schema()} if dataset.format.is_text else dataset.schemas()


def first_mask(dataset: Dataset, name: str) -> Ragged | None:
    """Return the first rows of a mask column that have one; None where no row does, or none is a mask."""
    part = dataset.starting_with(name)
    field = part.schema().field(name)
    head = part.head(Wanted(pa.schema([field]))) if is_mask(field.type) else None
    return None if head is None else Ragged.from_mask(head.columns.column(name))[0]
