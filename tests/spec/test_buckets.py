"""`PadSpec.buckets`: the number of buckets, or their edges."""

import numpy as np
import pytest

from padmask import BatchSpec, PadSpec, SpecError, pad, pad_file, pad_table
from padmask.spec.buckets import MOST_BUCKETS, parse_buckets


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (8, 8),
        ("8", 8),
        ("64,128", (64, 128)),
        (" 64, 128 ", (64, 128)),
        ([64, 128], (64, 128)),
        (np.array([64, 128]), (64, 128)),
        ((5,), (5,)),
    ],
    ids=repr,
)
def test_buckets_as_number_or_text(value, found):
    assert PadSpec(buckets=value).buckets == found


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, MOST_BUCKETS + 1, True, 1.5, "", "8,", "p50,p95", "1_0", "longest"),
        *((), (0, 4), (4, 4), (8, 4), (4, 2.5), (4, None), (4, 1 << 31), range(1, MOST_BUCKETS + 2)),
    ],
    ids=repr,
)
def test_other_values_are_refused(value):
    with pytest.raises(SpecError) as caught:
        PadSpec(buckets=value)
    assert caught.value.options == ("buckets",)


def test_last_edge_is_maxlen():
    spec = PadSpec(buckets=(4, 8))
    assert spec.maxlen == 8
    assert PadSpec(buckets=(4, 8), maxlen=8) == spec


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"buckets": (4, 8), "maxlen": 6}, ["maxlen", "buckets"]),
        ({"buckets": (4, 8), "maxlen": "p95"}, ["maxlen", "buckets"]),
        ({"buckets": 2, "maxlen": 0}, ["maxlen"]),
        ({"buckets": (4, 6), "pad_to_multiple_of": 4}, ["buckets", "pad_to_multiple_of"]),
        ({"buckets": 2, "maxlen": 6, "pad_to_multiple_of": 4}, ["maxlen", "pad_to_multiple_of"]),
        ({"buckets": 2, "own_lengths": {"labels": 4}}, ["own_lengths", "buckets"]),
        ({"buckets": 2, "batches": BatchSpec(tokens=64)}, ["batch_tokens", "buckets"]),
        ({"buckets": (4, 8), "keep_first": 9}, ["maxlen", "keep_first"]),
    ],
    ids=str,
)
def test_conflicts_name_the_options(options, parameters):
    with pytest.raises(SpecError) as caught:
        PadSpec(**options)
    assert list(caught.value.options) == parameters


def test_edges_are_rounded_in_the_remedy():
    with pytest.raises(SpecError, match="4,8"):
        PadSpec(buckets=(3, 4, 6), pad_to_multiple_of=4)


@pytest.mark.parametrize("text", ["64,128", "8"])
def test_text_is_parsed(text):
    assert parse_buckets(text) == PadSpec(buckets=text).buckets


def test_buckets_need_a_folder(tmp_path):
    import pyarrow as pa

    table = pa.table({"input_ids": [[1], [2, 3]]})
    calls = [
        lambda spec: pad([[1]], spec=spec),
        lambda spec: pad_table(table, spec=spec),
        lambda spec: pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=spec),
    ]
    for call in calls:
        with pytest.raises(SpecError) as caught:
            call(PadSpec(buckets=2))
        assert "buckets" in caught.value.options
