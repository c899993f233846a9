"""The argument of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Args:
        phase: name of the current pass: `"measuring"`, `"padding"`, `"unpadding"` or `"auditing"`.
        rows: number of rows processed in this pass.
        consumed: number of input bytes read in this pass.
        size: size of the input in bytes; None if unknown.
    """

    phase: str
    rows: int
    consumed: int
    size: int | None


ProgressCallback = Callable[[Progress], None]
