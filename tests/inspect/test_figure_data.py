"""The numbers behind the figure of `inspect --export`, compared with loops over all rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import PackSpec, PadSpec, WindowSpec, pad_dataset
from padmask.core.length_stats import LengthStats
from padmask.inspect.costs import CostBasis, cost_of
from padmask.inspect.cuts import Cuts
from padmask.inspect.figure_curves import make_curves
from padmask.inspect.figure_data import (
    MOST_BANDS,
    make_figure_data,
    make_histogram,
    make_places,
    make_places_of_padded,
)
from padmask.inspect.inspect_file import inspect_file
from padmask.stream.pack import pack_file

LENGTHS = st.lists(st.one_of(st.integers(0, 12), st.integers(0, 3_000)), max_size=40)
SIDES = st.sampled_from(["pre", "post"])


def write(folder, lengths):
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps({"input_ids": [7] * length}) + "\n" for length in lengths))
    return file


@given(LENGTHS, st.integers(0, 9_000))
def test_every_row_is_in_a_bin(lengths, top):
    histogram = make_histogram(LengthStats.of(lengths), top)
    rows = [
        sum(low <= length < high for length in lengths)
        for low, high in zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
    ]
    assert histogram.rows.tolist() == rows
    assert sum(rows) + histogram.empty == len(lengths)
    assert (np.diff(histogram.edges) > 0).all()


def test_long_tail_needs_log_axis():
    short = LengthStats.of([10] * 99)
    assert not make_histogram(short).is_log
    assert make_histogram(short, top=31).is_log
    assert make_histogram(short + LengthStats.of([40])).is_log


def test_log_axis_starts_at_the_shortest_row():
    histogram = make_histogram(LengthStats.of([0] * 3 + [7] * 90 + [500]))
    assert (histogram.edges[0], histogram.rows[0], histogram.empty) == (7, 90, 3)


@pytest.mark.parametrize("overlong", ["truncate", "drop", "window"])
@given(LENGTHS.filter(any), st.integers(1, 3_000))
def test_curves_are_the_costs(overlong, lengths, maxlen):
    basis = CostBasis(LengthStats.of(lengths), cuts=Cuts(overlong))
    curves, cost = make_curves(basis, [maxlen], overlong), cost_of(basis, maxlen)
    at = curves.maxlens.tolist().index(maxlen)
    assert curves.kept[at] == pytest.approx(1 - cost.tokens_lost / sum(lengths))
    assert curves.padding[at] == pytest.approx(cost.padding_share)
    if curves.repeated is not None:
        assert curves.repeated[at] * cost.tokens == pytest.approx(cost.tokens - sum(lengths))


@given(LENGTHS, st.lists(st.integers(1, 4_000), max_size=3))
def test_curves_are_exact_shares(lengths, marks):
    curves = make_curves(CostBasis(LengthStats.of(lengths)), marks)
    maxlens = curves.maxlens.tolist()
    assert {*marks} <= {*maxlens}
    assert maxlens == sorted({*maxlens})
    for number in {0, len(maxlens) // 2, len(maxlens) - 1}:
        maxlen = maxlens[number]
        kept, places = sum(min(length, maxlen) for length in lengths), maxlen * len(lengths)
        whole = sum(length <= maxlen for length in lengths)
        expected = (
            kept / sum(lengths) if sum(lengths) else 1,
            whole / len(lengths) if lengths else 1,
            1 - kept / places if lengths else 0,
        )
        assert (curves.kept[number], curves.whole[number], curves.padding[number]) == pytest.approx(expected)


@given(LENGTHS, st.integers(0, 3_000), SIDES, SIDES)
def test_spans_have_the_row_lengths(lengths, maxlen, padding, truncating):
    places = make_places(LengthStats.of(lengths), maxlen, padding=padding, truncating=truncating)
    spans = zip(places.real.tolist(), places.padding.tolist(), places.cut.tolist(), strict=True)
    ends, start = places.row_ends.tolist(), 0
    for end, (real, blank, cut) in zip(ends, spans, strict=True):
        assert {sorted(lengths)[start], sorted(lengths)[end - 1]} == {real[1] - real[0] + cut[1] - cut[0]}
        parts = [blank, real] if padding == "pre" else [real, blank]
        assert (parts[0][0], parts[0][1], parts[1][1]) == (0, parts[1][0], maxlen)
        assert cut[1 if truncating == "pre" else 0] == (0 if truncating == "pre" else maxlen)
        start = end
    assert start == len(lengths)


def test_dropped_rows_keep_nothing():
    places = make_places(LengthStats.of([2, 9]), 4, drops=True)
    assert (places.real.tolist(), places.padding.tolist()) == ([[0, 2], [0, 0]], [[2, 4], [0, 0]])
    assert places.cut.tolist() == [[0, 0], [0, 9]]


def test_bands_are_bounded():
    lengths = np.arange(10 * MOST_BANDS)
    places = make_places(LengthStats.of(lengths), 2_000)
    assert len(places.row_ends) == MOST_BANDS
    middle = places.real[:, 1] + places.cut[:, 1] - places.cut[:, 0]
    assert (abs(middle - (places.row_ends - 5)) <= 1).all()


@given(LENGTHS, st.integers(1, 9))
def test_places_of_batches(lengths, size):
    # The last row of each batch of sorted rows is its longest row.
    ordered = sorted(lengths)
    widths = [ordered[min(number // size * size + size, len(ordered)) - 1] for number in range(len(ordered))]
    places = make_places_of_padded(LengthStats.of(lengths), LengthStats.of(widths).counts)
    rows = np.diff(places.row_ends, prepend=0)
    drawn = zip(np.repeat(places.real, rows, axis=0), np.repeat(places.padding, rows, axis=0), strict=True)
    spans = [(real.tolist(), [blank[0], max(blank)]) for real, blank in drawn]
    assert spans == [([0, length], [length, width]) for length, width in zip(ordered, widths, strict=True)]


def test_many_batches_have_few_bands():
    lengths = np.arange(1, 10 * MOST_BANDS)
    places = make_places_of_padded(LengthStats.of(lengths), dict.fromkeys(lengths.tolist()[2::3], 3))
    assert len(places.row_ends) == MOST_BANDS
    assert (places.padding[:, 1] - places.real[:, 1]).max() <= 2


@pytest.mark.parametrize(
    ("spec", "title", "sizes"),
    [
        (PadSpec(buckets=2), "2 lengths up to 9: 6.7% padding", [[1, 1], [2, 0], [9, 0]]),
        (
            PadSpec(maxlen=6, windows=WindowSpec()),
            "maxlen 6: 53.3% padding",
            [[1, 5], [2, 4], [3, 3], [6, 0]],
        ),
    ],
    ids=["buckets", "windows"],
)
def test_padded_rows_as_they_are(tmp_path, spec, title, sizes):
    pad_dataset([write(tmp_path, [1, 2, 2, 9])], tmp_path / "out", spec=spec)
    data = make_figure_data(inspect_file([tmp_path / "out"]))
    drawn = [np.diff(spans)[:, 0].tolist() for spans in (data.places.real, data.places.padding)]
    assert (data.title, [list(pair) for pair in zip(*drawn, strict=True)]) == (title, sizes)


@pytest.mark.parametrize(
    "spec", [PadSpec(buckets=2, padding="pre"), PadSpec(maxlen=9, padding="pre", windows=WindowSpec())]
)
def test_padding_at_the_start(tmp_path, spec):
    pad_dataset([write(tmp_path, [1, 2, 2, 9, 9, 9, 18])], tmp_path / "out", spec=spec)
    places = make_figure_data(inspect_file([tmp_path / "out"])).places
    assert (places.padding[:, 0] == 0).all() and (places.padding[:, 1] == places.real[:, 0]).all()
    assert places.real[0, 0] > 0


def test_marks_are_the_plans(tmp_path):
    file = write(tmp_path, [*range(1, 100), 300])
    seen = inspect_file(file, specs=[PadSpec(maxlen=maxlen) for maxlen in (64, "p95", 300)])
    data = make_figure_data(seen)
    assert [(mark.maxlen, mark.name) for mark in data.marks] == [
        (64, ""),
        (95, "p95"),
        (99, "p99"),
        (300, "longest"),
    ]
    assert [mark.maxlen for mark in data.marks if mark.is_best] == [seen.advice.plan.maxlen]
    assert data.places.maxlen == seen.advice.plan.maxlen


def test_costs_are_on_the_curves(tmp_path):
    seen = inspect_file(write(tmp_path, [*range(1, 100), 300]), specs=[PadSpec(maxlen=64)])
    curves = make_figure_data(seen).curves
    for plan in [plan for plan in seen.plans if plan.name in ("longest", "p99", "p95", "64")]:
        number = curves.maxlens.tolist().index(plan.maxlen)
        assert curves.kept[number] == pytest.approx(1 - plan.lost_share)
        assert curves.whole[number] == pytest.approx(1 - plan.rows_cut / 100)
        assert curves.padding[number] == pytest.approx(plan.padding_share)


@pytest.mark.parametrize("pad", [True, False])
def test_packed_rows(tmp_path, pad):
    packed = tmp_path / "out.parquet"
    pack_file(write(tmp_path, [3, 1, 5, 2]), packed, spec=PadSpec(maxlen=6), packing=PackSpec(pad=pad))
    data = make_figure_data(inspect_file(packed))
    assert (data.curves, data.marks, data.packed.filled_share) == (None, [], 11 / 12)
    assert (data.lengths.edges[0], data.lengths.rows.tolist()) == (1, [1, 1, 1, 0, 1])
    assert (data.sequences.edges[0], data.sequences.rows.sum()) == (data.sequences.edges[:-1].min(), 2)
    per_row = np.repeat(data.sequences.edges[:-1], data.sequences.rows)
    assert per_row.sum() == 4
    # The other row is full.
    assert data.places.real.tolist() == [[0, 5]]
    assert data.places.padding.tolist() == ([[5, 6]] if pad else [[0, 0]])


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"specs": [PadSpec(maxlen=4)]}, "maxlen 4: 0% padding, 9.1% of tokens lost"),
        ({"specs": [PadSpec(maxlen=8)]}, "maxlen 8: 45.0% padding, no tokens lost"),
        ({"specs": [PadSpec(maxlen="p50")]}, "maxlen 4 (p50): 0% padding, 9.1% of tokens lost"),
        (
            {"specs": [PadSpec(maxlen=4)], "overlong": "drop"},
            "maxlen 4: 0% padding, 18.2% of tokens lost in dropped rows",
        ),
    ],
    ids=["lost", "kept", "percentile", "dropped"],
)
def test_title_is_the_result(tmp_path, options, title):
    seen = inspect_file(write(tmp_path, [4] * 9 + [8]), **options)
    assert make_figure_data(seen).title == title
    assert make_figure_data(seen, "mine").title == "mine"


@pytest.mark.parametrize(("values", "unit"), [([[1, 2]], "token"), ([[0.5]], "step"), ([[[1, 2]]], "step")])
def test_unit_follows_the_values(tmp_path, values, unit):
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"x": row}) + "\n" for row in values))
    seen = inspect_file(file)
    assert make_figure_data(seen).unit == unit
    assert f" {unit}" in seen.describe()
