"""Convert and check pad values."""

from __future__ import annotations

from typing import Any

import numpy as np

from padmask.core.dtypes import integer_dtype, integer_limits
from padmask.errors import SpecError
from padmask.spec.pad import FLOAT_DTYPES, INTEGER_DTYPES


def fill_value(value: Any, dtype: str, where: str, option: str = "value") -> int | float | str:
    """Convert the pad value, which may be text from the command line, to an int, float or string for `dtype`.

    >>> fill_value("-100", "int32", "Column 'labels'"), fill_value(0, "string", "Column 'tokens'")
    (-100, '')

    Raises:
        SpecError: the value does not fit the dtype. The message starts with `where`, and the error lists
            `option` as the cause.
    """
    if type(value) is int and dtype in INTEGER_DTYPES and _fits(value, dtype):
        # The usual case comes first, because this check is part of the time of each small batch.
        return value
    if dtype == "string":
        return _fill_string(value, where, option)
    number = value.item() if isinstance(value, np.generic) else value
    if dtype == "bool" and str(number).lower() in ("true", "false", "1", "0"):
        return str(number).lower() in ("true", "1")
    if dtype == "bool":
        raise SpecError(
            f"{where}: the pad value {value!r:.40} is not a bool. Choose true or false.", options=[option]
        )
    if isinstance(number, str):
        number = _read_number(number)
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        if dtype in FLOAT_DTYPES:
            return _fill_float(number, value, dtype, where, option)
        if number == number and abs(number) < 2**63 and number == int(number):
            if _fits(number, dtype):
                return int(number)
            low, high = integer_limits(dtype)
            raise SpecError(
                f"{where}: the pad value {value} does not fit {dtype} ({low} to {high}). "
                f"Choose another value, or another dtype, such as {integer_dtype(int(number))}.",
                options=[option],
            )
    raise SpecError(
        f"{where}: the pad value {value!r} is not of dtype {dtype}. Choose another value or another dtype.",
        options=[option],
    )


def _fits(number: int | float, dtype: str) -> bool:
    low, high = integer_limits(dtype)
    return low <= number <= high


def _fill_string(value: Any, where: str, option: str) -> str:
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise SpecError(
            f"{where}: the pad value {value!r:.80} is not a string. Choose a string.", options=[option]
        )
    # 0 is the default pad value of every dtype. For strings, 0 means the empty string.
    return "" if value == 0 else str(value)


def _fill_float(number: int | float, value: Any, dtype: str, where: str, option: str) -> float:
    largest = float(np.finfo(dtype).max)
    if abs(number) > largest and abs(number) != float("inf"):
        raise SpecError(
            f"{where}: the pad value {value} does not fit {dtype} (up to {largest:.4g}). "
            "Choose another value, or dtype float64.",
            options=[option],
        )
    return float(number)


def _read_number(text: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None
