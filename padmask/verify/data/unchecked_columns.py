"""Columns that are not checked, because their lengths or masks differ from those of the checked columns."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace

import pyarrow as pa

from padmask.core.arrow_lists import is_list
from padmask.core.companions import list_names
from padmask.core.padding import Padding
from padmask.core.still_padded import is_named_mask
from padmask.core.unpad_job import dialects_of, unsure_columns
from padmask.errors import column_flags, quoted
from padmask.formats.dataset import Dataset
from padmask.spec.warning_names import Warned
from padmask.stream.first_rows import read_first_rows
from padmask.stream.job import Job


def leave_out_unsure(
    dataset: Dataset, job: Job, padding: Padding | None, *, requested: bool
) -> tuple[Job, list[Warned]]:
    """Return the job without the columns that may have another mask, and a warning for each such column.

    Args:
        dataset: dataset to check.
        job: columns to check.
        padding: columns that mark the padding; None for raw rows.
        requested: whether the user requested the columns.
    """
    # If there is metadata or the user chose the columns, it is known which mask belongs to a column.
    if padding is None or padding.values or requested:
        return job, []
    schema = dataset.schema()
    dialects = dialects_of([((), padding)])
    unsure = unsure_columns(schema, padding, (), read_first_rows(dataset, list_names(schema), dialects))
    columns = [column for column in job.columns if column.name not in unsure]
    notes = [
        Warned(
            "mask-uncertain",
            f"not checked: {column.name!r} (its mask may be {unsure[column.name]!r}). To check the column: "
            f"{column_flags([column.name])} --mask-column {shlex.quote(unsure[column.name])}",
        )
        for column in job.columns
        if column.name in unsure
    ]
    return replace(job, columns=columns), notes


def ragged_notes(
    dataset: Dataset, job: Job, padding: Padding | None, checked: Collection[str]
) -> list[Warned]:
    """Return a warning about columns that are not checked because their lengths differ from the tokens.

    Args:
        dataset: dataset to check.
        job: columns to check.
        padding: columns that mark the padding; None for raw rows.
        checked: names of other columns that are checked.
    """
    marks = () if padding is None else padding.names
    names = [name for name in job.beside.ragged if name not in checked and name not in marks]
    if not names:
        return []
    masks = _masks_of(dataset, names)
    names = [name for name in names if name not in masks.values()]
    first = job.columns[0].name
    # If few rows differ, these rows are probably bad rows, which only a check with the first column finds.
    rows = read_first_rows(dataset, list_names(dataset.schema()))
    flags = [
        column_flags([first, name] if rows.have_similar_lengths(first, name) else [name])
        + (f" --mask-column {shlex.quote(masks[name])}" if name in masks else "")
        for name in names
    ]
    text = f"not checked: {quoted(names)} (lengths differ from {first!r}). To check: {'; '.join(flags)}"
    return [Warned("lengths-differ", text)]


def find_misaligned(dataset: Dataset, job: Job, taken: Collection[str]) -> tuple[pa.Field, ...]:
    """Return the columns with the same lengths as the tokens in most, but not nearly all, of the first rows.

    Args:
        dataset: dataset to check.
        job: columns to check.
        taken: names of other columns that are checked.
    """
    names = [name for name in job.beside.ragged if name not in taken]
    rows = read_first_rows(dataset, [job.columns[0].name, *names])
    schema, first = dataset.schema(), job.columns[0].name
    return tuple(
        schema.field(name)
        for name in names
        if rows.are_misaligned(first, name) and is_list(schema.field(name).type)
    )


def _masks_of(dataset: Dataset, names: Sequence[str]) -> dict[str, str]:
    """Return the name of the mask of each column that has a mask, keyed by column name.

    A mask belongs to a column if both have the same lengths in the first rows and the mask contains a 0.
    """
    schema = dataset.schema()
    rows = read_first_rows(dataset, list_names(schema))
    masks = [name for name in rows.zeros if is_named_mask(schema.field(name))]
    return {
        name: mask
        for name in names
        for mask in masks
        if mask != name and rows.have_same_lengths(mask, name) and rows.show_padding(mask, name)
    }
