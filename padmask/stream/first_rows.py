"""Read the first rows of a dataset. These rows determine the columns that are padded together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache

import pyarrow as pa

from padmask.core.arrow_lists import has_null_tokens, is_list
from padmask.core.companions import list_names
from padmask.core.first_rows import FirstRows
from padmask.core.padding import FirstRowsOf
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.mask import Dialect


def read_first_rows(
    dataset: Dataset, names: Iterable[str], dialects: Mapping[str, Dialect] | None = None
) -> FirstRows:
    """Return the lengths and masks of list columns in the first rows.

    Args:
        dataset: the data.
        names: names of the columns. Columns that are not lists are ignored.
        dialects: polarity and kind of masks, keyed by column name. For other masks, the polarity and
            kind that the name suggests are used.
    """
    rows = FirstRows.of(first_batches(dataset, names), dialects)
    # The type of a JSON field comes from its values, so a list column always has values, even if they are not
    # valid.
    return replace(rows, empty=()) if dataset.format.is_text else rows


def first_batches(dataset: Dataset, names: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches from the start of a dataset, with the columns in `names` that are lists."""
    schema = dataset.schema()
    known = set(list_names(schema))
    fields = [_readable(schema.field(name)) for name in dict.fromkeys(names) if name in known]
    wanted = Wanted(pa.schema(fields), dtype_requested=[field.name for field in fields])
    return (batch.columns for batch in dataset.look(wanted)) if fields else iter(())


def _readable(field: pa.Field) -> pa.Field:
    """Return the field with a type that can be read: lists without a token type become lists of integers."""
    empty = is_list(field.type) and has_null_tokens(field.type)
    return pa.field(field.name, pa.list_(pa.int64())) if empty else field


def first_rows_of(
    dataset: Dataset,
    columns: Iterable[str] = (),
    known: FirstRows | None = None,
    dialect: Dialect | None = None,
) -> FirstRowsOf:
    """Return a function that takes the name of a mask, and reads the first rows of the mask and of `columns`.

    The function starts reading at the first file that has the mask. If the rows have no such mask, the
    function returns None.

    Args:
        dataset: the data.
        columns: names of the columns that the mask may describe. If empty, all list columns.
        known: the first rows of the dataset, with `columns` and all masks; None if they have not been read.
        dialect: requested polarity and kind of the mask. If None, the polarity and kind that the name
            of the mask suggests are used.
    """
    names = tuple(columns)

    def read(mask: str) -> FirstRows | None:
        part = dataset.starting_with(mask)
        schema = part.schema()
        rows = known if part is dataset else None
        if rows is None:
            dialects = {} if dialect is None else {mask: dialect}
            rows = read_first_rows(part, [mask, *(names or list_names(schema))], dialects)
        return rows if mask in rows.zeros and len(rows.zeros[mask]) else None

    return cache(read)
