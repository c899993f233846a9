"""If a number does not fit a dtype, the error suggests the usual dtype that holds the number."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from raised import has_facts, raises_error

from padmask import Column, PadSpec
from padmask.core.columns import choose_columns
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import SpecError


@pytest.mark.parametrize(
    ("number", "dtype", "remedy"),
    [
        (70_000, "uint16", "int32"),
        (-1, "uint16", "int32"),
        (40_000, "int16", "int32"),
        (2**31, "int32", "int64"),
        (2**40, "int16", "int64"),
        (2**24 + 1, "float32", "float64 or int32"),
        (2**53 + 1, "float64", "int64"),
    ],
)
def test_suggested_dtype(number: int, dtype: str, remedy: str) -> None:
    rows = Ragged.from_arrow(pa.array([[1, number]]))[0]
    fault = find_misfits(rows, dtype)[0]
    assert fault.reason.endswith(f" dtype {remedy}")
    assert has_facts(fault.reason, number, dtype)


@pytest.mark.parametrize(("value", "dtype"), [(70_000, "int32"), (-1, "int32"), (2**40, "int64")])
def test_suggested_dtype_of_pad_value(value: int, dtype: str) -> None:
    schema = pa.schema([("ids", pa.list_(pa.int32()))])
    with raises_error(SpecError, value, dtype, option="columns"):
        choose_columns(schema, [Column("ids", "uint16", np.int64(value))], PadSpec())
