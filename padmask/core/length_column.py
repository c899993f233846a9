"""Read a length column, which contains the number of tokens in each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from padmask.core.plan import Positions
from padmask.errors import Fault


def read_lengths(
    values: Sequence[Any],
    name: str | None,
    option: str = "length_column",
    bits: int = 31,
    noun: str = "a length",
) -> tuple[Positions, list[Fault]]:
    """Return lengths as integers, and a `Fault` for each invalid length.

    In the result, an invalid length is 0.

    >>> lengths, faults = read_lengths([3, None, -1], "n")
    >>> lengths.tolist(), [fault.reason for fault in faults]
    ([3, 0, 0], ['null is not a length', '-1 is not a length'])

    Args:
        values: values of the column, of shape (rows,).
        name: name of the column, for the faults.
        option: option that specified the column, for the faults.
        bits: a valid length is less than 2**`bits`.
        noun: noun for a value in the faults, such as "a length".
    """
    good = [type(value) is int and 0 <= value < 1 << bits for value in values]
    lengths = [value if fine else 0 for value, fine in zip(values, good, strict=True)]
    faults = [
        Fault(row, f"{_show(values[row])} is not {noun}", name, (option,))
        for row, fine in enumerate(good)
        if not fine
    ]
    return np.array(lengths, dtype=np.int64), faults


def _show(value: Any) -> str:
    return "null" if value is None else f"{value!r:.80}"
