"""Convert columns with one number or bool per row to NumPy arrays, for formats that store only arrays.

No value changes: a column that an array cannot store exactly is left out, with a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import null_flags, to_numpy
from padmask.core.dtypes import common_dtype
from padmask.errors import DataError
from padmask.formats.contract import Batch
from padmask.formats.jsonl.reader import field_values
from padmask.spec.warning_names import Warned

# Descriptions of JSON values that are not numbers or bools, keyed by the first byte of the JSON text.
_OTHER_VALUES = {b'"': "text", b"[": "a list", b"{": "an object", b"n": "null"}


def why_no_number(type_: pa.DataType) -> str | None:
    """Return the name of a type that is not a number or a bool; None for numbers and bools.

    >>> why_no_number(pa.int8()), why_no_number(pa.string())
    (None, 'string')
    """
    numbers = pat.is_integer(type_) or pat.is_floating(type_) or pat.is_boolean(type_)
    return None if numbers else str(type_)


@dataclass(frozen=True)
class Numbers:
    """One number or bool for each row of a block, with the kinds and the range of the values.

    `+` combines the kinds and ranges of two blocks. The result has no values.

    Args:
        values: array of shape (rows,).
        kinds: kinds of the values: `"bool"`, `"int"` and `"float"`.
        low, high: smallest and largest integer, including 0, so that low <= 0 <= high.
        fixed: dtype of the column, if its type is known; None for JSON.
    """

    values: npt.NDArray[Any]
    kinds: frozenset[str]
    low: int = 0
    high: int = 0
    fixed: np.dtype[Any] | None = None

    def __add__(self, later: Numbers) -> Numbers:
        low, high = min(self.low, later.low), max(self.high, later.high)
        return Numbers(self.values[:0], self.kinds | later.kinds, low, high, self.fixed)

    def dtype(self) -> np.dtype[Any] | str:
        """Return the dtype that represents all values exactly. If there is no such dtype, return the reason.

        >>> Numbers(np.array([1]), frozenset({"int", "float"}), high=2**60).dtype()
        'floats, and integers that float64 cannot represent'
        """
        return common_dtype(self.kinds, self.low, self.high) if self.fixed is None else self.fixed


def scalar_numbers(batch: Batch, without: Collection[str]) -> Iterator[tuple[str, Numbers | str]]:
    """Yield the name and the numbers or bools of each column that is not in `without`.

    If a column has nulls or other values, a reason such as `"null in a.jsonl, line 3"` replaces the numbers.
    """
    if batch.objects is None:
        for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True):
            if field.name not in without:
                yield field.name, _from_arrow(batch, column)
        return
    for name in dict.fromkeys(name for row in batch.objects for name in row):
        if name not in without:
            yield name, _from_json(batch, name)


def _from_arrow(batch: Batch, column: pa.Array) -> Numbers | str:
    if column.null_count:
        return f"null in {batch.place(int(np.argmax(null_flags(column))))}"
    values = to_numpy(column)
    return Numbers(values, frozenset(), fixed=values.dtype)


def _from_json(batch: Batch, name: str) -> Numbers | str:
    assert batch.objects is not None
    for row, fields in enumerate(batch.objects):
        other = _OTHER_VALUES.get(bytes(fields.get(name, b"null"))[:1])
        if other is not None:
            return f"{other} in {batch.place(row)}"
    try:
        values = field_values(batch.objects, name, batch.place)
    except DataError:
        return "a number that float64 cannot represent"
    integers = [value for value in values if type(value) is int]
    facts = Numbers(
        np.zeros(len(values)),
        frozenset(kind.__name__ for kind in set(map(type, values))),
        min(0, *integers, 0),
        max(0, *integers, 0),
    )
    dtype = facts.dtype()
    # A column without a dtype is left out at the end, so its values are not needed.
    return facts if isinstance(dtype, str) else replace(facts, values=np.array(values, dtype=dtype))


def describe_left_out(column_notes: Mapping[str, str]) -> tuple[Sequence[Warned], Sequence[str]]:
    """Return one warning about the columns missing from the output, and an empty list of remarks.

    >>> describe_left_out({"text": "string"})[0][0][:28]
    "not written: 'text' (string)"
    """
    named = ", ".join(f"{name!r} ({why})" for name, why in column_notes.items())
    warning = (
        f"not written: {named}. NumPy output has only padded columns, and columns of numbers and bools "
        "without nulls. To keep all columns, write Parquet"
    )
    return (Warned("column-not-written", warning),), ()
