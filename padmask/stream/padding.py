"""Check whether a dataset is already padded. This module reads the data for `core/padding.py`."""

from __future__ import annotations

import pyarrow as pa

from padmask.core.columns import asked_names, judged_columns
from padmask.core.padding import Padding, check_padding, find_padding, read_groups
from padmask.errors import quoted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.mask import Dialect
from padmask.spec.warning_names import Warned
from padmask.stream.first_rows import first_rows_of


def find_dataset_padding(
    dataset: Dataset, columns: Columns, mask_column: str | None, dialect: Dialect | None = None
) -> Padding | None:
    """Return the mask and length columns of a dataset; None if the dataset is not padded.

    Args:
        dataset: the data.
        columns: requested columns; None for all padded columns.
        mask_column: name of the requested mask column. If None, the mask column is found from the metadata,
            else from its name and the first rows.
        dialect: requested polarity and kind of the mask. If None, those in the metadata are used, else those
            that the name of the mask suggests.

    Returns:
        The mask and length columns. `Padding.names` is empty if the metadata describes padding, but neither
        the mask nor the length column exists.

    Raises:
        SpecError: a requested mask column is missing, or a mask or length column has the wrong type.
        DataError: the metadata is not valid, or the files are not padded in the same way.
    """
    with dataset.named_in_errors():
        # JSON Lines has no metadata to compare, and a file without rows has no columns.
        schema = dataset.schema()
        names = asked_names(schema, columns) if not dataset.format.is_text else []
        judged = judged_columns(schema, columns)
    found = find_padding(
        dataset.schemas(),
        columns=names,
        judged=judged,
        mask_column=mask_column,
        first_rows=first_rows_of(dataset, judged, dialect=dialect),
        read_metadata=mask_column is None,
        dialect=dialect,
    )
    if found is not None:
        with dataset.named_in_errors():
            check_padding(dataset.schema(), found)
    return found


def known_schemas(dataset: Dataset) -> dict[str, pa.Schema]:
    """Return the schema of each file, keyed by file name. For JSON Lines, return only the common schema."""
    return {dataset.name: dataset.schema()} if dataset.format.is_text else dataset.schemas()


def unmarked_padding_notes(dataset: Dataset, padding: Padding) -> tuple[Warned, ...]:
    """Return a warning for each group of padded columns that have no mask or length column.

    The group that `padding` describes is not included.
    """
    schemas = known_schemas(dataset)
    file, groups = next(iter(read_groups(schemas).items()), ("", []))
    names = schemas[file].names if file else []
    return tuple(
        Warned("mask-uncertain", f"not checked: {quoted(list(group.values))} (no column marks the padding)")
        for group in groups
        if padding.values and group.values != padding.values and group.present(names) == (None, None)
    )
