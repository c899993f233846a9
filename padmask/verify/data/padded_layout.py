"""Describe how rows were padded, to compare padded rows with their input.

A padded row is an output row with one sequence, so the same code compares padded and packed rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask.core.metadata import groups_to_keep, read_descriptions
from padmask.core.packed_layout import PackedLayout
from padmask.core.padded_run import PaddedRun, join_runs
from padmask.core.padding import Padding
from padmask.core.source_order import has_batches, has_integers, is_reordered
from padmask.errors import SpecError
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WINDOW_COLUMNS, WindowSpec


@dataclass(frozen=True)
class PaddedLayout(PackedLayout):
    """How rows were padded.

    Args:
        locating: names of the columns that contain the source of each row: `source_row`, or all columns of
            windows. Empty if the rows have no such columns.
        positions: name of the column of positions that padding added; None if there is none.
        keeps_order: whether the rows are in the order of the input. Without metadata, this holds only if all
            rows have the same width.
        run: numbers of rows that padding read, left out and wrote, summed over all files; None if unknown.
        has_own_lengths: whether the run also padded columns to another maxlen (`--own-length`).
    """

    locating: tuple[str, ...] = ()
    positions: str | None = None
    keeps_order: bool = False
    run: PaddedRun | None = None
    has_own_lengths: bool = False

    def with_rows(self, rows: int) -> PaddedLayout:
        """Return the layout. If there are more rows than the run wrote, remove `run`.

        There are more rows if padded files were concatenated later.
        """
        return self if self.run is None or rows <= self.run.rows_written else replace(self, run=None)

    @property
    def has_windows(self) -> bool:
        """Whether the rows are windows, and columns contain the source of each window."""
        return len(self.locating) > 1


def padded_layout(files: Mapping[str, pa.Schema], columns: Sequence[str], padding: Padding) -> PaddedLayout:
    """Return how the rows of all files were padded, from the metadata and the names of the columns.

    Args:
        files: schema of each file, by file name.
        columns: names of the columns to compare. The first column has the tokens.
        padding: columns that mark the padding.
    """
    schema = next((its for its in files.values() if its.names), pa.schema([]))
    groups = [_group_of(its, columns[0]) for its in files.values()]
    group = groups[0] if groups else None
    specs = [None if its is None else _read_spec(its) for its in groups]
    spec = specs[0] if specs and all(its == specs[0] for its in specs) else None
    locating = _locating_columns(files, schema, group)
    described = None if group is None else read_descriptions(schema.metadata)
    labels = next((its for its in described or () if columns[0] in its.values), None)
    return PaddedLayout(
        columns=tuple(columns),
        mask=padding.mask,
        sources=bool(locating),
        marker=None,
        described=spec is not None,
        spec=spec,
        dialect=padding.dialect,
        loss_masks=() if labels is None else labels.loss_masks,
        labels_from=None if labels is None else labels.labels_from,
        locating=locating,
        positions=None if group is None else group.get("position_ids"),
        keeps_order=not any(map(_is_reordered, files, files.values(), groups)),
        run=join_runs([PaddedRun.read(its) for its in files.values()]),
        has_own_lengths=len(groups_to_keep(schema, ())) > 1,
    )


def _is_reordered(name: str, schema: pa.Schema, group: Mapping[str, Any] | None) -> bool:
    """Return whether the rows of a file may be in a different order from the rows of their input."""
    if group is not None:
        return group.get("batches") is not None or group.get("buckets") is not None
    return is_reordered(schema, (), lambda: True, in_buckets=bucket_folder_of(name) is not None)


def _group_of(schema: pa.Schema, column: str) -> Mapping[str, Any] | None:
    """Return the metadata of the columns that were padded together with a column; None without metadata."""
    return next((group for group in groups_to_keep(schema, ()) if column in group["columns"]), None)


def _read_spec(group: Mapping[str, Any]) -> PadSpec | None:
    """Return the options of the run that padded the rows; None if this version does not support them."""
    windows = group.get("windows")
    try:
        return PadSpec(
            maxlen=group["maxlen"],
            padding=group["padding"],
            truncating=group["truncating"],
            keep_first=group.get("keep_first") or 0,
            keep_last=group.get("keep_last") or 0,
            windows=None if windows is None else WindowSpec(**windows),
        )
    except (SpecError, KeyError, TypeError):
        return None


def _locating_columns(
    files: Mapping[str, pa.Schema], schema: pa.Schema, group: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Return the names of the columns that contain the source of each row.

    Without metadata, a column `source_row` may come from the input. Therefore, `source_row` counts only if
    other columns or the folder show that padding added windows, batches or buckets.
    """
    if not has_integers(schema, SOURCE_ROW):
        return ()
    has_windows = all(has_integers(schema, name) for name in WINDOW_COLUMNS)
    if group is not None:
        if group.get("windows") is not None:
            return WINDOW_COLUMNS if has_windows else ()
        moved = group.get("batches") is not None or group.get("buckets") is not None
        return (SOURCE_ROW,) if moved and group.get("source_row", True) else ()
    if has_windows:
        return WINDOW_COLUMNS
    in_buckets = any(bucket_folder_of(name) is not None for name in files)
    return (SOURCE_ROW,) if has_batches(schema, ()) or in_buckets else ()
