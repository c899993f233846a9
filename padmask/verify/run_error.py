"""Reports for a run that ended with an error, as JSON, JUnit XML or a GitHub annotation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from padmask.errors import Place
from padmask.verify.report import Report
from padmask.verify.report_formats import annotate, annotate_data, data_suite, replace_invalid, write_junit


@dataclass(frozen=True)
class RunError:
    """An error that ended a run of `verify`.

    Args:
        message: message that the command prints.
        place: where the error is in the input; None if unknown.
        fields: exit code and fields of the error, as JSON values.
        environment: versions and settings of the run.
        data: report on the data, if it was checked before the error.
    """

    message: str
    place: Place | None
    fields: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Report | None = None


def error_to_json(error: RunError) -> str:
    """Return a JSON report with the verdict `error` and the fields of the error."""
    data = error.data or Report(environment=error.environment)
    report = {**data.as_dict(), "verdict": "error", **error.fields}
    return json.dumps(report, indent=2) + "\n"


def error_to_junit(error: RunError) -> str:
    """Return JUnit XML: the test suite of the data, if checked, and a suite with one test for the error."""
    message = replace_invalid(error.message)
    suite = ElementTree.Element("testsuite", name="run")
    case = ElementTree.SubElement(suite, "testcase", classname="padmask.run", name="verify", time="0")
    ElementTree.SubElement(case, "error", message=message, type="error").text = message
    return write_junit([suite] if error.data is None else [data_suite(error.data), suite])


def error_to_annotation(error: RunError) -> str:
    """Return GitHub workflow commands for the findings in the data, and for the error."""
    lines = [] if error.data is None else annotate_data(error.data)
    lines.append(annotate("error", "padmask verify", error.message, error.place))
    return "".join(line + "\n" for line in lines)
