"""Run all checks on a model and its control model, and decide the verdict.

A control model ignores masks and must fail the checks, to prove that the checks can detect a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from padmask.spec.verify import ModelSpec
from padmask.verify.proof.blocks import describe_blocks, find_blocks, split_outputs
from padmask.verify.proof.check_setup import ROWS_ALONE, CheckSetup, fit_to_control, prepare
from padmask.verify.proof.checks import (
    compare_empty_rows,
    compare_more_padding,
    compare_other_content,
    compare_row_alone,
    measure_gradient,
    measure_movement,
    measure_noise,
)
from padmask.verify.proof.sample import ModelInput, Sample
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import (
    LIMITS,
    RESOLUTION,
    Check,
    ComparedDeviation,
    Deviations,
    Noises,
    allowed_shares,
    compare_deviation,
    worst,
)
from padmask.verify.report import Control, OutputReport, SubjectReport, SubjectVerdict


@dataclass(frozen=True)
class _OutputCheck:
    """A check that compares outputs.

    Args:
        name: name of the check.
        run: function that returns the deviation of each output.
        reason_to_skip: function that returns the reason to skip the check, or None if the check can run.
    """

    name: str
    run: Callable[[CheckSetup, Subject], Deviations]
    reason_to_skip: Callable[[CheckSetup], str | None]


def _skip_row_alone(setup: CheckSetup) -> str | None:
    if setup.sample.is_fixed:
        places = max(setup.sample.places().values())
        return f"the model only accepts rows of length {places}, so shorter rows cannot run without padding"
    if setup.interact:
        return "the rows of a batch influence each other, so a single row cannot be compared"
    return None


def _skip_more_padding(setup: CheckSetup) -> str | None:
    if setup.sample.is_fixed:
        return f"the model only accepts rows of length {max(setup.sample.places().values())}"
    return None if len(setup.more) > 1 else "the model cannot run on a batch in which all rows have padding"


def _skip_other_content(setup: CheckSetup) -> str | None:
    return setup.subject.reason if setup.subject.other is None else None


# Checks that compare the outputs of the model, and also of the control model.
COMPARISONS = (
    _OutputCheck("row-alone", compare_row_alone, _skip_row_alone),
    _OutputCheck("more-padding", compare_more_padding, _skip_more_padding),
    _OutputCheck("other-content", compare_other_content, _skip_other_content),
)

# Names of the checks that determine the verdict on each output.
OUTPUT_CHECKS = {
    *(check.name for check in COMPARISONS),
    "empty-rows",
    "sequence-alone",
    "other-sequences",
}


@dataclass(frozen=True)
class Verification:
    """The results of all checks of a model.

    Args:
        report: verdict and check results.
        setup: rows and padded lengths of the checks, which the search for the leaking layer uses again.
    """

    report: SubjectReport
    setup: CheckSetup


def verify_subject(
    subject: Subject,
    control: Subject,
    sample: Sample,
    *,
    must_fail: bool,
    extra: Sequence[Check] = (),
    alone: int = ROWS_ALONE,
    far: bool = False,
    empty: bool | None = False,
) -> Verification:
    """Check whether padding changes the outputs of a model.

    Args:
        subject: model to check.
        control: control model, which runs the same checks.
        sample: rows for the checks.
        must_fail: whether the control model must fail the checks. Set True if the control model is a copy of
            the model without masks. Set False if the control model is the same model, but receives random
            tokens as padding and a mask that is all True. Such a control may pass, because some models need
            no mask, such as causal models.
        extra: results of other checks of the model.
        alone: maximum number of rows that also run in a batch of one row.
        far: whether to also pad far beyond the longest row.
        empty: whether the data has rows without tokens. If True, such rows are checked too. If None, this is
            unknown, and such rows are checked, but a dependence on padding is only a warning.

    Raises:
        CannotRunError: the model cannot run on any of the rows.
    """
    setup = prepare(subject, sample, far=far, alone=alone)
    blocks = find_blocks(setup)
    subject, control = split_outputs(subject, blocks), split_outputs(control, blocks)
    notes = (*setup.notes, *describe_blocks(blocks))
    setup = replace(setup, subject=subject, notes=notes, has_blocks=bool(blocks))
    # The default tolerances are sufficient for the reference models. For a user's model, measure the noise.
    precisions = _measure_precisions(setup, subject) if not must_fail else [_Precision(subject, {})]
    checks = [*_run_checks(setup, precisions, must_fail), *extra]
    if empty is not False:
        checks.append(_check_empty_rows(setup, precisions, judge=bool(empty)))
    on_control = _run_checks(fit_to_control(setup, control), [_Precision(control, {})], must_fail)
    control_passed = [check.name for check in on_control if check.verdict == "holds"]
    control_result = Control("holds" if control_passed else "fails", on_control)
    constant, blind = _find_silent_outputs(setup, precisions)
    outputs = report_outputs(checks, constant | blind)
    if not setup.deterministic:
        outputs = [replace(output, verdict="inconclusive") for output in outputs]
    verdict, detail = _decide_verdict(setup, checks, control_passed, constant, blind, must_fail)
    if detail and setup.notes:
        detail = "; ".join([detail, *setup.notes])
    return Verification(
        SubjectReport(
            subject.name, verdict, checks, control_result, outputs, detail or "; ".join(setup.notes)
        ),
        setup,
    )


@dataclass(frozen=True)
class _Precision:
    """A model in one precision, and the numerical noise of each output."""

    subject: Subject
    noises: Noises


def _measure_precisions(setup: CheckSetup, subject: Subject) -> list[_Precision]:
    """Measure the numerical noise of a model in its own precision and, if possible, in float64."""
    found = [_Precision(subject, measure_noise(setup, subject))]
    precise = subject.precise() if subject.precise is not None else None
    if precise is not None:
        with suppress(CannotRunError):
            found.append(_Precision(precise, measure_noise(setup, precise)))
    return found


def _find_silent_outputs(setup: CheckSetup, precisions: Sequence[_Precision]) -> tuple[set[str], set[str]]:
    """Find the outputs that cannot show a leak.

    Returns:
        The constant outputs and the blind outputs. Constant outputs stay the same if all tokens change. Blind
        outputs have a channel that changes by less than the tolerance if all tokens change. A leak in such a
        channel would be below the tolerance too.
    """
    constant: set[str] = set()
    blind: list[set[str]] = []
    for number, precision in enumerate(precisions):
        dtype = precision.subject.dtype
        blind.append(set())
        for name, movement in measure_movement(setup, precision.subject).items():
            shares = movement.shares
            if number == 0 and not (shares > LIMITS["float64"]).any():
                constant.add(name)
            allowed = allowed_shares(precision.noises.get(name), dtype)
            moves = shares > RESOLUTION[dtype]
            if allowed.ndim and allowed.shape != shares.shape:
                allowed = allowed.max()
            if (moves & (shares <= allowed)).any():
                blind[number].add(name)
    # An output is blind if no precision can show its leaks.
    return constant, set.intersection(*blind) - constant


def _compare_in_precisions(
    precisions: Sequence[_Precision], run: Callable[[Subject], Deviations]
) -> tuple[dict[str, ComparedDeviation], str]:
    native, *others = precisions
    precise = [(run(other.subject), other.noises, other.subject.dtype) for other in others]
    return compare_deviation(
        run(native.subject), native.noises, native.subject.dtype, precise[0] if precise else None
    )


def _run_checks(setup: CheckSetup, precisions: Sequence[_Precision], must_fail: bool) -> list[Check]:
    checks = []
    for check in COMPARISONS:
        reason = check.reason_to_skip(setup)
        if reason is not None:
            checks.append(Check.skipped(check.name, reason))
            continue
        compared = _compare_in_precisions(precisions, lambda subject, check=check: check.run(setup, subject))  # type: ignore[misc]
        checks.append(Check.of(check.name, *compared))
    if precisions[0].subject.gradient is not None or must_fail:
        checks.append(_check_gradient(setup, precisions[0].subject))
    return checks


def _check_gradient(setup: CheckSetup, subject: Subject) -> Check:
    if subject.gradient is None:
        return Check.skipped("gradient", "gradients are not available on this backend")
    found = measure_gradient(setup, subject)["gradient"]
    if found.scale[0] == 0:
        return Check.skipped("gradient", "the gradients are zero at real positions too")
    return Check.of(
        "gradient", {"gradient": ComparedDeviation(float(found.largest[0]), 0.0, str(found.where[0]))}
    )


def _check_empty_rows(setup: CheckSetup, precisions: Sequence[_Precision], *, judge: bool) -> Check:
    """Check rows without tokens. If `judge` is False, a dependence on padding is only a warning."""
    name = "empty-rows"
    if setup.sample.has_fixed:
        return Check.skipped(name, "the model only accepts rows of one fixed length")
    found_nan: list[bool] = []

    def run(subject: Subject) -> Deviations:
        found, all_nan = compare_empty_rows(setup, subject)
        found_nan.append(all_nan)
        return found

    try:
        compared, remark = _compare_in_precisions(precisions, run)
    except CannotRunError:
        return Check.skipped(name, "the model cannot run on rows without tokens")
    wrong = sorted(name for name, deviation in compared.items() if not deviation.holds)
    if wrong and not judge:
        return Check.skipped(
            name,
            f"warning: padding changes {', '.join(wrong)} in rows without tokens. If the data has no such "
            "rows, ignore this warning",
        )
    warning = "warning: the model returns NaN for rows without tokens"
    return Check.of(name, compared, warning if any(found_nan) else remark)


def _decide_verdict(
    setup: CheckSetup,
    checks: Sequence[Check],
    control_passed: Sequence[str],
    constant: set[str],
    blind: set[str],
    must_fail: bool,
) -> tuple[SubjectVerdict, str]:
    if not setup.deterministic:
        return "inconclusive", "the model is not deterministic: two runs of a batch had different outputs"
    if any(check.verdict == "fails" for check in checks):
        return "leaks", ""
    comparisons = [check for check in checks if check.name in {comparison.name for comparison in COMPARISONS}]
    if all(check.verdict == "skipped" for check in comparisons):
        if setup.sample.is_fixed and setup.subject.is_function:
            return (
                "inconclusive",
                "the outputs do not change with the mask. If the function finds the padding by the pad "
                "value, the checks cannot show this at one fixed length. Use the mask in the function, or "
                "make the function accept rows of other lengths",
            )
        return "inconclusive", "every check was skipped: " + checks[0].detail
    if constant:
        return (
            "inconclusive",
            f"constant output: {', '.join(sorted(constant))} (the same for different tokens)",
        )
    if blind:
        return (
            "inconclusive",
            f"different tokens change {', '.join(sorted(blind))} by less than the tolerance, so a leak "
            "would be too small to detect",
        )
    if control_passed and (must_fail or _has_no_padding(setup)):
        return (
            "inconclusive",
            "the control model ignores masks, but passed checks that it should fail: "
            + ", ".join(control_passed),
        )
    if control_passed:
        return "ignores", "the model needs no mask: even without a mask, padding does not change the outputs"
    return "ignores", ""


def _has_no_padding(setup: CheckSetup) -> bool:
    if not setup.sample.is_fixed and len(setup.more) > 1:
        return False
    places = setup.sample.places()
    return all((rows == places[name]).all() for name, rows in setup.sample.lengths().items())


def report_outputs(checks: Sequence[Check], constant: set[str]) -> list[OutputReport]:
    """Return the verdict on each output.

    Args:
        checks: results of all checks.
        constant: names of the outputs that cannot show a leak.
    """
    by_output: dict[str, list[ComparedDeviation]] = {}
    for check in checks:
        if check.name not in OUTPUT_CHECKS:
            continue
        for name, compared in (check.outputs or {}).items():
            by_output.setdefault(name, []).append(compared)
    reports = []
    for name, deviations in by_output.items():
        most = worst(deviations)
        assert most is not None
        verdict: SubjectVerdict = (
            "leaks" if not most.holds else "inconclusive" if name in constant else "ignores"
        )
        reports.append(OutputReport(name, verdict, most.deviation, most.tolerance, most.where))
    return reports


def describe_run(
    slots: Sequence[ModelInput],
    sample: Sample,
    spec: ModelSpec,
    value: Any,
    dtype: str,
    left_out: Iterable[str],
) -> dict[str, Any]:
    """Return the entries about a model for `Report.environment`.

    Args:
        slots: inputs of the model.
        sample: rows of the checks.
        spec: options of the verification.
        value: pad value.
        dtype: dtype of the computation.
        left_out: names of the outputs that are not compared.
    """
    return {
        "rows_checked": len(sample),
        "padding": spec.padding,
        "value": value,
        "seed": spec.seed,
        "dtype": dtype,
        "inputs": {slot.name: slot.kind for slot in slots},
        "places": sample.places(),
        "outputs_left_out": sorted(left_out),
    }
