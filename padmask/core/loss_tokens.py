"""Find the tokens that the loss includes, from labels or from masks such as `completion_mask`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.kernel import take_runs
from padmask.core.masks import Mask
from padmask.core.ragged import Ragged

# Columns that are 1 at the tokens that count in the loss, and 0 at other tokens, such as those of a prompt.
LOSS_MASKS = ("completion_mask", "assistant_masks", "loss_mask")


def loss_masks(columns: Iterable[PadColumn]) -> list[str]:
    """Return the names of the columns that mark the tokens that count in the loss.

    >>> loss_masks([PadColumn("ids", "int", "int32", 0), PadColumn("completion_mask", "bool", "bool", 0)])
    ['completion_mask']

    Args:
        columns: columns that are padded or packed together.
    """
    return [
        column.name
        for column in columns
        if column.name in LOSS_MASKS and column.kind != "string" and column.inner is None
    ]


def deciding_masks(columns: Sequence[PadColumn]) -> list[str]:
    """Return the names of the masks that decide which tokens count in the loss.

    The list is empty if there are labels, because labels take precedence over masks.

    Args:
        columns: columns that are padded or packed together.
    """
    return [] if any(map(is_label, columns)) else loss_masks(columns)


def copied_labels(source: str, columns: Sequence[PadColumn], rows: Mapping[str, Ragged]) -> Ragged:
    """Return labels copied from a column, with -100 at the tokens that the masks exclude from the loss.

    >>> columns = [PadColumn("ids", "int", "int32", 0), PadColumn("loss_mask", "int", "int32", 0)]
    >>> starts, lengths = np.array([0]), np.array([3])
    >>> rows = {"ids": Ragged(np.array([7, 8, 9]), starts, lengths)}
    >>> rows["loss_mask"] = Ragged(np.array([0, 1, 1]), starts, lengths)
    >>> copied_labels("ids", columns, rows).values.tolist()
    [-100, 8, 9]

    Args:
        source: name of the column to copy.
        columns: columns that are padded or packed together.
        rows: rows of each column. All columns have the same lengths.
    """
    ids, masks = rows[source], [rows[name] for name in loss_masks(columns)]
    if not masks:
        return ids
    counts = np.logical_and.reduce([_flat(mask) != 0 for mask in masks])
    labels = _flat(ids)
    if labels.dtype.kind == "u":
        labels = labels.astype(np.int64)
    starts = np.cumsum(ids.lengths) - ids.lengths
    return Ragged(np.where(counts, labels, labels.dtype.type(IGNORED_LABEL)), starts, ids.lengths)


def _flat(rows: Ragged) -> npt.NDArray[Any]:
    return take_runs(rows.values, rows.starts, rows.lengths)


@dataclass(frozen=True)
class LossTokens:
    """The positions of packed rows that count in the loss.

    Args:
        counts: whether the label of each position counts: bool, shape (positions,).
        shifted: whether labels were moved one token to the left, so that each position has the label of the
            next token.
    """

    counts: Mask
    shifted: bool = False


def find_loss_tokens(
    columns: Sequence[PadColumn],
    values: Mapping[str, npt.NDArray[Any]],
    *,
    shifted: bool,
    repeated: Mask | None = None,
) -> LossTokens | None:
    """Return the positions that count in the loss.

    If there are labels, the first column of labels decides. Otherwise, a position counts unless a mask is 0
    or `repeated` is True at this position.

    Args:
        columns: the packed columns.
        values: packed values of each column, one row after another: shape (positions, ...).
        shifted: whether labels were moved one token to the left.
        repeated: True at copies of tokens that do not count, because the same token counts in another window:
            bool, shape (positions,). If None, all copies of a token count.

    Returns:
        The positions that count. None if all tokens count, because there are neither labels nor masks, and
        `repeated` is None.
    """
    for column in filter(is_label, columns):
        labels = values[column.name]
        return LossTokens((labels if labels.ndim == 1 else labels[:, 0]) != IGNORED_LABEL, shifted)
    masks = [values[name] != 0 for name in loss_masks(columns)]
    masks += [] if repeated is None else [~repeated]
    return LossTokens(np.logical_and.reduce(masks)) if masks else None
