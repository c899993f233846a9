"""Hash the sequences of packed rows and of their input, so that equal sequences have equal hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.kernel import take_runs
from padmask.core.loss_tokens import LOSS_MASKS, copied_labels
from padmask.core.masks import index_runs
from padmask.core.packed_columns import set_boundary_labels
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.core.sequence_hashes import Hashes, hash_sequences
from padmask.spec.columns import Column
from padmask.spec.mask import LABELS
from padmask.spec.pack import BoundaryLabels
from padmask.spec.pad import COLUMN_DTYPES


@dataclass(frozen=True)
class Hashed:
    """A column to hash.

    Args:
        column: the column.
        boundary: how packing changes the labels of each sequence; `"keep"` if packing changes no values.
        copied: how an earlier run made the labels from other columns; None if the labels were in its input.
        new_labels: whether only one of the windows that contain a token has a label for this token.
        positions: whether the column has the position of each token in its sequence.
    """

    column: PadColumn
    boundary: BoundaryLabels = "keep"
    copied: CopiedLabels | None = None
    new_labels: bool = False
    positions: bool = False


@dataclass(frozen=True)
class CopiedLabels:
    """How labels were copied from a column of the input.

    Args:
        source: name of the column in the input.
        masks: names of the columns of the input that exclude tokens from the loss.
        known: whether the metadata describes this copy. If False, the copy is only an assumption.
    """

    source: str
    masks: tuple[str, ...] = ()
    known: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the input that determine the labels."""
        return (self.source, *self.masks)


def copies_of(layout: PackedLayout, ids: str, names: Collection[str]) -> list[CopiedLabels]:
    """Return each way in which `pad` or `pack` may have copied labels from a column of the input.

    Args:
        layout: how the rows are packed or padded. Without metadata, labels may be copies of the ids.
        ids: name of the column of ids in the input.
        names: names of the columns of the input.
    """
    if layout.labels_from is not None:
        known = CopiedLabels(layout.labels_from, layout.loss_masks)
        return [known] if names and set(names).issuperset(known.names) else []
    if layout.described or ids not in names:
        return []
    masks = tuple(name for name in LOSS_MASKS if name in names)
    # If loss masks were padded too, they decided which labels were copied. Otherwise, it is unknown whether
    # the masks of the input were used, so both ways are returned.
    used = tuple(name for name in masks if name in layout.columns)
    if used:
        return [CopiedLabels(ids, used, known=False)]
    return [CopiedLabels(ids, its, known=False) for its in dict.fromkeys([masks, ()])]


def hashed_columns(
    layout: PackedLayout,
    columns: Sequence[PadColumn],
    names: Sequence[str],
    copies: Sequence[CopiedLabels] = (),
    positions: str | None = None,
) -> list[Hashed]:
    """Return the columns to compare with the input. The first column has the tokens.

    Without metadata, a label column is returned several times, once for each way in which `pad` or `pack` may
    have changed the labels.

    Args:
        layout: how the rows are packed or padded.
        columns: columns that are checked. The first column has the tokens.
        names: names of the columns of the input.
        copies: ways in which labels may have been made from another column, if the input has no labels.
        positions: name of the column of positions that padding added; None if there is none.
    """
    found = [Hashed(columns[0])]
    for column in columns[1:]:
        if column.name == positions and column.name not in names:
            found.append(Hashed(column, positions=True))
        elif column.name in names and not is_label(column):
            found.append(Hashed(column))
        elif column.name in names or (column.name == LABELS and is_label(column)):
            made = [None] if column.name in names else copies
            found += [
                Hashed(column, boundary, copied, new)
                for copied in made
                for boundary in _boundaries(layout)
                for new in _new_labels(layout)
            ]
    return found


def _boundaries(layout: PackedLayout) -> Sequence[BoundaryLabels]:
    if layout.marker is None:
        # Padding changes no labels.
        return ["keep"]
    return ["mask", "shift"] if layout.packing is None else [layout.packing.boundary_labels]


def _new_labels(layout: PackedLayout) -> Sequence[bool]:
    if layout.spec is not None:
        return [layout.spec.windows is not None and layout.spec.windows.labels == "new"]
    return [False, True] if layout.marker is None else [False]


