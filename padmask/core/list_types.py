"""Find the types of the tokens in columns of Python sequences, NumPy arrays or tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

# Arrow types of tokens, by name. Python floats have no width, so they become float32.
_TYPES = {
    "int": pa.int64(),
    "float": pa.float32(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "null": pa.null(),
}

# Names in `_TYPES`, keyed by the `kind` of a NumPy dtype.
_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool"}

# The type of the tokens as a name in `_TYPES`, and the number of axes of a row; or the dtype of plain rows.
# Arrow types would take longer to compare.
ListType = tuple[str, int] | np.dtype[Any]


def list_type(values: Sequence[Any]) -> tuple[str, int] | None:
    """Return the token type of a column and the number of axes of a row; None if rows are not sequences.

    The first row with tokens determines the result.

    >>> list_type([[], [7, 8]]), list_type([[[0.5, 1.0]]]), list_type(["text"]), list_type([])
    (('int', 1), ('float', 2), None, ('null', 1))
    """
    if not len(values):
        return "null", 1
    first = values[0] if _has_tokens(values[0]) else next(filter(_has_tokens, values), values[0])
    if not hasattr(first, "__len__") or isinstance(first, (str, bytes, Mapping)):
        return None
    if hasattr(first, "dtype"):
        array = np.asarray(first)
        return (_name_of(array.dtype), min(array.ndim, 2)) if array.ndim else None
    if not len(first):
        return "null", 1
    if type(first[0]) is int:
        return "int", 1
    inner = list_type([first[0]])
    return (_kind(first[0]), 1) if inner is None else (inner[0], inner[1] + 1)


def _name_of(dtype: np.dtype[Any]) -> str:
    name = _KINDS.get(dtype.kind, "string")
    # Unlike Python floats, floats in arrays have a width.
    return str(dtype.name) if name == "float" else name


def arrow_type(type_: ListType) -> pa.DataType:
    """Return the Arrow type of a column of sequences."""
    name, axes = (_name_of(type_), 1) if isinstance(type_, np.dtype) else type_
    found = _TYPES[name]
    for _ in range(axes):
        found = pa.list_(found)
    return found


def _has_tokens(row: Any) -> bool:
    if type(row) is list:
        return bool(row)
    if not hasattr(row, "__len__") or isinstance(row, (str, bytes, Mapping)):
        return False
    try:
        return len(row) > 0
    except TypeError:
        # A tensor without axes has no length.
        return False


def _kind(token: Any) -> str:
    kinds = (("bool", (bool, np.bool_)), ("string", str), ("float", (float, np.floating)))
    return next((kind for kind, types in kinds if isinstance(token, types)), "int")
