"""Describe how rows were padded, to compare padded rows with their input.

A padded row is an output row with one sequence, so the same code compares padded and packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.metadata import groups_to_keep, read_descriptions
from padmask.core.packed_layout import PackedLayout
from padmask.core.padding import Padding
from padmask.core.plan import Positions
from padmask.core.source_order import has_batches, has_integers, is_reordered
from padmask.errors import SpecError, count
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.buckets import bucket_folder_of
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WINDOW_COLUMNS, WindowSpec

# Numbers of output and input rows that show how rows without metadata were truncated.
_OUTPUT_ROWS, _INPUT_ROWS = 128, 256

# If the rows do not decide how rows were truncated, at most this number of ways are compared with the input.
_SPECS = 16


@dataclass(frozen=True)
class PaddedLayout(PackedLayout):
    """How rows were padded.

    Args:
        locating: names of the columns that locate the rows in their input: `source_row`, or all columns of
            windows. Empty if the rows have no such columns.
        positions: name of the column of positions that padding added; None if there is none.
        keeps_order: whether the rows are in the order of the input, unless rows without metadata have
            different widths.
    """

    locating: tuple[str, ...] = ()
    positions: str | None = None
    keeps_order: bool = False

    @property
    def has_windows(self) -> bool:
        """Whether columns locate windows in their source rows."""
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
    """Return the options that padded the rows; None if this version of padmask does not support them."""
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
    """Return the columns that locate the rows in their input.

    Without metadata, `source_row` alone may be a column of the input. Only a second column shows that padding
    added `source_row`.
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


@dataclass
class ShapeHints:
    """Facts about padded rows without metadata that show how overlong rows were truncated or split."""

    _width: int = 0
    _narrowest: int | None = None
    # Number of input rows that show how rows were truncated.
    votes: int = 0
    _full: list[npt.NDArray[Any]] = field(default_factory=list)
    _windows: list[tuple[Positions, ...]] = field(default_factory=list)

    def add(
        self,
        tokens_of: Callable[[int], npt.NDArray[Any]],
        lengths: Positions,
        widths: Positions,
        windows: tuple[Positions, ...] | None,
    ) -> None:
        """Add some rows.

        Args:
            tokens_of: function that returns the real tokens of a row, given its index.
            lengths: number of real tokens in each row: int64, shape (rows,).
            widths: number of positions in each row: int64, shape (rows,).
            windows: values of each column in `WINDOW_COLUMNS`; None if the rows are not windows.
        """
        if windows is not None:
            self._windows.append((*windows, lengths))
        if len(widths):
            narrowest = int(widths.min())
            self._narrowest = narrowest if self._narrowest is None else min(self._narrowest, narrowest)
        widest = int(widths.max(initial=0))
        if widest > self._width:
            self._width, self._full = widest, []
        elif len(self._full) >= _OUTPUT_ROWS:
            return
        # Truncated rows have no padding.
        full = np.flatnonzero(lengths == self._width)[: _OUTPUT_ROWS - len(self._full)]
        self._full += [tokens_of(row).copy() for row in full.tolist()]

    def spec_of_windows(self) -> PadSpec | None:
        """Return the options that split the rows into windows; None if no row was split."""
        if not self._windows:
            return None
        sources, numbers, starts, stops, lengths = map(np.concatenate, zip(*self._windows, strict=True))
        order = np.lexsort((numbers, sources))
        sources, numbers, starts, stops, lengths = (
            its[order] for its in (sources, numbers, starts, stops, lengths)
        )
        follows = np.flatnonzero(
            (np.diff(sources, prepend=-1) == 0) & (np.diff(numbers, prepend=-1) == 1) & (numbers > 0)
        )
        if not len(follows):
            return None
        begins = follows[numbers[follows] == 1] - 1
        # The first window starts after the tokens that all windows keep at their start.
        kept = int(np.max(lengths - (stops - starts)))
        first = min(int(starts[begins].min(initial=kept)), kept)
        # If windows are aligned to the end of the row, only the first window may have padding.
        pre = bool((lengths[begins] < self._width).any())
        overlap = int(np.max(stops[follows - 1] - starts[follows]))
        try:
            return PadSpec(
                maxlen=self._width,
                truncating="pre" if pre else "post",
                keep_first=first,
                keep_last=kept - first,
                windows=WindowSpec(overlap=max(0, overlap)),
            )
        except SpecError:
            return None

    def specs_of_cut(self, long_rows: Iterator[npt.NDArray[Any]]) -> list[PadSpec]:
        """Return the options that may have truncated the rows, the most probable first.

        A truncated row consists of the first and the last tokens of its source row, and the number of last
        tokens is the same in all rows.

        Args:
            long_rows: tokens of the input rows that have more than `width` tokens, in the dtype of the rows
                that were added.
        """
        width = self._width
        if self._narrowest is None:
            # Without rows, nothing was truncated.
            return [PadSpec()]
        if not self._full or not width:
            return [PadSpec(maxlen=width)]
        rows = np.stack(self._full)
        # Number of input rows of which an output row can be a cut, for each number of last tokens.
        votes = np.zeros(width + 1, dtype=np.int64)
        for tokens, _ in zip(long_rows, range(_INPUT_ROWS), strict=False):
            heads = _count_equal(rows, tokens[:width])
            tails = _count_equal(rows[:, ::-1], tokens[len(tokens) - width :][::-1])
            numbers = np.arange(width + 1)
            fits = (numbers >= (width - heads)[:, None]) & (numbers <= tails[:, None])
            votes += fits.any(axis=0)
        if not votes.any():
            return [PadSpec(maxlen=width)]
        # If several numbers fit all rows, prefer truncation at one side.
        self.votes = int(votes.max())
        order = [0, width, *range(1, width)]
        lasts = [number for number in dict.fromkeys(order) if votes[number] == votes.max()][:_SPECS]
        return [
            PadSpec(maxlen=width, truncating="pre")
            if last == width
            else PadSpec(maxlen=width, keep_last=last)
            for last in lasts
        ]

    @property
    def width(self) -> int:
        """Number of positions in the longest padded row."""
        return self._width

    @property
    def has_widths(self) -> bool:
        """Whether rows have different widths, as rows of batches and buckets have."""
        return self._narrowest not in (None, self._width)


def describe_assumption(spec: PadSpec, votes: int) -> str:
    """Return a text about the options that truncated rows without metadata.

    >>> describe_assumption(PadSpec(maxlen=3, truncating="pre"), 1)
    'assumed, because 1 row of the input shows this: --truncating pre'

    Args:
        spec: the options.
        votes: number of rows of the input that show the options.
    """
    option = f"--keep-last {spec.keep_last}" if spec.keep_last else f"--truncating {spec.truncating}"
    rows, verb = count(votes, "row"), "shows" if votes == 1 else "show"
    return f"assumed, because {rows} of the input {verb} this: {option}"


def _count_equal(rows: npt.NDArray[Any], tokens: npt.NDArray[Any]) -> Positions:
    """Return the number of tokens of each row before the first token that differs: int64, shape (rows,)."""
    same = np.asarray(rows == tokens).reshape(*rows.shape[:2], -1).all(axis=2)
    ends = np.concatenate([same, np.zeros((len(rows), 1), dtype=bool)], axis=1)
    return np.asarray(np.argmin(ends, axis=1), dtype=np.int64)