class ValueTypes:
    """The dtypes in which values of packed rows and of their input are compared.

    Args:
        is_text: whether the packed rows are JSON text, so that their columns have no types.
    """

    def __init__(self, *, is_text: bool) -> None:
        self._is_text = is_text
        self._found: dict[str, np.dtype[Any]] = {}

    def add(self, column: PadColumn, values: npt.NDArray[Any]) -> None:
        """Widen the dtype of a column, so that it can represent these values of the packed rows."""
        kind = values.dtype.kind
        if kind not in "iuf":
            return
        found = values.dtype
        if self._is_text:
            found = np.dtype(column.dtype)
            if kind != "f" and values.size and found.kind in "iu":
                for number in (int(values.min()), int(values.max())):
                    found = np.promote_types(found, np.min_scalar_type(number))
        before = self._found.get(column.name, found)
        self._found[column.name] = np.promote_types(before, found)

    def cast(self, column: PadColumn, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy of values in the dtype for the comparison."""
        if column.dtype == "string":
            return values
        dtype = self._found.get(column.name, np.dtype(column.dtype))
        with np.errstate(invalid="ignore", over="ignore"):
            return values.astype(np.int64 if dtype.kind in "iu" else dtype)

    def asked(self, column: PadColumn) -> Column:
        """Return the column with the dtype in which the input is read."""
        found = self._found.get(column.name)
        if found is None:
            return Column(column.name, column.dtype)
        if found.name not in COLUMN_DTYPES:
            found = np.dtype("float64" if found.kind == "f" else "int64")
        return Column(column.name, found.name)


def hash_columns(
    hashed: Sequence[Hashed],
    types: ValueTypes,
    values: Mapping[str, Ragged],
    slices: tuple[Positions, Positions, Positions],
    lengths: Positions,
    *,
    packed: bool,
    repeated: Flags | None = None,
) -> Hashes:
    """Return the hash of each sequence in each column: uint64, shape (sequences, columns).

    Args:
        hashed: columns to hash.
        types: dtypes of the values.
        values: rows of each column.
        slices: row, first token in the row and number of tokens of each slice. A sequence consists of one or
            more adjacent slices.
        lengths: number of tokens of each sequence.
        packed: whether the sequences come from packed rows. If False, their labels are changed as packing
            changes them, before they are hashed.
        repeated: for each token, whether it repeats a token of another window, which keeps the label; None if
            there are no windows.
    """
    hashes = np.empty((len(lengths), len(hashed)), dtype=np.uint64)
    for place, its in enumerate(hashed):
        taken = take_values(its, types, values, slices, lengths, packed=packed, repeated=repeated)
        hashes[:, place] = hash_sequences(taken, lengths)
    return hashes


def take_values(
    hashed: Hashed,
    types: ValueTypes,
    values: Mapping[str, Ragged],
    slices: tuple[Positions, Positions, Positions],
    lengths: Positions,
    *,
    packed: bool,
    repeated: Flags | None = None,
) -> npt.NDArray[Any]:
    """Return the values to compare in a column, one sequence after another.

    The arguments are as in `hash_columns`.
    """
    if hashed.positions and not packed:
        return index_runs(np.zeros_like(lengths), lengths)
    rows, firsts, counts = slices
    ragged = values[hashed.column.name] if hashed.copied is None or packed else _copy(hashed.copied, values)
    taken = take_runs(ragged.values, ragged.starts[rows] + firsts, counts)
    taken = types.cast(hashed.column, taken)
    if is_label(hashed.column):
        begins = np.cumsum(lengths) - lengths
        repeated = repeated if hashed.new_labels else None
        _change_labels(taken, hashed.boundary, begins, lengths, packed=packed, repeated=repeated)
    return taken


def _copy(copied: CopiedLabels, values: Mapping[str, Ragged]) -> Ragged:
    masks = [PadColumn(name, "int", "int32", 0) for name in copied.masks]
    return copied_labels(copied.source, masks, values)


def _change_labels(
    labels: npt.NDArray[Any],
    boundary: BoundaryLabels,
    begins: Positions,
    lengths: Positions,
    *,
    packed: bool,
    repeated: Flags | None,
) -> None:
    """Change labels in place, so that labels of the input and of packed rows can be compared.

    Labels of the input are changed as packing changes them. Packed labels at boundaries become -100, which is
    also their value in the changed input, so this comparison ignores wrong labels there.
    """
    filled = lengths > 0
    firsts, lasts = begins[filled], (begins + lengths - 1)[filled]
    if not packed:
        if repeated is not None:
            labels[repeated] = IGNORED_LABEL
        set_boundary_labels(labels, firsts, lasts, boundary)
    elif boundary != "keep":
        # The rule `boundary-labels` checks these labels.
        labels[firsts if boundary == "mask" else lasts] = IGNORED_LABEL
