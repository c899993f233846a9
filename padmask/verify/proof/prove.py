"""The proof: all checks on a subject, the same checks on its unmasked control, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from padmask.verify.proof.checks import (
    ROWS_ALONE,
    Bench,
    CannotRunError,
    Subject,
    empty_rows,
    gradient,
    insensitive,
    more_padding,
    noise,
    other_content,
    prepare,
    row_alone,
)
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import Check, ComparedDeviation, Deviations, compare_deviation, worst
from padmask.verify.report import Control, OutputReport, SubjectReport, SubjectVerdict


@dataclass(frozen=True)
class _Relation:
    """A check over outputs, and when it cannot be made."""

    name: str
    run: Callable[[Bench, Subject], Deviations]
    why_not: Callable[[Bench], str | None]


def _cannot_stand_alone(bench: Bench) -> str | None:
    if bench.sample.is_fixed:
        places = max(bench.sample.places().values())
        return f"the model takes exactly {places} places, so no row can stand without padding"
    if bench.interact:
        return "rows of a batch influence each other, so none can be judged alone"
    return None


def _cannot_be_padded_more(bench: Bench) -> str | None:
    if bench.sample.is_fixed:
        return f"the model takes exactly {max(bench.sample.places().values())} places"
    return None if len(bench.more) > 1 else "the model takes no more places than the longest row has"


def _cannot_change_content(bench: Bench) -> str | None:
    return bench.subject.reason if bench.subject.other is None else None


RELATIONS = (
    _Relation("row-alone", row_alone, _cannot_stand_alone),
    _Relation("more-padding", more_padding, _cannot_be_padded_more),
    _Relation("other-content", other_content, _cannot_change_content),
)

# The checks that hold an output against itself; the others are about the model as a whole.
OUTPUT_CHECKS = {*(relation.name for relation in RELATIONS), "empty-rows"}


@dataclass(frozen=True)
class Proof:
    """A finished proof.

    Args:
        report: the verdict.
        bench: the rows and paddings it was made on, for whoever looks for the culprit.
    """

    report: SubjectReport
    bench: Bench


def prove(
    subject: Subject,
    control: Subject,
    sample: Sample,
    *,
    twin: bool,
    extra: Sequence[Check] = (),
    alone: int = ROWS_ALONE,
    far: bool = False,
    empty: bool = False,
) -> Proof:
    """Try to make padding change a model's real outputs.

    Args:
        subject: the model.
        control: the same without masks, which must fail what the model passes.
        sample: the rows.
        twin: whether the control is an unmasked twin, that must fail; else it is the model itself on
            padding dressed up as tokens, which some, such as causal ones, may rightly ignore.
        extra: checks that were made elsewhere.
        alone: rows that are also run alone, at most.
        far: whether rows are also padded far beyond the longest one.
        empty: whether rows without a token are looked at too.

    Raises:
        CannotRunError: the model runs none of the rows.
    """
    bench = prepare(subject, sample, far=far, alone=alone)
    # Of an unknown model nobody knows how noisy it is; the reference models were measured.
    precisions = _precisions(bench, subject) if not twin else [_Precision(subject, {})]
    made = [*_examine(bench, precisions, twin), *extra]
    if empty:
        made.append(_empty_rows(bench, precisions))
    on_control = _examine(bench, [_Precision(control, {})], twin)
    held = [check.name for check in on_control if check.verdict == "holds"]
    judged = Control("holds" if held else "fails", on_control)
    dead = insensitive(bench, subject)
    outputs = _outputs(made, dead)
    if not bench.repeats:
        outputs = [replace(output, verdict="inconclusive") for output in outputs]
    verdict, detail = _verdict(bench, made, held, dead, twin)
    if detail and bench.notes:
        detail = "; ".join([detail, *bench.notes])
    return Proof(
        SubjectReport(subject.name, verdict, made, judged, outputs, detail or "; ".join(bench.notes)), bench
    )


@dataclass(frozen=True)
class _Precision:
    """A subject in one precision, and how noisy each output is in it, in the outputs' unit."""

    subject: Subject
    noises: Mapping[str, float]


