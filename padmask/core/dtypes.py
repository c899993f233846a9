"""Check whether a dtype can represent numbers, and suggest a dtype that can."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

# float64 represents each integer up to this number exactly.
_MOST_EXACT = 2**53


@lru_cache
def integer_limits(dtype: str | np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and the largest number of an integer dtype.

    >>> integer_limits("int16")
    (-32768, 32767)
    """
    limits = np.iinfo(np.dtype(dtype))
    return int(limits.min), int(limits.max)


def integers_fit(values: npt.NDArray[Any], dtype: str | np.dtype[Any]) -> bool:
    """Return whether an integer dtype can represent all numbers in a nonempty array of integers.

    >>> integers_fit(np.array([7, 2**31]), "int32"), integers_fit(np.array([-100]), "int32")
    (False, True)
    """
    low, high = integer_limits(dtype)
    # In binary, the largest number of each dtype consists of ones only. If no number is negative, the bitwise
    # OR of all numbers therefore exceeds this largest number only if one of the numbers does.
    if 0 <= int(np.bitwise_or.reduce(values, axis=None)) <= high:
        return True
    return low <= int(values.min()) and int(values.max()) <= high


def suggest_dtype(number: Any, dtype: str) -> str:
    """Return a remedy for an error message about a number that does not fit a dtype.

    >>> suggest_dtype(np.int64(70_000), "uint16"), suggest_dtype(np.int64(2**24 + 1), "float32")
    ('use dtype int32', 'use dtype float64 or int32')

    Args:
        number: NumPy scalar that does not fit.
        dtype: requested dtype.
    """
    if isinstance(number, np.floating):
        if not np.isfinite(number):
            return "use dtype float32, or fix the data"
        narrow = number != np.floor(number) and dtype != "float32"
        return f"use dtype {narrowest_float(float(number)) if narrow else 'float64'}"
    if abs(int(number)) >= 2**63:
        return "the number is outside the range of int64"
    exact = np.dtype(dtype).kind == "f" and int(np.float64(number)) == int(number)
    return f"use dtype {'float64 or ' if exact else ''}{integer_dtype(int(number))}"


def narrowest_float(number: float) -> str:
    """Return `float32` if this dtype represents the number well enough, else `float64`.

    A number between -2**24 and 2**24 may be rounded, but not to 0. Other numbers must be exact.

    >>> narrowest_float(0.1), narrowest_float(1e39), narrowest_float(1e-50), narrowest_float(2.0**24)
    ('float32', 'float64', 'float64', 'float32')
    """
    with np.errstate(over="ignore"):
        rounded = np.float32(number)
    fits = float(rounded) == number or abs(number) < 2**24
    return "float32" if fits and (rounded != 0 or number == 0) else "float64"


def suggest_for_floats(number: int | float) -> str:
    """Return a remedy for an error message about a JSON number that does not fit a float column.

    >>> suggest_for_floats(1e39), suggest_for_floats(2**24 + 1), suggest_for_floats(10**400)
    ('use dtype float64', 'use dtype float64', 'no dtype can represent the number')
    >>> suggest_for_floats(2**53 + 1)
    'use dtype int64 if all numbers in the column are integers'
    """
    try:
        exact = float(number) == number
    except OverflowError:
        exact = False
    if exact:
        return "use dtype float64"
    fits = -(2**63) <= number < 2**63
    whole = "use dtype int64 if all numbers in the column are integers"
    return whole if fits else "no dtype can represent the number"


def integer_dtype(number: int) -> str:
    """Return `int32` if this dtype can represent the number, otherwise `int64`.

    >>> integer_dtype(70_000), integer_dtype(2**31)
    ('int32', 'int64')
    """
    return "int32" if -(2**31) <= number < 2**31 else "int64"


def common_dtype(kinds: Collection[str], low: int, high: int) -> np.dtype[Any] | str:
    """Return the dtype that represents all values of a column exactly, or the reason why no dtype does.

    >>> common_dtype({"int"}, 0, 2**63), common_dtype({"int", "float"}, 0, 2**60)
    (dtype('uint64'), 'floats, and integers that float64 cannot represent')

    Args:
        kinds: kinds of the values: `"bool"`, `"int"` and `"float"`.
        low, high: smallest and largest number among 0 and the integers of the column.
    """
    if set(kinds) == {"bool"}:
        return np.dtype(bool)
    if "bool" in kinds:
        return "both bools and numbers"
    if "float" in kinds:
        exact = is_in_dtype(low, np.dtype(np.float64)) and is_in_dtype(high, np.dtype(np.float64))
        return np.dtype(np.float64) if exact else "floats, and integers that float64 cannot represent"
    found = (np.dtype(kind) for kind in (np.int64, np.uint64))
    both = (dtype for dtype in found if is_in_dtype(low, dtype) and is_in_dtype(high, dtype))
    return next(both, "integers that no 64-bit type can represent")


def is_in_dtype(number: int, dtype: np.dtype[Any]) -> bool:
    """Return whether an integer is within the range that a dtype represents exactly.

    >>> is_in_dtype(2**63, np.dtype("int64")), is_in_dtype(2**53, np.dtype("float64"))
    (False, True)
    """
    low, high = integer_limits(dtype) if dtype.kind in "iu" else (-_MOST_EXACT, _MOST_EXACT)
    return low <= number <= high
