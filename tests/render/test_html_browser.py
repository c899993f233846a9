"""HTML reports in a browser: the slider, the button that copies, errors on the console, narrow windows."""

from __future__ import annotations

import json

import pytest
from browser import find_browser, open_browser
from html_pages import Page

from padmask import PackSpec, PadSpec
from padmask.errors import Place
from padmask.inspect.inspect_file import inspect_file
from padmask.render.html_axes import WIDTH
from padmask.render.html_inspect import inspect_page
from padmask.render.html_verify import verify_page
from padmask.spec.rules import RULES
from padmask.stream.pack import pack_file
from padmask.verify.data.findings import Finding
from padmask.verify.proof.tolerance import Check
from padmask.verify.report import LayerReport, Report, SubjectReport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="Chromium is not installed (apt install chromium)"),
]

LONG = "a" * 150

# The values on the page, keyed by name, and the command.
SHOWN = """
Object.fromEntries([...document.querySelectorAll("[data-value]"), document.getElementById("command")]
  .map((one) => [one.dataset.value ?? "command", one.textContent]))
"""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with pages: raw rows, packed rows, rows that are dropped, long names, and a leak."""
    folder = tmp_path_factory.mktemp("pages")
    rows = folder / f"{LONG}.jsonl"
    rows.write_text("".join(json.dumps({LONG: [7] * length}) + "\n" for length in [*range(1, 60), 200]))
    options = {"columns": [LONG], "specs": [PadSpec(maxlen=32), PadSpec(maxlen=48)]}
    pack_file(rows, folder / "packed.parquet", columns=[LONG], spec=PadSpec(maxlen=256), packing=PackSpec())
    pages = {
        "raw": inspect_page(inspect_file(rows, **options)),
        "pre": inspect_page(
            inspect_file(
                rows,
                columns=[LONG],
                specs=[PadSpec(maxlen=58, padding="pre", truncating="pre")],
                overlong="drop",
            )
        ),
        "packed": inspect_page(inspect_file(folder / "packed.parquet")),
        "leak": verify_page(leak()),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return folder


def leak():
    layers = [
        LayerReport(f"{LONG}/{name}", LONG, name == "b", name == "a", 0.5 * (name == "c")) for name in "abc"
    ]
    check = Check("row-alone", "fails", 0.5, 1e-6, LONG)
    path = f"{LONG}/a -> {LONG}/b (drops the mask)"
    subject = SubjectReport(
        LONG, "leaks", [check], None, culprit=f"{LONG}/b", path=path, advice=LONG, layers=layers
    )
    finding = Finding(RULES["bad-row"], 1, [Place(LONG, "line", 3)], column=LONG, reasons=[LONG])
    return Report([finding], [subject], {"data": LONG, "rows": 3}, notes=[LONG])


def expected(folder, maxlen):
    """Return the values and the command that the page contains for a maxlen."""
    given = Page((folder / "raw.html").read_text()).script_data()
    choice = next(choice for choice in given["choices"] if choice["maxlen"] == maxlen)
    texts = dict(zip(given["names"], choice["texts"], strict=True))
    return {name: text for name, text in texts.items() if name != "summary"} | {"command": choice["command"]}


def test_slider_changes_numbers_and_command(browser, folder):
    browser.open(f"file://{folder}/raw.html")
    assert browser.run(SHOWN) == expected(folder, 48)
    before = browser.run("[...document.querySelectorAll('.chosen')].map((line) => line.getAttribute('x1'))")
    browser.run("document.getElementById('maxlen').focus()")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        browser.press(key)
    assert browser.run(SHOWN) == expected(folder, 47)
    after = browser.run("[...document.querySelectorAll('.chosen')].map((line) => line.getAttribute('x1'))")
    assert len(set(before)) == len(set(after)) == 1 and float(after[0]) < float(before[0])
    assert browser.run("location.hash") == "#maxlen=47"
    assert browser.run("document.getElementById('maxlen').getAttribute('aria-valuetext')").startswith("47: ")
    browser.run("document.querySelector('button[data-index]').click()")
    assert browser.run(SHOWN) == expected(folder, 32)
    assert browser.messages == []


@pytest.mark.parametrize(
    ("address", "maxlen"), [("#maxlen=20", 20), ("#maxlen=9999", 200), ("#maxlen=x", 48)]
)
def test_address_has_the_maxlen(browser, folder, address, maxlen):
    browser.open(f"file://{folder}/raw.html{address}")
    assert browser.run(SHOWN) == expected(folder, maxlen)
    assert browser.messages == []


def test_rows_are_drawn_at_the_maxlen(browser, folder):
    browser.open(f"file://{folder}/raw.html#maxlen=30")
    heights = [
        browser.run(f"document.getElementById('{name}').getAttribute('height')")
        for name in ("shorter-clip", "longer-clip", "kept")
    ]
    assert [float(height) for height in heights] == pytest.approx([0.5, 0.5, 0.5], abs=0.01)
    browser.open(f"file://{folder}/pre.html#maxlen=30")
    # Padding is on the left, and dropped rows keep no tokens.
    assert browser.run("document.getElementById('shorter').getAttribute('transform')").startswith(
        "translate(1 1) scale(-"
    )
    assert browser.run("document.getElementById('kept')") is None


def test_button_copies_the_command(browser, folder):
    browser.open(f"file://{folder}/raw.html#maxlen=20")
    browser.run("""
        const clipboard = {writeText: async (text) => { window.copied = text; }};
        Object.defineProperty(navigator, "clipboard", {value: clipboard});
        document.querySelector("#command + button").click()
    """)
    assert (
        browser.run("new Promise((done) => setTimeout(() => done(window.copied), 50))")
        == expected(folder, 20)["command"]
    )
    assert browser.run("document.querySelector('#command + button').textContent") == "Copied"


@pytest.mark.parametrize("name", ["raw", "pre", "packed", "leak"])
@pytest.mark.parametrize("width", [400, 1_600])
def test_pages_fit_the_window(browser, folder, name, width):
    browser.open(f"file://{folder}/{name}.html", width)
    assert browser.run("document.documentElement.scrollWidth") == width
    # Text in charts is readable.
    charts = "[...document.querySelectorAll('svg[role=img]')]"
    widths = browser.run(f"{charts}.map((chart) => chart.getBoundingClientRect().width)")
    assert all(12 * found / WIDTH >= 8 for found in widths)
    assert browser.messages == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_follow_the_browser(browser, folder, theme):
    browser.open(f"file://{folder}/raw.html", theme=theme)
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (min(levels) > 200) == (theme == "light")
