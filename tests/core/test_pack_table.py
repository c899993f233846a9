"""`pack_table` and `pack` give the packed rows of `pack_file`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raised import raises_error

from padmask import (
    DataError,
    MaskSpec,
    PackSpec,
    PadSpec,
    RowPolicy,
    SpecError,
    WindowSpec,
    pack,
    pack_file,
    pack_preset,
    pack_table,
    pad_table,
)
from padmask.core import pack_windows
from padmask.stream import sort_windows

ANY = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
TOKENS = st.lists(st.integers(1, 99), max_size=14)
TABLE = pa.table({"id": ["a", "b", "c"], "input_ids": [[1, 2, 3], [], [4]], "labels": [[1, 2, 3], [], [4]]})


@st.composite
def requests(draw):
    """Generate the padding options, the packing and the policy for a run."""
    algorithm = draw(st.sampled_from(["best-fit", "in-order", "wrap"]))
    wraps = algorithm == "wrap"
    overlong = "truncate" if wraps else draw(st.sampled_from(["truncate", "drop", "split", "window"]))
    windows = {"split": WindowSpec(), "window": WindowSpec(overlap=3)}.get(overlong)
    packing = PackSpec(
        algorithm=algorithm,
        align=1 if wraps else draw(st.sampled_from([1, 4])),
        eos=draw(st.sampled_from([None, 7])),
        max_segments=None if wraps else draw(st.sampled_from([None, 2])),
    )
    policy = RowPolicy(overlong=overlong if overlong == "drop" else "truncate", empty_rows="drop")
    return PadSpec(maxlen=8, windows=windows), packing, policy


@ANY
@given(st.lists(TOKENS, max_size=30), requests(), st.integers(1, 6), st.integers(1, 9))
def test_rows_of_a_file(tmp_path, rows, request_, chunk, window):
    spec, packing, policy = request_
    ids = pa.chunked_array(
        [pa.array(rows[i : i + chunk], pa.list_(pa.int64())) for i in range(0, len(rows), chunk)],
        pa.list_(pa.int64()),
    )
    table = pa.table({"input_ids": ids, "id": [f"row {i}" for i in range(len(rows))]})
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sort_windows, "WINDOW_SEQUENCES", window)
        patch.setattr(pack_windows, "WINDOW_SEQUENCES", window)
        pack_file(tmp_path / "in.parquet", tmp_path / "out.arrow", spec=spec, packing=packing, policy=policy)
        packed = pack_table(table, spec=spec, packing=packing, policy=policy)
        overlong = "drop" if policy.overlong == "drop" else None if spec.windows else "truncate"
        arrays = pack(
            rows, PadSpec(maxlen=8, windows=spec.windows, packing=packing), overlong=overlong, dtype="int32"
        )
    written = ipc.open_file(tmp_path / "out.arrow").read_all()
    assert packed.to_pydict() == written.to_pydict()
    assert packed.schema.equals(written.schema)
    # In the file, the JSON text of the metadata is padded with spaces.
    assert packed.schema.metadata == {name: its.rstrip() for name, its in written.schema.metadata.items()}
    expected = packed.to_pydict()
    assert arrays.values.tolist() == expected["input_ids"]
    assert arrays.mask.tolist() == expected["mask"]
    for name in ("seq_lengths", "source_rows", "source_starts"):
        assert [part.tolist() for part in getattr(arrays, name)] == expected[name]


def test_ids_and_positions():
    packed = pack([[1, 2, 3], [4, 5], [6]], maxlen=4, align=2, algorithm="in-order")
    assert packed.values.tolist() == [[1, 2, 3, 0], [4, 5, 6, 0]]
    assert packed.segment_ids.tolist() == [[1, 1, 1, 0], [1, 1, 2, 0]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 0], [0, 1, 0, 0]]
    assert packed.mask.tolist() == (packed.segment_ids > 0).tolist()
    assert {packed.segment_ids.dtype, packed.position_ids.dtype} == {np.dtype("int32")}


def test_other_kinds_of_tokens():
    vectors = pack([np.ones((2, 3), np.float32), np.zeros((1, 3), np.float32)], maxlen=3, value=-1)
    assert vectors.values.tolist() == [[[1, 1, 1], [1, 1, 1], [0, 0, 0]]]
    assert pack([["a", "b"], ["c"]], maxlen=4).values.tolist() == [["a", "b", "c", ""]]
    assert pack(pa.array([[1, 2], [3]]), maxlen=3).values.tolist() == [[1, 2, 3]]
    assert pack([[1, 2, 3], [4]]).values.shape == (2, 3), "the longest row determines maxlen"


@pytest.mark.parametrize("algorithm", ["best-fit", "in-order", "wrap"])
@pytest.mark.parametrize("rows", [[], [[]]])
def test_no_tokens_and_no_maxlen(rows, algorithm):
    assert pack(rows, algorithm=algorithm).values.shape == (0, 0)
    table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
    for empty_rows in ("drop", "keep"):
        policy = RowPolicy(empty_rows=empty_rows)
        packed = pack_table(table, packing=PackSpec(algorithm=algorithm), policy=policy)
        assert (packed.num_rows, "seq_lengths" in packed.schema.names) == (0, True)


@pytest.mark.parametrize(("multiple", "maxlen"), [(None, 8), (6, 24)])
def test_align_rounds_maxlen_up(multiple, maxlen):
    packed = pack([[1] * 5, [2] * 3], align=8, pad_to_multiple_of=multiple)
    assert packed.values.shape[1] == maxlen
    assert [lengths.tolist() for lengths in packed.seq_lengths] == ([[5], [3]] if maxlen == 8 else [[5, 3]])
    assert pack([[1] * 9, [2]], align=8, maxlen="p50", overlong="split").values.shape == (3, 8)


@pytest.mark.parametrize("rows", [[], [[]]])
def test_nothing_to_pack(rows):
    packed = pack(rows, maxlen=4)
    assert (packed.values.shape, packed.mask.shape, packed.seq_lengths) == ((0, 4), (0, 4), [])
    table = pack_table(pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))}), spec=PadSpec(maxlen=4))
    assert table.num_rows == 0
    assert table.schema.field("seq_lengths").type == pa.list_(pa.int32())


def test_long_row():
    with raises_error(DataError, option="overlong") as raised:
        pack([[], [1, 2, 3]], maxlen=2)
    assert raised.value.place.number == 1
    with raises_error(DataError, option="overlong"):
        pack_table(TABLE, spec=PadSpec(maxlen=2))
    assert pack([[1, 2, 3]], maxlen=2, overlong="truncate").values.tolist() == [[1, 2]]
    assert pack([[1, 2, 3]], maxlen=2, overlong="drop").values.tolist() == []
    for options in ({"overlong": "split"}, {"windows": WindowSpec()}):
        assert pack([[1, 2, 3]], maxlen=2, **options).values.tolist() == [[1, 2], [3, 0]]


def test_end_token_makes_a_row_too_long():
    with raises_error(
        DataError, "4 tokens", "including the end token, more than", place="row 1", option="maxlen"
    ):
        pack([[1], [1, 2, 3]], maxlen=3, eos=9)


def test_empty_row():
    policy = RowPolicy(overlong="error", empty_rows="error")
    with raises_error(DataError, option="empty_rows") as raised:
        pack_table(TABLE, policy=policy)
    assert raised.value.place.number == 1


def test_end_token_must_fit():
    for rows in ([["a"]], [[0.5]], [[[1, 2]]]):
        with raises_error(SpecError, option="eos"):
            pack(rows, maxlen=8, eos=2)
    with raises_error(SpecError, option="dtype"):
        pack([[1]], maxlen=8, eos=1 << 15, dtype="int16")
    with raises_error(SpecError, option="dtype"):
        pack_table(TABLE, ["input_ids:int64", "labels:int16"], PadSpec(maxlen=8), PackSpec(eos=1 << 15))
    assert pack([[1]], maxlen=3, eos=(1 << 15) - 1, dtype="int16").values.tolist() == [[1, 32767, 0]]


def test_defaults_of_the_mask():
    unpadded = pack_table(TABLE, spec=PadSpec(maxlen=8), packing=PackSpec(pad=False))
    assert "mask" not in unpadded.column_names
    aligned = pack_table(TABLE, spec=PadSpec(maxlen=8), packing=PackSpec(pad=False, align=4))
    assert aligned["mask"].to_pylist() == [[True, True, True, False, True, False, False, False]]
    named = pack_table(TABLE, spec=PadSpec(maxlen=8), mask=MaskSpec(column="m"))
    assert named["m"].to_pylist() == [[True] * 4 + [False] * 4]


def test_packing_in_spec():
    spec = PadSpec(maxlen=4, packing=PackSpec(source=False))
    assert pack_table(TABLE, spec=spec).column_names == ["id", "input_ids", "labels", "mask", "seq_lengths"]
    with raises_error(SpecError, option="packing"):
        pad_table(TABLE, spec=spec)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"emit": ["segment_ids"]}, "emit"),
        ({"pad": False}, "pad"),
        ({"overlong": "cut"}, "overlong"),
        ({"padding": "pre"}, "padding"),
        ({"keep_first": "n", "overlong": "truncate"}, "keep_first"),
        ({"keep_first": 1}, "keep_first"),
    ],
)
def test_refused_options(options, name):
    with raises_error(SpecError, option=name):
        pack([[1]], maxlen=4, **options)


@pytest.mark.parametrize("maxlen", [2**40, 2**62])
@pytest.mark.parametrize("rows", [[[1, 2], [3]], {"input_ids": [[1, 2], [3]]}])
def test_maxlen_beyond_memory(rows, maxlen):
    with raises_error(SpecError, f"{maxlen:,}", option="maxlen"):
        pack(rows, maxlen=maxlen)


@pytest.mark.parametrize(
    "options, facts",
    [
        ({"overlong": "window"}, ["windows", "split"]),
        ({"preset": "hf"}, ["pack_preset"]),
        ({"dialect": "trl"}, ["pack_preset"]),
        ({"packing": 0}, ["packing"]),
        ({"packing": False}, ["packing"]),
    ],
)
def test_options_that_pack_has_not(options, facts):
    (name,) = options
    with raises_error(SpecError, *facts, option=name):
        pack([[1, 2]], maxlen=4, **options)


def test_tables_have_no_skipped_rows():
    with raises_error(SpecError, option="on_error"):
        pack_table(TABLE, policy=RowPolicy(on_error="skip"))


DICT = {
    "id": ["a", "b", "c", "d"],
    "input_ids": [[1, 2, 3], [4, 5], [], [6]],
    "labels": [[1, 2, 3], [4, 5], [], [6]],
    "weight": np.array([0.5, 1, 2, 3]),
}


@pytest.mark.parametrize("kind", [dict, pa.table])
def test_dict_of_columns(kind):
    packed = pack(kind(DICT), maxlen=4)
    rows = pack(DICT["input_ids"], maxlen=4)
    for name in ("mask", "segment_ids", "position_ids"):
        np.testing.assert_array_equal(packed[name], getattr(rows, name))
        assert packed[name].dtype == getattr(rows, name).dtype
    np.testing.assert_array_equal(packed["input_ids"], rows.values)
    assert packed["input_ids"].dtype == rows.values.dtype
    assert packed["labels"].tolist() == [[-100, 2, 3, -100], [-100, 5, -100, -100]]
    assert packed["id"] == [["a", "d"], ["b"]]
    for name in ("seq_lengths", "source_rows", "source_starts"):
        assert [row.tolist() for row in packed[name]] == [row.tolist() for row in getattr(rows, name)]
    assert [row.tolist() for row in packed["weight"]] == [[0.5, 3], [1]]


def test_options_of_a_dict():
    packed = pack(DICT, maxlen=2, columns=["input_ids"], overlong="split", mask=MaskSpec(column="real"))
    assert packed["real"].shape == packed["input_ids"].shape == (3, 2)
    assert "mask" not in packed
    empty = pack({"input_ids": [[], []]}, maxlen=3)
    assert (empty["input_ids"].shape, empty["segment_ids"].dtype) == ((0, 3), np.int32)
    texts = pack({"tokens": [["a"], ["b", "c"]]}, maxlen=3)
    assert texts["tokens"].tolist() == [["a", "b", "c"]]


def test_preset_of_a_dict():
    """For a dict, `pack` returns the columns of the preset as well as `segment_ids` and `position_ids`."""
    spec, mask = pack_preset("levanter", maxlen=3)
    packed = pack({"input_ids": [[1, 2], [3]]}, spec, mask=mask)
    assert packed["tokens"].tolist() == [[1, 2, 3]]
    assert packed["loss_mask"].tolist() == [[1, 0, 0]]
    assert packed["segment_ids"].tolist() == [[0, 0, 1]]
    assert packed["position_ids"].tolist() == [[0, 1, 0]]


def test_columns_need_a_dict():
    with raises_error(SpecError, option="columns"):
        pack([[1, 2]], maxlen=3, columns=["input_ids"])
    with raises_error(DataError, column="x"):
        pack({"input_ids": [[1]], "x": [object()]}, maxlen=3)
