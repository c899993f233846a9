"""The report of a verification, as dataclasses and as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from padmask.errors import Place
from padmask.verify.data.rules import Finding
from padmask.verify.proof.tolerance import Check

Verdict = Literal["ignores", "leaks", "inconclusive", "bad-data", "data-ok"]

SubjectVerdict = Literal["ignores", "leaks", "inconclusive"]

ANSWERS = {
    "ignores": "padding does not change the outputs",
    "leaks": "padding changes the outputs",
    "inconclusive": "no proof that the outputs ignore padding",
    "bad-data": "the data break a rule",
    "data-ok": "no errors in the data",
}


@dataclass(frozen=True)
class Control:
    """The results of the checks on the control. The control has no masks and must fail.

    Args:
        verdict: `"fails"` as expected, or `"holds"` if the control passes.
        checks: results of the checks on the control.
    """

    verdict: Literal["fails", "holds"]
    checks: Sequence[Check]


@dataclass(frozen=True)
class OutputReport:
    """The verdict on one output of a model.

    Args:
        name: name of the output.
        verdict: verdict on this output.
        max_abs_diff: largest absolute deviation at real positions; None if nothing was compared.
        tolerance: largest allowed deviation.
        detail: row and padding of the largest deviation.
    """

    name: str
    verdict: SubjectVerdict
    max_abs_diff: float | None = None
    tolerance: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class LayerReport:
    """The masks and the deviation of one layer or operation.

    Args:
        name: name of the layer; `outer/inner` for nested layers.
        kind: class of the layer.
        mask_in, mask_out: whether the inputs and the outputs had a mask; None if unknown.
        max_abs_diff: largest absolute deviation of the output at real positions; None if not compared.
    """

    name: str
    kind: str
    mask_in: bool | None
    mask_out: bool | None
    max_abs_diff: float | None


@dataclass(frozen=True)
class SubjectReport:
    """The verdict on one model.

    Args:
        name: name of the route or of the user's model.
        verdict: `"ignores"`, `"leaks"` or `"inconclusive"`.
        checks: results of the checks.
        control: results of the control.
        outputs: verdict on each output.
        detail: reason for an inconclusive verdict, or limits of the proof.
        culprit: name of the layer that causes the leak.
        path: calls from the input through the culprit to the call where padding enters.
        advice: how to fix the leak.
        layers: reports on all layers of the model, if requested.
    """

    name: str
    verdict: SubjectVerdict
    checks: Sequence[Check]
    control: Control | None = None
    outputs: Sequence[OutputReport] = ()
    detail: str = ""
    culprit: str | None = None
    path: str | None = None
    advice: str | None = None
    layers: Sequence[LayerReport] = ()


@dataclass(frozen=True)
class Report:
    """The results of a verification.

    Args:
        data: findings of the rules over the data.
        subjects: verdict on each model.
        environment: versions, device, and settings of the run.
        proof: whether models were verified in addition to the data.
    """

    data: Sequence[Finding] = ()
    subjects: Sequence[SubjectReport] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    proof: bool = True

    @property
    def verdict(self) -> Verdict:
        """The overall verdict. A leak outweighs bad data, and bad data outweigh an inconclusive proof."""
        bad = any(finding.rule.severity == "error" for finding in self.data)
        if not self.proof:
            return "bad-data" if bad else "data-ok"
        verdicts = {subject.verdict for subject in self.subjects}
        if "leaks" in verdicts:
            return "leaks"
        if bad:
            return "bad-data"
        return "ignores" if verdicts == {"ignores"} else "inconclusive"

    @property
    def ok(self) -> bool:
        """Whether the data have no errors and every requested proof succeeded."""
        return self.verdict in ("ignores", "data-ok")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `--json` prints it."""
        return {
            "verdict": self.verdict,
            "data": [finding.as_dict() for finding in self.data],
            "subjects": [_subject_as_dict(subject) for subject in self.subjects],
            "environment": {name: _replace_infinite(value) for name, value in self.environment.items()},
        }


