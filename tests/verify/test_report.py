"""Machine-readable reports: documented JSON, valid JUnit, GitHub annotations."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junit_schema import junit_schema

from padmask.errors import Place
from padmask.render.html_verify import verify_page
from padmask.spec.rules import RULES
from padmask.verify.data.findings import Finding
from padmask.verify.proof.tolerance import Check, ComparedDeviation
from padmask.verify.report import (
    Control,
    LayerReport,
    OutputReport,
    Report,
    SubjectReport,
    describe_finding,
    describe_place,
)
from padmask.verify.report_formats import to_annotations, to_json, to_junit
from padmask.verify.run_error import RunError, error_to_annotation, error_to_json, error_to_junit

HOLDS = Check("row-alone", "holds", 1e-8, 1e-5)
FAILS = Check("more-padding", "fails", 0.25, 1e-5, "row of 3, 60 more places")
NO_NUMBER = Check("empty-rows", "fails", float("inf"), 1e-5, "row of 0, 7 places")
SKIPPED = Check.skipped("gradient", "no gradients can be had of this model here")

BAD_MASK = Finding(RULES["mask-shape"], 2, [Place("in.jsonl", "line", 4), Place("in.jsonl", "line", 9)])
WARNING = Finding(RULES["row-fully-masked"], 1234, [Place("in.parquet", "row", 7)])
ALLOWED = replace(WARNING, rule=replace(WARNING.rule, severity="allowed"))

SOUND = SubjectReport("embedding", "ignores", [HOLDS, SKIPPED], Control("fails", [FAILS, SKIPPED]))
UNKNOWN = SubjectReport("flat", "inconclusive", [HOLDS], Control("holds", [HOLDS]), detail="constant output")
LEAK = SubjectReport(
    "model",
    "leaks",
    [HOLDS, FAILS, NO_NUMBER, SKIPPED],
    Control("fails", [FAILS]),
    outputs=[OutputReport("tags", "leaks", 0.25, 1e-5, "row of 3"), OutputReport("score", "ignores")],
    culprit="encoder/conv1d",
    path="embedding -> encoder/conv1d (mask lost here) -> lstm",
    advice="Conv1D mixes steps by design: mask its input.",
    layers=[LayerReport("encoder/conv1d", "Conv1D", True, False, float("inf"))],
)

REPORTS = {
    "ignores": Report((), [SOUND], {"keras": "3.15.1"}),
    "leaks": Report([BAD_MASK, WARNING, ALLOWED], [SOUND, LEAK, UNKNOWN], {"seed": 0}),
    "inconclusive": Report([WARNING], [SOUND, UNKNOWN]),
    "bad-data": Report([BAD_MASK], [SOUND]),
    "data-ok": Report([WARNING], proof=False),
    "bad-data-alone": Report([BAD_MASK], proof=False),
    "nothing-proven": Report(),
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_verdict_has_a_report(name):
    report = REPORTS[name]
    assert report.verdict == {"bad-data-alone": "bad-data", "nothing-proven": "inconclusive"}.get(name, name)
    assert report.ok == (name in ("ignores", "data-ok"))


@pytest.mark.parametrize(
    ("data", "subjects", "verdict"),
    [
        ([], [SOUND, SOUND], "ignores"),
        ([WARNING], [SOUND], "ignores"),
        ([ALLOWED], [SOUND], "ignores"),
        ([BAD_MASK], [SOUND], "bad-data"),
        ([BAD_MASK], [UNKNOWN], "bad-data"),
        ([BAD_MASK], [], "bad-data"),
        ([BAD_MASK], [SOUND, LEAK], "leaks"),
        ([], [UNKNOWN, LEAK], "leaks"),
        ([], [SOUND, UNKNOWN], "inconclusive"),
        ([], [], "inconclusive"),
    ],
)
def test_order_of_verdicts(data, subjects, verdict):
    assert Report(data, subjects).verdict == verdict


# --- one line per finding --------------------------------------------------------------------------


def lines_of(finding: Finding) -> list[str]:
    return [f"{describe_place(place)}: {text}" for place, text in describe_finding(finding)]


def test_finding_is_one_line():
    assert lines_of(replace(BAD_MASK, column="mask", detail="too short")) == [
        "in.jsonl:4: mask-shape: mask: too short (2 rows; also at in.jsonl:9)"
    ]
    [line] = lines_of(WARNING)
    assert line.startswith("in.parquet, row 7: row-fully-masked: ")
    assert line.endswith(" (1,234 rows)")


def test_bad_rows_are_one_line_each():
    places = [Place("in.jsonl", "line", number) for number in (3, 8)]
    bad = Finding(RULES["bad-row"], 2, places, column="labels", reasons=["found null", "found 7"])
    lines = ["in.jsonl:3: bad-row: labels: found null", "in.jsonl:8: bad-row: labels: found 7"]
    assert lines_of(bad) == lines
    assert lines_of(replace(bad, count=1003)) == [lines[0], f"{lines[1]} (1,001 more bad rows)"]
    assert lines_of(replace(bad, count=3, column=None))[-1].endswith("bad-row: found 7 (1 more bad row)")


def test_bad_rows_in_reports():
    places = [Place("in.jsonl", "line", number) for number in (3, 8)]
    bad = Finding(RULES["bad-row"], 2, places, column="labels", reasons=["found null", "found 7"])
    other = replace(bad, count=1, column=None, examples=places[:1], reasons=["no JSON"])
    report = Report([bad, other], proof=False)
    assert report.verdict == "bad-data"
    lines = [properties.get("line") for _, properties, _ in annotations(report)]
    assert lines == ["3", "8", "3", None]
    # A rule is one test, whatever the number of its findings.
    [failure] = ElementTree.fromstring(to_junit(report).encode()).iter("failure")
    assert len(failure.text.splitlines()) == 3


def test_notes_in_reports():
    report = Report(proof=False, notes=["files that were not read: a.md"])
    assert (report.verdict, read(report)["notes"]) == ("data-ok", ["files that were not read: a.md"])
    validate(report)
    assert "not read: a.md" in to_junit(report)
    [(kind, _, message), _] = annotations(report)
    assert (kind, message) == ("notice", "files that were not read: a.md")


# --- a run that an error ended ----------------------------------------------------------------------

FAILED = RunError(
    "a.arrow, row 3: damaged", Place("a.jsonl", "line", 3), {"exit_code": 2, "error": {"column": None}}, {}
)


def test_json_of_an_error():
    seen = json.loads(error_to_json(FAILED))
    assert seen == {
        "verdict": "error",
        "data": [],
        "subjects": [],
        "environment": {},
        "notes": [],
        "warnings": [],
        "exit_code": 2,
        "error": {"column": None},
    }


def test_junit_of_an_error():
    root = ElementTree.fromstring(error_to_junit(FAILED).encode())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "0", "1")
    [error] = root.iter("error")
    assert error.get("message") == error.text == FAILED.message


def test_junit_of_an_error_is_valid():
    junit_schema().validate(error_to_junit(replace(FAILED, message="\x00<&")))


ERROR_LINE = "::error file=a.jsonl,line=3,title=padmask verify::a.arrow, row 3: damaged\n"


def test_annotation_of_an_error():
    assert error_to_annotation(FAILED) == ERROR_LINE


def test_error_after_the_data():
    """The reports of an error also have the findings in the data that was checked before the error."""
    failed = replace(FAILED, data=Report([BAD_MASK], proof=False, notes=["2 files"]))
    seen = json.loads(error_to_json(failed))
    assert (seen["verdict"], seen["exit_code"], seen["notes"]) == ("error", 2, ["2 files"])
    assert [finding["rule"] for finding in seen["data"]] == ["mask-shape"]
    junit_schema().validate(error_to_junit(failed))
    root = ElementTree.fromstring(error_to_junit(failed).encode())
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    first, note, last = error_to_annotation(failed).splitlines(keepends=True)
    assert ("mask-shape" in first, "2 files" in note, last) == (True, True, ERROR_LINE)


# --- JSON ------------------------------------------------------------------------------------------

CHECK_KEYS = ["name", "verdict", "max_abs_diff", "tolerance", "detail"]


def read(report: Report) -> dict:
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = to_json(report)
    assert text.endswith("}\n")
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_json_has_the_documented_shape(report):
    seen = read(report)
    assert list(seen) == ["verdict", "data", "subjects", "environment", "notes", "warnings"]
    assert seen["verdict"] == report.verdict
    assert seen["environment"] == report.environment
    for finding in seen["data"]:
        assert {"rule", "severity", "column", "count", "examples", "reasons", "detail"} == set(finding)
    for subject in seen["subjects"]:
        documented = {"name", "verdict", "culprit", "path", "advice", "checks", "control"}
        assert documented <= set(subject)
        assert set(subject["control"]) == {"verdict", "checks"}
        for check in subject["checks"] + subject["control"]["checks"]:
            assert list(check) == CHECK_KEYS
            assert check["verdict"] in ("holds", "fails", "skipped")
            assert (check["max_abs_diff"] is None) == (check["verdict"] == "skipped")


def test_json_findings():
    seen = read(REPORTS["leaks"])
    assert seen["data"][0] == {
        "rule": "mask-shape",
        "severity": "error",
        "column": None,
        "count": 2,
        "examples": ["in.jsonl, line 4", "in.jsonl, line 9"],
        "reasons": [],
        "detail": RULES["mask-shape"].means,
    }
    assert [finding["severity"] for finding in seen["data"]] == ["error", "warning", "allowed"]
    sound, leak, _ = seen["subjects"]
    assert (sound["culprit"], sound["path"], sound["advice"]) == (None, None, None)
    assert (leak["culprit"], leak["path"]) == (LEAK.culprit, LEAK.path)
    assert leak["advice"] == LEAK.advice
    assert leak["checks"][1] == {
        "name": "more-padding",
        "verdict": "fails",
        "max_abs_diff": 0.25,
        "tolerance": 1e-5,
        "detail": "row of 3, 60 more places",
    }
    assert [(output["name"], output["verdict"]) for output in leak["outputs"]] == [
        ("tags", "leaks"),
        ("score", "ignores"),
    ]
    [layer] = leak["layers"]
    assert (layer["name"], layer["class"], layer["mask_in"], layer["mask_out"]) == (
        "encoder/conv1d",
        "Conv1D",
        True,
        False,
    )


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")], ids=str)
def test_no_infinity_reaches_json(number):
    checks = [Check("row-alone", "fails", number, number)]
    subject = replace(
        LEAK, checks=checks, outputs=[OutputReport("output", "leaks", number, number)], control=None
    )
    [seen] = read(Report((), [subject]))["subjects"]
    [check], [output] = seen["checks"], seen["outputs"]
    # A missing number exceeds every tolerance.
    for entry in (check, output):
        assert entry["max_abs_diff"] > 1e300
    assert seen["control"] is None


def test_json_keeps_zero_deviation():
    check = Check.of("row-alone", {"output": ComparedDeviation(0.0, 0.0)})
    [subject] = read(Report((), [replace(SOUND, checks=[check])]))["subjects"]
    assert subject["checks"][0]["max_abs_diff"] == 0.0


def test_check_reports_worst_output():
    near, far = ComparedDeviation(1e-7, 1e-5, "row of 1"), ComparedDeviation(0.5, 1e-5, "row of 2")
    check = Check.of("row-alone", {"near": near, "far": far})
    assert (check.verdict, check.max_abs_diff, check.tolerance) == ("fails", 0.5, 1e-5)
    assert check.detail == "far: row of 2"
    # A large deviation within its tolerance is better than a small one outside.
    small, large = ComparedDeviation(1e-3, 1e-5, "row of 1"), ComparedDeviation(1.0, 10.0, "row of 2")
    assert Check.of("row-alone", {"large": large, "small": small}).max_abs_diff == 1e-3


# --- JUnit -----------------------------------------------------------------------------------------


def suites(report: Report) -> dict[str, ElementTree.Element]:
    return {suite.get("name"): suite for suite in ElementTree.fromstring(to_junit(report).encode())}


def cases(suite: ElementTree.Element) -> dict[str, list[str]]:
    """The test cases of a suite."""
    return {case.get("name"): [child.tag for child in case] for case in suite}


def validate(report: Report) -> None:
    junit_schema().validate(to_junit(report))


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_junit_matches_the_schema(report):
    validate(report)


def test_schema_refuses_other_xml():
    wrong = to_junit(REPORTS["leaks"]).replace("<failure", "<failed").replace("</failure", "</failed")
    assert not junit_schema().is_valid(wrong)


def test_junit_has_every_rule_and_check():
    seen = suites(REPORTS["leaks"])
    assert list(seen) == ["data", "embedding", "model", "flat"]
    assert list(cases(seen["data"])) == list(RULES)
    assert cases(seen["data"])["mask-shape"] == ["failure"]
    assert cases(seen["data"])["row-fully-masked"] == ["system-out"]
    assert cases(seen["data"])["mask-length"] == []
    assert cases(seen["embedding"]) == {"row-alone": [], "gradient": ["skipped"], "proof": []}
    assert cases(seen["model"])["more-padding"] == ["failure"]
    assert cases(seen["flat"])["proof"] == ["failure"]


def test_junit_without_data():
    report = Report((), REPORTS["leaks"].subjects)
    assert list(suites(report)) == ["embedding", "model", "flat"]
    assert "Data" not in verify_page(report)


def test_junit_of_a_comparison():
    rules = [name for name, rule in RULES.items() if rule.compares]
    alone, compared = ({"data": "a.parquet", "rows": 2, **more} for more in ({}, {"against": "in.jsonl"}))
    for environment, tags in ((alone, ["skipped"]), (compared, [])):
        found = cases(suites(Report(environment=environment, proof=False))["data"])
        assert [found[name] for name in rules] == [tags] * len(rules)
    assert len(rules) == 4


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_junit_counts(report):
    root = ElementTree.fromstring(to_junit(report).encode())
    for part in [root, *root]:
        assert int(part.get("tests")) == len(list(part.iter("testcase")))
        assert int(part.get("failures")) == len(list(part.iter("failure")))
        assert part.get("errors") == "0"
        if part is not root:
            assert int(part.get("skipped")) == len(list(part.iter("skipped")))


def failures(report: Report) -> int:
    return int(ElementTree.fromstring(to_junit(report).encode()).get("failures"))


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "nothing-proven"])
def test_junit_fails_with_the_command(name):
    assert (failures(REPORTS[name]) == 0) == REPORTS[name].ok


def test_junit_fails_without_models():
    assert failures(REPORTS["nothing-proven"]) > 0


def test_junit_names_culprit_and_advice():
    for failure in suites(REPORTS["leaks"])["model"].iter("failure"):
        for said in (failure.get("message"), failure.text):
            assert LEAK.culprit in said
            assert LEAK.path in said
            assert LEAK.advice in said


def test_junit_says_how_far_and_where():
    more, empty = suites(REPORTS["leaks"])["model"].iter("failure")
    assert "2.50e-01" in more.get("message")
    assert "1.00e-05" in more.get("message")
    assert "row of 3, 60 more places" in more.get("message")
    assert "NaN or a wrong shape" in empty.get("message")
    assert "inf" not in empty.get("message")


@given(text=st.text(st.characters(codec=None)))
def test_junit_holds_any_name(text):
    finding = replace(BAD_MASK, examples=[Place(text)], detail=text)
    check = Check("row-alone", "fails", 1.0, 1e-5, text)
    subject = SubjectReport(text, "leaks", [check, Check.skipped("gradient", text)], None, culprit=text)
    root = ElementTree.fromstring(
        to_junit(Report([finding], [subject, replace(UNKNOWN, detail=text)])).encode()
    )
    assert len(root) == 3


def test_junit_control_characters():
    name = "conv\x00\x1b[31m\ufffe<&\"'>"
    report = Report((), [replace(LEAK, name=name, culprit=name)])
    validate(report)
    [suite] = ElementTree.fromstring(to_junit(report).encode())
    assert suite.get("name") == "conv\ufffd\ufffd[31m\ufffd<&\"'>"


# --- annotations -----------------------------------------------------------------------------------


def unescaped(text: str, of_property: bool = False) -> str:
    """Undo the escaping of annotations, as GitHub's runner does."""
    if of_property:
        text = text.replace("%3A", ":").replace("%2C", ",")
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def annotations(report: Report) -> list[tuple[str, dict[str, str], str]]:
    """Read annotations as GitHub's runner does: kind, properties, message."""
    found = []
    for line in to_annotations(report).split("\n")[:-1]:
        kind, properties, message = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()
        pairs = (pair.split("=", 1) for pair in properties.split(","))
        found.append(
            (kind, {name: unescaped(value, of_property=True) for name, value in pairs}, unescaped(message))
        )
    return found


