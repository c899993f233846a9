"""The figure of `inspect --export`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raised import raises_error
from tiers import represented
from write_images import PICTURES

from padmask import MissingExtraError, PackSpec, PadSpec, WindowSpec
from padmask.inspect.figure_data import Mark, make_figure_data
from padmask.inspect.inspect_file import inspect_file
from padmask.render import figure as figures
from padmask.render.chart_labels import MOST_LABEL_ROWS, arrange_labels, table_of
from padmask.render.colours import THEMES
from padmask.render.figure import draw, figure_bytes, refuse_missing_matplotlib
from padmask.render.figure_charts import LABEL_CHARACTER
from padmask.stream.pack import pack_file

matplotlib = pytest.importorskip("matplotlib")

LENGTHS = [*range(1, 60), 200]


def inspected(folder, lengths=LENGTHS, name="in.jsonl", **options):
    file = folder / name
    file.write_text("".join(json.dumps({"input_ids": [7] * length}) + "\n" for length in lengths))
    return make_figure_data(inspect_file(file, **options))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return inspected(tmp_path_factory.mktemp("rows"), specs=[PadSpec(maxlen=32), PadSpec(maxlen=48)])


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    inspected(folder, range(1, 60))
    pack_file(folder / "in.jsonl", folder / "out.parquet", spec=PadSpec(maxlen=64), packing=PackSpec())
    return make_figure_data(inspect_file(folder / "out.parquet"))


def titles(drawn):
    return [(axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()) for axes in drawn.axes]


def test_labels_of_axes(data):
    drawn = draw(data, THEMES["light"])
    assert titles(drawn) == [
        ("Lengths of rows", "length, in tokens (log scale)", "rows"),
        ("If longer rows are truncated", "maxlen, in tokens (log scale)", "share"),
        ("Recommended: maxlen 48", "position", "rows, sorted by length"),
    ]
    title, summary, *_ = [text.get_text() for text in drawn.texts]
    assert (title, summary) == (data.title, f"in.jsonl: {data.summary}")
    [cut] = [text.get_text() for text in drawn.axes[2].texts]
    assert cut.split("\n") == ["12 rows cut", "at 48", "longest: 200"]


def test_table_has_the_candidates(data):
    shown = [text.get_text() for text in draw(data, THEMES["light"]).texts][2:]
    assert shown == [cell for row in table_of(data) for cell in row]
    names, *rows = table_of(data)
    assert names == ["candidate", "maxlen", "padding", "tokens lost", "rows cut"]
    assert [row[:2] for row in rows] == [
        ["given", "32"],
        ["given", "48"],
        ["p95", "57"],
        ["longest", "200"],
        ["p99", "200"],
    ]
    assert rows[1][2:] == ["39.2%", "11.1%", "12"]


def test_figure_says_steps(data):
    drawn = draw(replace(data, unit="step"), THEMES["light"])
    words = " ".join(text.get_text() for text in [*shown_texts(drawn)][2:])
    assert "kept steps" in words and "steps lost" in words and "token" not in words


def test_figure_of_windows(tmp_path):
    data = inspected(tmp_path, specs=[PadSpec(maxlen=16, windows=WindowSpec(overlap=4))])
    drawn = draw(data, THEMES["light"])
    words = [text.get_text() for text in shown_texts(drawn)]
    assert {"If longer rows become windows", "repeated tokens", "further windows", "output rows"} <= {*words}
    assert "44 rows split\nat 16\nlongest: 200" in words
    assert overlaps(drawn) == []


def test_long_rows_have_a_note(tmp_path):
    data = inspected(tmp_path, range(40, 400), specs=[PadSpec(maxlen=32, windows=WindowSpec())])
    drawn = draw(data, THEMES["light"])
    assert (drawn.axes[2].get_xlabel(), len(drawn.axes[2].texts)) == ("position (longest row: 399)", 0)


def test_ticks_are_exact(tmp_path):
    data = inspected(tmp_path, [16] * 95 + [60_000] * 5, specs=[PadSpec(maxlen=60_000)])
    drawn = draw(data, THEMES["light"])
    assert drawn.axes[2].get_title("left") == "Recommended: maxlen 60,000"
    labels = [text.get_text() for text in drawn.axes[0].get_xticklabels()]
    assert labels == ["16", "64", "256", "1,024", "4,096", "16,384", "65,536"]
    assert overlaps(drawn) == []


def test_labels_of_packed_rows(packed):
    assert titles(draw(packed, THEMES["light"])) == [
        ("Lengths of sequences", "length, in tokens", "sequences"),
        ("Sequences in each row", "sequences per row", "rows"),
        ("1 of 28 rows is not full", "position (from 36)", "rows, sorted by number of tokens"),
    ]
    assert dict(table_of(packed))["sequences"] == "59"


def test_full_rows(tmp_path):
    inspected(tmp_path, [4] * 6)
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=8), packing=PackSpec())
    drawn = draw(make_figure_data(inspect_file(tmp_path / "out.parquet")), THEMES["light"])
    assert drawn.axes[2].get_title("left") == "All 3 rows are full"
    assert not drawn.axes[2].collections


def test_ends_of_almost_full_rows(tmp_path):
    inspected(tmp_path, [99, 98, 100])
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=100), packing=PackSpec())
    places = draw(make_figure_data(inspect_file(tmp_path / "out.parquet")), THEMES["light"]).axes[2]
    assert (places.get_xlim(), places.get_xlabel()) == ((96, 100), "position (from 96)")


def test_drawn_numbers(data):
    lengths, curves, places = draw(data, THEMES["light"]).axes
    assert [bar.get_height() for bar in lengths.patches] == data.lengths.rows.tolist()
    drawn = {line.get_label(): line.get_ydata() for line in curves.lines}
    for name, shares in (("kept tokens", "kept"), ("whole rows", "whole"), ("padding", "padding")):
        assert np.array_equal(drawn[name], getattr(data.curves, shares))
    for axes in (lengths, curves):
        lines = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
        assert lines == [mark.maxlen for mark in data.marks]
    areas = {one.get_label(): area(one.get_paths()[0].vertices) for one in places.collections}
    kept = sum(min(length, 48) for length in LENGTHS)
    expected = {"tokens": kept, "padding": 60 * 48 - kept, "cut": sum(LENGTHS) - kept}
    assert areas == pytest.approx(expected)


def area(corners):
    x, y = corners.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def shown_texts(drawn):
    """Yield the texts of a figure. Labels of ticks beyond the ends of an axis are not shown."""
    yield from drawn.texts
    for axes in drawn.axes:
        yield from [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        yield from axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            yield from (tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)


def overlaps(drawn):
    """Return the pairs of texts that overlap, and the texts that are not completely inside the figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(drawn).get_renderer()
    drawn.draw(renderer)
    texts = [text for text in shown_texts(drawn) if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer).shrunk(0.98, 0.8)) for text in texts]
    page = drawn.bbox
    outside = [name for name, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > page.x1 or box.y1 > page.y1]
    pairs = [
        (name, other)
        for number, (name, box) in enumerate(boxes)
        for other, its in boxes[:number]
        if box.overlaps(its)
    ]
    return pairs + outside


