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


# Number of rows to show if the user sets none.
SHOWN_ROWS = 10


@dataclass(frozen=True, kw_only=True)
class ShowSpec:
    """Rows to show: a random sample of all rows, or a range.

    >>> ShowSpec().random_rows, ShowSpec(sample=3).random_rows, ShowSpec(last=5).random_rows
    (10, 3, None)

    Args:
        first, last: half-open range of row numbers, starting at 0. If `last` is None, the range has 10 rows.
        sample: number of random rows to show instead of a range. The default is 10 if no range is set.
        seed: random seed of the sample: an integer or a tuple of integers.
    """

    first: int = 0
    last: int | None = None
    sample: int | None = None
    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        check_fields(
            self,
            first=at_least(0),
            last=optional(at_least(0)),
            sample=optional(at_least(1)),
            seed=check_seed,
        )

    @property
    def random_rows(self) -> int | None:
        """Number of random rows to show; None for a range of rows."""
        if self.sample is not None:
            return self.sample
        return SHOWN_ROWS if self.last is None and not self.first else None

    @property
    def stop(self) -> int:
        """End of the range of rows (exclusive)."""
        return self.first + SHOWN_ROWS if self.last is None else self.last

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed as a tuple of non-negative integers, because NumPy does not accept negative seeds."""
        given = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        return tuple(number % (1 << 64) for number in given)
