"""`unpad_table`: remove the padding of an Arrow table in memory.

This module compares the masks and lengths with the row lengths, and rejects a row if they disagree. It never
reads values at padded positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import cut_lists, is_sequence, list_lengths
from padmask.core.columns import asked_names, default_column, judged_columns, only_field
from padmask.core.companions import is_companion, list_names
from padmask.core.first_rows import FirstRows
from padmask.core.foreign_metadata import carry_metadata
from padmask.core.join_windows import JoinPlan, has_windows, join_rows, plan_join, read_windows
from padmask.core.length_column import read_lengths
from padmask.core.mask_segments import read_mask
from padmask.core.metadata import describe_groups, groups_to_keep
from padmask.core.padding import (
    FirstRowsOf,
    Padding,
    check_padding,
    find_padding,
    may_be_mask,
    read_groups,
)
from padmask.core.plan import Positions, Segments, plan_unpad
from padmask.core.ragged import Ragged
from padmask.core.table import replace_columns
from padmask.errors import DataError, Fault, PaddedError, RowError, SpecError
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns, list_columns
from padmask.spec.pad import Side
from padmask.spec.unpad import UnpadSpec
from padmask.spec.windows import WINDOW_COLUMNS


@dataclass(frozen=True)
class UnpadJob:
    """The columns to unpad, and the columns that mark their padding.

    Args:
        columns: names of the columns to unpad.
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None if there is no length column.
        padding: side of the padding, used only if there is no mask.
        dropped: names of the columns to leave out of the output.
        also: jobs for columns whose padding other mask or length columns mark.
        windows: whether to join windows.
    """

    columns: tuple[str, ...]
    mask: str | None
    length: str | None
    padding: Side
    dropped: tuple[str, ...]
    also: tuple[UnpadJob, ...] = ()
    windows: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that unpadding reads."""
        markers = [name for name in (self.mask, self.length) if name is not None]
        also = [name for job in self.also for name in job.names]
        return tuple(dict.fromkeys([*self.columns, *markers, *also]))

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Names of the columns to unpad, in all jobs."""
        return tuple(name for job in (self, *self.also) for name in job.columns)

    @property
    def all_dropped(self) -> tuple[str, ...]:
        """Names of the columns to leave out of the output, in all jobs."""
        names = [name for job in (self, *self.also) for name in job.dropped]
        return (*names, *(WINDOW_COLUMNS if self.windows else ()))


# Returns the first rows of all list columns.
ReadFirst = Callable[[], FirstRows]


def find_padded_groups(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    spec: UnpadSpec,
    first_rows: FirstRowsOf | None = None,
    judged: Sequence[str] = (),
) -> list[tuple[Sequence[str], Padding | None]]:
    """Find the padding to remove. According to the metadata, each group of columns may have a different mask.

    Args:
        files, columns, spec, first_rows, judged: as in `find_removable_padding`.

    Returns:
        For each group, the names of its columns (empty for all padded columns), and the columns that mark
        their padding.

    Raises:
        DataError: required metadata are not valid.
        PaddedError: the files are not padded in the same way.
    """
    groups = [] if spec.mask_column or spec.length_column else _padded_groups(files, columns)
    if len(groups) < 2:
        return [(columns, find_removable_padding(files, columns, spec, first_rows, judged))]
    if not columns:
        # Compare all columns of all files.
        find_removable_padding(files, (), spec)
    return [(names, find_removable_padding(files, names, spec)) for names in groups]


def _padded_groups(files: Mapping[str, pa.Schema], columns: Sequence[str]) -> list[list[str]]:
    """Return the padded columns of each mask, from the metadata of the first padded file."""
    try:
        described = next(iter(read_groups(files).values()), [])
    except DataError:
        return []
    names = {name for schema in files.values() for name in schema.names}
    groups = [
        [name for name in group.values if not columns or name in columns]
        for group in described
        if group.present(names) != (None, None)
    ]
    if set(columns) - {name for group in groups for name in group}:
        return []
    # The counts of a run are those of the first group.
    return sorted(
        (group for group in groups if group), key=lambda group: not {*group} & {"input_ids", "tokens"}
    )


def choose_unpad_jobs(
    schema: pa.Schema,
    groups: Sequence[tuple[Sequence[str], Padding | None]],
    spec: UnpadSpec,
    read_first: ReadFirst | None = None,
) -> UnpadJob:
    """Choose the columns to unpad in each group from `find_padded_groups`, and return them as one job.

    Raises:
        SpecError: as in `choose_unpad_job`.
    """
    first, *also = (choose_unpad_job(schema, names, spec, found, read_first) for names, found in groups)
    return replace(first, also=tuple(also), windows=spec.join_windows and has_windows(schema))


def choose_unpad_job(
    schema: pa.Schema,
    columns: Sequence[str],
    spec: UnpadSpec,
    found: Padding | None,
    read_first: ReadFirst | None = None,
) -> UnpadJob:
    """Choose the columns to unpad and the columns that mark the padding.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("mask", pa.list_(pa.bool_()))])
    >>> job = choose_unpad_job(schema, (), UnpadSpec(), Padding("mask", None))
    >>> job.columns, job.mask, job.padding, job.dropped
    (('input_ids',), 'mask', 'post', ('mask',))

    Args:
        schema: schema of the table.
        columns: names of the requested columns. If empty, the padded columns.
        spec: how the padding is marked.
        found: the padding, as `find_removable_padding` returns it.
        read_first: function that returns the first rows of all list columns; if None, companions are left
            out.

    Raises:
        SpecError: a column is missing or has the wrong type, or no column marks the padding.
    """
    if found is None or not found.names:
        raise SpecError(
            "No column marks the padding. Specify the mask column with --mask-column, or the column of row "
            f"lengths with --length-column. {list_columns(schema.names)}"
        )
    padding = spec.padding or found.padding
    if found.mask is None and padding is None:
        raise SpecError(
            f"Column {found.length!r} has the row lengths, but not the side of the padding. Add --padding "
            "post or --padding pre."
        )
    padded = list(columns) or _padded_columns(schema, found, read_first)
    if spec.keep_mask and found.mask is not None and found.mask not in padded:
        padded.append(found.mask)
    _check_sequences(schema, padded)
    check_padding(schema, found)
    dropped = () if spec.keep_mask else tuple(name for name in found.names if name not in padded)
    return UnpadJob(tuple(padded), found.mask, found.length, padding or "post", dropped)


def find_removable_padding(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    spec: UnpadSpec,
    first_rows: FirstRowsOf | None = None,
    judged: Sequence[str] = (),
) -> Padding | None:
    """Return the columns that mark the padding to remove. This function does not read the values of a mask.

    Args:
        files: schema of each file, by file name.
        columns: names of the requested columns. If empty, the padded columns.
        spec: how the padding is marked.
        first_rows: function that returns the first rows of a mask column; if None, a column with the name of
            a mask counts as a mask.
        judged: names of the columns that a mask may apply to.

    Raises:
        DataError: required metadata are not valid.
        PaddedError: the files are not padded in the same way.
    """
    asked: dict[str, Any] = {"mask_column": spec.mask_column, "length_column": spec.length_column}
    asked |= {"first_rows": first_rows, "judged": judged, "by_name": True}
    try:
        found = find_padding(files, columns=columns, **asked)
        _refuse_two_sides(found)
    except DataError:
        # The arguments specify everything that the metadata describe.
        if columns and (spec.mask_column or (spec.length_column and spec.padding)):
            return find_padding(files, **asked, read_metadata=False)
        raise
    return found


def _refuse_two_sides(found: Padding | None) -> None:
    """Raise an error if files are padded on different sides, and only lengths mark the padding."""
    sides = {} if found is None or found.mask is not None else found.sides
    first = next(iter(sides), "")
    other = next((name for name, side in sides.items() if side != sides[first]), None)
    if other is not None:
        raise PaddedError(
            f"{first} has --padding {sides[first]}, but {other} has --padding {sides[other]}, and no mask "
            "marks the padding",
            remedy="Unpad the files separately.",
        )


def _padded_columns(schema: pa.Schema, found: Padding, read_first: ReadFirst | None) -> list[str]:
    """Return the columns listed in the metadata, or the default column and its companions."""
    if not found.values:
        others = pa.schema([field for field in schema if field.name != found.mask])
        first = default_column(others)
        if read_first is None:
            return [first]
        rows = read_first()
        return [first] + [
            field.name
            for field in others
            if field.name != first and is_companion(field) and rows.have_same_lengths(first, field.name)
        ]
    for name in found.values:
        if name not in schema.names:
            raise SpecError(
                f"The padmask metadata list a padded column {name!r}, which the input does not have. "
                f"Specify the padded columns with -c. {list_columns(schema.names)}",
                options=["columns"],
            )
    return list(found.values)


def _check_sequences(schema: pa.Schema, columns: Sequence[str]) -> None:
    for name in columns:
        type_ = only_field(schema, name).type
        if not is_sequence(type_) and not may_be_mask(type_):
            raise SpecError(
                f"Column {name!r} cannot be unpadded: the type {type_} is not a list of tokens. "
                "Choose a list column with -c.",
                options=["columns"],
            )


def unpad_table(table: pa.Table, columns: Columns = None, spec: UnpadSpec | None = None) -> pa.Table:
    """Remove the padding of a padded table: the inverse of `pad_table`.

    >>> from padmask import pad_table
    >>> padded = pad_table(pa.table({"id": [1, 2], "input_ids": [[7, 8], [9]]}))
    >>> unpad_table(padded).to_pydict()
    {'id': [1, 2], 'input_ids': [[7, 8], [9]]}

    Args:
        table: table with a mask column or a column of row lengths. All other columns stay unchanged.
        columns: names of the padded columns. Default: the columns in the metadata that `pad_table` wrote,
            otherwise `input_ids`, otherwise `tokens`, otherwise the only list column.
        spec: how the input marks its padding. Default: `UnpadSpec()`.

    Returns:
        A table with the same rows. Each unpadded column is a `list` of the real tokens, in the dtype of the
        padded column. The table has no mask and no length column, unless `spec.keep_mask` is True.

    Raises:
        SpecError: a column is missing, or no column marks the padding.
        RowError: the mask or the length of a row does not match its tokens.
        DataError: the metadata are not valid.
    """
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    spec = or_default("spec", spec, UnpadSpec)
    schema, batches = table.schema, table.to_batches()
    names = asked_names(schema, columns)
    first_rows = FirstRows.of(batch.select(list_names(schema)) for batch in batches)
    judged = judged_columns(schema, columns)
    groups = find_padded_groups({"the table": schema}, names, spec, lambda _: first_rows, judged)
    job = choose_unpad_jobs(schema, groups, spec, lambda: first_rows)
    schema = unpadded_schema(table.schema, job)
    if job.windows:
        # The windows of a row may be in several batches.
        batches = table.combine_chunks().to_batches()
    cut: list[pa.RecordBatch] = []
    first = 0
    for batch in batches:
        all_segments = []
        for part in (job, *job.also):
            lengths = None if part.length is None else batch.column(part.length).to_pylist()
            segments, faults = find_segments(batch, lengths, part)
            if faults:
                raise RowError(f"Row {first + faults[0].row}, {faults[0]}.")
            all_segments.append(segments)
        if job.windows:
            values = {name: batch.column(name).to_pylist() for name in WINDOW_COLUMNS}
            windows, faults = read_windows(values.__getitem__)
            joined = plan_join(windows, all_segments[0].counts)
            if found := [*faults, *joined.faults]:
                raise RowError(f"Row {first + found[0].row}, {found[0]}.")
            whole = cut_and_join_columns(batch, all_segments, job, joined)
        else:
            whole = cut_columns(batch, all_segments, job)
        cut.append(pa.RecordBatch.from_arrays(whole.columns, schema=schema))
        first += batch.num_rows
    return pa.Table.from_batches(cut, schema=schema)


def find_segments(
    batch: pa.RecordBatch,
    lengths: Sequence[Any] | None,
    job: UnpadJob,
    mask: tuple[Segments, list[Fault]] | None = None,
) -> tuple[Segments, list[Fault]]:
    """Return the segments of the real tokens, and a `Fault` for each row whose columns disagree.

    Args:
        batch: batch with the padded columns and, if `mask` is None, the mask column.
        lengths: values of the length column, one per row; None if there is no length column.
        job: the padded columns and the columns that mark their padding.
        mask: segments and faults that `read_mask_column` returned; if None, this function reads the mask
            column.
    """
    found: list[Fault] = []
    places = {}
    for name in job.columns:
        places[name], nulls = list_lengths(batch.column(name))
        found += blame_column(name, nulls, "columns")
    if mask is None and job.mask is not None:
        mask = read_mask_column(batch.column(job.mask), job.mask)
    segments, faults = mask or (None, [])
    return compare_lengths(places, segments, lengths, [*found, *faults], job)


def read_mask_column(column: pa.Array, name: str) -> tuple[Segments, list[Fault]]:
    """Return the segments of the real tokens in a mask column, and a `Fault` for each row with a bad mask."""
    rows, odd = Ragged.from_mask(column)
    segments, broken = read_mask(rows)
    return segments, blame_column(name, odd + broken, "mask_column")


def blame_column(name: str, faults: Iterable[Fault], option: str) -> list[Fault]:
    """Return copies of the faults with the column name and the option that specified the column."""
    return [replace(fault, column=name, options=(option,)) for fault in faults]


def compare_lengths(
    places: Mapping[str, Positions],
    mask: Segments | None,
    lengths: Sequence[Any] | None,
    found: Iterable[Fault],
    job: UnpadJob,
) -> tuple[Segments, list[Fault]]:
    """Compare the mask, the length column and the lengths of the padded rows.

    Args:
        places: lengths of the padded rows for each column, int64, shape (rows,).
        mask: segments from the mask column; None if there is no mask.
        lengths: values of the length column; None if there is no length column.
        found: faults found earlier. Only the first `Fault` of each row is returned.
        job: the padded columns and the columns that mark their padding.

    Returns:
        The segments of the real tokens, and the first `Fault` of each bad row in row order.
    """
    first, widths = next(iter(places.items()))
    known, odd = read_lengths(lengths, job.length) if lengths is not None else (widths, [])
    segments = mask or plan_unpad(known, widths, job.padding)
    faults = [*found, *odd, *_unequal(places, segments, job.mask or first)]
    if mask is None and lengths is None:
        faults += [Fault(row, "the row has neither a mask nor a length") for row in range(len(widths))]
    elif mask is None:
        faults += [
            Fault(
                row,
                f"the length in column {job.length!r} is {known[row]}, but the row has only "
                f"{widths[row]} values",
                options=("columns", "length_column"),
            )
            for row in np.flatnonzero(known > widths).tolist()
        ]
    elif lengths is not None:
        faults += [
            Fault(
                row,
                f"the length in column {job.length!r} is {known[row]}, but the mask {job.mask!r} has "
                f"{segments.counts[row]} real tokens",
                options=("mask_column", "length_column"),
            )
            for row in np.flatnonzero(known != segments.counts).tolist()
        ]
    by_row = {fault.row: fault for fault in reversed(faults)}
    return segments, [by_row[row] for row in sorted(by_row)]


def _unequal(places: Mapping[str, Positions], segments: Segments, first: str) -> list[Fault]:
    return [
        Fault(
            row,
            f"column {name!r} has {counts[row]} values, but {first!r} has {segments.source_lengths[row]}",
            options=("columns", "mask_column"),
        )
        for name, counts in places.items()
        for row in np.flatnonzero(counts != segments.source_lengths).tolist()
    ]


def cut_columns(batch: pa.RecordBatch, segments: Sequence[Segments], job: UnpadJob) -> pa.RecordBatch:
    """Return the batch without its padding and without the dropped columns. All rows must be valid.

    Args:
        batch: the padded rows.
        segments: positions of the tokens, for the job and for each job in `job.also`.
        job: columns to unpad, and columns to leave out.
    """
    arrays = {
        name: cut_lists(batch.column(name), its.starts, its.counts)
        for part, its in zip((job, *job.also), segments, strict=True)
        for name in part.columns
    }
    return replace_columns(batch, arrays, without=job.all_dropped)


def cut_and_join_columns(
    batch: pa.RecordBatch, segments: Sequence[Segments], job: UnpadJob, joined: JoinPlan
) -> pa.RecordBatch:
    """Return the batch without its padding, with its windows joined. The arguments are as in `cut_columns`.

    Args:
        batch, segments, job: as in `cut_columns`.
        joined: the tokens that each window adds to its row.
    """
    main, *also = segments
    new = replace(main, starts=main.starts + joined.starts, counts=joined.counts)
    # The columns that locate windows stay until the windows are joined.
    return join_rows(cut_columns(batch, [new, *also], job), job.columns, joined.firsts)


def unpadded_schema(schema: pa.Schema, job: UnpadJob) -> pa.Schema:
    """Return the schema of the unpadded table. Its metadata describe only padding that remains."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    none = np.zeros(0, dtype=np.int64)
    # Unpadding zero rows yields the column types.
    nothing = [plan_unpad(none, none, job.padding)] * (1 + len(job.also))
    types = cut_columns(empty, nothing, job).schema
    left = groups_to_keep(schema, [*job.all_columns, *job.all_dropped])
    return carry_metadata(schema, types, job.all_columns, describe_groups(left))
