"""The HTML report of `inspect`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from html_pages import Page

from padmask import PackSpec, PadSpec, WindowSpec, pad_dataset
from padmask.errors import fine_share, share
from padmask.inspect.figure_data import make_figure_data
from padmask.inspect.inspect_file import inspect_file
from padmask.render.colours import THEMES
from padmask.render.html_inspect import inspect_page
from padmask.render.html_page import PAGE_COLOURS
from padmask.stream.pack import pack_file

LENGTHS = [*range(1, 60), 200]

# Names that would end a script, an attribute or an element if they were not escaped.
HOSTILE = [
    "</script><script>alert(1)</script>",
    '\'" onclick=alert(1) x="',
    "<img src=x onerror=alert(1)>",
    "&lt;",
]


def inspected(folder, lengths=LENGTHS, name="in.jsonl", column="input_ids", **options):
    file = folder / name
    file.write_text("".join(json.dumps({column: [7] * length}) + "\n" for length in lengths))
    return inspect_file(file, columns=[column], **options)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return inspected(folder, specs=[PadSpec(maxlen=32), PadSpec(maxlen=48)])


@pytest.fixture(scope="module")
def page(seen):
    return Page(inspect_page(seen))


def test_bars_are_the_histogram(seen, page):
    data = make_figure_data(seen)
    titles = page.texts("title")[1:]
    assert [int(re.search(r": ([\d,]+) row", title)[1]) for title in titles] == [
        n for n in data.lengths.rows if n
    ]


def test_outline_has_all_rows(seen, page):
    places = make_figure_data(seen).places
    [(outline, _)] = page.find("path", id="rows")
    steps = [(int(x), int(y)) for x, y in re.findall(r"H(\d+)V(\d+)", outline["d"])]
    assert steps == list(zip(sorted(LENGTHS), places.row_ends.tolist(), strict=True))
    assert page.find("use", id="longer")[0][0]["class"] == "cut"


def test_curves_and_numbers_agree(seen, page):
    curves, given = make_figure_data(seen).curves, page.script_data()
    shown = {
        choice["maxlen"]: dict(zip(given["names"], choice["texts"], strict=True))
        for choice in given["choices"]
    }
    for at in np.flatnonzero(np.isin(curves.maxlens, [*shown])):
        texts = shown[int(curves.maxlens[at])]
        assert texts["kept"] == fine_share(curves.kept[at])
        assert texts["whole"] == fine_share(curves.whole[at])
        assert texts["padding"] == share(curves.padding[at])
    [kept] = [line for line, _ in page.find("polyline", class_="kept")]
    assert len(kept["points"].split()) == len(curves.maxlens)


def test_curves_start_at_the_shortest_row(tmp_path):
    seen = inspected(tmp_path, [*range(10, 60), 500])
    [kept] = [line for line, _ in Page(inspect_page(seen)).find("polyline", class_="kept")]
    places = [float(point.split(",")[0]) for point in kept["points"].split()]
    assert places == sorted({*places})


def test_page_starts_with_recommendation(seen, page):
    [(slider, _)] = page.find("input", id="maxlen")
    given = page.script_data()
    choice = given["choices"][int(slider["value"])]
    assert (choice["maxlen"], choice["command"]) == (48, seen.advice.command)
    for name, text in zip(given["names"], choice["texts"], strict=True):
        assert set(page.texts(data_value=name)) <= {text}
    assert page.texts(id="command") == [seen.advice.command]
    pressed = page.texts("button", aria_pressed="true")
    assert pressed == ["48 (recommended)"]


def test_tables_have_the_numbers(seen, page):
    plans = page.rows("Plans")
    assert [row[0].removesuffix(" *") for row in plans] == [plan.name for plan in seen.plans]
    assert page.rows("Lengths, in tokens") == [["1", "30", "32.8", "54", "57", "200", "200", "0"]]


def test_page_needs_no_other_file(seen):
    text = inspect_page(seen)
    assert not re.search(r'(href|src)="(?!#)|url\((?!#)|@import|https?:', text)
    [(policy, _)] = Page(text).find("meta", http_equiv="Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; style-src 'sha256-")
    assert inspect_page(seen) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_escaped(tmp_path, name):
    column, file = name, f"{name.replace('/', '')}.jsonl"
    page = Page(inspect_page(inspected(tmp_path, [1, 2, 30], file, column)))
    names = {element for element, _ in page.elements}
    assert not names & {"img", "a"} and len(page.find("script")) == 2
    assert not [key for _, found in page.elements for key in found if key.startswith("on")]
    assert file in page.texts("header")[0] and column in page.texts("header")[0]
    assert all(column in choice["command"] or "'\"" in name for choice in page.script_data()["choices"])


def test_every_part_has_a_name(page):
    for picture, _ in page.find("svg", role="img"):
        assert picture["aria-label"]
    for region, _ in page.find(role="region"):
        assert region["aria-label"] and region["tabindex"] == "0"
    for control, _ in page.find("input"):
        assert page.find("label", for_=control["id"])
    identifiers = [found["id"] for _, found in page.elements if "id" in found]
    assert len(identifiers) == len(set(identifiers))


def test_packed_rows(tmp_path):
    inspected(tmp_path, range(1, 60))
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=64), packing=PackSpec())
    seen = inspect_file(tmp_path / "out.parquet")
    page = Page(inspect_page(seen))
    headings = ["Advice", "Lengths of sequences", "Sequences in each row"]
    assert page.texts("h1") == [f"maxlen 64: tokens fill {seen.packed.filled_share:.1%} of the packed rows"]
    assert page.texts("h2")[:4] == [*headings, "1 of 28 rows is not full"]
    assert "Lengths of packed rows, in tokens" in page.texts("h2")
    assert not page.find("input") and not page.find("script", id="choices")


def test_packed_rows_without_padding(tmp_path):
    inspected(tmp_path, range(1, 60))
    packing = PackSpec(pad=False)
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=64), packing=packing)
    page = Page(inspect_page(inspect_file(tmp_path / "out.parquet")))
    assert "tokens" in page.texts("li") and "padding" not in page.texts("li")


def test_buckets_with_padding_at_the_start(tmp_path):
    inspected(tmp_path, [1, 2, 2, 9])
    pad_dataset([tmp_path / "in.jsonl"], tmp_path / "out", spec=PadSpec(buckets=2, padding="pre"))
    page = Page(inspect_page(inspect_file([tmp_path / "out"])))
    [(padding, _)] = page.find("path", class_="padding")
    [(tokens, _)] = page.find("use", id="shorter")
    assert padding["d"] == "M0 0H2V1H2V3H9V4H0Z"
    assert padding["transform"].startswith("translate(1 1)") and tokens["transform"] == padding["transform"]


def test_full_rows(tmp_path):
    inspected(tmp_path, [4] * 6)
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=8), packing=PackSpec())
    page = Page(inspect_page(inspect_file(tmp_path / "out.parquet")))
    assert "All 3 rows are full" in page.texts("h2")
    assert len(page.find("svg", role="img")) == 2


def test_page_of_windows(tmp_path):
    spec = PadSpec(maxlen=16, windows=WindowSpec(overlap=4))
    page = Page(inspect_page(inspected(tmp_path, specs=[spec])))
    assert page.texts("h1") == [f"Windows of 16 tokens: {padding_of(page)} padding, no tokens lost"]
    assert "If longer rows become windows" in page.texts("h2")
    assert {"repeated tokens", "further windows"} <= {*page.texts("li")}


def padding_of(page):
    return page.texts(data_value="padding")[0]


def test_title_is_the_headline(seen):
    page = Page(inspect_page(seen, title="Reviews in May"))
    assert page.texts("h1") == ["Reviews in May"]
    assert page.texts("header")[0].startswith("Reviews in May" + "in.jsonl: ")


def test_every_line_has_a_label(tmp_path):
    seen = inspected(tmp_path, specs=[PadSpec(maxlen=maxlen) for maxlen in range(30, 37)])
    page = Page(inspect_page(seen))
    labels = [found for _, found in page.elements if "label" in found.get("class", "").split()]
    assert len(labels) == len(make_figure_data(seen).marks)


def test_page_of_buckets(tmp_path):
    inspected(tmp_path, [1, 2, 2, 9])
    pad_dataset([tmp_path / "in.jsonl"], tmp_path / "out", spec=PadSpec(buckets=2))
    page = Page(inspect_page(inspect_file([tmp_path / "out"])))
    assert page.rows("Buckets") == [["2", "3", "16.7%"], ["9", "1", "0%"]]
    # The first bucket has three rows of two positions.
    [(padding, _)] = page.find("path", class_="padding")
    assert padding["d"] == "M0 0H2V1H2V3H9V4H0Z" and "Rows of 2 lengths" in page.texts("h2")
    assert padding["transform"].startswith("translate(0 1)")
    # Without a slider, no row is cut, so the legend does not have this colour.
    assert not page.find("input") and not page.find("rect", class_="cut")


@pytest.mark.parametrize(
    "lengths", [[], [0, 0], [5], [1] * 99 + [100_000]], ids=["none", "empty", "one", "far"]
)
def test_any_lengths(tmp_path, lengths):
    page = Page(inspect_page(inspected(tmp_path, lengths)))
    assert page.texts("h2")[0] == "Advice"
    assert bool(page.find("svg", role="img")) == bool(lengths)


def test_plans_can_be_left_out(seen):
    page = Page(inspect_page(seen, plans=False))
    assert not page.find(aria_label="Plans") and not page.find("input")


def test_notebook_has_no_script(seen):
    fragment = Page(seen._repr_html_())
    assert len(fragment.rows("Plans")) == len(seen.plans)
    assert not fragment.find("script") and not fragment.find(id="rows")


@pytest.mark.parametrize("theme", THEMES)
def test_text_is_readable(theme):
    background, colours = THEMES[theme].background, PAGE_COLOURS[theme]
    for colour in (THEMES[theme].text, colours["bad"], colours["good"]):
        assert contrast(colour, background) >= 4.5
    assert contrast(THEMES[theme].text, colours["page"]) >= 4.5
    assert contrast(background, THEMES[theme].real) >= 4.5  # a pressed button


def contrast(one, other):
    """Return the contrast of two colours as WCAG defines it, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
