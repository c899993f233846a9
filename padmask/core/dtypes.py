"""Suggest a dtype for a number that does not fit the requested dtype."""

from __future__ import annotations

from typing import Any

import numpy as np


def suggest_dtype(number: Any, dtype: str) -> str:
    """Return advice for an error message: a dtype that fits `number`, or another remedy.

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
        return "use dtype float32" if narrow else "use dtype float64"
    if abs(int(number)) >= 2**63:
        return "the number is outside the range of int64"
    exact = np.dtype(dtype).kind == "f" and abs(int(number)) <= 2**53
    return f"use dtype {'float64 or ' if exact else ''}{integer_dtype(int(number))}"


def integer_dtype(number: int) -> str:
    """Return `int32` if this dtype can represent the number, otherwise `int64`.

    >>> integer_dtype(70_000), integer_dtype(2**31)
    ('int32', 'int64')
    """
    return "int32" if -(2**31) <= number < 2**31 else "int64"
