"""Choose the columns to unpad, and their mask and length columns: `UnpadJob`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_sequence
from padmask.core.columns import COMPANIONS, default_column, only_field
from padmask.core.companions import is_companion
from padmask.core.first_rows import FirstRows
from padmask.core.join_windows import has_windows, reason_not_to_join
from padmask.core.metadata import valid_descriptions
from padmask.core.padding import (
    FirstRowsOf,
    Padding,
    check_padding,
    find_padding,
    may_be_mask,
    read_groups,
)
from padmask.core.source_order import has_batches, is_reordered, order_columns, reason_not_to_sort
from padmask.errors import DataError, PaddedError, SpecError
from padmask.spec.batches import BATCH, SOURCE_ROW
from padmask.spec.columns import list_columns
from padmask.spec.mask import LABELS, TRUE_AT_TOKENS, Dialect
from padmask.spec.pad import Side
from padmask.spec.unpad import UnpadSpec
from padmask.spec.windows import WINDOW_COLUMNS


@dataclass(frozen=True)
class UnpadJob:
    """The columns to unpad, and their mask and length columns.

    Args:
        columns: names of the columns to unpad.
        mask: name of the mask column; None if only the length column marks the padding.
        length: name of the length column; None if there is no length column.
        padding: side of the padding, used only if there is no mask.
        dropped: names of the columns to leave out of the output.
        also: jobs for columns that have other mask or length columns.
        left: names of columns that stay padded but share a mask or length column with the columns to unpad.
            If there are any, the mask and length columns are written unchanged.
        windows: whether to join windows.
        unjoined: reason why windows cannot be joined. Empty if the windows are joined, if the user asked to
            keep windows, or if there are no windows.
        order: names of the columns whose values sort the rows, if the order of the source rows is restored;
            else empty.
        unordered: reason why the order of the source rows cannot be restored; else empty.
        dialect: how the mask marks real tokens and padding.
        unsure: columns that are not changed, because a mask other than `mask` may mark their padding. The key
            is the name of the column, and the value is the name of that mask.
    """

    columns: tuple[str, ...]
    mask: str | None
    length: str | None
    padding: Side
    dropped: tuple[str, ...]
    also: tuple[UnpadJob, ...] = ()
    left: tuple[str, ...] = ()
    windows: bool = False
    unjoined: str = ""
    order: tuple[str, ...] = ()
    unordered: str = ""
    unsure: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = TRUE_AT_TOKENS

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
    def all_left(self) -> tuple[str, ...]:
        """Names of columns that stay padded, but share a mask or length column with unpadded columns."""
        return tuple(name for job in (self, *self.also) for name in job.left)

    @property
    def all_dropped(self) -> tuple[str, ...]:
        """Names of the columns to leave out of the output, in all jobs."""
        names = [name for job in (self, *self.also) for name in job.dropped]
        return (*names, *(WINDOW_COLUMNS if self.windows else ()))

    @property
    def kept_length(self) -> str | None:
        """Name of the length column in the output; None if the output has no length column."""
        return None if self.length in self.dropped else self.length

    @property
    def may_differ(self) -> tuple[str, ...]:
        """Names of the columns that may have different values in the windows of a row."""
        length = () if self.length is None else (self.length,)
        return (*self.columns, *length, *self.all_dropped)


# Returns the first rows of all list columns.
ReadFirst = Callable[[], FirstRows]


def find_padded_groups(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    spec: UnpadSpec,
    first_rows: FirstRowsOf | None = None,
    judged: Sequence[str] = (),
) -> list[tuple[Sequence[str], Padding | None]]:
    """Find the padding to remove, for each group of columns. The columns of a group have one mask.

    Args:
        files, columns, spec, first_rows, judged: as in `find_removable_padding`.

    Returns:
        For each group, the names of the columns in the group, and the mask and length columns that mark their
        padding. An empty list of names stands for all padded columns.

    Raises:
        DataError: required metadata is not valid.
        PaddedError: the files are not padded in the same way.
    """
    groups = [] if spec.mask_column or spec.length_column else groups_with_marks(files, columns)
    if len(groups) < 2:
        return [(columns, find_removable_padding(files, columns, spec, first_rows, judged))]
    if not columns:
        # Compare all columns of all files.
        find_removable_padding(files, (), spec)
    return [(names, find_removable_padding(files, names, spec)) for names in groups]


def groups_with_marks(files: Mapping[str, pa.Schema], columns: Sequence[str]) -> list[list[str]]:
    """Return the padded columns of each mask, from the metadata of the first padded file."""
    try:
        described = next(iter(read_groups(files).values()), [])
    except DataError:
        return []
    names = {name for schema in files.values() for name in schema.names}
    # A run counts the tokens of the first group, and joins the windows of this group. Therefore, groups with
    # windows come first, then the group of the ids.
    described = sorted(
        described, key=lambda group: (not group.windows, not {*group.values} & {"input_ids", "tokens"})
    )
    groups = [
        [name for name in group.values if not columns or name in columns]
        for group in described
        if group.present(names) != (None, None)
    ]
    if set(columns) - {name for group in groups for name in group}:
        return []
    return [group for group in groups if group]


def choose_unpad_jobs(
    schema: pa.Schema,
    groups: Sequence[tuple[Sequence[str], Padding | None]],
    spec: UnpadSpec,
    read_first: ReadFirst | None = None,
    *,
    in_buckets: bool = False,
) -> UnpadJob:
    """Choose the columns to unpad in each group from `find_padded_groups`, and return them as one job.

    Args:
        schema, groups, spec, read_first: as in `choose_unpad_job`.
        in_buckets: whether the rows come from folders of buckets.

    Raises:
        SpecError: as in `choose_unpad_job`.
    """
    first, *also = (choose_unpad_job(schema, names, spec, found, read_first) for names, found in groups)
    job = replace(first, also=tuple(also))
    if spec.join_windows:
        job = _with_windows(job, schema)
    return _with_order(job, schema, spec, in_buckets, read_first)


def _with_windows(job: UnpadJob, schema: pa.Schema) -> UnpadJob:
    """Decide whether windows are joined, and return the job with this decision."""
    groups = valid_descriptions(schema)
    windowed = {name for group in groups if group.windows for name in group.values}
    if groups and not windowed:
        return job
    unjoined = reason_not_to_join(schema, bool(windowed))
    # Joining windows would lose the later windows of columns that stay padded.
    if has_windows(schema) and (job.all_left or job.unsure or (windowed and not windowed & {*job.columns})):
        unjoined = "some columns stay padded"
    return replace(job, windows=has_windows(schema) and not unjoined, unjoined=unjoined)


def _with_order(
    job: UnpadJob, schema: pa.Schema, spec: UnpadSpec, in_buckets: bool, read_first: ReadFirst | None
) -> UnpadJob:
    """Decide whether the order of the source rows is restored, and return the job with this decision."""

    def has_widths() -> bool:
        return read_first is not None and not read_first().have_one_length(job.columns[0])

    groups = valid_descriptions(schema)
    if not is_reordered(schema, groups, has_widths, in_buckets=in_buckets):
        return job
    order, unordered = order_columns(schema, groups), ""
    if not order:
        unordered = reason_not_to_sort(groups)
    elif job.all_left or job.unsure:
        unordered = "some columns stay padded"
    if order and not unordered and spec.restore_order:
        dropped = [BATCH] if has_batches(schema, groups) and not in_buckets else []
        # The columns that locate windows stay until the windows are joined.
        dropped += [SOURCE_ROW] if len(order) == 1 else []
        return replace(job, order=order, dropped=(*job.dropped, *dropped))
    job = replace(job, unordered=unordered if spec.restore_order else "")
    if not job.windows:
        return job
    return replace(job, windows=False, unjoined="they are not in the order of the source rows")


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
        read_first: function that returns the first rows of all list columns; if None, companions are omitted.

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
            f"Column {found.length!r} does not show on which side the padding is. Add --padding "
            "post or --padding pre."
        )
    # The metadata lists all columns with the same mask. Without metadata, the first rows decide.
    rows = None if found.values or read_first is None else read_first()
    unsure = {} if rows is None else unsure_columns(schema, found, columns, rows)
    padded = list(columns) or _padded_columns(schema, found, rows, unsure)
    left = _left_columns(schema, found, padded, rows, unsure)
    made = [name for name in found.made if name in schema.names and name not in padded]
    if spec.keep_mask and not left:
        padded += [] if found.mask is None or found.mask in padded else [found.mask]
        # The positions in a window are not the positions in the row.
        joins = spec.join_windows and has_windows(schema)
        padded += [name for name in made if name == LABELS or not joins]
    _check_sequences(schema, padded)
    check_padding(schema, found)
    keep = spec.keep_mask or bool(left)
    dropped = [] if keep else [name for name in found.names if name not in padded]
    dropped += [] if left else [name for name in made if name not in padded]
    return UnpadJob(
        tuple(padded),
        found.mask,
        found.length,
        padding or "post",
        tuple(dropped),
        left=left,
        unsure=unsure,
        dialect=found.dialect,
    )


def dialects_of(groups: Iterable[tuple[Sequence[str], Padding | None]]) -> dict[str, Dialect]:
    """Return the polarity and kind of each mask in the result of `find_padded_groups`, keyed by mask name."""
    return {found.mask: found.dialect for _, found in groups if found is not None and found.mask is not None}


def find_removable_padding(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    spec: UnpadSpec,
    first_rows: FirstRowsOf | None = None,
    judged: Sequence[str] = (),
) -> Padding | None:
    """Return the columns that mark the padding to remove. This function does not read the values of a mask.

    Args:
        files: schema of each file, keyed by file name.
        columns: names of the requested columns. If empty, the padded columns are used.
        spec: how the padding is marked.
        first_rows: function that returns the first rows of a mask column; if None, a column with the name of
            a mask counts as a mask.
        judged: names of the columns that a mask may describe.

    Raises:
        DataError: required metadata is not valid.
        PaddedError: the files are not padded in the same way.
    """
    asked: dict[str, Any] = {"mask_column": spec.mask_column, "length_column": spec.length_column}
    asked |= {"first_rows": first_rows, "judged": judged, "by_name": True, "dialect": spec.dialect}
    try:
        found = find_padding(files, columns=columns, **asked)
        _refuse_two_sides(found)
    except DataError:
        # The arguments specify everything that the metadata describes.
        if columns and (spec.mask_column or (spec.length_column and spec.padding)):
            return find_padding(files, **asked, read_metadata=False)
        raise
    return found


def _refuse_two_sides(found: Padding | None) -> None:
    """Raise an error if files without a mask are padded on different sides."""
    sides = {} if found is None or found.mask is not None else found.sides
    first = next(iter(sides), "")
    other = next((name for name, side in sides.items() if side != sides[first]), None)
    if other is not None:
        raise PaddedError(
            f"{first} was padded with --padding {sides[first]}, but {other} with --padding {sides[other]}, "
            "and there is no mask",
            remedy="Unpad the files separately.",
        )


def _default_padded(schema: pa.Schema, found: Padding) -> str:
    return default_column(pa.schema([field for field in schema if field.name != found.mask]))


def _padded_columns(
    schema: pa.Schema, found: Padding, rows: FirstRows | None, unsure: Collection[str]
) -> list[str]:
    """Return the columns to unpad: those in the metadata, else the default column and its companions."""
    if not found.values:
        first = _default_padded(schema, found)
        return [first, *([] if rows is None else _companions_of(first, schema, found, rows, unsure))]
    names = [name for name in found.values if name not in found.made]
    for name in names:
        if name not in schema.names:
            raise SpecError(
                f"According to the padmask metadata, column {name!r} is padded, but the input has no such "
                f"column. Specify the padded columns with -c. {list_columns(schema.names)}",
                options=["columns"],
            )
    return names


def _companions_of(
    first: str, schema: pa.Schema, found: Padding, rows: FirstRows, unsure: Collection[str]
) -> list[str]:
    return [
        field.name
        for field in schema
        if field.name not in (first, found.mask, *unsure)
        and is_companion(field)
        and rows.have_same_lengths(first, field.name)
    ]


def _left_columns(
    schema: pa.Schema, found: Padding, padded: Sequence[str], rows: FirstRows | None, unsure: Collection[str]
) -> tuple[str, ...]:
    """Return the columns that stay padded, but share a mask or length column with unpadded columns."""
    if rows is not None:
        names = _companions_of(padded[0], schema, found, rows, unsure)
        names = [name for name in names if found.mask is not None and rows.show_padding(found.mask, name)]
    else:
        names = [name for name in found.values if name in schema.names and _marks(schema, found, name)]
    return tuple(name for name in names if name not in padded and name not in found.made)


def _marks(schema: pa.Schema, found: Padding, name: str) -> bool:
    """Return whether the metadata says that the mask and length columns in `found` belong to a column."""
    groups = valid_descriptions(schema)
    return any(name in group.values and {group.mask, group.length} & {*found.names} for group in groups)


def unsure_columns(
    schema: pa.Schema, found: Padding, columns: Sequence[str], rows: FirstRows
) -> dict[str, str]:
    """Return columns that may belong to a mask other than `found.mask`, each with the name of this mask.

    The other mask has the same lengths as the padded columns, marks padding at one end of each row, and
    differs from `found.mask`. If the name of this mask contains the name of a column, the mask belongs only
    to this column. Requested columns are omitted.
    """
    first = columns[0] if columns else _default_padded(schema, found)
    alike = [
        field
        for field in schema
        if field.name not in (first, found.mask, *columns)
        and is_sequence(field.type)
        and rows.have_same_lengths(first, field.name)
        and rows.have_tokens(field.name)
    ]
    masks = [
        field.name
        for field in alike
        if field.name not in COMPANIONS and rows.mark_other_padding(field.name, found.mask)
    ]
    names = [field.name for field in alike if field.name not in masks]
    unsure = {}
    for name in names:
        own = [mask for mask in masks if name in mask]
        free = [mask for mask in masks if not any(other in mask for other in names)]
        if own or free:
            unsure[name] = [*own, *free][0]
    return unsure


def _check_sequences(schema: pa.Schema, columns: Sequence[str]) -> None:
    for name in columns:
        type_ = only_field(schema, name).type
        if not is_sequence(type_) and not may_be_mask(type_):
            raise SpecError(
                f"Column {name!r} cannot be unpadded: the type {type_} is not a list of tokens. "
                "Choose a list column with -c.",
                options=["columns"],
            )
