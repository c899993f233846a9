"""Read masks of every polarity and kind (`Dialect`): True at real tokens, True at padding, or additive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.spec.mask import Dialect, MaskKind

# PyTorch masks, which are True at padding.
PADDING_MASK_NAMES = ("key_padding_mask", "src_key_padding_mask")

# The largest value that marks padding in an additive mask.
ADDITIVE_PADDING = -10_000

ADDITIVE = Dialect(kind="additive")


def usual_dialect(name: str) -> Dialect:
    """Return the polarity and kind that a mask with this name has if no metadata describes the mask.

    >>> usual_dialect("key_padding_mask").polarity, usual_dialect("padding_mask").polarity
    ('padding', 'real')
    """
    return Dialect(polarity="padding" if name in PADDING_MASK_NAMES else "real")


def read_flags(values: npt.NDArray[Any], dialect: Dialect) -> npt.NDArray[Any]:
    """Return 1 (or True) at real tokens, 0 (or False) at padding, and another number at invalid values.

    >>> read_flags(np.array([1, 0, 7]), Dialect(polarity="padding")).tolist()
    [0, 1, 2]
    >>> read_flags(np.array([0.0, -3.4e38]), Dialect(kind="additive")).tolist()
    [1, 0]

    Args:
        values: values of a mask, in any shape. The result has the same shape.
        dialect: polarity and kind of the mask.
    """
    # A comparison with a signalling NaN causes a warning.
    with np.errstate(invalid="ignore"):
        if dialect.kind == "additive":
            return np.select([values == 0, values <= ADDITIVE_PADDING], [1, 0], 2)
        if dialect.polarity == "padding":
            return ~values if values.dtype == bool else np.select([values == 0, values == 1], [1, 0], 2)
        return np.select([values == 0, values == 1], [0, 1], 2) if values.dtype.kind == "f" else values


def describe_fault(value: Any, dialect: Dialect) -> str:
    """Return the reason why a mask of this polarity and kind cannot contain a value.

    >>> describe_fault(7, Dialect())
    '7 is neither 0 nor 1'
    """
    if dialect.kind == "additive":
        fault = f"{value} is not a value of an additive mask (0, or a number of at most {ADDITIVE_PADDING})"
    else:
        fault = f"{value} is neither 0 nor 1"
    other = fitting_kind(value, dialect)
    article = "an" if other == "additive" else "a"
    return fault if other is None else f"{fault}; to read {article} {other} mask, use --mask-kind {other}"


def fitting_kind(value: Any, dialect: Dialect) -> MaskKind | None:
    """Return another kind of mask that can contain the value; None if no other kind can.

    >>> fitting_kind(-1e9, Dialect()), fitting_kind(1, Dialect(kind="additive")), fitting_kind(7, Dialect())
    ('additive', 'binary', None)
    """
    if not isinstance(value, (int, float, np.number, np.bool_)):
        return None
    if dialect.kind == "additive":
        return "binary" if value == 1 else None
    return "additive" if value <= ADDITIVE_PADDING else None


def dialect_options(name: str, dialect: Dialect) -> list[str]:
    """Return the command-line options with which a mask without metadata is read correctly.

    >>> dialect_options("mask", Dialect(polarity="padding")), dialect_options("mask", Dialect())
    (['--mask-polarity', 'padding'], [])

    Args:
        name: name of the mask.
        dialect: polarity and kind of the mask.
    """
    if dialect == usual_dialect(name):
        return []
    if dialect.kind == "additive":
        return ["--mask-kind", "additive"]
    return ["--mask-polarity", dialect.polarity]


def dialect_in_words(dialect: Dialect) -> str:
    """Describe a dialect in words, for messages.

    >>> dialect_in_words(Dialect(polarity="padding"))
    'True at padding'
    """
    if dialect.kind == "additive":
        return "additive"
    return f"True at {'real tokens' if dialect.polarity == 'real' else 'padding'}"
