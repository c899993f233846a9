"""Describe the part of the source row that each window covers: `WindowPlaces`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class WindowPlaces:
    """The part of the source row that each window covers, without the kept ends.

    Args:
        numbers: number of the window in its source row, from 0: int64, shape (windows,).
        starts: index of the first token in the source row: int64, shape (windows,).
        stops: index after the last token: int64, shape (windows,).
        repeats: numbers of tokens at the start and at the end of the window that repeat tokens of another
            window, including kept ends: int64, shape (windows, 2). None for windows that were read from a
            file.
    """

    numbers: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    repeats: npt.NDArray[np.int64] | None = None

    def select(self, windows: npt.NDArray[np.int64]) -> WindowPlaces:
        """Return the windows at the given indices."""
        repeats = None if self.repeats is None else self.repeats[windows]
        return WindowPlaces(self.numbers[windows], self.starts[windows], self.stops[windows], repeats)

    @classmethod
    def concat(cls, parts: Sequence[WindowPlaces]) -> WindowPlaces:
        """Concatenate the windows in `parts`."""
        repeats = [part.repeats for part in parts if part.repeats is not None]
        return cls(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.stops for part in parts]),
            np.concatenate(repeats) if len(repeats) == len(parts) else None,
        )