def test_annotations_name_the_line():
    found = annotations(REPORTS["leaks"])
    kind, properties, message = found[0]
    assert (kind, properties) == ("error", {"file": "in.jsonl", "line": "4", "title": "mask-shape"})
    assert "2 rows" in message
    assert [kind for kind, *_ in found[:3]] == ["error", "warning", "notice"]
    # A row of a Parquet file is not a line.
    assert "file" not in found[1][1]
    assert "1,234 rows" in found[1][2]


def test_annotations_name_the_culprit():
    leaks = [entry for entry in annotations(REPORTS["leaks"]) if entry[1]["title"].startswith("model")]
    assert [properties["title"] for _, properties, _ in leaks] == ["model: more-padding", "model: empty-rows"]
    for kind, _, message in leaks:
        assert kind == "error"
        assert LEAK.culprit in message
        assert LEAK.advice in message


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_last_annotation_is_the_verdict(report):
    kind, properties, message = annotations(report)[-1]
    assert kind == ("notice" if report.ok else "error")
    assert properties["title"] == "padmask verify"
    assert message.startswith(report.verdict)
    assert any(kind == "error" for kind, *_ in annotations(report)) == (not report.ok)


def test_annotations_are_escaped():
    check = Check("row-alone", "fails", 1.0, 1e-5, "50%: one,\r\nother")
    subject = replace(LEAK, name="a:b,c%d", checks=[check], culprit=None, path=None, advice="x:y,z")
    [line, _] = to_annotations(Report((), [subject])).splitlines()
    assert line.startswith("::error title=a%3Ab%2Cc%25d%3A row-alone::a:b,c%25d: row-alone: deviation")
    assert "(50%25: one,%0D%0Aother). Advice: x:y,z" in line


def test_annotation_files_are_escaped():
    finding = replace(BAD_MASK, examples=[Place("odd:50%,dir/in.jsonl", "line", 3)])
    line = to_annotations(Report([finding], proof=False)).splitlines()[0]
    assert line.startswith("::error file=odd%3A50%25%2Cdir/in.jsonl,line=3,title=mask-shape::")


@given(text=st.text(st.characters(codec="utf-8")))
def test_annotations_hold_any_text(text):
    subject = replace(LEAK, name=text, culprit=text)
    found = annotations(Report((), [subject]))
    # One command per line for any text.
    assert len(found) == 3
    assert found[0][1]["title"] == f"{text}: more-padding"
    assert f"Culprit: {text}." in found[0][2] or not text
