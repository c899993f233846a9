"""Convert a report to JSON, JUnit XML or GitHub annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from padmask.errors import Place
from padmask.verify.data.rules import RULES
from padmask.verify.report import ANSWERS, Report, SubjectReport, describe_failure, describe_finding


def to_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML, with one test suite for the data and one for each model.

    The XML follows Jenkins's JUnit schema, which GitLab and other tools also read. A warning is a passed test
    with text in `system-out`. An inconclusive verdict is a failed test.
    """
    root = ElementTree.Element("testsuites", name="padmask verify")
    _add_data_suite(root, report)
    for subject in report.subjects:
        _add_subject_suite(root, subject)
    if report.proof and not report.subjects:
        _add_failed_suite(root, report)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_data_suite(root: ElementTree.Element, report: Report) -> None:
    found = {finding.rule.name: finding for finding in report.data}
    suite = ElementTree.SubElement(root, "testsuite", name="data")
    for name in RULES:
        case = _add_case(suite, "data", name)
        finding = found.get(name)
        if finding is None:
            continue
        message = _replace_invalid(describe_finding(finding))
        if finding.rule.severity == "error":
            failure = ElementTree.SubElement(case, "failure", message=message, type=name)
            failure.text = message
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.rule.severity}: {message}"
    _set_counts(suite)


def _add_subject_suite(root: ElementTree.Element, subject: SubjectReport) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_replace_invalid(subject.name))
    for check in subject.checks:
        case = _add_case(suite, subject.name, check.name)
        if check.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", message=_replace_invalid(check.detail))
        elif check.verdict == "fails":
            message = _replace_invalid(describe_failure(subject, check))
            ElementTree.SubElement(case, "failure", message=message, type="leak").text = message
    case = _add_case(suite, subject.name, "proof")
    if subject.verdict == "inconclusive":
        message = _replace_invalid(f"{subject.name}: inconclusive. {subject.detail}")
        ElementTree.SubElement(case, "failure", message=message, type="inconclusive").text = message
    _set_counts(suite)


def _add_failed_suite(root: ElementTree.Element, report: Report) -> None:
    """Add a failed test to a report without models, because a suite without tests would count as passed."""
    suite = ElementTree.SubElement(root, "testsuite", name="models")
    message = _replace_invalid(
        f"{report.verdict}: {report.environment.get('subjects', 'no model was verified')}"
    )
    ElementTree.SubElement(
        _add_case(suite, "models", "proof"), "failure", message=message, type=report.verdict
    ).text = message
    _set_counts(suite)


def _add_case(suite: ElementTree.Element, owner: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", classname=_replace_invalid(f"padmask.{owner}"), name=name, time="0"
    )


def _set_counts(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))


# Characters that XML 1.0 does not allow, not even escaped.
_NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _replace_invalid(text: str) -> str:
    return _NOT_ALLOWED.sub("\ufffd", text)


def to_annotations(report: Report) -> str:
    """Return the report as workflow commands, which GitHub Actions displays as annotations."""
    lines = []
    for finding in report.data:
        kind = {"error": "error", "warning": "warning"}.get(finding.rule.severity, "notice")
        lines.append(_annotation(kind, finding.rule.name, describe_finding(finding), finding.examples))
    for subject in report.subjects:
        failed = [check for check in subject.checks if check.verdict == "fails"]
        lines += [
            _annotation("error", f"{subject.name}: {check.name}", describe_failure(subject, check))
            for check in failed
        ]
        if subject.verdict == "inconclusive":
            message = f"{subject.name}: inconclusive. {subject.detail}"
            lines.append(_annotation("error", subject.name, message))
    verdict = report.verdict
    kind = "notice" if report.ok else "error"
    lines.append(_annotation(kind, "padmask verify", f"{verdict}: {ANSWERS[verdict]}"))
    return "".join(line + "\n" for line in lines)


def _annotation(kind: str, title: str, message: str, places: Sequence[Place] = ()) -> str:
    properties = {}
    if places and places[0].unit == "line":
        properties = {"file": places[0].source, "line": str(places[0].number)}
    properties["title"] = title
    settings = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    return f"::{kind} {settings}::{_escape(message)}"


def _escape(text: str, also: str = "") -> str:
    """Escape text as GitHub's actions toolkit does."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
