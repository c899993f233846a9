"""The time for the columns of a file grows with their number, not with its square."""

import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from padmask import MaskSpec, PadSpec
from padmask.core.companions import choose_together
from padmask.core.first_rows import FirstRows
from padmask.formats.contract import Wanted


def _choose(schema: pa.Schema) -> int:
    rows = FirstRows.of([pa.RecordBatch.from_pylist([], schema)])
    return len(choose_together(schema, None, PadSpec(), MaskSpec(), rows).alike)


def _want(schema: pa.Schema) -> int:
    return len(Wanted(schema, schema).schema)


def _seconds(use: Callable[[pa.Schema], int], columns: int) -> float:
    """Return the processor time of the fastest of three runs."""
    others = [(f"column_{number}", pa.int64()) for number in range(columns)]
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), *others])
    times = []
    for _ in range(3):
        start = time.thread_time()
        use(schema)
        times.append(time.thread_time() - start)
    return min(times)


@pytest.mark.parametrize("use", [_choose, _want], ids=["choose", "read"])
def test_time_is_linear(use: Callable[[pa.Schema], int]) -> None:
    # Eight times as many columns: 8 times the time if linear, 64 times if quadratic.
    assert _seconds(use, 4000) < 24 * _seconds(use, 500)
