"""Fields of structs cannot be padded, and the error says how to make them columns."""

from __future__ import annotations

import pyarrow as pa
import pytest
from raised import raises_error

from padmask import PadSpec
from padmask.core.columns import choose_columns
from padmask.errors import SpecError

IDS = pa.list_(pa.int32())
DATA = ("data", pa.struct([("input_ids", IDS)]))


@pytest.mark.parametrize("asked", ["data.input_ids", "data.input_ids:int64=-1", "data.input_ids=0"])
@pytest.mark.parametrize("data", [DATA, ("data", pa.struct([]))], ids=["typed", "JSON"])
def test_field_is_refused(asked: str, data: tuple[str, pa.DataType]) -> None:
    command = "jq -c '.input_ids = .data.input_ids'"
    with raises_error(SpecError, "'data.input_ids'", "'data'", command, option="columns"):
        choose_columns(pa.schema([data, ("input_ids", IDS)]), [asked], PadSpec())


def test_column_with_a_dot() -> None:
    schema = pa.schema([DATA, ("data.input_ids", IDS)])
    assert choose_columns(schema, ["data.input_ids=7"], PadSpec())[0].name == "data.input_ids"


def test_other_missing_columns() -> None:
    with raises_error(SpecError, "'dat.input_ids'", option="columns"):
        choose_columns(pa.schema([DATA]), ["dat.input_ids"], PadSpec())


def test_only_structs() -> None:
    with raises_error(SpecError, "'data'", "struct", "jq -c"):
        choose_columns(pa.schema([DATA]), None, PadSpec())


@pytest.mark.parametrize(
    "type_",
    [pa.list_(pa.list_(IDS)), pa.fixed_shape_tensor(pa.float32(), [2, 2], permutation=[1, 0])],
    ids=["deep", "permuted"],
)
def test_only_deep_lists(type_: pa.DataType) -> None:
    for name in ("input_ids", "x"):
        with raises_error(SpecError, type_):
            choose_columns(pa.schema([(name, type_)]), None, PadSpec())