def _subject_as_dict(subject: SubjectReport) -> dict[str, Any]:
    control = subject.control
    fields: dict[str, Any] = {
        "name": subject.name,
        "verdict": subject.verdict,
        "culprit": subject.culprit,
        "path": subject.path,
        "advice": subject.advice,
        "detail": subject.detail,
        "checks": [_check_as_dict(check) for check in subject.checks],
        "control": None
        if control is None
        else {"verdict": control.verdict, "checks": [_check_as_dict(check) for check in control.checks]},
        "outputs": [
            {
                "name": output.name,
                "verdict": output.verdict,
                "max_abs_diff": _limit_to_float(output.max_abs_diff),
                "tolerance": _limit_to_float(output.tolerance),
                "detail": output.detail,
            }
            for output in subject.outputs
        ],
    }
    if subject.layers:
        fields["layers"] = [
            {
                "name": layer.name,
                "class": layer.kind,
                "mask_in": layer.mask_in,
                "mask_out": layer.mask_out,
                "max_abs_diff": _limit_to_float(layer.max_abs_diff),
            }
            for layer in subject.layers
        ]
    return fields


def _check_as_dict(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "max_abs_diff": _limit_to_float(check.max_abs_diff),
        "tolerance": _limit_to_float(check.tolerance),
        "detail": check.detail,
    }


def _limit_to_float(number: float | None) -> float | None:
    """Return the largest float for infinity and NaN, which JSON does not support."""
    if number is not None and not math.isfinite(number):
        return sys.float_info.max
    return number


def _replace_infinite(value: Any) -> Any:
    """Return NaN and infinity as text, because JSON does not support them. A pad value may be NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe_finding(finding: Finding) -> list[tuple[Place | None, str]]:
    """Return the lines that describe a finding, each with its place.

    Bad rows have one line per example, because each example has a reason of its own. All other findings have
    one line, at the first example.

    >>> from padmask.verify.data.rules import RULES
    >>> rule, line = RULES["row-fully-masked"], Place("a.jsonl", "line", 3)
    >>> [(place, text)] = describe_finding(Finding(rule, 2, [line, Place("a.jsonl", "line", 5)]))
    >>> describe_place(place), text.partition("rows; ")[2]
    ('a.jsonl:3', 'also at a.jsonl:5)')
    """
    column = "" if finding.column is None else f"{finding.column}: "
    start = f"{finding.rule.name}: {column}"
    if finding.reasons:
        lines = list(zip(finding.examples, finding.reasons, strict=True))
        more = finding.count - len(lines)
        ends = [""] * (len(lines) - 1) + [f" ({more:,} more bad {_plural('row', more)})" if more else ""]
        return [(place, f"{start}{reason}{end}") for (place, reason), end in zip(lines, ends, strict=True)]
    others = ", ".join(map(describe_place, finding.examples[1:3]))
    count = f"{finding.count:,} {_plural(finding.rule.breaker, finding.count)}"
    text = f"{start}{finding.detail or finding.rule.means} ({count}{f'; also at {others}' if others else ''})"
    return [(finding.examples[0] if finding.examples else None, text)]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def describe_place(place: Place | None) -> str:
    """Return a place as compilers and linters write it: a line as `file:line`.

    >>> describe_place(Place("a.jsonl", "line", 3)), describe_place(Place("a.parquet", "row", 3))
    ('a.jsonl:3', 'a.parquet, row 3')
    """
    if place is None:
        return ""
    return f"{place.source}:{place.number}" if place.unit == "line" else str(place)


def describe_failure(subject: SubjectReport, check: Check) -> str:
    """Return the result of a failed check, with the culprit and the advice."""
    return describe_check(subject, check) + describe_culprit(subject)


def describe_check(subject: SubjectReport, check: Check) -> str:
    """Return the result of a failed check as a sentence."""
    if check.max_abs_diff is None:
        return f"{subject.name}: {check.name} fails."
    deviation = f"{check.max_abs_diff:.2e}" if math.isfinite(check.max_abs_diff) else "NaN or a wrong shape"
    where = f" ({check.detail})" if check.detail else ""
    return f"{subject.name}: {check.name}: deviation {deviation}, tolerance {check.tolerance:.2e}{where}."


def describe_culprit(subject: SubjectReport) -> str:
    """Return sentences about the leaking layer, the path to it and the advice; empty without a layer."""
    text = f" Culprit: {subject.culprit}." if subject.culprit else ""
    text += f" Path: {subject.path}." if subject.path else ""
    return text + (f" Advice: {subject.advice}" if subject.advice else "")
