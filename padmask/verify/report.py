"""The report of `verify` as dataclasses. Functions convert the report to a dict and to sentences."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from padmask.errors import Place
from padmask.notebook import ShownInNotebooks
from padmask.spec.warning_names import warnings_in
from padmask.verify.data.findings import Finding
from padmask.verify.proof.tolerance import Check

Verdict = Literal["ignores", "leaks", "inconclusive", "bad-data", "data-ok"]

SubjectVerdict = Literal["ignores", "leaks", "inconclusive"]

ANSWERS = {
    "ignores": "padding does not change the outputs",
    "leaks": "padding changes the outputs",
    "inconclusive": "the checks cannot show whether padding changes the outputs",
    "bad-data": "the data violates a rule",
    "data-ok": "no errors in the data",
}

# The answers about models that ran on packed rows.
_PACKED_ANSWERS = {
    **ANSWERS,
    "ignores": "the outputs of a sequence do not depend on the other sequences or the padding in its row",
    "leaks": "the outputs of a sequence depend on the other sequences or the padding in its row",
    "inconclusive": "the checks cannot show whether the outputs of a sequence depend on the other sequences "
    "or the padding in its row",
}


@dataclass(frozen=True)
class Control:
    """The results for the control model, which ignores masks and should fail the checks.

    For packed rows, the control is the model itself, on rows without boundaries between sequences.

    Args:
        verdict: `"fails"`, as expected, or `"holds"` if any check passed. For packed rows, the verdict is
            `"holds"` only if all checks passed.
        checks: result of each check of the control model.
    """

    verdict: Literal["fails", "holds"]
    checks: Sequence[Check]


@dataclass(frozen=True)
class OutputReport:
    """The verdict on one output of a model.

    Args:
        name: name of the output.
        verdict: `"ignores"`, `"leaks"` or `"inconclusive"`.
        max_abs_diff: largest absolute deviation at real positions; None if nothing was compared.
        tolerance: largest allowed deviation; None if nothing was compared.
        detail: row and padding with the largest deviation.
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
        name: name of the layer, such as `outer/inner` for a nested layer.
        kind: class name of the layer.
        mask_in: whether any input had a mask that marks padding, or an argument contained a mask.
        mask_out: whether any output had a mask that marks padding; None for PyTorch modules.
        max_abs_diff: largest absolute deviation of the outputs at real positions; None if not compared.
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
        name: name of the reference model or of the user's model.
        verdict: `"ignores"` if padding does not change the outputs, `"leaks"` if padding changes them, or
            `"inconclusive"`.
        checks: result of each check.
        control: results for the control model.
        outputs: verdict on each output of the model.
        detail: reason for an inconclusive verdict, or limits of the checks.
        culprit: name of the layer to fix; None if unknown.
        path: names of the layers from the input to the first layer whose output depends on padding.
        advice: how to fix the layer.
        layers: report on each layer of the model, if requested.
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
class Report(ShownInNotebooks):
    """The result of `verify`: findings in the data and verdicts on the models.

    Args:
        data: violations of the data rules.
        subjects: report on each model.
        environment: versions, device and options of the run, keyed by name.
        proof: whether the run verifies models in addition to the data.
        notes: facts about the files, such as files that were not read. Notes do not affect the verdict.
        packed: whether the models ran on packed rows.
        references: whether the models are the reference models.
    """

    data: Sequence[Finding] = ()
    subjects: Sequence[SubjectReport] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    proof: bool = True
    notes: Sequence[str] = ()
    packed: bool = False
    references: bool = False

    @property
    def answer(self) -> str:
        """Clause that states what the verdict means, such as `"padding changes the outputs"`."""
        return (_PACKED_ANSWERS if self.packed else ANSWERS)[self.verdict]

    @property
    def verdict(self) -> Verdict:
        """The overall verdict: the first of `"leaks"`, `"bad-data"` and `"inconclusive"` that applies.

        If none applies, the verdict is `"ignores"`, or `"data-ok"` if only the data was checked.
        """
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
    def has_data(self) -> bool:
        """Whether data was checked."""
        return "data" in self.environment or not self.proof or bool(self.data or self.notes)

    @property
    def ok(self) -> bool:
        """Whether the data has no errors and every verified model ignores padding."""
        return self.verdict in ("ignores", "data-ok")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dict with the structure that `--json` prints."""
        return {
            "verdict": self.verdict,
            "data": [finding.as_dict() for finding in self.data],
            "subjects": [_subject_as_dict(subject) for subject in self.subjects],
            "environment": {name: _replace_infinite(value) for name, value in self.environment.items()},
            "notes": list(self.notes),
            "warnings": warnings_in(self.notes),
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
    """Replace infinity and NaN with the largest float, because JSON supports neither."""
    if number is not None and not math.isfinite(number):
        return sys.float_info.max
    return number


def _replace_infinite(value: Any) -> Any:
    """Convert NaN and infinity, such as a NaN pad value, to text, because JSON supports neither."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe_finding(finding: Finding) -> list[tuple[Place | None, str]]:
    """Return the lines of text that describe a finding, each with a location.

    A finding about bad rows has one line per example, because the reasons may differ. Any other finding has
    one line, with the location of the first example.

    >>> from padmask.spec.rules import RULES
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
    count = f"{finding.count:,} {_plural(finding.rule.unit, finding.count)}"
    text = f"{start}{finding.detail or finding.rule.means} ({count}{f'; also at {others}' if others else ''})"
    return [(finding.examples[0] if finding.examples else None, text)]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def describe_place(place: Place | None) -> str:
    """Return a location as text in the style of compilers and linters.

    >>> describe_place(Place("a.jsonl", "line", 3)), describe_place(Place("a.parquet", "row", 3))
    ('a.jsonl:3', 'a.parquet, row 3')
    """
    if place is None:
        return ""
    return f"{place.source}:{place.number}" if place.unit == "line" else str(place)


def describe_failure(subject: SubjectReport, check: Check) -> str:
    """Return sentences that describe a failed check, the layer to fix and the advice."""
    return describe_check(subject, check) + describe_culprit(subject)


def describe_check(subject: SubjectReport, check: Check) -> str:
    """Return a sentence that describes a failed check, with the deviation and the tolerance."""
    return f"{subject.name}: {describe_deviation(check)}"


def describe_deviation(check: Check) -> str:
    """Return a sentence that describes a failed check without the name of the model."""
    if check.max_abs_diff is None:
        return f"{check.name} fails."
    deviation = f"{check.max_abs_diff:.2e}" if math.isfinite(check.max_abs_diff) else "NaN or a wrong shape"
    where = f" ({check.detail})" if check.detail else ""
    return f"{check.name}: deviation {deviation}, tolerance {check.tolerance:.2e}{where}."


def describe_culprit(subject: SubjectReport) -> str:
    """Return sentences about the layer to fix, the path of the leak and the advice, if they are known."""
    text = f" Culprit: {subject.culprit}." if subject.culprit else ""
    text += f" Path: {subject.path}." if subject.path else ""
    return text + (f" Advice: {subject.advice}" if subject.advice else "")
