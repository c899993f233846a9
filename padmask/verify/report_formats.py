"""Convert a report to JSON, JUnit XML or GitHub annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from padmask.errors import Place
from padmask.spec.rules import RULES
from padmask.spec.warning_names import is_allowed
from padmask.verify.report import (
    Report,
    SubjectReport,
    describe_failure,
    describe_finding,
    describe_place,
)


def to_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML, with one test suite for the data, if any, and one for each model.

    The XML follows Jenkins's JUnit schema, which GitLab and other tools also read. A warning is a passed test
    with text in `system-out`. An inconclusive verdict is a failed test.
    """
    suites = [data_suite(report)] if report.has_data else []
    suites += map(_subject_suite, report.subjects)
    if report.proof and not report.subjects:
        suites.append(_failed_suite(report))
    return write_junit(suites)


def write_junit(suites: Sequence[ElementTree.Element]) -> str:
    """Return test suites as JUnit XML, with the numbers of tests and failures."""
    root = ElementTree.Element("testsuites", name="padmask verify")
    for suite in suites:
        root.append(suite)
        suite.set("tests", str(len(suite.findall("testcase"))))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("errors", str(len(suite.findall("testcase/error"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def data_suite(report: Report) -> ElementTree.Element:
    """Return the test suite of the data, with one test for each rule.

    The tests of rules that compare the rows with their input are skipped if the run had no `--against`.
    """
    suite = ElementTree.Element("testsuite", name="data")
    for name in RULES:
        case = _add_case(suite, "data", name)
        found = [finding for finding in report.data if finding.rule.name == name]
        if not found:
            if RULES[name].compares and "against" not in report.environment:
                ElementTree.SubElement(case, "skipped", message="the rows were not compared (--against)")
            continue
        # Each rule is one test, even if several columns violate the rule.
        lines = [
            f"{describe_place(place)}: {text}"
            for finding in found
            for place, text in describe_finding(finding)
        ]
        message, severity = replace_invalid("\n".join(lines)), found[0].rule.severity
        if severity == "error":
            ElementTree.SubElement(case, "failure", message=message, type=name).text = message
        else:
            ElementTree.SubElement(case, "system-out").text = f"{severity}: {message}"
    if report.notes:
        ElementTree.SubElement(suite, "system-out").text = replace_invalid("\n".join(report.notes))
    return suite


def _subject_suite(subject: SubjectReport) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=replace_invalid(subject.name))
    for check in subject.checks:
        case = _add_case(suite, subject.name, check.name)
        if check.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", message=replace_invalid(check.detail))
        elif check.verdict == "fails":
            message = replace_invalid(describe_failure(subject, check))
            ElementTree.SubElement(case, "failure", message=message, type="leak").text = message
    case = _add_case(suite, subject.name, "proof")
    if subject.verdict == "inconclusive":
        message = replace_invalid(f"{subject.name}: inconclusive. {subject.detail}")
        ElementTree.SubElement(case, "failure", message=message, type="inconclusive").text = message
    return suite


def _failed_suite(report: Report) -> ElementTree.Element:
    """Return a suite with one failed test, for a run that verified no model.

    Without this test, tools could count the run as passed.
    """
    suite = ElementTree.Element("testsuite", name="models")
    message = replace_invalid(
        f"{report.verdict}: {report.environment.get('subjects', 'no model was verified')}"
    )
    ElementTree.SubElement(
        _add_case(suite, "models", "proof"), "failure", message=message, type=report.verdict
    ).text = message
    return suite


def _add_case(suite: ElementTree.Element, owner: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", classname=replace_invalid(f"padmask.{owner}"), name=name, time="0"
    )


# Characters that XML 1.0 does not allow, not even escaped.
_NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def replace_invalid(text: str) -> str:
    """Replace the characters that XML does not allow."""
    return _NOT_ALLOWED.sub("\ufffd", text)


def to_annotations(report: Report) -> str:
    """Return the report as workflow commands, which GitHub Actions displays as annotations."""
    lines = annotate_data(report)
    for subject in report.subjects:
        failed = [check for check in subject.checks if check.verdict == "fails"]
        lines += [
            annotate("error", f"{subject.name}: {check.name}", describe_failure(subject, check))
            for check in failed
        ]
        if subject.verdict == "inconclusive":
            message = f"{subject.name}: inconclusive. {subject.detail}"
            lines.append(annotate("error", subject.name, message))
    verdict = report.verdict
    kind = "notice" if report.ok else "error"
    lines.append(annotate(kind, "padmask verify", f"{verdict}: {report.answer}"))
    return "".join(line + "\n" for line in lines)


def annotate_data(report: Report) -> list[str]:
    """Return a workflow command for each finding in the data and each note."""
    lines = []
    for finding in report.data:
        kind = {"error": "error", "warning": "warning"}.get(finding.rule.severity, "notice")
        lines += [annotate(kind, finding.rule.name, text, place) for place, text in describe_finding(finding)]
    return lines + [
        annotate("notice", "padmask verify", note) for note in report.notes if not is_allowed(note)
    ]


def annotate(kind: str, title: str, message: str, place: Place | None = None) -> str:
    """Return a workflow command. If `place` is a line of a file, the command names the file and the line."""
    properties = {}
    if place is not None and place.unit == "line":
        properties = {"file": place.source, "line": str(place.number)}
    properties["title"] = title
    settings = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    return f"::{kind} {settings}::{_escape(message)}"


def _escape(text: str, also: str = "") -> str:
    """Escape text as GitHub's actions toolkit does. `also` has additional characters to escape."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
