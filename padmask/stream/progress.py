"""How far a run is: what progress callbacks receive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        phase: `"measuring"`, `"padding"` or `"unpadding"`.
        rows: done in this phase.
        consumed: bytes of the input used up in this phase.
        size: bytes of the whole input, None where nobody knows.
    """

    phase: str
    rows: int
    consumed: int
    size: int | None


ProgressCallback = Callable[[Progress], None]
