"""Options for packing: `PackSpec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from padmask.spec.checks import at_least, check_fields, choice, flag, optional

Algorithm = Literal["best-fit", "in-order", "wrap"]

ALGORITHMS = ("best-fit", "in-order", "wrap")


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """Options for packing several sequences into each row.

    >>> PackSpec(max_segments=32).algorithm
    'best-fit'

    Args:
        algorithm: `"best-fit"` packs the longest sequences first, each into the fullest row that has space.
            `"in-order"` packs the sequences in input order into 64 open rows. `"wrap"` joins all sequences
            and cuts the result every `maxlen` tokens, so it splits sequences.
        max_segments: maximum number of sequences in a row; None if there is no maximum.
        align: the number of positions of each sequence is rounded up to a multiple of this number, as context
            parallelism requires.
        pad: whether to pad all rows to `maxlen`. Otherwise, rows are as long as their sequences.
    """

    algorithm: Algorithm = "best-fit"
    max_segments: int | None = None
    align: int = 1
    pad: bool = True

    def __post_init__(self) -> None:
        check_fields(
            self,
            algorithm=choice(ALGORITHMS),
            max_segments=optional(at_least(1, bits=31)),
            align=at_least(1, bits=31),
            pad=flag,
        )
