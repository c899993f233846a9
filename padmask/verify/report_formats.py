"""Reports for machines: JSON, JUnit XML and GitHub annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from padmask.errors import Place
from padmask.verify.data.rules import RULES
from padmask.verify.report import ANSWERS, Report, SubjectReport, check_message, finding_message


def to_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML, a suite for the data and one for each model.

    The form is that of Jenkins's JUnit schema, which GitLab and others read too. Warnings pass, and
    say so in `system-out`; what could not be proven is a failure, since nobody knows.
    """
    root = ElementTree.Element("testsuites", name="padmask verify")
    _data_suite(root, report)
    for subject in report.subjects:
        _subject_suite(root, subject)
    if report.proof and not report.subjects:
        _empty_suite(root, report)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _data_suite(root: ElementTree.Element, report: Report) -> None:
    found = {finding.rule.name: finding for finding in report.data}
    suite = ElementTree.SubElement(root, "testsuite", name="data")
    for name in RULES:
        case = _case(suite, "data", name)
        finding = found.get(name)
        if finding is None:
            continue
        said = _xml(finding_message(finding))
        if finding.rule.severity == "error":
            failure = ElementTree.SubElement(case, "failure", message=said, type=name)
            failure.text = said
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.rule.severity}: {said}"
    _count(suite)


def _subject_suite(root: ElementTree.Element, subject: SubjectReport) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_xml(subject.name))
    for check in subject.checks:
        case = _case(suite, subject.name, check.name)
        if check.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", message=_xml(check.detail))
        elif check.verdict == "fails":
            said = _xml(check_message(subject, check))
            ElementTree.SubElement(case, "failure", message=said, type="leak").text = said
    case = _case(suite, subject.name, "proof")
    if subject.verdict == "inconclusive":
        said = _xml(f"{subject.name}: inconclusive. {subject.detail}")
        ElementTree.SubElement(case, "failure", message=said, type="inconclusive").text = said
    _count(suite)


def _empty_suite(root: ElementTree.Element, report: Report) -> None:
    """No model was proven: whoever reads the report must not take that for a pass."""
    suite = ElementTree.SubElement(root, "testsuite", name="models")
    said = _xml(f"{report.verdict}: {report.environment.get('subjects', 'no model was proven')}")
    ElementTree.SubElement(
        _case(suite, "models", "proof"), "failure", message=said, type=report.verdict
    ).text = said
    _count(suite)


def _case(suite: ElementTree.Element, owner: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_xml(f"padmask.{owner}"), name=name, time="0")


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))


# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def to_annotations(report: Report) -> str:
    """Return the report as workflow commands that GitHub Actions shows beside the code."""
    lines = []
    for finding in report.data:
        kind = {"error": "error", "warning": "warning"}.get(finding.rule.severity, "notice")
        lines.append(_annotation(kind, finding.rule.name, finding_message(finding), finding.examples))
    for subject in report.subjects:
        failed = [check for check in subject.checks if check.verdict == "fails"]
        lines += [
            _annotation("error", f"{subject.name}: {check.name}", check_message(subject, check))
            for check in failed
        ]
        if subject.verdict == "inconclusive":
            said = f"{subject.name}: inconclusive. {subject.detail}"
            lines.append(_annotation("error", subject.name, said))
    verdict = report.verdict
    kind = "notice" if report.ok else "error"
    lines.append(_annotation(kind, "padmask verify", f"{verdict}: {ANSWERS[verdict]}"))
    return "".join(line + "\n" for line in lines)


def _annotation(kind: str, title: str, message: str, places: Sequence[Place] = ()) -> str:
    properties = {}
    if places and places[0].unit == "line":
        properties = {"file": places[0].source, "line": str(places[0].number)}
    properties["title"] = title
    said = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::{kind} {said}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """Escape as GitHub's own toolkit does."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
