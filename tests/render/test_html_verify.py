"""The HTML report of `verify`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from html_pages import Page

from padmask.errors import Place
from padmask.render.html_verify import error_page, verify_page
from padmask.render.report import LAYERS_NOTE
from padmask.spec.rules import RULES
from padmask.spec.warning_names import Warned
from padmask.verify.data.findings import Finding
from padmask.verify.proof.tolerance import Check
from padmask.verify.report import Control, LayerReport, OutputReport, Report, SubjectReport
from padmask.verify.run_error import RunError

HOLDS = Check("output-shape", "holds", 0.0, 0.0)
FAILS = Check("row-alone", "fails", 0.25, 1e-6, "row of 3 tokens padded to 9")
LAYERS = [
    LayerReport("embedding", "Embedding", False, True, 0.0),
    LayerReport("mha1", "MultiHeadAttention", True, True, 0.0),
    LayerReport("add", "Add", True, False, 0.0),
    LayerReport("mha2", "MultiHeadAttention", False, False, 0.1),
]
LEAK = SubjectReport(
    "model",
    "leaks",
    [FAILS, HOLDS, Check.skipped("gradient", "no gradient")],
    Control("fails", [FAILS]),
    culprit="mha1",
    path="embedding -> mha1 (deletes the mask) -> mha2 (output depends on padding)",
    advice="Pass attention_mask=... to every layer.",
    layers=LAYERS,
)
SOUND = SubjectReport("embedding", "ignores", [HOLDS], Control("fails", [FAILS]))
FINDING = Finding(RULES["mask-shape"], 2, [Place("in.jsonl", "line", 4), Place("in.jsonl", "line", 9)])


def page_of(*subjects, data=(), **fields):
    return Page(verify_page(Report(data, subjects, **fields)))


def steps(page):
    """Return the name, the classes, the marks and the deviation of each layer of a path."""
    texts = [item for item in page.find("li") if item[0].get("class")]
    return [(item["class"], text) for item, text in texts]


def test_path_marks_where_the_mask_is_lost():
    page = page_of(LEAK)
    assert steps(page) == [
        ("masked", "embeddingEmbedding, creates a mask0"),
        ("masked culprit", "mha1 culpritMultiHeadAttention, passes the mask ondeletes the mask0"),
        ("unmasked", "addAdd, does not pass the mask on0"),
        (
            "unmasked differs",
            "mha2 first deviationMultiHeadAttention, no maskoutput depends on padding1.0e-01",
        ),
    ]
    assert "Layer to fix: mha1" in page.texts("p")


@pytest.mark.parametrize("deviation", [math.inf, math.nan])
def test_no_number_is_a_deviation(deviation):
    layers = [LAYERS[0], replace(LAYERS[1], max_abs_diff=deviation)]
    kinds = [kind for kind, _ in steps(page_of(replace(LEAK, layers=layers)))]
    assert kinds == ["masked", "masked differs culprit"]


def test_page_explains_other_deviations():
    notes = page_of(LEAK).texts("p")
    assert any(LAYERS_NOTE in text for text in notes)


def test_quiet_layers_are_folded():
    quiet = [LayerReport(f"dense_{number}", "Dense", True, True, 0.0) for number in range(20)]
    page = page_of(replace(LEAK, layers=[*quiet, *LAYERS]))
    # The path names embedding, so it is not folded.
    assert page.texts("summary")[0] == "18 layers without a deviation"
    assert len(page.find("li", class_="masked")) == 20 + 2 + 1


def test_layers_after_the_leak_are_folded():
    later = [replace(LAYERS[3], name=f"dense_{number}") for number in range(9)]
    page = page_of(replace(LEAK, layers=[*LAYERS, *later]))
    assert page.texts("summary")[0] == "7 layers with a deviation"
    assert "mha2 first deviation" in "".join(page.texts("li"))


def test_path_without_layers():
    page = page_of(replace(LEAK, layers=()))
    assert steps(page) == [
        ("unknown", "embedding"),
        ("unknown culprit", "mha1 culpritdeletes the mask"),
        ("unknown", "mha2output depends on padding"),
    ]


def test_checks_show_their_limits():
    assert page_of(LEAK).rows("Checks") == [
        ["row-alone", "fails", "2.5e-01", "1.0e-06", "row of 3 tokens padded to 9"],
        ["output-shape", "passes", "0", "0", ""],
        ["gradient", "skipped", "", "", "no gradient"],
    ]


def test_models_and_outputs():
    outputs = [OutputReport("tags", "leaks", 0.25, 1e-6, "row of 3"), OutputReport("score", "ignores")]
    page = page_of(SOUND, replace(LEAK, outputs=outputs))
    assert [row[:3] for row in page.rows("Models")] == [
        ["embedding", "ignores", "1 of 1"],
        ["model", "leaks", "1 of 2"],
    ]
    assert page.rows("Outputs") == [["tags", "leaks", "2.5e-01", "row of 3"], ["score", "ignores", "", ""]]
    assert page.texts("h1") == ["leaks padding changes the outputs"]
    # A model that ignores padding has only its row in the table.
    assert "embedding" not in page.texts("h2")


def test_findings_have_places():
    page = page_of(data=[FINDING], proof=False, environment={"data": "in.jsonl", "rows": 12})
    [row] = page.rows("Findings")
    assert row[:3] == ["error", "mask-shape", "in.jsonl:4"]
    assert "2 rows; also at in.jsonl:9" in row[3]
    assert not page.find(aria_label="Models")


def test_text_is_escaped():
    text = "<img src=x onerror=alert(1)>\"'</script>\x1b[31m"
    subject = replace(LEAK, name=text, culprit=text, path=f"a -> {text}", advice=text, detail=text)
    place = Place(text, "line", 1)
    found = Finding(RULES["bad-row"], 1, [place], column=text, reasons=[text])
    layers = [LayerReport(text, text, None, None, 1.0)]
    report = Report([found], [replace(subject, layers=layers)], {"data": text, "rows": 1}, notes=[text])
    for written in (
        verify_page(report),
        report._repr_html_(),
        error_page(RunError(text, place, {}, {text: text})),
    ):
        page = Page(written)
        assert not page.find("img") and "\x1b" not in written
        assert len(page.find("script")) <= 1


def test_warnings_have_names():
    notes = ["a note", Warned("files-not-read", "2 files"), Warned("repeated-file", "again", allowed=True)]
    assert page_of(SOUND, notes=notes).texts("li") == ["a note", "files-not-read 2 files"]


def test_error_is_a_page():
    error = RunError("the file is corrupt", Place("in.jsonl", "line", 3), {"exit_code": 1}, {"padmask": "1"})
    page = Page(error_page(error))
    assert page.texts("h1") == ["error the file is corrupt"]
    assert page.texts("header") == ["error the file is corruptin.jsonl:3"]


def test_notebook_shows_leaks():
    fragment = Page(Report((), [SOUND, LEAK])._repr_html_())
    assert fragment.texts("h3")[0] == "model"
    assert len(steps(fragment)) == len(LAYERS)
