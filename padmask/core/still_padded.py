"""Describe the padded or possibly padded columns that `unpad` does not change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from padmask.core.arrow_lists import is_sequence, kind_of
from padmask.core.companions import is_companion, is_per_token
from padmask.core.first_rows import FirstRows
from padmask.core.metadata import Described
from padmask.core.padding import read_groups
from padmask.core.unpad_job import UnpadJob
from padmask.errors import DataError, column_flags, quoted
from padmask.spec.warning_names import Warned


@dataclass(frozen=True)
class StillPadded:
    """The columns that are padded, or may be padded, after `unpad`.

    Args:
        alike: columns whose rows are as long as the padded rows of the columns that `unpad` changes. The key
            is the column name. The value contains the command-line options that unpad the column.
        notes: warnings about other columns.
    """

    alike: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Warned, ...] = ()

    def warnings(self, first: str) -> list[Warned]:
        """Return all warnings. `first` is the name of the first unpadded column."""
        if not self.alike:
            return [*self.notes]
        flags = next(iter(self.alike.values()))
        alike = f"still padded: {quoted(self.alike)} (same lengths as {first!r}). To unpad all: {flags}"
        return [*self.notes, Warned("still-padded", alike)]


def find_still_padded(
    schema: pa.Schema,
    files: Mapping[str, pa.Schema],
    job: UnpadJob,
    requested: bool,
    read_first: Callable[[], FirstRows],
) -> StillPadded:
    """Find the padded columns that `unpad` does not change, from the metadata, else from the first rows.

    Args:
        schema: columns of the input.
        files: schema of each file, keyed by file name.
        job: the columns to unpad.
        requested: whether the user requested the columns.
        read_first: function that returns the first rows of all list columns.
    """
    marks = [name for part in (job, *job.also) for name in (part.mask, part.length) if name is not None]
    if not marks:
        return StillPadded()
    groups = _read_groups(files, requested)
    taken = {*job.all_columns, *job.all_dropped, *marks}
    notes = [_left_note(job)] if job.all_left else []
    if job.unordered:
        text = f"the rows stay in the order of the input, because {job.unordered}"
        notes.append(Warned("order-not-restored", text))
    if job.unjoined:
        text = f"windows are not joined, because {job.unjoined}"
        notes.append(Warned("pieces-not-joined", text))
    if groups and not requested:
        found = {name: group.mask for group in groups for name in group.values}
        found = {name: mask for name, mask in found.items() if name in schema.names and name not in taken}
        return StillPadded({}, (*notes, *_notes(found, job)))
    rows = read_first()
    found = {} if requested else _find_padded(schema, job, taken, rows)
    found |= job.unsure
    taken |= {*found, *job.unsure.values()}
    taken |= {name for group in groups for name in (group.mask, group.length) if name is not None}
    return StillPadded(_find_alike(schema, job, taken, rows), (*notes, *_notes(found, job)))


def _read_groups(files: Mapping[str, pa.Schema], requested: bool) -> list[Described]:
    try:
        return [group for found in read_groups(files).values() for group in found]
    except DataError:
        # The requested columns and their mask replace metadata that is not valid.
        if requested:
            return []
        raise


def _left_note(job: UnpadJob) -> Warned:
    parts = [part for part in (job, *job.also) if part.left]
    kept = [name for part in parts for name in (part.mask, part.length) if name is not None]
    mark = "which marks" if len(kept) == 1 else "which mark"
    text = f"kept: {quoted(kept)}, {mark} the padding of {quoted(job.all_left)}"
    return Warned("mask-kept", text)


def _notes(found: Mapping[str, str | None], job: UnpadJob) -> list[Warned]:
    if not found:
        return []
    flags = "; ".join(_flags(name, mask, job) for name, mask in found.items())
    unknown = " (replace MASK with the name of the mask column)" if None in found.values() else ""
    return [Warned("still-padded", f"may still be padded: {quoted(found)}. To unpad: {flags}{unknown}")]


def _flags(name: str, mask: str | None, job: UnpadJob) -> str:
    """Return the options that unpad a column. Columns with the same mask are unpadded together."""
    together = column_flags([*(column for column in job.columns if column != job.mask), name])
    if mask is not None and mask == job.mask:
        return together
    flags = f"{column_flags([name])} --mask-column {'MASK' if mask is None else shlex.quote(mask)}"
    if name not in job.unsure:
        return flags
    return f"{flags}, or {together} if {job.mask or job.length!r} marks the padding of {name!r}"


def _find_alike(schema: pa.Schema, job: UnpadJob, taken: Collection[str], rows: FirstRows) -> dict[str, str]:
    """Return the columns whose rows are as long as the padded rows, with the options that unpad them."""
    padded = [name for name in job.columns if name != job.mask and is_sequence(schema.field(name).type)]
    if not padded:
        return {}
    found = [
        name
        for name in rows.lengths
        if name not in taken and rows.have_same_lengths(padded[0], name) and rows.have_tokens(name)
    ]
    return dict.fromkeys(found, column_flags([*padded, *found]))


def _find_padded(
    schema: pa.Schema, job: UnpadJob, taken: Collection[str], rows: FirstRows
) -> dict[str, str | None]:
    """Return the columns that look padded, each with its mask; None for an unknown mask.

    A column looks padded in two cases. In the first case, a row of a mask contains a 0 and is as long as the
    same row of the column. In the second case, the name of the column is common for tokens, and all its rows
    have the same length of at least 2.

    Args:
        schema: columns of the input.
        job: the columns to unpad, and their mask.
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
    masks = [name for name in fields if name in rows.zeros and is_named_mask(fields[name])]
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


def is_named_mask(column: pa.Field) -> bool:
    """Return whether the name or the type of a column suggests a mask.

    >>> numbers, bools = pa.list_(pa.int8()), pa.list_(pa.bool_())
    >>> [is_named_mask(pa.field(*field)) for field in (("m_mask", numbers), ("x", bools), ("x", numbers))]
    [True, True, False]
    """
    return "mask" in column.name or kind_of(column.type) == "bool"


def _has_one_length(rows: FirstRows, name: str) -> bool:
    lengths = rows.lengths[name]
    return rows.have_one_length(name) and len(lengths) > 1 and int(lengths.max()) > 1
