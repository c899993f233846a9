"""The HTML report of `verify`, and the fragment that a notebook shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padmask.errors import count
from padmask.render.html import Html, tag
from padmask.render.html_findings import findings_table, notes_card
from padmask.render.html_layers import deviation_bar, layer_path
from padmask.render.html_page import badge, card, make_fragment, make_page, prose, table
from padmask.render.report import TABLE_NOTE, format_scientific, numbers_of, text_of_run
from padmask.verify.report import Report, SubjectReport, describe_place
from padmask.verify.run_error import RunError

KINDS_OF_VERDICTS = {"ignores": "good", "data-ok": "good", "leaks": "bad", "bad-data": "bad", "error": "bad"}

RESULTS = {"holds": ("passes", "good"), "fails": ("fails", "bad"), "skipped": ("skipped", "")}


def verify_page(report: Report) -> str:
    """Return the report of `verify` as one HTML file."""
    described = [subject for subject in report.subjects if _needs_description(subject)]
    return make_page(
        "verify",
        f"{report.verdict}: {report.environment.get('data', _names(report))}",
        _verdict(report.verdict, report.answer, text_of_run(report.environment)),
        card("Models", _models(report)) if report.proof else None,
        *(_model_card(subject) for subject in described),
        card("Data", findings_table(report.data)) if report.has_data else None,
        notes_card(report.notes),
        card("Run", _environment(report.environment)) if report.environment else None,
    )


def verify_fragment(report: Report) -> Html:
    """Return the report of `verify` for a notebook: verdicts, leaks and findings."""
    parts: list[Html | None] = []
    for subject in report.subjects:
        if subject.verdict != "ignores":
            parts += [tag("h3", subject.name), *_leak(subject)]
    return make_fragment(
        tag("h2", badge(report.verdict, _kind(report.verdict)), f" {report.answer}"),
        tag("p", text_of_run(report.environment), class_="quiet"),
        _models(report) if report.proof else None,
        *parts,
        findings_table(report.data) if report.data else None,
    )


def error_page(error: RunError) -> str:
    """Return the report of a run that ended with an error as one HTML file."""
    return make_page(
        "verify",
        "error",
        _verdict("error", error.message, describe_place(error.place)),
        None if error.data is None else card("Data", findings_table(error.data.data)),
        None if error.data is None else notes_card(error.data.notes),
        card("Run", _environment(error.environment)) if error.environment else None,
    )


def _names(report: Report) -> str:
    return ", ".join(subject.name for subject in report.subjects[:3])


def _kind(verdict: str) -> str:
    return KINDS_OF_VERDICTS.get(verdict, "unsure")


def _verdict(verdict: str, answer: str, run: str) -> Html:
    kind = _kind(verdict)
    title = tag("h1", badge(verdict, kind), f" {answer}")
    return tag("header", title, tag("p", run, class_="quiet"), class_=f"card verdict {kind}")


def _models(report: Report) -> Html:
    if not report.subjects:
        return tag("p", str(report.environment.get("subjects", "No model was verified.")))
    names = ["model", "verdict", "passed", "deviation", "tolerance", "control"]
    rows = [
        [subject.name, badge(subject.verdict, _kind(subject.verdict)), *numbers_of(subject)]
        for subject in report.subjects
    ]
    kinds = dict.fromkeys(("passed", "deviation", "tolerance"), "number")
    return tag(
        "div", table(names, rows, kinds=kinds, label="Models"), tag("p", TABLE_NOTE, class_="quiet small")
    )


def _needs_description(subject: SubjectReport) -> bool:
    """Return whether the report on a model has information that the table of models does not show."""
    return subject.verdict != "ignores" or bool(subject.layers or subject.detail or len(subject.outputs) > 1)


def _model_card(subject: SubjectReport) -> Html:
    return card(
        subject.name,
        *_leak(subject),
        tag("h3", "Checks"),
        _checks(subject),
        *([tag("h3", "Outputs"), _outputs(subject)] if len(subject.outputs) > 1 else []),
    )


def _leak(subject: SubjectReport) -> list[Html | None]:
    """Return the detail of the verdict, the layer to fix, the advice, and the path of the layers."""
    path = layer_path(subject)
    return [
        tag("p", prose(subject.detail)) if subject.detail else None,
        tag("p", tag("b", "Layer to fix: "), tag("code", subject.culprit)) if subject.culprit else None,
        tag("p", tag("b", "Advice: "), prose(subject.advice)) if subject.advice else None,
        None
        if path is None
        else tag("h3", count(len(subject.layers), "layer") if subject.layers else "Path"),
        path,
    ]


def _checks(subject: SubjectReport) -> Html:
    rows = []
    for check in subject.checks:
        limit = "" if check.tolerance is None else format_scientific(check.tolerance)
        bar = "" if check.max_abs_diff is None else deviation_bar(check.max_abs_diff, check.tolerance)
        rows.append([tag("code", check.name), badge(*RESULTS[check.verdict]), bar, limit, check.detail])
    names = ["check", "result", "deviation", "tolerance", "detail"]
    kinds = {"check": "name", "deviation": "wide", "tolerance": "number", "detail": "text"}
    return table(names, rows, kinds=kinds, label="Checks")


def _outputs(subject: SubjectReport) -> Html:
    rows = [
        [
            output.name,
            badge(output.verdict, _kind(output.verdict)),
            deviation_bar(output.max_abs_diff, output.tolerance),
            output.detail,
        ]
        for output in subject.outputs
    ]
    names = ["output", "verdict", "deviation", "detail"]
    return table(names, rows, kinds={"deviation": "wide", "detail": "text"}, label="Outputs")


def _environment(environment: Mapping[str, Any]) -> Html:
    rows = [[name, str(value)] for name, value in environment.items()]
    return tag("details", tag("summary", "Versions and options"), table(["name", "value"], rows, label="Run"))
