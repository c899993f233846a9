"""Verify a user's Keras model: choose rows, run the checks, and find the layer that causes a leak."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from padmask.errors import ModelError
from padmask.spec.verify import ModelSpec
from padmask.verify.keras.compiled_shapes import check_shapes
from padmask.verify.keras.model_subjects import make_subjects
from padmask.verify.keras.trace import find_culprit
from padmask.verify.keras.two_runs import can_run
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.check_setup import ROWS_ALONE
from padmask.verify.proof.given_rows import check_rows
from padmask.verify.proof.random_rows import choose_random_rows, take_sample
from padmask.verify.proof.sample import ModelBatch, Sample, SampleRows, pick_rows, shared_lengths
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.verify_subject import describe_run, verify_subject
from padmask.verify.report import SubjectReport

# Models that cannot be compiled run slowly, so fewer of their rows also run in a batch of one row.
FEW_ROWS = 6

# Maximum number of rows in the sample for a model that cannot be compiled.
ROWS_UNCOMPILED = 24


def verify_keras_model(
    user: UserModel, spec: ModelSpec, rows: SampleRows | None = None
) -> tuple[SubjectReport, dict[str, Any]]:
    """Verify a Keras model on given rows or on random rows.

    Args:
        user: model to verify.
        spec: options of the verification.
        rows: real tokens of each row, keyed by input name. If None, random rows are generated.

    Returns:
        The report on the model, and entries about the model for `Report.environment`.

    Raises:
        SpecError: the rows do not match the inputs of the model.
        ModelError: the model cannot run on the rows.
    """
    with user.restore_afterwards():
        return _verify(user, spec, rows)


def _verify(
    user: UserModel, spec: ModelSpec, rows: SampleRows | None
) -> tuple[SubjectReport, dict[str, Any]]:
    value = spec.value if spec.value is not None else (user.mask_value or 0)
    sample = _choose_sample(user, spec, value, rows)
    try:
        shape_check, looping_layer = check_shapes(user, sample)
        if not user.is_compiled:
            sample = sample.select(pick_rows(shared_lengths(sample), ROWS_UNCOMPILED))
        subject, control = make_subjects(user, spec.name, sample, value)
        verification = verify_subject(
            subject,
            control,
            sample,
            must_fail=False,
            extra=[shape_check],
            alone=ROWS_ALONE if user.is_compiled else FEW_ROWS,
            far=user.is_compiled,
            empty=spec.empty_rows,
        )
    except CannotRunError as error:
        raise ModelError(f"{spec.name}: {error}", options=error.options) from None
    report = verification.report
    if shape_check.verdict == "fails" and all(
        check.verdict != "fails" for check in report.checks if check is not shape_check
    ):
        advice = (
            "A compiled TimeDistributed loops over the wrong axis if the number of steps is unknown. Apply "
            "the inner layer directly, which works for layers such as Dense, or give the input a fixed "
            "length."
        )
        report = replace(
            report, culprit=looping_layer, path=looping_layer, advice=advice if looping_layer else None
        )
    if (report.verdict == "leaks" and report.culprit is None) or spec.explain:
        traced = find_culprit(user, verification)
        if report.verdict == "leaks" and report.culprit is None:
            detail = "; ".join(part for part in (report.detail, traced.remark) if part)
            report = replace(
                report, culprit=traced.culprit, path=traced.path, advice=traced.advice, detail=detail
            )
        if spec.explain:
            report = replace(report, layers=traced.layers)
    return report, describe_run(user.slots, sample, spec, value, user.dtype, user.left_out)


def _choose_sample(user: UserModel, spec: ModelSpec, value: Any, rows: SampleRows | None) -> Sample:
    if rows is not None:
        check_rows(user.slots, rows)
        return take_sample(user.slots, rows, spec, value)

    def runs(batch: ModelBatch) -> bool:
        with suppress(CannotRunError):
            user.predict_eagerly(batch)
            return True
        return False

    return choose_random_rows(user.slots, spec, value, runs, lambda batch: can_run(user, batch))
