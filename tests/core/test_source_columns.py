"""The columns that say from which source row each output row comes."""

import numpy as np
import pyarrow as pa
import pytest

from padmask import BatchSpec, MaskSpec, PadSpec, SpecError, WindowSpec, pad_table
from padmask.core.plan import Plan
from padmask.core.planners import make_segments
from padmask.core.shape_checks import check_shape
from padmask.core.source_columns import source_columns
from padmask.spec.windows import WINDOW_COLUMNS

LENGTHS, NUMBERS = np.array([3, 1]), np.array([10, 12])
BATCHES = PadSpec(maxlen=2, batches=BatchSpec(tokens=8))
WINDOWS = PadSpec(maxlen=2, windows=WindowSpec())


def columns(spec: PadSpec) -> dict[str, list[int]]:
    found = source_columns(make_segments(LENGTHS, Plan(2, "given", 2), spec), spec, NUMBERS, 3)
    return {name: column.to_pylist() for name, column in found.items()}


def test_columns_of_batches():
    assert columns(BATCHES) == {"source_row": [10, 12], "batch": [3, 3]}


def test_columns_of_windows():
    assert columns(WINDOWS)["source_row"] == [10, 10, 12]
    assert tuple(columns(WINDOWS)) == WINDOW_COLUMNS


def test_columns_of_buckets():
    assert columns(PadSpec(maxlen=2, buckets=1)) == {"source_row": [10, 12]}


@pytest.mark.parametrize("spec", [PadSpec(maxlen=2), PadSpec(buckets=1, source_row=False)])
def test_no_source_row(spec):
    assert columns(spec) == {}


def test_added_names():
    assert PadSpec().added_columns == ()
    assert PadSpec(buckets=4).added_columns == ("source_row",)
    assert BATCHES.added_columns == ("source_row", "batch")
    assert PadSpec(batches=BatchSpec(tokens=8), source_row=False).added_columns == ("batch",)


def test_windows_need_the_source():
    with pytest.raises(SpecError, match="unpad") as error:
        PadSpec(maxlen=2, windows=WindowSpec(), source_row=False)
    assert error.value.options == ("source_row", "overlong")


@pytest.mark.parametrize(("spec", "name"), [(BATCHES, "batch"), (PadSpec(buckets=4), "source_row")])
def test_names_in_use(spec, name):
    with pytest.raises(SpecError, match=name):
        check_shape(pa.schema([(name, pa.int64())]), [], spec, MaskSpec())
    with pytest.raises(SpecError, match=name) as error:
        check_shape(pa.schema([]), [], spec, MaskSpec(column=name))
    assert error.value.options == ("mask_column",)


@pytest.mark.parametrize(("name", "value"), [("buckets", 4), ("batches", BatchSpec(tokens=8))])
def test_only_files_have_batches(name, value):
    spec = PadSpec(**{name: value})
    with pytest.raises(SpecError, match="pad_file") as error:
        pad_table(pa.table({"input_ids": [[1]]}), spec=spec)
    assert error.value.options == (name,)
