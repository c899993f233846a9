"""Convert a column with one number or bool per row to an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.dtypes import common_dtype, is_in_dtype
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import row_error


def row_numbers(name: str, values: Any) -> Any:
    """Return numbers or bools as an array of shape (rows,), and other values as a list.

    >>> row_numbers("h", [16777217, 1.5]), row_numbers("h", [2**63, 1]).dtype
    (array([1.6777217e+07, 1.5000000e+00]), dtype('uint64'))
    >>> row_numbers("h", [0.5, 1]).dtype, row_numbers("h", [True, 1]), row_numbers("h", [None])
    (dtype('float32'), [True, 1], [None])

    Args:
        name: name of the column, for errors.
        values: one value per row. Numbers may be NumPy numbers, or tensors without axes.

    Returns:
        A NumPy array of numbers or bools keeps its dtype. Other ints become int64, or uint64 if int64 cannot
        represent a value. Other floats, and mixtures of floats and ints, become float32, like floats in JSON.
        They become float64 if float32 would change a value of at least 2**24, or would round a value to 0.

    Raises:
        DataError: no 64-bit dtype can represent all numbers.
    """
    types = set(map(type, values))
    if types == {int}:
        array = np.array(values)
        if array.dtype == np.int64:
            return array
    if isinstance(values, np.ndarray):
        # Masked values are not numbers.
        if values.dtype.kind in "biuf" and not np.ma.is_masked(values):
            return np.array(values)
        values = values.tolist() if values.dtype.kind in "biuf" else values
    numbers = list(values) if types <= {bool, int, float} else [number_of(value) for value in values]
    kinds = frozenset(kind.__name__ for kind in set(map(type, numbers)))
    if "NoneType" in kinds or (len(kinds) > 1 and "bool" in kinds):
        return list(values)
    return _as_array(name, numbers, kinds) if kinds <= {"bool", "int", "float"} else np.array(numbers)


def number_of(value: Any) -> Any:
    """Convert a number, a NumPy number or a tensor to a Python number or bool; return None for other values.

    >>> number_of(np.uint8(3)), number_of(np.array(0.5)), number_of("3"), number_of([3])
    (3, 0.5, None, None)
    """
    if type(value) in (bool, int, float):
        return value
    if value is np.ma.masked or not (hasattr(value, "__array__") or isinstance(value, (int, float))):
        return None
    array = np.asarray(value)
    return array.item() if array.ndim == 0 and array.dtype.kind in "biuf" else None


def _as_array(name: str, numbers: list[Any], kinds: frozenset[str]) -> npt.NDArray[Any]:
    """Return Python numbers as an array. `kinds` contains the names of their types."""
    integers = [number for number in numbers if type(number) is int]
    dtype = common_dtype(kinds, min(0, 0, *integers), max(0, 0, *integers))
    if isinstance(dtype, str):
        limit = np.dtype(np.float64 if "float" in kinds else np.int64)
        row = next(i for i, its in enumerate(numbers) if type(its) is int and not is_in_dtype(its, limit))
        raise row_error(
            row,
            f"Row {row}, column {name!r}: {numbers[row]} cannot be stored in one array with the values of "
            f"the other rows, because the column has {dtype}. Pass the numbers as strings, or "
            "remove the column.",
            name,
        )
    array = np.array(numbers, dtype=dtype)
    if dtype.kind != "f":
        return array
    one = np.ones(len(array), dtype=np.int64)
    changed = find_misfits(Ragged(array, np.arange(len(array)), one), "float32", rounds=False)
    return array if changed else array.astype(np.float32)
