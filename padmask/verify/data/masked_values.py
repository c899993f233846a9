"""Describe real tokens that a layer would mask, because they have the pad value or the masked value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.ragged import Ragged


@dataclass(frozen=True)
class MaskedValue:
    """The value that a layer of the model masks.

    Args:
        value: the value. A vector is masked if all its components have this value.
        layer: class name of the layer, `"Masking"` or `"Embedding"`.
    """

    value: Any
    layer: str


def describe_masked(value: Any, position: int, masked: MaskedValue | None) -> str:
    """Return a text about real tokens that are masked.

    >>> describe_masked(-1e9, 4, MaskedValue(-1e9, "Masking"))
    "real tokens have the value -1e+09 (first: position 4), the mask_value of the model's Masking layer"

    Args:
        value: the value of the tokens.
        position: position of the first of these tokens in its row.
        masked: the value that the model masks; None if there is no model.
    """
    shown, first = _show(value), f"(first: position {position})"
    if masked is None:
        layer = "mask_zero=True or a Masking layer" if value == 0 else "a Masking layer"
        return f"real tokens have the pad value {shown} {first}, so {layer} would mask them"
    if masked.layer == "Masking":
        return f"real tokens have the value {shown} {first}, the mask_value of the model's Masking layer"
    return (
        f"real tokens have the value {shown} {first}, which the model's Embedding masks with mask_zero=True"
    )


def _show(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else repr(value)


def first_flagged(rows: Ragged, flagged: Flags) -> tuple[int, int]:
    """Return the first row with a flagged token, and the index of this token in the row.

    >>> rows = Ragged(np.array([5, 6, 7]), np.array([0, 1]), np.array([1, 2]))
    >>> first_flagged(rows, np.array([False, False, True]))
    (1, 1)

    Args:
        rows: rows of which at least one has a flagged token.
        flagged: for each token in `rows.values`, whether it is flagged: bool, shape (tokens,).
    """
    seen = np.concatenate([[0], np.cumsum(flagged)])
    row = int(np.argmax(seen[rows.starts + rows.lengths] > seen[rows.starts]))
    return row, int(np.argmax(flagged[rows.starts[row] :]))
