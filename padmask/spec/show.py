"""Selection of the rows that `inspect` shows: `ShowSpec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from padmask.spec.checks import at_least, check_fields, integer, optional


def check_seed(name: str, value: Any) -> int | tuple[int, ...]:
    """Check a seed: an integer, which may be negative, or a tuple of integers."""
    if isinstance(value, tuple):
        return tuple(integer(name, number) for number in value)
    return integer(name, value)


@dataclass(frozen=True, kw_only=True)
class ShowSpec:
    """Rows to show: a range or a random sample.

    Args:
        first, last: half-open range of row numbers, starting at 0.
        sample: number of random rows to show instead of the range.
        seed: random seed of the sample; a tuple of integers is one seed.
    """

    first: int = 0
    last: int = 10
    sample: int | None = None
    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        check_fields(self, first=at_least(0), last=at_least(0), sample=optional(at_least(1)), seed=check_seed)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed as non-negative integers. NumPy does not accept negative seeds."""
        given = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        return tuple(number % (1 << 64) for number in given)