@pytest.mark.parametrize(
    ("lengths", "maxlens"),
    [
        (LENGTHS, [16, 32, 48, 200]),
        ([40] * 50 + [41] * 50, [40, 41, 42, 43, 44]),
        (range(1, 2_000, 7), [8, 16, 24, 32, 40, 48, 1_980, 1_990]),
        ([5], ["longest"]),
        ([0, 0], ["longest"]),
        ([], ["longest"]),
        ([1] * 99 + [100_000], [64, 1_000_000]),
    ],
    ids=["tail", "near", "many", "one", "empty", "none", "far"],
)
@pytest.mark.slow
def test_texts_do_not_overlap(tmp_path, lengths, maxlens):
    data = inspected(tmp_path, lengths, specs=[PadSpec(maxlen=maxlen) for maxlen in maxlens])
    assert overlaps(draw(data, THEMES["light"])) == []


def test_packed_texts_do_not_overlap(packed):
    assert overlaps(draw(packed, THEMES["light"])) == []


def test_recommendation_has_a_label():
    marks = [Mark(maxlen, "", maxlen == 5) for maxlen in range(1, 41)]
    labels = arrange_labels(marks, [0.01 * mark.maxlen for mark in marks], LABEL_CHARACTER, 1.0)
    assert 5 in [label.mark.maxlen for label in labels]
    assert max(label.row for label in labels) < MOST_LABEL_ROWS


