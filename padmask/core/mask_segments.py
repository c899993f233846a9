"""Find the real tokens of padded rows in their mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.errors import Fault


def read_mask(mask: Ragged) -> tuple[Segments, list[Fault]]:
    """Find the real tokens of padded rows in their mask. A row may have padding at one end only.

    >>> rows = np.array([True, True, False, False, True, True, False, True])
    >>> segments, faults = read_mask(Ragged(rows, np.array([0, 3, 5]), np.array([3, 2, 3])))
    >>> segments.starts.tolist(), segments.counts.tolist(), [fault.row for fault in faults]
    ([0, 1, 0], [2, 1, 2], [2])

    Args:
        mask: rows of a mask column, as bools, or as 0 and 1. The rows may differ in length.

    Returns:
        The segments of the real tokens, and a `Fault` for each row in which the real tokens are not one
        contiguous run at the start or the end.
    """
    real = mask.values.astype(bool)
    ends = mask.starts + mask.lengths
    total = np.concatenate([[0], np.cumsum(real)])
    kept = np.where(mask.lengths > 0, total[ends] - total[mask.starts], 0)
    begins_real = _at(real, mask.starts) & (mask.lengths > 0)
    segments = Segments(mask.lengths, np.where(begins_real, 0, mask.lengths - kept), kept, None)
    changes = np.concatenate([[0], np.cumsum(real[1:] != real[:-1])])
    broken = (mask.lengths > 0) & (_at(changes, ends - 1) - _at(changes, mask.starts) > 1)
    return segments, [_second_change(mask, row) for row in np.flatnonzero(broken).tolist()]


def _at(flat: npt.NDArray[Any], places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the values at the indices `places`. Indices out of bounds, as for empty rows, are clipped."""
    found: npt.NDArray[Any] = flat[np.clip(places, 0, len(flat) - 1)] if len(flat) else np.zeros_like(places)
    return found


def _second_change(mask: Ragged, row: int) -> Fault:
    places = mask.values[mask.starts[row] :][: mask.lengths[row]].astype(bool)
    position = int(np.flatnonzero(places[1:] != places[:-1])[1]) + 1
    return Fault(
        row,
        f"position {position}: the mask changes a second time; the real tokens must be contiguous, at the "
        "start or the end of the row",
    )
