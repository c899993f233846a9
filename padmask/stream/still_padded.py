"""Find columns that `unpad` does not change although they may be padded."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import pyarrow as pa

from padmask.core.arrow_lists import kind_of
from padmask.core.companions import is_companion, is_per_token, list_names
from padmask.core.first_rows import FirstRows
from padmask.core.padding import read_groups
from padmask.core.unpad_table import UnpadJob
from padmask.errors import quoted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.stream.first_rows import read_first_rows
from padmask.stream.padding import column_flags, known_schemas


def still_padded_notes(dataset: Dataset, job: UnpadJob, columns: Columns) -> tuple[str, ...]:
    """Return a warning with the columns that may still be padded, and the options that unpad them.

    If the metadata describe the padding, only the metadata decide. Otherwise the first rows decide.

    Args:
        dataset: the padded data.
        job: the columns to unpad.
        columns: columns that the user requested. With requested columns, the result is empty.
    """
    parts = (job, *job.also)
    marks = [name for part in parts for name in (part.mask, part.length) if name is not None]
    if columns or not marks:
        return ()
    schema = dataset.schema()
    taken = {*job.all_columns, *job.all_dropped, *marks}
    groups = [group for file in read_groups(known_schemas(dataset)).values() for group in file]
    if groups:
        found = {name: group.mask for group in groups for name in group.values}
        found = {name: mask for name, mask in found.items() if name in schema.names and name not in taken}
    else:
        found = find_still_padded(schema, job, taken, read_first_rows(dataset, list_names(schema)))
    if not found:
        return ()
    flags = "; ".join(_flags(name, mask, job) for name, mask in found.items())
    unknown = " (MASK stands for the mask of the column)" if None in found.values() else ""
    return (f"may still be padded: {quoted(found)}. To unpad: {flags}{unknown}",)


def find_still_padded(
    schema: pa.Schema, job: UnpadJob, taken: Collection[str], rows: FirstRows
) -> dict[str, str | None]:
    """Return the columns that look padded, each with its mask (None if unknown).

    A column looks padded if a mask contains a 0 in a row that is as long as the row of the column, or if its
    name is usual for tokens and all its rows have one length of at least 2.

    Args:
        schema: columns of the input.
        job: the columns to unpad, which have the lengths of the mask of the job.
        taken: names of the columns that are unpadded, and of their mask and length columns.
        rows: the first rows of the list columns.
    """
    fields = {
        field.name: field
        for field in schema
        if field.name in rows.lengths and field.name not in taken and rows.have_tokens(field.name)
    }
    first = job.columns[0]
    alike = {name for name in fields if rows.have_same_lengths(first, name)}
    masks = [name for name in fields if name in rows.zeros and _is_named_mask(fields[name])]
    found: dict[str, str | None] = {}
    for name in fields.keys() - alike - {*masks}:
        other = (
            mask for mask in masks if rows.have_same_lengths(mask, name) and rows.show_padding(mask, name)
        )
        if (mask := next(other, None)) is not None:
            found[name] = mask
        elif job.mask is not None and rows.show_padding(job.mask, name):
            found[name] = job.mask
        elif _has_one_length(rows, name) and (is_companion(fields[name]) or is_per_token(fields[name])):
            found[name] = None
    return {name: found[name] for name in fields if name in found}


def _is_named_mask(field: pa.Field) -> bool:
    return "mask" in field.name or kind_of(field.type) == "bool"


def _has_one_length(rows: FirstRows, name: str) -> bool:
    lengths = rows.lengths[name]
    return rows.have_one_length(name) and len(lengths) > 1 and int(lengths.max()) > 1


def _flags(name: str, mask: str | None, job: UnpadJob) -> str:
    """Return the options that unpad a column. Columns with the same mask are unpadded together."""
    if mask is not None and mask == job.mask:
        return column_flags([*(column for column in job.columns if column != mask), name])
    return f"{column_flags([name])} --mask-column {'MASK' if mask is None else shlex.quote(mask)}"
