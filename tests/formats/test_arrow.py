"""Arrow rows that share their values, so that a small file can have very many tokens."""

import numpy as np
import pyarrow as pa
import pytest

from padmask.core.arrow_lists import list_lengths, shared_list_lengths
from padmask.formats.arrow import SLICE_VALUES, ArrowReader
from padmask.formats.contract import Wanted
from padmask.storage.source import Source

ROWS, TOKENS = 300, 50_000
ROW = pa.array(np.arange(TOKENS, dtype=np.int32))
SHARING = {
    "dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0] * ROWS, pa.int32()), pa.ListArray.from_arrays(pa.array([0, TOKENS], pa.int32()), ROW)
    ),
    "overlapping views": pa.ListViewArray.from_arrays(
        pa.array([0] * ROWS, pa.int32()), pa.array([TOKENS] * ROWS, pa.int32()), ROW
    ),
}


@pytest.mark.parametrize("rows", SHARING.values(), ids=SHARING)
def test_shared_values_make_small_pieces(tmp_path, rows):
    path = tmp_path / "shared.arrow"
    with pa.ipc.new_file(path, pa.schema([("input_ids", rows.type)])) as writer:
        writer.write_batch(pa.record_batch({"input_ids": rows}))
    assert path.stat().st_size < 4 * SLICE_VALUES

    reader = ArrowReader(Source(str(path)))
    chunks = list(reader.chunks(Wanted(reader.schema())))
    places = [int(list_lengths(chunk.data.column(0))[0].sum()) for chunk in chunks]
    assert sum(places) == ROWS * TOKENS
    assert max(places) <= SLICE_VALUES
    before = np.cumsum([0, *(chunk.data.num_rows for chunk in chunks)])
    assert [chunk.first for chunk in chunks] == before[:-1].tolist()


def test_lengths_of_shared_rows():
    lists = pa.array([["a", "b"], ["c"]])
    rows = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), lists)
    assert shared_list_lengths(rows).tolist() == [1, 0, 2]
    nothing = pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), lists.slice(0, 0))
    assert shared_list_lengths(nothing).tolist() == [0]
    assert shared_list_lengths(lists) is None
