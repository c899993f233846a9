"""Findings and notes in HTML reports."""

from __future__ import annotations

from collections.abc import Sequence

from padmask.render.html import Html, tag
from padmask.render.html_page import badge, card, prose, table
from padmask.spec.warning_names import Warned, is_allowed
from padmask.verify.data.findings import Finding
from padmask.verify.report import describe_finding, describe_place

KINDS = {"error": "bad", "warning": "unsure"}


def notes_card(notes: Sequence[str]) -> Html | None:
    """Return notes and warnings. Warnings that the user hides with `--allow` are left out."""
    items = []
    for note in notes:
        if not is_allowed(note):
            name = tag("span", badge(note.name, "unsure"), " ") if isinstance(note, Warned) else None
            items.append(tag("li", name, prose(note)))
    return card("Notes", tag("ul", *items, class_="list")) if items else None


def findings_table(findings: Sequence[Finding]) -> Html:
    """Return the findings as a table with one row for each location, or a sentence if there are none."""
    if not findings:
        return tag("p", badge("ok", "good"), " No findings.")
    rows = []
    for finding in findings:
        severity = finding.rule.severity
        for place, text in describe_finding(finding):
            rule, _, rest = text.partition(": ")
            where = describe_place(place)
            rows.append([badge(severity, KINDS.get(severity, "")), tag("code", rule), where, rest])
    return table(
        ["severity", "rule", "location", "finding"],
        rows,
        kinds={"rule": "name", "location": "wide", "finding": "text"},
        label="Findings",
        stacks=True,
    )
