"""The progress of a run, as callbacks receive it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Args:
        phase: `"measuring"`, `"padding"`, `"unpadding"` or `"auditing"`.
        rows: number of rows processed in this phase.
        consumed: bytes of the input read in this phase.
        size: bytes of the input; None if unknown.
    """

    phase: str
    rows: int
    consumed: int
    size: int | None


ProgressCallback = Callable[[Progress], None]