@pytest.mark.parametrize("first", [30, 10])
def test_every_line_has_a_label(tmp_path, first):
    data = inspected(tmp_path, specs=[PadSpec(maxlen=maxlen) for maxlen in range(first, first + 8)])
    lengths, curves, _ = draw(data, THEMES["light"]).axes
    lines = [line.get_xdata()[0] for line in lengths.lines]
    assert lines == [int(text.get_text().split()[-1]) for text in lengths.texts]
    assert lines == [line.get_xdata()[0] for line in curves.lines if len(line.get_xdata()) == 2]
    assert len(lines) >= 8


@pytest.mark.parametrize("theme", THEMES)
def test_theme_sets_the_background(data, theme):
    drawn = draw(data, THEMES[theme])
    colors = [drawn.get_facecolor(), *(axes.get_facecolor() for axes in drawn.axes)]
    assert {matplotlib.colors.to_hex(color) for color in colors} == {THEMES[theme].background}


@pytest.mark.parametrize("theme", THEMES)
def test_areas_differ_in_brightness(theme):
    colors = (THEMES[theme].real, THEMES[theme].padding, THEMES[theme].cut)
    light = sorted(float(np.dot(matplotlib.colors.to_rgb(one), (0.2126, 0.7152, 0.0722))) for one in colors)
    assert min(np.diff(light)) > 0.05


@represented("suffix", [".svg", ".png", ".pdf"], by=1)
def test_same_data_give_same_bytes(data, suffix):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 31, "savefig.bbox": "tight"}):
        other = figure_bytes(data, suffix)
    assert figure_bytes(data, suffix) == other
    assert other.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
    assert dict(matplotlib.rcParams) == before


def test_png_size(data):
    png = figure_bytes(data, ".png")
    width, height = (int.from_bytes(png[start : start + 4]) for start in (16, 20))
    assert (png[:4], width, height) == (b"\x89PNG", 1_920, 1_080)
    assert len(png) < 250_000


def test_svg_is_self_contained(data):
    svg = figure_bytes(data, ".svg").decode()
    assert not re.search(r'(href|src)="(?!#)|url\((?!#)|@import', svg)
    assert 20_000 < len(svg) < 150_000
    assert f"<title>{data.title}</title>" in svg


@represented("name", ["$a_b^c$.jsonl", "数据.jsonl", "a" * 200 + ".jsonl", "<&>.jsonl"], by=2)
def test_any_name_is_drawn(data, name):
    drawn = draw(replace(data, name=name, title=name), THEMES["light"])
    assert overlaps(drawn) == []
    title, summary = (text.get_text() for text in drawn.texts[:2])
    assert title == {"数据.jsonl": "??.jsonl"}.get(name, title)
    assert len(title) == min(len(name), figures.TITLE_WIDTH)
    assert len(summary) <= figures.SUMMARY_WIDTH


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with raises_error(MissingExtraError, "padmask[plot]", ".html", option="export"):
        refuse_missing_matplotlib()


@pytest.mark.parametrize("name", ["lengths.svg", *(f"{name}.png" for name in PICTURES)])
def test_picture_in_the_docs(name):
    picture = Path(__file__).parents[2] / "docs" / "images" / name
    if not picture.exists():
        pytest.skip("the pages are not part of this installation")
    assert picture.stat().st_size < 150_000
