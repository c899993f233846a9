"""Which rows `inspect` shows: `ShowSpec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from padmask.spec.checks import at_least, check_fields, optional, whole_number


def check_seed(name: str, value: Any) -> int | tuple[int, ...]:
    """Check a seed, which may be a negative number."""
    if isinstance(value, tuple):
        return tuple(whole_number(name, number) for number in value)
    return whole_number(name, value)


@dataclass(frozen=True, kw_only=True)
class ShowSpec:
    """Which rows are shown.

    Args:
        first, last: half-open range of rows, counted from 0.
        sample: show this many rows drawn at random instead.
        seed: of the draw; several numbers are one seed.
    """

    first: int = 0
    last: int = 10
    sample: int | None = None
    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        check_fields(self, first=at_least(0), last=at_least(0), sample=optional(at_least(1)), seed=check_seed)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed as NumPy takes it, which knows no negative numbers."""
        given = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        return tuple(number % (1 << 64) for number in given)
