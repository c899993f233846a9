"""What a verification found, as data."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from padmask.verify.data.rules import Finding
from padmask.verify.proof.tolerance import Check

Verdict = Literal["ignores", "leaks", "inconclusive", "bad-data", "data-ok"]

SubjectVerdict = Literal["ignores", "leaks", "inconclusive"]

ANSWERS = {
    "ignores": "real outputs do not change with padding",
    "leaks": "padding changes real outputs",
    "inconclusive": "it could not be shown that padding is ignored",
    "bad-data": "the data break a rule",
    "data-ok": "no errors in the data",
}


@dataclass(frozen=True)
class Control:
    """How an unmasked twin did in the same checks, which it must fail.

    Args:
        verdict: `"fails"`, as it must; `"holds"` where a check could not tell the two apart.
        checks: what each check found on the twin.
    """

    verdict: Literal["fails", "holds"]
    checks: Sequence[Check]


@dataclass(frozen=True)
class OutputReport:
    """The verdict on one output of a model.

    Args:
        name: of the output.
        verdict: on this output alone.
        max_abs_diff: the largest deviation at real places; None where nothing was compared.
        tolerance: what it may be.
        detail: where the largest one was found.
    """

    name: str
    verdict: SubjectVerdict
    max_abs_diff: float | None = None
    tolerance: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class LayerReport:
    """What was seen of one layer or operation.

    Args:
        name: of the layer, nested ones as `outer/inner`.
        kind: its class.
        mask_in, mask_out: whether a mask came in, and went out; None where nobody can tell.
        max_abs_diff: the largest deviation of its output at real places; None where not comparable.
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
        name: of the route, or of the user's model.
        verdict: `"ignores"`, `"leaks"` or `"inconclusive"`.
        checks: what each check found.
        control: how the unmasked twin did.
        outputs: a verdict for each output.
        detail: why the verdict is inconclusive, or what had to be left out.
        culprit: the layer to blame for a leak.
        path: the way there.
        advice: what to do.
        layers: every layer, where it was asked for.
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
    """Everything that a verification found.

    Args:
        data: what the rules found.
        subjects: the verdict on each model.
        environment: versions, device, and what was run.
        proof: whether models were to be proven too.
        notes: sentences about the inputs that are no findings.
    """

    data: Sequence[Finding] = ()
    subjects: Sequence[SubjectReport] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    proof: bool = True
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> Verdict:
        """The answer: a leak outweighs bad data, and bad data a proof that could not be made."""
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
        """Whether everything was proven that was asked for."""
        return self.verdict in ("ignores", "data-ok")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "verdict": self.verdict,
            "data": [finding.as_dict() for finding in self.data],
            "subjects": [_subject(subject) for subject in self.subjects],
            "environment": {name: _speakable(value) for name, value in self.environment.items()},
            "notes": list(self.notes),
        }


def _subject(subject: SubjectReport) -> dict[str, Any]:
    control = subject.control
    shown: dict[str, Any] = {
        "name": subject.name,
        "verdict": subject.verdict,
        "culprit": subject.culprit,
        "path": subject.path,
        "advice": subject.advice,
        "detail": subject.detail,
        "checks": [_check(check) for check in subject.checks],
        "control": None
        if control is None
        else {"verdict": control.verdict, "checks": [_check(check) for check in control.checks]},
        "outputs": [
            {
                "name": output.name,
                "verdict": output.verdict,
                "max_abs_diff": _number(output.max_abs_diff),
                "tolerance": _number(output.tolerance),
                "detail": output.detail,
            }
            for output in subject.outputs
        ],
    }
    if subject.layers:
        shown["layers"] = [
            {
                "name": layer.name,
                "class": layer.kind,
                "mask_in": layer.mask_in,
                "mask_out": layer.mask_out,
                "max_abs_diff": _number(layer.max_abs_diff),
            }
            for layer in subject.layers
        ]
    return shown


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "max_abs_diff": _number(check.max_abs_diff),
        "tolerance": _number(check.tolerance),
        "detail": check.detail,
    }


def _number(number: float | None) -> float | None:
    """JSON knows no infinity: a number that met none is as far away as numbers go."""
    if number is not None and not math.isfinite(number):
        return sys.float_info.max
    return number


def _speakable(value: Any) -> Any:
    """JSON has no NaN: a pad value may be one."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def finding_message(finding: Finding) -> str:
    """Say in a sentence what a rule found, and where."""
    first = f", first {', '.join(map(str, finding.examples[:3]))}" if finding.examples else ""
    broken = finding.rule.breaker + ("" if finding.count == 1 else "s")
    return f"{finding.rule.name}: {finding.count:,} {broken}{first}. {finding.detail or finding.rule.means}"


def check_message(subject: SubjectReport, check: Check) -> str:
    """Say what a check found, who is to blame and what to do."""
    return check_sentence(subject, check) + blame(subject)


def check_sentence(subject: SubjectReport, check: Check) -> str:
    """Say in a sentence what a failed check found."""
    if check.max_abs_diff is None:
        return f"{subject.name}: {check.name} fails."
    far = f"{check.max_abs_diff:.2e}" if math.isfinite(check.max_abs_diff) else "no number, or no such shape"
    where = f" ({check.detail})" if check.detail else ""
    return f"{subject.name}: {check.name}: deviation {far}, tolerance {check.tolerance:.2e}{where}."


def blame(subject: SubjectReport) -> str:
    """Say which layer is to blame and what to do, or nothing."""
    said = f" To blame: {subject.culprit}." if subject.culprit else ""
    said += f" Path: {subject.path}." if subject.path else ""
    return said + (f" Advice: {subject.advice}" if subject.advice else "")