def _precisions(bench: Bench, subject: Subject) -> list[_Precision]:
    """Return the subject in its own precision and, where it can be run so, in double."""
    found = [_Precision(subject, noise(bench, subject))]
    precise = subject.precise() if subject.precise is not None else None
    if precise is not None:
        with suppress(CannotRunError):
            found.append(_Precision(precise, noise(bench, precise)))
    return found


def _judged(
    precisions: Sequence[_Precision], run: Callable[[Subject], Deviations]
) -> tuple[dict[str, ComparedDeviation], str]:
    native, *others = precisions
    better = [(run(other.subject), other.noises) for other in others]
    return compare_deviation(
        run(native.subject), native.noises, native.subject.dtype, better[0] if better else None
    )


def _examine(bench: Bench, precisions: Sequence[_Precision], twin: bool) -> list[Check]:
    made = []
    for relation in RELATIONS:
        reason = relation.why_not(bench)
        if reason is not None:
            made.append(Check.skipped(relation.name, reason))
            continue
        judged = _judged(precisions, lambda subject, relation=relation: relation.run(bench, subject))  # type: ignore[misc]
        made.append(Check.of(relation.name, *judged))
    if precisions[0].subject.gradient is not None or twin:
        made.append(_gradient(bench, precisions[0].subject))
    return made


def _gradient(bench: Bench, subject: Subject) -> Check:
    if subject.gradient is None:
        return Check.skipped("gradient", "no gradients can be had of this model here")
    found = gradient(bench, subject)["gradient"]
    if found.scale == 0:
        return Check.skipped("gradient", "the gradients are zero at real places too")
    return Check.of("gradient", {"gradient": ComparedDeviation(found.largest, 0.0, found.where)})


def _empty_rows(bench: Bench, precisions: Sequence[_Precision]) -> Check:
    name = "empty-rows"
    if bench.sample.has_fixed:
        return Check.skipped(name, "the model takes one length only")
    no_number: list[bool] = []

    def run(subject: Subject) -> Deviations:
        found, none = empty_rows(bench, subject)
        no_number.append(none)
        return found

    try:
        judged, remark = _judged(precisions, run)
    except CannotRunError:
        return Check.skipped(name, "the model cannot be run on rows without a token")
    return Check.of(name, judged, "warning: a row without a token gives NaN" if any(no_number) else remark)


def _verdict(
    bench: Bench, made: Sequence[Check], held: Sequence[str], dead: set[str], twin: bool
) -> tuple[SubjectVerdict, str]:
    if not bench.repeats:
        return "inconclusive", "the model says something else of the same batch each time it is run"
    if any(check.verdict == "fails" for check in made):
        return "leaks", ""
    relations = [check for check in made if check.name in {relation.name for relation in RELATIONS}]
    if all(check.verdict == "skipped" for check in relations):
        return "inconclusive", "no check could be made: " + made[0].detail
    if dead:
        return "inconclusive", f"constant output: {', '.join(sorted(dead))} does not change with the tokens"
    if held and (twin or _nothing_to_pad(bench)):
        return "inconclusive", f"no power: the model without masks passes {', '.join(held)} too"
    if held:
        return "ignores", "the real outputs do not depend on what follows them, so no mask is needed"
    return "ignores", ""


def _nothing_to_pad(bench: Bench) -> bool:
    if not bench.sample.is_fixed and len(bench.more) > 1:
        return False
    places = bench.sample.places()
    return all((rows == places[name]).all() for name, rows in bench.sample.lengths().items())


def _outputs(made: Sequence[Check], dead: set[str]) -> list[OutputReport]:
    by_output: dict[str, list[ComparedDeviation]] = {}
    for check in made:
        if check.name not in OUTPUT_CHECKS:
            continue
        for name, judged in (check.outputs or {}).items():
            by_output.setdefault(name, []).append(judged)
    reports = []
    for name, judgements in by_output.items():
        most = worst(judgements)
        assert most is not None
        verdict: SubjectVerdict = "leaks" if not most.holds else "inconclusive" if name in dead else "ignores"
        reports.append(OutputReport(name, verdict, most.deviation, most.tolerance, most.where))
    return reports
